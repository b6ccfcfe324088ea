/**
 * Case files: one recording as it is in the bucket, with everything that a reader needs to verify it offline, years later, and
 * to open it with an instructor's key. Layout:
 *
 *   policy.bin                              ZRPL that epoch 0 was opened under
 *   policies/<seq>.bin                      further policies that an epoch or a grant names
 *   recording.json                          written last: without it the case file is not whole
 *   epochs/<n>/open.bin, shred.bin          ZROP; 32 bytes
 *   epochs/<n>/wraps/<key_id>.bin           ZRWR
 *   epochs/<n>/grants/<key_id>-<i>.bin      ZRGR, its wrap beside it as <key_id>-<i>.wrap.bin
 *   epochs/<n>/heads/<head_seq>.bin         ZRHD
 *   epochs/<n>/tracks/<track>/<seq>.bin     ZRCH
 *   log/checkpoint                          signed note
 *   log/proofs/<index>.json, .tlog-proof    entry, byte for byte, and its C2SP tlog-proof against that checkpoint
 */
import { z } from 'zod';
import { fromUtf8, toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import { parseGrant } from '../../crypto/format/grant.ts';
import { parseHead } from '../../crypto/format/head.ts';
import { decodeIdentity } from '../../crypto/format/ids.ts';
import { parseOpen } from '../../crypto/format/open.ts';
import { ownerHash, parsePolicy } from '../../crypto/format/policy.ts';
import { parseWrap } from '../../crypto/format/wrap.ts';
import { parseProof } from '../../crypto/log/proof.ts';
import type { DecryptionKey } from '../../crypto/seal/identity.ts';
import type { Api } from './api.ts';
import type { ReaderPins } from './epoch-check.ts';
import { ClientError } from './errors.ts';
import type { ByteRange } from './object-store.ts';
import type { CheckpointWatch } from './pinning.ts';
import { RecordingReader } from './reader.ts';
import {
  ApiSource,
  type ChunkName,
  type ProvenEntry,
  type ReleasedEpoch,
  type ReleasedRecording,
  type Source,
} from './source.ts';
import { VERDICTS, type RecordingFindings } from './verdict.ts';

/** Where a case file lies. Paths are relative and use `/`. */
export interface CaseFolder {
  /** Undefined where there is none. */
  read(path: string): Promise<Bytes | undefined>;
  /** Durable when it returns. */
  write(path: string, bytes: Bytes): Promise<void>;
  /** Names in a folder, in no order; empty where there is none. */
  list(path: string): Promise<string[]>;
}

const recordingSchema = z.object({
  v: z.literal(1),
  recording_id: z.string(),
  exam_id: z.string(),
  opened_ms: z.int(),
  delete_by_ms: z.int(),
  exported_ms: z.int(),
  /** As found when it was exported; a reader finds its own. */
  verdict: z.enum(VERDICTS),
  reasons: z.array(z.string()),
  epochs: z.array(
    z.object({
      epoch: z.int(),
      tracks: z.array(z.object({ track: z.int(), kind: z.int(), codec: z.string(), chunks: z.int() })),
    }),
  ),
});
export type CaseFileRecording = z.infer<typeof recordingSchema>;

export interface ExportOptions {
  api: Api;
  recordingId: string;
  key: DecryptionKey;
  pins: ReaderPins;
  folder: CaseFolder;
  watch?: CheckpointWatch | undefined;
}

/**
 * Exports a recording, still encrypted, and verifies it on the way: every object is read once, checked, opened, and written.
 * The export is declared in the log first: the copy outlives the service, so it must not be a secret that there is one.
 */
export async function exportCaseFile({
  api,
  recordingId,
  key,
  pins,
  folder,
  watch,
}: ExportOptions): Promise<RecordingFindings> {
  const keyIdB64 = toBase64Url(key.keyId);
  await api.declareExport(recordingId, { key_id: keyIdB64, kind: 'sealed' });
  const source = new ApiSource({ api, recordingId, keyIdB64, purpose: 'export' });
  const { recording } = await source.released();
  const nowMs = api.environment.clock.now();
  return copyCaseFile({ source, recording, key, pins, folder, watch, nowMs });
}

/** What a copy is made of; without a key, and a source that gives no shred share, ciphertext is verified and nothing opened. */
export interface CopyOptions {
  source: Source;
  recording: Pick<CaseFileRecording, 'recording_id' | 'exam_id' | 'opened_ms' | 'delete_by_ms'>;
  pins: ReaderPins;
  key?: DecryptionKey;
  folder: CaseFolder;
  watch?: CheckpointWatch | undefined;
  nowMs: number;
}

/** Copies a recording out of any source into a case file, and verifies it on the way. */
export async function copyCaseFile(options: CopyOptions): Promise<RecordingFindings> {
  const { source, recording, pins, key, folder, watch, nowMs } = options;
  const copying = new CopyingSource(source, folder);
  const reader = await RecordingReader.open({ source: copying, pins, ...(key && { key }), nowMs, watch });
  const findings = await reader.verify(key ? 'plaintext' : 'ciphertext');
  const summary: CaseFileRecording = {
    v: 1,
    recording_id: recording.recording_id,
    exam_id: recording.exam_id,
    opened_ms: recording.opened_ms,
    delete_by_ms: recording.delete_by_ms,
    exported_ms: nowMs,
    verdict: findings.verdict,
    reasons: findings.reasons,
    epochs: findings.epochs.map(({ epoch, tracks }) => ({
      epoch,
      tracks: tracks.map(({ track, kind, codec, chunks }) => ({ track, kind, codec, chunks })),
    })),
  };
  await folder.write('recording.json', utf8(`${JSON.stringify(summary, null, 2)}\n`));
  return findings;
}

export interface CaseFileOptions {
  folder: CaseFolder;
  /** Undefined: the owner that the case file itself names is believed, and the caller says so. */
  ownerHash?: Bytes;
  /** Without it signatures, chains and hashes are verified; with it everything is opened too. */
  key?: DecryptionKey;
  nowMs: number;
  watch?: CheckpointWatch | undefined;
}

/** Opens a case file offline; throws `casefile` for one that is not whole. */
export async function openCaseFile({
  folder,
  ownerHash: pinned,
  key,
  nowMs,
  watch,
}: CaseFileOptions): Promise<RecordingReader> {
  const source = new CaseFileSource(folder);
  const pins = { ownerHash: pinned ?? (await caseFileOwner(folder)), examId: (await readSummary(folder)).exam_id };
  return RecordingReader.open({ source, pins, ...(key && { key }), nowMs, watch });
}

/** Hash of the owner that the case file's policy names: what a human compares where nothing is pinned. */
export async function caseFileOwner(folder: CaseFolder): Promise<Bytes> {
  const { policy } = await parsePolicy(await requireFile(folder, 'policy.bin'));
  return ownerHash(decodeIdentity(policy.owner));
}

/** Passes a source through and writes everything that it gives into a folder. */
class CopyingSource implements Source {
  readonly #source: Source;
  readonly #folder: CaseFolder;

  constructor(source: Source, folder: CaseFolder) {
    this.#source = source;
    this.#folder = folder;
  }

  async release(): Promise<ReleasedRecording> {
    const released = await this.#source.release();
    await this.#writePolicies(released);
    for (const epoch of released.epochs) await this.#writeEpoch(epoch);
    return released;
  }

  async entries(): Promise<ProvenEntry[]> {
    const entries = await this.#source.entries();
    for (const { index, entry, proof } of entries) {
      if (proof === null) continue;
      await this.#folder.write(`log/proofs/${index}.json`, entry);
      await this.#folder.write(`log/proofs/${index}.tlog-proof`, utf8(proof));
      await this.#folder.write('log/checkpoint', utf8(parseProof(proof).checkpoint));
    }
    return entries;
  }

  async object(name: ChunkName, range?: ByteRange): Promise<Bytes | undefined> {
    const object = await this.#source.object(name, range);
    if (object && !range) await this.#folder.write(chunkPath(name), object);
    return object;
  }

  async #writePolicies({ policies, epochs }: ReleasedRecording): Promise<void> {
    const [first] = epochs;
    const opened = first && toBase64Url(parseOpen(first.open).policyHash);
    for (const bytes of policies) {
      const { policy, policyHash } = await parsePolicy(bytes);
      const path = toBase64Url(policyHash) === opened ? 'policy.bin' : `policies/${policy.seq}.bin`;
      await this.#folder.write(path, bytes);
    }
  }

  async #writeEpoch({ epoch, open, shred, wraps, grants, heads }: ReleasedEpoch): Promise<void> {
    const at = `epochs/${epoch}`;
    await this.#folder.write(`${at}/open.bin`, open);
    if (shred) await this.#folder.write(`${at}/shred.bin`, shred);
    for (const wrap of wraps) await this.#folder.write(`${at}/wraps/${toBase64Url(parseWrap(wrap).keyId)}.bin`, wrap);
    for (const [index, { grant, wrap }] of grants.entries()) {
      const name = `${at}/grants/${toBase64Url(parseGrant(grant).toKeyId)}-${index}`;
      await this.#folder.write(`${name}.bin`, grant);
      await this.#folder.write(`${name}.wrap.bin`, wrap);
    }
    for (const head of heads) await this.#folder.write(`${at}/heads/${parseHead(head).headSeq}.bin`, head);
  }
}

/** A case file as a source: offline, and believed in nothing. */
export class CaseFileSource implements Source {
  readonly #folder: CaseFolder;

  constructor(folder: CaseFolder) {
    this.#folder = folder;
  }

  async release(): Promise<ReleasedRecording> {
    const { recording_id: recordingId } = await readSummary(this.#folder);
    const policies = [await requireFile(this.#folder, 'policy.bin')];
    for (const name of await this.#folder.list('policies'))
      policies.push(await requireFile(this.#folder, `policies/${name}`));
    const epochs: ReleasedEpoch[] = [];
    for (const epoch of await this.#numbers('epochs')) epochs.push(await this.#epoch(epoch));
    return { recordingId, policies, epochs };
  }

  async entries(): Promise<ProvenEntry[]> {
    const entries: ProvenEntry[] = [];
    for (const index of await this.#numbers('log/proofs', '.json')) {
      const entry = await requireFile(this.#folder, `log/proofs/${index}.json`);
      const proof = await requireFile(this.#folder, `log/proofs/${index}.tlog-proof`);
      entries.push({ index, entry, proof: fromUtf8(proof) });
    }
    return entries;
  }

  async object(name: ChunkName, range?: ByteRange): Promise<Bytes | undefined> {
    const object = await this.#folder.read(chunkPath(name));
    return range && object ? object.subarray(range.from, range.to + 1) : object;
  }

  async #epoch(epoch: number): Promise<ReleasedEpoch> {
    const at = `epochs/${epoch}`;
    const readAll = async (folder: string, names: readonly string[]) =>
      Promise.all(names.map((name) => requireFile(this.#folder, `${at}/${folder}/${name}`)));
    const grantNames = (await this.#folder.list(`${at}/grants`)).filter((name) => !name.endsWith('.wrap.bin')).sort();
    const grants = await readAll('grants', grantNames);
    const grantWraps = await readAll(
      'grants',
      grantNames.map((name) => name.replace(/\.bin$/, '.wrap.bin')),
    );
    const headNames = (await this.#numbers(`${at}/heads`, '.bin')).map((headSeq) => `${headSeq}.bin`);
    const tracks: ReleasedEpoch['tracks'] = [];
    for (const track of await this.#numbers(`${at}/tracks`)) {
      const newest = (await this.#numbers(`${at}/tracks/${track}`, '.bin')).at(-1);
      tracks.push({ track, end: newest === undefined ? 0 : newest + 1 });
    }
    return {
      epoch,
      open: await requireFile(this.#folder, `${at}/open.bin`),
      shred: (await this.#folder.read(`${at}/shred.bin`)) ?? null,
      wraps: await readAll('wraps', await this.#folder.list(`${at}/wraps`)),
      grants: grants.map((grant, i) => ({ grant, wrap: grantWraps[i]! })),
      heads: await readAll('heads', headNames),
      tracks,
    };
  }

  /** Names that are numbers, with this ending, ascending. */
  async #numbers(path: string, ending = ''): Promise<number[]> {
    const names = await this.#folder.list(path);
    return names
      .filter(
        (name) => name.endsWith(ending) && /^(?:0|[1-9]\d{0,9})$/.test(name.slice(0, name.length - ending.length)),
      )
      .map((name) => Number(name.slice(0, name.length - ending.length)))
      .sort((a, b) => a - b);
  }
}

function chunkPath({ epoch, track, seq }: ChunkName): string {
  return `epochs/${epoch}/tracks/${track}/${seq}.bin`;
}

async function requireFile(folder: CaseFolder, path: string): Promise<Bytes> {
  const bytes = await folder.read(path);
  if (!bytes) throw new ClientError('casefile', `the case file lacks ${path}`);
  return bytes;
}

/** recording.json, which is believed only as a table of contents; throws `casefile`. */
export async function readSummary(folder: CaseFolder): Promise<CaseFileRecording> {
  const bytes = await folder.read('recording.json');
  if (!bytes) {
    throw new ClientError('casefile', 'the case file lacks recording.json', {
      hint: 'it is written last: the export did not finish',
    });
  }
  try {
    return recordingSchema.parse(JSON.parse(fromUtf8(bytes)));
  } catch (cause) {
    throw new ClientError('casefile', 'recording.json is not one of a case file', { cause });
  }
}
