/** Elements of EBML (RFC 8794), as WebM streams are made of: enough to walk through one. */

export interface ElementHeader {
  id: number;
  /** Undefined: unknown, until something of a higher level begins. */
  size: number | undefined;
  /** Bytes of id and size. */
  length: number;
}

/** Undefined where the bytes are no element, or end inside its header. */
export function readHeader(bytes: Uint8Array, at: number): ElementHeader | undefined {
  const idLength = Math.clz32(bytes[at]!) - 23;
  if (idLength > 4) return undefined;
  const size = readVint(bytes, at + idLength);
  if (!size) return undefined;
  return { id: readUnsigned(bytes, at, idLength), size: size.value, length: idLength + size.length };
}

/** An EBML variable-size integer (RFC 8794 section 4); all ones is unknown. */
export function readVint(bytes: Uint8Array, at: number): { value: number | undefined; length: number } | undefined {
  const length = Math.clz32(bytes[at] ?? 0) - 23;
  if (length > 8) return undefined;
  const first = bytes[at]! & (0xff >> length);
  const rest = bytes.subarray(at + 1, at + length);
  if (first === 0xff >> length && rest.every((byte) => byte === 0xff)) return { value: undefined, length };
  const value = rest.reduce((sum, byte) => sum * 256 + byte, first);
  return Number.isSafeInteger(value) ? { value, length } : undefined;
}

export function readUnsigned(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let i = 0; i < length; i++) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}
