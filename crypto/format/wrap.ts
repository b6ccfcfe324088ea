/** A wrap: one secret sealed to one recipient, as the server sees it (PROTOCOL.md section 7). */
import { Reader, Writer, utf8, type Bytes } from './bytes.ts';
import { ProtocolError } from './errors.ts';
import { separator, sha256 } from './hash.ts';
import { parseSuite, SUITE_BOX, SUITE_HYBRID, type Suite } from './ids.ts';

export const ROLE_INSTRUCTOR = 1;
export const ROLE_ADMINISTRATOR = 2;
export const ROLE_RECOVERY = 3;
export type Role = typeof ROLE_INSTRUCTOR | typeof ROLE_ADMINISTRATOR | typeof ROLE_RECOVERY;

/** The content key: the whole epoch. */
export const SCOPE_EPOCH = 1;
/** One track's key. */
export const SCOPE_TRACK = 2;
export type Scope = typeof SCOPE_EPOCH | typeof SCOPE_TRACK;

/** What a wrap is for; every field is bound into its key or nonce. */
export interface WrapContext {
  role: Role;
  scope: Scope;
  /** 0 for scope 1. */
  track: number;
  coreHash: Bytes;
}

export interface WrapHeader extends WrapContext {
  suite: Suite;
  keyId: Bytes;
  encapsulation: Bytes;
  ciphertext: Bytes;
}

/** Bytes of enc and ct by suite; every other length is refused before any crypto. */
export const WRAP_LENGTHS = {
  [SUITE_BOX]: { encapsulation: 32, ciphertext: 80, whole: 176 },
  [SUITE_HYBRID]: { encapsulation: 1120, ciphertext: 48, whole: 1232 },
} as const;

export function parseRole(value: number): Role {
  if (value !== ROLE_INSTRUCTOR && value !== ROLE_ADMINISTRATOR && value !== ROLE_RECOVERY) {
    throw new ProtocolError('format', `unknown role ${value}`);
  }
  return value;
}

/** Scope and track together: a wrap of the whole epoch names track 0. */
export function parseScope(scope: number, track: number): { scope: Scope; track: number } {
  if (scope !== SCOPE_EPOCH && scope !== SCOPE_TRACK) throw new ProtocolError('format', `unknown scope ${scope}`);
  if (scope === SCOPE_EPOCH && track !== 0) throw new ProtocolError('format', 'scope 1 goes with track 0');
  return { scope, track };
}

/** Lengths before anything else; throws `length`, then `format`. */
export function parseWrap(bytes: Uint8Array): WrapHeader {
  const reader = new Reader(bytes);
  reader.magic('ZRWR');
  reader.reserved(1);
  const suite = parseSuite(reader.u16());
  const expected = WRAP_LENGTHS[suite];
  if (bytes.length !== expected.whole) {
    throw new ProtocolError('length', `expected ${expected.whole} bytes for suite ${suite}, found ${bytes.length}`);
  }
  const role = parseRole(reader.u8());
  const { scope, track } = parseScope(reader.u8(), reader.u16());
  const keyId = reader.bytes(16);
  const coreHash = reader.bytes(32);
  const encapsulation = readExactly(reader, expected.encapsulation);
  const ciphertext = readExactly(reader, expected.ciphertext);
  reader.end();
  return { suite, role, scope, track, keyId, coreHash, encapsulation, ciphertext };
}

function readExactly(reader: Reader, expected: number): Bytes {
  const declared = reader.u16();
  if (declared !== expected) throw new ProtocolError('length', `expected a field of ${expected}, found ${declared}`);
  return reader.bytes(expected);
}

export function encodeWrap(header: WrapHeader): Bytes {
  const lengths = WRAP_LENGTHS[header.suite];
  parseScope(header.scope, header.track);
  return new Writer()
    .bytes(utf8('ZRWR'))
    .u8(1)
    .u8(0)
    .u16(header.suite)
    .u8(header.role)
    .u8(header.scope)
    .u16(header.track)
    .bytes(header.keyId, 16)
    .bytes(header.coreHash, 32)
    .u16(lengths.encapsulation)
    .bytes(header.encapsulation, lengths.encapsulation)
    .u16(lengths.ciphertext)
    .bytes(header.ciphertext, lengths.ciphertext)
    .finish();
}

/** wctx: what both suites bind their ciphertext to. */
export function wrapContextBytes(suite: Suite, keyId: Uint8Array, context: WrapContext): Bytes {
  return new Writer()
    .bytes(separator('wrap'))
    .u16(suite)
    .u8(context.role)
    .u8(context.scope)
    .u16(context.track)
    .bytes(keyId, 16)
    .bytes(context.coreHash, 32)
    .finish();
}

/** SHA-256 of the whole wrap: what OPEN and grants list. */
export async function wrapHash(bytes: Uint8Array): Promise<Bytes> {
  return sha256(bytes);
}
