import { base64 } from '@scure/base';
import type { Bytes } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import { openCheckpoint, type OpenedCheckpoint } from './checkpoint.ts';
import { MAX_NOTE_LENGTH, parseVkey } from './note.ts';
import { HASH_BYTES, leafHash, verifyInclusion } from './tree.ts';

/** C2SP tlog-proof, parsed and not yet verified. */
export interface LogProof {
  readonly index: number;
  /** The inclusion proof, from the leaf's sibling up. */
  readonly hashes: readonly Uint8Array[];
  /** Opaque, and not authenticated by the proof. */
  readonly extra: Bytes | undefined;
  /** The signed checkpoint, verbatim, witnesses' lines included. */
  readonly checkpoint: string;
}

const MAGIC = 'c2sp.org/tlog-proof@v1';
/** A tree of at most 2^53 leaves is no deeper. */
const MAX_HASHES = 53;
const MAX_EXTRA_BYTES = 65_536;
const MAX_PROOF_LENGTH = MAX_NOTE_LENGTH + 2 * MAX_EXTRA_BYTES;

function decodeBase64(text: string): Bytes {
  try {
    return new Uint8Array(base64.decode(text));
  } catch {
    throw new ProtocolError('log', 'expected standard base64 in the proof');
  }
}

/** The text that proves, offline, that an entry is in the log; usually stored as `.tlog-proof`. */
export function encodeProof(proof: Omit<LogProof, 'extra'> & { readonly extra?: Uint8Array | undefined }): string {
  const lines = [MAGIC];
  if (proof.extra !== undefined) lines.push(`extra ${base64.encode(proof.extra)}`);
  lines.push(`index ${proof.index}`, ...proof.hashes.map((hash) => base64.encode(hash)));
  const text = `${lines.join('\n')}\n\n${proof.checkpoint}`;
  parseProof(text); // what this writes, it reads: a bad index or hash is refused here and not at the reader's
  return text;
}

/** Parses strictly and verifies nothing; throws `log`. Bounded before anything is decoded. */
export function parseProof(text: string): LogProof {
  if (text.length > MAX_PROOF_LENGTH) {
    throw new ProtocolError('log', `expected a proof of at most ${MAX_PROOF_LENGTH} characters, found ${text.length}`);
  }
  const blank = text.indexOf('\n\n');
  if (blank < 0) throw new ProtocolError('log', 'expected an empty line between the proof and its checkpoint');
  const lines = text.slice(0, blank).split('\n', MAX_HASHES + 4);
  if (lines.shift() !== MAGIC) throw new ProtocolError('log', `expected ${MAGIC} in the first line`);
  let extra: Bytes | undefined;
  if (lines[0]?.startsWith('extra ')) extra = decodeBase64(lines.shift()!.slice('extra '.length));
  if (extra && extra.length > MAX_EXTRA_BYTES)
    throw new ProtocolError('log', 'the extra data of the proof is too long');
  const index = Number(/^index (0|[1-9]\d{0,15})$/.exec(lines.shift() ?? '')?.[1]);
  if (!Number.isSafeInteger(index)) throw new ProtocolError('log', 'expected the index in the proof');
  if (lines.length > MAX_HASHES) throw new ProtocolError('log', `expected at most ${MAX_HASHES} hashes in the proof`);
  const hashes = lines.map(decodeBase64);
  if (hashes.some((hash) => hash.length !== HASH_BYTES)) throw new ProtocolError('log', 'expected hashes of 32 bytes');
  return { index, hashes, extra, checkpoint: text.slice(blank + 2) };
}

/** What a verified proof says: this entry is number `index` of the log that this checkpoint describes. */
export interface VerifiedProof {
  readonly index: number;
  readonly checkpoint: OpenedCheckpoint;
}

/**
 * Verifies that exactly these bytes are in the log with this vkey: checkpoint signature, origin (the name in the vkey),
 * inclusion. Throws `log` otherwise. Needs nothing but its arguments, so it works offline and years later.
 */
export async function verifyProof(
  entry: Uint8Array,
  proofText: string,
  vkey: string,
  witnesses: readonly string[] = [],
): Promise<VerifiedProof> {
  const proof = parseProof(proofText);
  const checkpoint = await openCheckpoint(proof.checkpoint, vkey, parseVkey(vkey).name, witnesses);
  verifyInclusion(leafHash(entry), proof.index, checkpoint.size, proof.hashes, checkpoint.root);
  return { index: proof.index, checkpoint };
}
