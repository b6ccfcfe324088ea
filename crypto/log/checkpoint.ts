import { base64 } from '@scure/base';
import type { Bytes } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import { openNote, parseVkey, signNote, type SignMessage, verifierKey, type VerifiedSignature } from './note.ts';
import { HASH_BYTES } from './tree.ts';

/** A statement about the whole log: with these `size` entries, in this order, it has this root. */
export interface Checkpoint {
  /** Names the log; also the name of its key. */
  readonly origin: string;
  readonly size: number;
  /** 32 bytes, RFC 6962. */
  readonly root: Bytes;
}

export interface OpenedCheckpoint extends Checkpoint {
  /** Those of the asked witnesses that cosigned, each with its time in seconds. */
  readonly cosignatures: readonly VerifiedSignature[];
}

/** The note text of C2SP tlog-checkpoint: origin, size and root, a line each. */
export function formatCheckpoint(origin: string, size: number, root: Uint8Array): string {
  if (origin === '' || origin.includes('\n')) throw new ProtocolError('log', 'expected an origin of one line');
  if (!Number.isSafeInteger(size) || size < 0) throw new ProtocolError('log', `expected a tree size, found ${size}`);
  if (root.length !== HASH_BYTES) throw new ProtocolError('log', `expected a root of 32 bytes, found ${root.length}`);
  return `${origin}\n${size}\n${base64.encode(root)}\n`;
}

/**
 * Reads a note text that was already verified. Throws `log`; extension lines are refused too, since no monitor could audit
 * them and this log writes none.
 */
export function parseCheckpoint(text: string): Checkpoint {
  const match = /^([^\n]+)\n(0|[1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\n$/u.exec(text);
  const size = Number(match?.[2]);
  if (!match || !Number.isSafeInteger(size)) {
    throw new ProtocolError('log', 'expected a checkpoint: origin, size and root, a line each');
  }
  let root: Bytes;
  try {
    root = new Uint8Array(base64.decode(match[3]!));
  } catch {
    throw new ProtocolError('log', 'the root of the checkpoint is not canonical base64');
  }
  return { origin: match[1]!, size, root };
}

/**
 * Signs a checkpoint under the origin's name. The caller makes sure that the entries are durable and that no other root was
 * ever signed for this size (LOG.md, publishing): a signature cannot be taken back.
 */
export async function signCheckpoint(
  { origin, size, root }: Checkpoint,
  publicKey: Uint8Array,
  sign: SignMessage,
): Promise<string> {
  return signNote(formatCheckpoint(origin, size, root), verifierKey(origin, publicKey), sign);
}

/**
 * Verifies a signed checkpoint of the log with this vkey and origin. Throws `log` unless the log's own key signed it: a
 * witness alone does not speak for the log. Cosignatures of the given witness vkeys (type 4) must hold where present.
 */
export async function openCheckpoint(
  note: string,
  vkey: string,
  origin: string,
  witnesses: readonly string[] = [],
): Promise<OpenedCheckpoint> {
  const logKey = parseVkey(vkey);
  if (logKey.type !== 1) throw new ProtocolError('log', `expected a log key of type 1, found ${logKey.type}`);
  const { text, signatures } = await openNote(note, [logKey, ...witnesses.map(parseVkey)]);
  if (!signatures.some(({ key }) => key === logKey))
    throw new ProtocolError('log', 'the log did not sign the checkpoint');
  const checkpoint = parseCheckpoint(text);
  if (checkpoint.origin !== origin) throw new ProtocolError('log', 'the checkpoint is of another log');
  return { ...checkpoint, cosignatures: signatures.filter(({ key }) => key !== logKey) };
}

/** What a witness is asked to cosign: a checkpoint, and the proof that its log goes on from `old` entries (C2SP tlog-witness). */
export function formatGrowth(old: number, proof: readonly Uint8Array[], note: string): string {
  return [`old ${old}`, ...proof.map((hash) => base64.encode(hash)), '', note].join('\n');
}
