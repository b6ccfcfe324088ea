/** What every record of schema/PROTOCOL.md is made of: refusals, hashes with a label, fields one after the other. */
import { createHash, hkdfSync } from 'node:crypto';

/** A refusal with the class that the specification gives it. */
export class Refused extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export function must(condition: boolean, code: string): asserts condition {
  if (!condition) throw new Refused(code);
}

/** Whatever `work` throws is a refusal of this class. */
export function orRefuse<Result>(code: string, work: () => Result): Result {
  try {
    return work();
  } catch {
    throw new Refused(code);
  }
}

export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
export const ds = (label: string): Buffer => Buffer.from(`zeroreel/v1/${label}\0`);
export const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();
export const h = (label: string, ...parts: Uint8Array[]): Buffer => sha256(ds(label), ...parts);
export const hkdf = (ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Buffer =>
  Buffer.from(hkdfSync('sha256', ikm, salt, info, length));

/** Reads a record from its magic and version on. */
export class Fields {
  readonly #record: Buffer;
  #at = 0;

  constructor(record: Buffer, magic: string) {
    this.#record = record;
    must(record.length >= 5, 'length');
    must(this.take(4).toString('latin1') === magic && this.int(1) === 1, 'format');
  }

  take(length: number): Buffer {
    must(length <= this.left, 'length');
    this.#at += length;
    return this.#record.subarray(this.#at - length, this.#at);
  }

  /** An integer of 1, 2, 4 or 8 bytes, below 2^53. */
  int(width: number): number {
    const value = BigInt(`0x${this.take(width).toString('hex')}`);
    must(value < 2n ** 53n, 'limit');
    return Number(value);
  }

  zero(length: number): void {
    must(
      this.take(length).every((byte) => byte === 0),
      'format',
    );
  }

  /** `count` times what `read` reads. */
  list<Item>(count: number, read: () => Item): Item[] {
    return Array.from({ length: count }, read);
  }

  get left(): number {
    return this.#record.length - this.#at;
  }

  /** Everything before the next field. */
  get before(): Buffer {
    return this.#record.subarray(0, this.#at);
  }

  end(): void {
    must(this.left === 0, 'length');
  }
}
