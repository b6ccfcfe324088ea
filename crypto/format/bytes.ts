import { ProtocolError } from './errors.ts';

/** Bytes that own a plain ArrayBuffer, as WebCrypto wants them. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function utf8(text: string): Bytes {
  return encoder.encode(text);
}

/** Strict UTF-8; throws `format` on anything else. */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ProtocolError('format', 'expected UTF-8');
  }
}

export function concat(...parts: readonly Uint8Array[]): Bytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Equality without an early exit: the time depends on the lengths only. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

export function isZero(bytes: Uint8Array): boolean {
  let folded = 0;
  for (const byte of bytes) folded |= byte;
  return folded === 0;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += HEX[byte]!;
  return text;
}

export function fromHex(text: string): Bytes {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new ProtocolError('format', 'expected lower-case hex');
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** Both characters of 12 bits. */
const BASE64URL_PAIRS = Array.from({ length: 4096 }, (_, bits) => BASE64URL[bits >> 6]! + BASE64URL[bits & 63]!);
/** The six bits of a character by its code; 64 for what is no base64url. */
const BASE64URL_BITS = Uint8Array.from({ length: 128 }, (_, code) => {
  const bits = BASE64URL.indexOf(String.fromCharCode(code));
  return bits === -1 ? 64 : bits;
});

/** RFC 4648 section 5, without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  let text = '';
  const whole = bytes.length - (bytes.length % 3);
  for (let i = 0; i < whole; i += 3) {
    const bits = (bytes[i]! << 16) | (bytes[i + 1]! << 8) | bytes[i + 2]!;
    text += BASE64URL_PAIRS[bits >> 12]! + BASE64URL_PAIRS[bits & 4095]!;
  }
  if (bytes.length - whole === 1) return text + BASE64URL_PAIRS[bytes[whole]! << 4]!;
  if (bytes.length - whole === 0) return text;
  const bits = (bytes[whole]! << 10) | (bytes[whole + 1]! << 2);
  return text + BASE64URL_PAIRS[bits >> 6]! + BASE64URL[bits & 63]!;
}

/** The inverse of `toBase64Url`, canonical: one text per byte string, so unused bits must be zero and padding is refused. */
export function fromBase64Url(text: string): Bytes {
  if (text.length % 4 === 1) throw new ProtocolError('format', 'expected base64url without padding');
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let left = 0;
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    const six = BASE64URL_BITS[text.charCodeAt(i)] ?? 64;
    if (six === 64) throw new ProtocolError('format', 'expected base64url without padding');
    bits = ((bits << 6) | six) & 0xfff;
    left += 6;
    if (left < 8) continue;
    left -= 8;
    bytes[at++] = bits >> left;
  }
  if ((bits & ((1 << left) - 1)) !== 0) throw new ProtocolError('format', 'base64url is not canonical');
  return bytes;
}

/** Writes big-endian records (PROTOCOL.md, conventions). Values out of range throw `limit`. */
export class Writer {
  readonly #parts: Uint8Array[] = [];

  bytes(value: Uint8Array, length?: number): this {
    if (length !== undefined && value.length !== length) {
      throw new ProtocolError('length', `expected ${length} bytes, found ${value.length}`);
    }
    this.#parts.push(value);
    return this;
  }

  #unsigned(value: number, width: 1 | 2 | 4): this {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * width)) {
      throw new ProtocolError('limit', `expected an unsigned ${8 * width}-bit integer, found ${value}`);
    }
    const part = new Uint8Array(width);
    for (let i = 0; i < width; i++) part[i] = Math.floor(value / 2 ** (8 * (width - 1 - i)));
    this.#parts.push(part);
    return this;
  }

  u8(value: number): this {
    return this.#unsigned(value, 1);
  }

  u16(value: number): this {
    return this.#unsigned(value, 2);
  }

  u32(value: number): this {
    return this.#unsigned(value, 4);
  }

  /** 64 bits on the wire, at most 2^53 - 1 in value. */
  u64(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new ProtocolError('limit', `expected an integer of at most 53 bits, found ${value}`);
    }
    const part = new Uint8Array(8);
    new DataView(part.buffer).setBigUint64(0, BigInt(value));
    this.#parts.push(part);
    return this;
  }

  lp8(value: Uint8Array): this {
    return this.u8(value.length).bytes(value);
  }

  lp16(value: Uint8Array): this {
    return this.u16(value.length).bytes(value);
  }

  finish(): Bytes {
    return concat(...this.#parts);
  }
}

/** Reads big-endian records. Every read past the end throws `length`, before anything is allocated. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Offset of the next unread byte. */
  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  #advance(length: number): number {
    if (length > this.left) throw new ProtocolError('length', `expected ${length} more bytes, found ${this.left}`);
    const from = this.#at;
    this.#at += length;
    return from;
  }

  bytes(length: number): Bytes {
    const from = this.#advance(length);
    return new Uint8Array(this.#bytes.subarray(from, from + length));
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  /** Values above 2^53 - 1 throw `limit`: no honest time or size is that large. */
  u64(): number {
    const value = this.#view.getBigUint64(this.#advance(8));
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new ProtocolError('limit', 'expected an integer of at most 53 bits');
    return Number(value);
  }

  lp8(): Bytes {
    return this.bytes(this.u8());
  }

  lp16(): Bytes {
    return this.bytes(this.u16());
  }

  /** Consumes the magic and the version byte 1, or throws `format`. */
  magic(text: string): void {
    if (this.left < 5) throw new ProtocolError('length', `expected a ${text} record, found ${this.left} bytes`);
    if (!equal(this.bytes(4), utf8(text))) throw new ProtocolError('format', `expected a ${text} record`);
    const version = this.u8();
    if (version !== 1) throw new ProtocolError('format', `expected ${text} version 1, found ${version}`);
  }

  /** Throws `format` unless the next `count` bytes are zero. */
  reserved(count: number): void {
    if (!isZero(this.bytes(count))) throw new ProtocolError('format', 'reserved bytes must be zero');
  }

  /** Throws `length` when anything is left. */
  end(): void {
    if (this.left > 0) throw new ProtocolError('length', `${this.left} trailing bytes`);
  }
}
