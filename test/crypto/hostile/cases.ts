/** What `test/vectors/hostile-v1.json` holds: inputs that must be refused, each with the class of its refusal. */
import { readFileSync } from 'node:fs';
import { concat, equal, fromHex, toHex, type Bytes } from '../../../crypto/format/bytes.ts';
import type { ProtocolErrorCode } from '../../../crypto/format/errors.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { openHash } from '../../../crypto/format/open.ts';
import { sealChunk } from '../../../crypto/seal/chunk.ts';
import { knownChunks, knownRecording, sequence } from '../knownanswers.ts';

/** Bytes written down as pieces of what everybody can derive, and hex. */
export type Piece = { hex: string } | { base: string; from: number; to: number };
export type Blob = Piece[];

/** One input by the kind of check that must refuse it. `at` is the reader's clock in ms. */
export type HostileInput =
  | { check: 'chunks'; track: number; objects: Blob[] }
  | { check: 'open'; record: Blob }
  | { check: 'opens'; records: Blob[] }
  | {
      check: 'wrap';
      wrap: Blob;
      key: 'box' | 'hybrid';
      coreHash: string;
      minSuite: number;
      role: number;
      scope: number;
      track: number;
    }
  | { check: 'shred'; shred: string }
  | { check: 'heads'; records: Blob[] }
  | { check: 'policy'; record: Blob; examId: string; ownerHash: string; minSeq: number; at: number }
  | { check: 'grant'; record: Blob; wrap: Blob; policy: Blob; minSuite: number; at: number }
  | { check: 'ticket'; attest: Blob; examId: string; owner: string; coreHash: string; at: number }
  | { check: 'receipt'; record: Blob; logKey: string }
  | { check: 'note'; note: Blob; epoch: number; purpose: number }
  | { check: 'keydoc'; record: Blob; previousIdentity: string | null }
  | { check: 'keyfile'; file: Blob; passphrase: string }
  | { check: 'armor'; text: string }
  | { check: 'encryption-key'; text: string }
  | { check: 'identity-key'; text: string }
  | { check: 'id'; text: string };

export type HostileCase = {
  id: string;
  /** The number in section 14 of PROTOCOL.md; 0 for honest siblings. */
  number: number;
  why: string;
  /** `accepted` for the honest sibling of a kind of case, which shows that the check can pass at all. */
  code: ProtocolErrorCode | 'accepted';
} & HostileInput;

export interface HostileFile {
  note: string;
  /** SHA-256 of each base, so that who replays the cases knows that it derived the same. */
  bases: Record<string, string>;
  cases: HostileCase[];
}

export const HOSTILE_PATH = new URL('../../vectors/hostile-v1.json', import.meta.url);

export function readHostileFile(): HostileFile {
  return JSON.parse(readFileSync(HOSTILE_PATH, 'utf8')) as HostileFile;
}

/** 131,072 bytes: two full segments, so that they can change places. */
const twinPlaintext = Uint8Array.from({ length: 131_072 }, (_, i) => (i * 7 + (i >> 9)) & 0xff);

/** The recording of protocol-v1.json with its secrets, and every base that a case may cite. */
export async function hostileBases() {
  const known = await knownRecording();
  const openDigest = await openHash(known.open);
  const { trackKey, chunk0, chunk1 } = await knownChunks(known, openDigest);
  const twin = await sealChunk(
    trackKey,
    {
      ...{ isFinal: false, isPadded: false, sessionId: known.open.sessionId, epoch: 0, track: 1, seq: 0, startMs: 0 },
      ...{ durationMs: 5000, gapMs: 0, wallMs: 1_790_000_005_000, prev: openDigest, salt: sequence(32, 0x62) },
    },
    twinPlaintext,
    known.recorder,
  );
  const bases: Record<string, Bytes> = {
    chunk0: chunk0.object,
    chunk1: chunk1.object,
    twin: twin.object,
    open: known.openBytes,
    wrap1: known.wrap1,
    wrap2: known.wrap2,
  };
  return { known, openDigest, trackKey, chunk0, chunk1, bases };
}

export type HostileBases = Awaited<ReturnType<typeof hostileBases>>;

export async function baseHashes(bases: Record<string, Bytes>): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const [name, bytes] of Object.entries(bases)) hashes[name] = toHex(await sha256(bytes));
  return hashes;
}

export function resolve(blob: Blob, bases: Record<string, Bytes>): Bytes {
  const pieces = blob.map((piece) => {
    if ('hex' in piece) return fromHex(piece.hex);
    const base = bases[piece.base];
    if (!base) throw new Error(`no base called ${piece.base}`);
    return base.subarray(piece.from, piece.to);
  });
  return concat(...pieces);
}

/** Differences closer than this are written as one. */
const MERGE = 16;

/** Writes `bytes` down as a base with changes where they have the same length, else as hex. */
export function describe(bytes: Bytes, bases: Record<string, Bytes>): Blob {
  let best: Blob = [{ hex: toHex(bytes) }];
  for (const [name, base] of Object.entries(bases)) {
    const candidate = describeAgainst(bytes, name, base);
    if (size(candidate) < size(best)) best = candidate;
  }
  if (!equal(resolve(best, bases), bytes)) throw new Error('a description that does not resolve');
  return best;
}

const size = (blob: Blob): number => JSON.stringify(blob).length;

function describeAgainst(bytes: Bytes, name: string, base: Bytes): Blob {
  const shared = Math.min(bytes.length, base.length);
  const blob: Blob = [];
  let at = 0;
  while (at < shared) {
    const from = at;
    while (at < shared && bytes[at] === base[at]) at++;
    if (at > from) blob.push({ base: name, from, to: at });
    const changedFrom = at;
    let same = 0;
    while (at < shared && same < MERGE) same = bytes[at] === base[at++] ? same + 1 : 0;
    if (same === MERGE) at -= MERGE;
    if (at > changedFrom) blob.push({ hex: toHex(bytes.subarray(changedFrom, at)) });
  }
  if (bytes.length > shared) blob.push({ hex: toHex(bytes.subarray(shared)) });
  return blob;
}
