import { sha256 } from '@noble/hashes/sha2.js';
import { base64 } from '@scure/base';
import { concat, equal, type Bytes, toHex, utf8 } from '../format/bytes.ts';
import { checkPublicKey, verifyMessage } from '../format/ed25519.ts';
import { ProtocolError } from '../format/errors.ts';

/** Longest note that is read, in UTF-16 units: room for 16 post-quantum cosignatures of 5 kB and more. */
export const MAX_NOTE_LENGTH = 262_144;
/** Most signature lines that are looked at, as in Go's `sumdb/note`; C2SP signed-note asks for at least 16. */
export const MAX_SIGNATURES = 100;

/** Signature types of C2SP signed-note: 1 is Ed25519 over the text, 4 a witness's cosignature/v1, Ed25519 over the time and the text. */
export type SignatureType = 1 | 4;

/** A key that is trusted for a purpose; name and id together select it, and neither on its own. */
export interface VerifierKey {
  readonly name: string;
  /** The first 4 bytes of SHA-256(name || 0x0a || type || public key). */
  readonly id: Bytes;
  readonly type: SignatureType;
  /** 32 bytes, Ed25519. */
  readonly publicKey: Bytes;
}

/** A signature that holds, by a key that was asked for. */
export interface VerifiedSignature {
  readonly key: VerifierKey;
  /** When a witness says it signed, in seconds since 1970; undefined for type 1, which carries no time. */
  readonly time: number | undefined;
}

export interface OpenedNote {
  /** What was signed, with its final newline. */
  readonly text: string;
  /** At least one; in the order of the lines. */
  readonly signatures: readonly VerifiedSignature[];
}

/** Signs the bytes as they are with the log's Ed25519 key: 64 bytes. */
export type SignMessage = (message: Bytes) => Promise<Bytes>;

const EM_DASH = '\u2014';
// Unicode spaces as Go's unicode.IsSpace counts them: `\s` lacks U+0085.
const NOT_IN_A_NAME = /[\s\u0085+]/u;
// eslint-disable-next-line no-control-regex -- signed-note forbids exactly these characters
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/u;
// With the u flag a surrogate matches only where it is alone, which is what has no UTF-8.
const LONE_SURROGATE = /\p{Surrogate}/u;

function requireName(name: string): void {
  if (name === '' || NOT_IN_A_NAME.test(name) || CONTROL.test(name) || LONE_SURROGATE.test(name)) {
    throw new ProtocolError('log', 'expected a key name without spaces, plus or control characters');
  }
}

/** Standard base64, padded and canonical; undefined for anything else. */
function decodeBase64(text: string): Bytes | undefined {
  try {
    return new Uint8Array(base64.decode(text));
  } catch {
    return undefined;
  }
}

function keyId(name: string, type: SignatureType, publicKey: Uint8Array): Bytes {
  return new Uint8Array(sha256(concat(utf8(`${name}\n`), Uint8Array.of(type), publicKey)).subarray(0, 4));
}

/** A verifier key from its parts. Throws `log` for a bad name and `key` for a key that must not be trusted. */
export function verifierKey(name: string, publicKey: Uint8Array, type: SignatureType = 1): VerifierKey {
  requireName(name);
  checkPublicKey(publicKey);
  return { name, id: keyId(name, type, publicKey), type, publicKey: new Uint8Array(publicKey) };
}

/** The one-line text of a key, as Go's `note.NewVerifier` takes it: `<name>+<8 hex digits>+<base64(type || public key)>`. */
export function encodeVkey({ name, id, type, publicKey }: VerifierKey): string {
  return `${name}+${toHex(id)}+${base64.encode(concat(Uint8Array.of(type), publicKey))}`;
}

/** The inverse of `encodeVkey`; the id is recomputed. Throws `log` on a malformed line or another type, `key` on an unsafe key. */
export function parseVkey(vkey: string): VerifierKey {
  const match = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/u.exec(vkey);
  const encoded = match && decodeBase64(match[3]!);
  if (!encoded) throw new ProtocolError('log', 'expected a verifier key: name, id and base64 with plus signs between');
  const type = encoded[0];
  if (type !== 1 && type !== 4)
    throw new ProtocolError('log', `expected a key of type 1 or 4, found ${type ?? 'none'}`);
  const key = verifierKey(match[1]!, encoded.subarray(1), type);
  if (toHex(key.id) !== match[2])
    throw new ProtocolError('log', 'the id of the verifier key is not that of its name and key');
  return key;
}

function requireText(text: string): void {
  if (!text.endsWith('\n') || CONTROL.test(text) || LONE_SURROGATE.test(text)) {
    throw new ProtocolError('log', 'expected a note text that ends in a newline and holds no control characters');
  }
}

function signatureLine(key: VerifierKey, signature: Uint8Array): string {
  return `${EM_DASH} ${key.name} ${base64.encode(concat(key.id, signature))}\n`;
}

/** What a cosignature/v1 covers (C2SP tlog-cosignature): two header lines, then the text. `time` in seconds. */
export function cosignedMessage(text: string, time: number): Bytes {
  return utf8(`cosignature/v1\ntime ${time}\n${text}`);
}

/** A note with one signature of type 1 over the text. Throws `log` where the text or the key's type does not allow it. */
export async function signNote(text: string, key: VerifierKey, sign: SignMessage): Promise<string> {
  requireText(text);
  if (key.type !== 1) throw new ProtocolError('log', `expected a key of type 1 to sign with, found ${key.type}`);
  return `${text}\n${signatureLine(key, await sign(utf8(text)))}`;
}

/** The line that a witness answers with: a cosignature/v1 over the text of a note at `time`, in seconds since 1970. */
export async function cosignLine(text: string, key: VerifierKey, time: number, sign: SignMessage): Promise<string> {
  requireText(text);
  if (key.type !== 4) throw new ProtocolError('log', `expected a key of type 4 to cosign with, found ${key.type}`);
  const timeBytes = new Uint8Array(8);
  new DataView(timeBytes.buffer).setBigUint64(0, BigInt(time));
  return signatureLine(key, concat(timeBytes, await sign(cosignedMessage(text, time))));
}

interface SignatureLine {
  readonly line: string;
  readonly name: string;
  readonly id: Uint8Array;
  readonly signature: Uint8Array;
}

function parseLine(line: string): SignatureLine {
  const match = /^\u2014 (\S+) (\S+)$/u.exec(line);
  const encoded = match && decodeBase64(match[2]!);
  if (!encoded || encoded.length < 5) throw new ProtocolError('log', 'malformed signature line');
  requireName(match[1]!);
  return { line, name: match[1]!, id: encoded.subarray(0, 4), signature: encoded.subarray(4) };
}

/** Splits a note without trusting any of it. Bounded in length and in lines before anything is decoded. */
function splitNote(note: string): { text: string; lines: SignatureLine[] } {
  if (note.length > MAX_NOTE_LENGTH) {
    throw new ProtocolError('log', `expected a note of at most ${MAX_NOTE_LENGTH} characters, found ${note.length}`);
  }
  const blank = note.lastIndexOf('\n\n');
  if (blank < 0 || !note.endsWith('\n') || blank + 2 >= note.length) {
    throw new ProtocolError('log', 'expected a note: text, an empty line, signature lines');
  }
  const text = note.slice(0, blank + 1);
  requireText(text);
  const lines = note.slice(blank + 2, -1).split('\n', MAX_SIGNATURES + 1);
  if (lines.length > MAX_SIGNATURES) {
    throw new ProtocolError('log', `expected at most ${MAX_SIGNATURES} signature lines`);
  }
  return { text, lines: lines.map(parseLine) };
}

async function verifyLine(text: string, key: VerifierKey, signature: Uint8Array): Promise<VerifiedSignature> {
  const invalid = (): ProtocolError => new ProtocolError('log', `the signature of ${key.name} does not verify`);
  if (key.type === 1) {
    if (!(await verifyMessage(key.publicKey, utf8(text), signature))) throw invalid();
    return { key, time: undefined };
  }
  if (signature.length !== 8 + 64) throw invalid();
  const time = new DataView(signature.buffer, signature.byteOffset, 8).getBigUint64(0);
  // Seconds beyond 2^53 are no date; refusing them keeps the decimal below exact.
  if (time > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid();
  if (!(await verifyMessage(key.publicKey, cosignedMessage(text, Number(time)), signature.subarray(8))))
    throw invalid();
  return { key, time: Number(time) };
}

/**
 * Opens a signed note (C2SP signed-note). Lines of unknown keys are ignored; one line of a known key that does not verify
 * refuses the whole note; of several lines by one key the first counts. Throws `log` where no known key signed.
 */
export async function openNote(note: string, keys: readonly VerifierKey[]): Promise<OpenedNote> {
  const { text, lines } = splitNote(note);
  const signatures: VerifiedSignature[] = [];
  for (const { name, id, signature } of lines) {
    const key = keys.find((candidate) => candidate.name === name && equal(candidate.id, id));
    if (!key || signatures.some((seen) => seen.key === key)) continue;
    signatures.push(await verifyLine(text, key, signature));
  }
  if (signatures.length === 0) throw new ProtocolError('log', 'no signature by a known key');
  return { text, signatures };
}

/**
 * The lines of a witness's answer that the given keys made over the note's text, each with its newline; lines of other keys are
 * passed over (C2SP tlog-witness). Throws `log` where a line is none, or one of these keys does not hold.
 */
export async function readCosignatures(
  note: string,
  answer: string,
  keys: readonly VerifierKey[],
): Promise<(VerifiedSignature & { readonly line: string })[]> {
  const { text } = splitNote(note);
  const found = [];
  for (const { line, name, id, signature } of splitNote(`${text}\n${answer}`).lines) {
    const key = keys.find((candidate) => candidate.name === name && equal(candidate.id, id));
    if (key) found.push({ ...(await verifyLine(text, key, signature)), line: `${line}\n` });
  }
  return found;
}

/** Adds lines that witnesses answered with to a note, once each. They are only parsed: whether they hold is for `openNote`. */
export function addSignatures(note: string, lines: string): string {
  const { text, lines: present } = splitNote(note);
  const { lines: added } = splitNote(`${text}\n${lines}`);
  const all = new Set([...present, ...added].map(({ line }) => `${line}\n`));
  if (all.size > MAX_SIGNATURES) throw new ProtocolError('log', `expected at most ${MAX_SIGNATURES} signature lines`);
  return `${text}\n${[...all].join('')}`;
}
