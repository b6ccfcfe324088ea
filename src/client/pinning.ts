/** What a client believes before it seals or opens anything: the pinned owner's policy, and the log as it was seen before. */
import { equal, fromBase64Url, toBase64Url } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { decodeIdentity, keyId } from '../../crypto/format/ids.ts';
import { KEY_REVOKE, parseKeyDocument, verifyKeyDocument } from '../../crypto/format/keydoc.ts';
import { parsePolicy, type ParsedPolicy, type Policy, type PolicyRecipient } from '../../crypto/format/policy.ts';
import { openCheckpoint, type Checkpoint } from '../../crypto/log/checkpoint.ts';
import { hashesFromTiles, tilePath, type Tile } from '../../crypto/log/tiles.ts';
import { proveConsistency, verifyConsistency } from '../../crypto/log/tree.ts';
import type { Api } from './api.ts';
import type { ExamLink } from './link.ts';

/** A policy with those of its readers who have withdrawn their keys, by their own signatures. */
export interface PinnedPolicy extends ParsedPolicy {
  revoked: PolicyRecipient[];
}

/** The exam's newest policy, held against the link's pins and the recorder's clock; throws `policy`. */
export async function fetchPinnedPolicy(api: Api, pins: ExamLink, nowMs: number | undefined): Promise<PinnedPolicy> {
  const { policy, revocations } = await api.policy(pins.examId);
  const { examId, ownerHash, minSeq } = pins;
  const expected = { examId, ownerHash, minSeq, ...(nowMs !== undefined && { nowMs }) };
  const parsed = await parsePolicy(fromBase64Url(policy), expected);
  const revoked: PolicyRecipient[] = [];
  for (const document of revocations) {
    const recipient = await revokedBy(fromBase64Url(document), parsed.policy);
    if (recipient) revoked.push(recipient);
  }
  return { ...parsed, revoked };
}

/** The reader whose key a document revokes. Only the identity that the policy gives the key to can; the server cannot. */
async function revokedBy(bytes: Uint8Array, { recipients }: Policy): Promise<PolicyRecipient | undefined> {
  const document = parseKeyDocument(bytes);
  await verifyKeyDocument(document, document.identity);
  if (document.operation !== KEY_REVOKE) return undefined;
  const id = toBase64Url(await keyId(document.suite, document.publicKey));
  return recipients.find(({ key_id, identity }) => key_id === id && equal(decodeIdentity(identity), document.identity));
}

/** How a recorder cuts chunks and heads where the policy says nothing. */
export interface CaptureRules {
  chunkBytes: number;
  chunkMs: number;
  headMs: number;
}

const DEFAULT_RULES: CaptureRules = { chunkBytes: 4 * 2 ** 20, chunkMs: 10_000, headMs: 30_000 };

const BOUNDS: Readonly<Record<string, { rule: keyof CaptureRules; unit: number; least: number; most: number }>> = {
  chunk_bytes: { rule: 'chunkBytes', unit: 1, least: 4096, most: 8 * 2 ** 20 - 4 },
  chunk_seconds: { rule: 'chunkMs', unit: 1000, least: 1, most: 60 },
  head_seconds: { rule: 'headMs', unit: 1000, least: 1, most: 30 },
};

/** Limits of a recording and of its exam (src/server/core/quota.ts): the service holds them, and tells a recorder how much is left. */
const KEPT_BY_THE_SERVICE: ReadonlySet<string> = new Set(['most_bytes', 'most_minutes', 'most_exam_bytes']);

/**
 * The policy's capture rules. A rule that this recorder does not know is refused (`policy`): the owner asked for something
 * that would not happen. `known` are rules that the caller itself follows.
 */
export function captureRules({ capture }: Pick<Policy, 'capture'>, known: readonly string[] = []): CaptureRules {
  const rules = { ...DEFAULT_RULES };
  for (const [name, value] of Object.entries(capture)) {
    if (name === 'address') {
      if (typeof value === 'boolean') continue; // every recorder follows it (recorder.ts)
      throw new ProtocolError('policy', 'policy refused: expected address to be true or false');
    }
    const bound = Object.hasOwn(BOUNDS, name) ? BOUNDS[name] : undefined;
    if (!bound) {
      if (known.includes(name) || KEPT_BY_THE_SERVICE.has(name)) continue;
      throw new ProtocolError('policy', `policy refused: this recorder does not know the capture rule ${name}`);
    }
    if (typeof value !== 'number' || value < bound.least || value > bound.most) {
      throw new ProtocolError('policy', `policy refused: expected ${name} from ${bound.least} to ${bound.most}`);
    }
    rules[bound.rule] = Math.floor(value * bound.unit);
  }
  return rules;
}

/** A checkpoint that was verified, with the note it came from. */
export interface SeenCheckpoint extends Checkpoint {
  note: string;
}

/**
 * The log's newest checkpoint, verified by the policy's vkey, and shown to begin with the one this recorder saw before:
 * a log that was rolled back or forked throws `log`. Undefined where the log has published none yet.
 */
export async function fetchCheckpoint(
  api: Api,
  log: Policy['log'],
  previousNote: string | null,
): Promise<SeenCheckpoint | undefined> {
  return checkGrowth(api, log, previousNote, await api.checkpoint());
}

async function checkGrowth(
  api: Api,
  log: Policy['log'],
  previousNote: string | null,
  note: string | undefined,
): Promise<SeenCheckpoint | undefined> {
  const previous = previousNote === null ? undefined : await openCheckpoint(previousNote, log.vkey, log.origin);
  if (note === undefined) {
    if (previous) throw new ProtocolError('log', `the log shrank: it had ${previous.size} entries and now has none`);
    return undefined;
  }
  const checkpoint = await openCheckpoint(note, log.vkey, log.origin);
  if (previous && previous.size > 0) await requireConsistent(api, previous, checkpoint);
  return { ...checkpoint, note };
}

/** Where the newest checkpoint of each log is kept from one run to the next: a folder of the command line, the storage of a page. */
export interface CheckpointShelf {
  /** The note that was kept of the log with this vkey; null where none was. */
  read(vkey: string): Promise<string | null>;
  write(vkey: string, note: string): Promise<void>;
}

/** What a recorder signed that it had seen of the log (PROTOCOL.md section 6): a tree's size, 0 for none, and its root. */
export type Beacon = Pick<Checkpoint, 'size' | 'root'>;

/**
 * Throws `log` for a checkpoint that does not go on from what was seen before, and remembers it otherwise; and for one that does not go on
 * from the beacons of recorders, to whom the server then showed another log.
 */
export type CheckpointWatch = (log: Policy['log'], note: string, beacons?: readonly Beacon[]) => Promise<void>;

/** What a reader of a service holds each checkpoint against: all that this shelf's readers saw. */
export function watchLog(api: Api, shelf: CheckpointShelf): CheckpointWatch {
  return async (log, note, beacons = []) => {
    const previous = await shelf.read(log.vkey);
    const checkpoint = await checkGrowth(api, log, previous, note);
    if (note !== previous) await shelf.write(log.vkey, note);
    for (const beacon of beacons) if (checkpoint) await requireConsistent(api, beacon, checkpoint);
  };
}

/** The same without a network, as for a case file: two trees of one size are compared, others need the log's own proof. */
export function watchLogOffline(shelf: CheckpointShelf): CheckpointWatch {
  return async (log, note, beacons = []) => {
    const kept = await shelf.read(log.vkey);
    const open = (text: string) => openCheckpoint(text, log.vkey, log.origin);
    const theirs = await open(note);
    for (const ours of [...(kept === null ? [] : [await open(kept)]), ...beacons]) {
      if (ours.size === theirs.size) verifyConsistency(ours.size, ours.root, theirs.size, theirs.root, []);
    }
  };
}

/** Holds the log's newest checkpoint against what this shelf's readers saw; throws `log`. */
export async function checkLogNow(api: Api, log: Policy['log'], shelf: CheckpointShelf): Promise<void> {
  const seen = await fetchCheckpoint(api, log, await shelf.read(log.vkey));
  if (seen) await shelf.write(log.vkey, seen.note);
}

async function requireConsistent(api: Api, previous: Beacon, checkpoint: Checkpoint): Promise<void> {
  const readTiles = (tiles: readonly Tile[]) => Promise.all(tiles.map((tile) => readTile(api, tile)));
  const proof =
    previous.size <= checkpoint.size
      ? await proveConsistency(previous.size, checkpoint.size, hashesFromTiles(checkpoint.size, readTiles))
      : [];
  verifyConsistency(previous.size, previous.root, checkpoint.size, checkpoint.root, proof);
}

async function readTile(api: Api, tile: Tile): Promise<Uint8Array> {
  const bytes = await api.tile(tilePath(tile));
  if (!bytes) throw new ProtocolError('log', `the log does not serve ${tilePath(tile)}`);
  return bytes;
}
