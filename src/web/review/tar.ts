/** A folder as one file (POSIX.1-1988 ustar): what `tar -x` unpacks everywhere. Nothing is copied into memory. */
import { utf8 } from '../../../crypto/format/bytes.ts';

const BLOCK = 512;

export function tarOf(files: Iterable<readonly [path: string, file: Blob]>, modifiedMs: number): Blob {
  const parts: BlobPart[] = [];
  for (const [path, file] of files) {
    parts.push(header(path, file.size, modifiedMs), file, new Uint8Array((BLOCK - (file.size % BLOCK)) % BLOCK));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts, { type: 'application/x-tar' });
}

function header(path: string, size: number, modifiedMs: number): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(BLOCK);
  const put = (text: string, at: number, length: number): void => {
    const bytes = utf8(text);
    if (bytes.length > length) throw new RangeError(`expected at most ${length} bytes, found ${text}`);
    block.set(bytes, at);
  };
  const octal = (value: number, digits: number): string => `${Math.floor(value).toString(8).padStart(digits, '0')}\0`;
  put(path, 0, 100);
  put(octal(0o600, 7), 100, 8);
  put(octal(0, 7), 108, 8);
  put(octal(0, 7), 116, 8);
  put(octal(size, 11), 124, 12);
  put(octal(modifiedMs / 1000, 11), 136, 12);
  put(' '.repeat(8), 148, 8); // the sum is taken over spaces in its own place
  put('0', 156, 1);
  put('ustar\0' + '00', 257, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8);
  return block;
}
