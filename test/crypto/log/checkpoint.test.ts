import { describe, expect, it } from 'vitest';
import { formatCheckpoint, openCheckpoint, parseCheckpoint, signCheckpoint } from '../../../crypto/log/checkpoint.ts';
import { addSignatures, cosignLine, encodeVkey, signNote, verifierKey } from '../../../crypto/log/note.ts';
import { leafHash } from '../../../crypto/log/tree.ts';
import { signerOf } from './keys.ts';

const ORIGIN = 'log.example.org/zeroreel';
const log = signerOf(0x10);
const vkey = encodeVkey(verifierKey(ORIGIN, log.publicKey));
const witness = signerOf(0x20);
const witnessKey = verifierKey('witness.example.org/w1', witness.publicKey, 4);
const root = leafHash(new Uint8Array(0));
const text = formatCheckpoint(ORIGIN, 7, root);
const isRefused = { code: 'log', name: 'ProtocolError' };

describe('a checkpoint', () => {
  it('is three lines, and the same again when read', () => {
    expect(text).toBe('log.example.org/zeroreel\n7\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n');
    expect(parseCheckpoint(text)).toEqual({ origin: ORIGIN, size: 7, root });
  });

  it('counts from an empty log to 2^53 - 1 entries', () => {
    for (const size of [0, Number.MAX_SAFE_INTEGER]) {
      expect(parseCheckpoint(formatCheckpoint(ORIGIN, size, root)).size).toBe(size);
    }
    expect(() => formatCheckpoint(ORIGIN, 2 ** 53, root)).toThrow(expect.objectContaining(isRefused));
    expect(() => parseCheckpoint(text.replace('7', '9007199254740992'))).toThrow(expect.objectContaining(isRefused));
  });

  it.each([
    ['a size with a leading zero', text.replace('7', '07')],
    ['a negative size', text.replace('7', '-7')],
    ['a size in another base', text.replace('7', '0x7')],
    ['a root of 31 bytes', text.replace(/bj.*=/, 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==')],
    ['a root with bits left over', text.replace('oB0=', 'oB1=')],
    ['no origin', text.replace(ORIGIN, '')],
    ['an extension line', `${text}extension\n`],
    ['two lines', text.split('\n').slice(0, 2).join('\n')],
    ['no final newline', text.slice(0, -1)],
  ])('with %s is refused', (_name, changed) => {
    expect(changed).not.toBe(text);
    expect(() => parseCheckpoint(changed)).toThrow(expect.objectContaining(isRefused));
  });
});

describe('a signed checkpoint', () => {
  const signed = (): Promise<string> => signCheckpoint({ origin: ORIGIN, size: 7, root }, log.publicKey, log.sign);

  it('opens with the vkey and the origin of its log', async () => {
    expect(await openCheckpoint(await signed(), vkey, ORIGIN)).toEqual({
      origin: ORIGIN,
      size: 7,
      root,
      cosignatures: [],
    });
  });

  it('shows the asked witnesses and their times', async () => {
    const line = await cosignLine(text, witnessKey, 1_788_249_600, witness.sign);
    const opened = await openCheckpoint(addSignatures(await signed(), line), vkey, ORIGIN, [encodeVkey(witnessKey)]);
    expect(opened.cosignatures).toEqual([{ key: witnessKey, time: 1_788_249_600 }]);
  });

  it('of another origin is refused, though the key is right', async () => {
    await expect(openCheckpoint(await signed(), vkey, 'log.example.org/other')).rejects.toMatchObject(isRefused);
    const foreign = await signNote(
      formatCheckpoint('other.example.org', 7, root),
      verifierKey(ORIGIN, log.publicKey),
      log.sign,
    );
    await expect(openCheckpoint(foreign, vkey, ORIGIN)).rejects.toMatchObject(isRefused);
  });

  it('by another key of the same name is refused', async () => {
    const { publicKey, sign } = signerOf(0x40);
    const forged = await signCheckpoint({ origin: ORIGIN, size: 7, root }, publicKey, sign);
    await expect(openCheckpoint(forged, vkey, ORIGIN)).rejects.toMatchObject(isRefused);
  });

  it('by a witness alone is refused: a witness does not speak for the log', async () => {
    const alone = `${text}\n${await cosignLine(text, witnessKey, 1, witness.sign)}`;
    await expect(openCheckpoint(alone, vkey, ORIGIN, [encodeVkey(witnessKey)])).rejects.toMatchObject(isRefused);
  });

  it('is not opened with a witness key in the place of the log key', async () => {
    const alone = `${text}\n${await cosignLine(text, witnessKey, 1, witness.sign)}`;
    for (const note of [await signed(), alone]) {
      await expect(openCheckpoint(note, encodeVkey(witnessKey), ORIGIN)).rejects.toMatchObject(isRefused);
    }
  });
});
