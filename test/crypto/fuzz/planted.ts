/** Parsers with a fault each, to see that the fuzzer finds it. They live outside of `crypto/`, and are observed like it. */
import { Reader, type Bytes } from '../../../crypto/format/bytes.ts';

/** Throws the wrong error behind four conditions, of which an unguided change would have to meet all at once. */
export function throwsDeepInside(bytes: Bytes): void {
  const reader = new Reader(bytes);
  reader.magic('ZRHD');
  if ((reader.u8() & 0x0f) !== 0x03) return;
  if ((reader.u8() & 0x0f) !== 0x0c) return;
  if ((reader.u8() & 0x0f) !== 0x05) return;
  if ((reader.u8() & 0x0f) !== 0x0a) return;
  throw new TypeError('planted');
}

/** Believes a length before it looks whether so much is there. */
export function allocatesWhatIsDeclared(bytes: Bytes): void {
  const reader = new Reader(bytes);
  reader.magic('ZRHD');
  const declared = new Uint8Array(reader.u32() & 0xffffff);
  declared.set(reader.bytes(Math.min(reader.left, declared.length)));
}

/** Looks at every byte once for every byte. */
export function comparesAllWithAll(bytes: Bytes): void {
  let equals = 0;
  for (let one = 0; one < bytes.length; one++) {
    for (let other = 0; other < bytes.length; other++) {
      if (bytes[one] === bytes[other]) equals++;
    }
  }
  if (equals < bytes.length) throw new Error('not reached');
}
