import { readFileSync } from 'node:fs';
import { base64 } from '@scure/base';
import { describe, expect, it } from 'vitest';
import { concat, toHex, utf8 } from '../../../crypto/format/bytes.ts';
import { openCheckpoint, signCheckpoint } from '../../../crypto/log/checkpoint.ts';
import {
  addSignatures,
  cosignLine,
  encodeVkey,
  openNote,
  parseVkey,
  signNote,
  verifierKey,
} from '../../../crypto/log/note.ts';
import { Frontier, leafHash } from '../../../crypto/log/tree.ts';
import { signerOf } from './keys.ts';

interface Vectors {
  readonly inputs: { readonly log: { readonly entries: readonly string[]; readonly origin: string } };
  readonly outputs_hex_or_text: Readonly<Record<'leafhash1' | 'root3' | 'checkpoint' | 'log_vkey', string>>;
}

const vectors = JSON.parse(readFileSync('test/vectors/protocol-v1.json', 'utf8')) as Vectors;
const { entries, origin } = vectors.inputs.log;
const known = vectors.outputs_hex_or_text;

describe('the known answers of protocol v1', () => {
  const { publicKey, sign } = signerOf(0xf0);

  it('leaf, root, vkey and signed checkpoint are byte for byte those', async () => {
    const frontier = new Frontier();
    for (const entry of entries) frontier.append(leafHash(utf8(entry)));
    expect(toHex(leafHash(utf8(entries[1]!)))).toBe(known.leafhash1);
    expect(base64.encode(frontier.root())).toBe(known.root3);
    expect(encodeVkey(verifierKey(origin, publicKey))).toBe(known.log_vkey);
    expect(await signCheckpoint({ origin, size: 3, root: frontier.root() }, publicKey, sign)).toBe(known.checkpoint);
    expect(await openCheckpoint(known.checkpoint, known.log_vkey, origin)).toEqual({
      origin,
      size: 3,
      root: frontier.root(),
      cosignatures: [],
    });
  });
});

const log = signerOf(0x10);
const logKey = verifierKey('log.example.org/zeroreel', log.publicKey);
const witness = signerOf(0x20);
const witnessKey = verifierKey('witness.example.org/w1', witness.publicKey, 4);
const stranger = signerOf(0x30);
const strangerKey = verifierKey('stranger.example.org', stranger.publicKey);
const TEXT = 'first line\n\nthird line\n';
const TIME = 1_788_249_600;

const isRefused = { code: 'log', name: 'ProtocolError' };

describe('a verifier key', () => {
  it('is one line, and the same key again when read', () => {
    expect(parseVkey(encodeVkey(logKey))).toEqual(logKey);
    expect(parseVkey(encodeVkey(witnessKey))).toEqual(witnessKey);
  });

  it('opens the example of the Go package sumdb/note, made by somebody else', async () => {
    // PeterNeumann is the key of Go's sumdb/note documentation.
    const vkey = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
    const note =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n" +
      '\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
    const { text } = await openNote(note, [parseVkey(vkey)]);
    expect(text.endsWith('what your problem is.\n')).toBe(true);
  });

  const vkey = encodeVkey(logKey);
  it.each([
    ['another name under the same id', vkey.replace('log.', 'lot.')],
    ['another id', vkey.replace(/\+[0-9a-f]{8}\+/, '+00000000+')],
    ['an id in capitals', vkey.replace(/\+[0-9a-f]{8}\+/, (id) => id.toUpperCase())],
    ['a type that is not known', 'log.example.org/zeroreel+0ff2062b+AsFL2kwJPLHMCVpV3bztcNR0tLN9HsdCg2rgCU35CvzT'],
    ['no key', 'log.example.org/zeroreel+0ff2062b+AQ=='],
    ['no name', `+${vkey.split('+').slice(1).join('+')}`],
    ['a name with a space', vkey.replace('/', ' ')],
    ['base64 that is not canonical', `${vkey.slice(0, -1)}=`],
    ['nothing', ''],
  ])('is refused with %s', (_name, text) => {
    expect(text).not.toBe(vkey);
    expect(() => parseVkey(text)).toThrow(expect.objectContaining({ name: 'ProtocolError' }));
  });

  it('of low order is refused: anybody could sign with it', () => {
    const lowOrder = new Uint8Array(32);
    expect(() => verifierKey('log.example.org', lowOrder)).toThrow(expect.objectContaining({ code: 'key' }));
  });
});

describe('a signed note', () => {
  it('gives the text back, empty lines included, with who signed', async () => {
    const note = await signNote(TEXT, logKey, log.sign);
    expect(await openNote(note, [strangerKey, logKey])).toEqual({
      text: TEXT,
      signatures: [{ key: logKey, time: undefined }],
    });
  });

  it('ignores signatures of unknown keys, whatever they are, and duplicates', async () => {
    const note = await signNote(TEXT, logKey, log.sign);
    const line = note.slice(TEXT.length + 1);
    const other = (await signNote(TEXT, strangerKey, stranger.sign)).slice(TEXT.length + 1);
    const { signatures } = await openNote(note + other + line, [logKey]);
    expect(signatures).toHaveLength(1);
  });

  it('accepts a witness beside the log, with the time it signed', async () => {
    const note = await signNote(TEXT, logKey, log.sign);
    const witnessed = addSignatures(note, await cosignLine(TEXT, witnessKey, TIME, witness.sign));
    expect((await openNote(witnessed, [logKey, witnessKey])).signatures).toEqual([
      { key: logKey, time: undefined },
      { key: witnessKey, time: TIME },
    ]);
  });

  it('is refused when a known signature does not hold, though another does', async () => {
    const note = await signNote(TEXT, logKey, log.sign);
    const forged = await cosignLine('another text\n', witnessKey, TIME, witness.sign);
    await expect(openNote(addSignatures(note, forged), [logKey, witnessKey])).rejects.toMatchObject(isRefused);
    expect((await openNote(addSignatures(note, forged), [logKey])).signatures).toHaveLength(1);
  });

  it('is refused when the line of a known witness is too short for a time and a signature, or too long', async () => {
    const note = await signNote(TEXT, logKey, log.sign);
    for (const length of [1, 7, 8, 71, 73]) {
      const line = `\u2014 ${witnessKey.name} ${base64.encode(concat(witnessKey.id, new Uint8Array(length)))}\n`;
      await expect(openNote(note + line, [logKey, witnessKey]), `${length} bytes`).rejects.toMatchObject(isRefused);
    }
  });

  it('holds with 100 signature lines and is refused with 101', async () => {
    const note = await signNote(TEXT, logKey, log.sign);
    const line = (i: number): string =>
      `\u2014 w${i} ${base64.encode(Uint8Array.from({ length: 68 }, (_, at) => (at + i) % 256))}\n`;
    const lines = Array.from({ length: 100 }, (_, i) => line(i));
    expect((await openNote(note + lines.slice(1).join(''), [logKey])).signatures).toHaveLength(1);
    await expect(openNote(note + lines.join(''), [logKey])).rejects.toMatchObject(isRefused);
    expect(() => addSignatures(note, lines.join(''))).toThrow(expect.objectContaining(isRefused));
  });

  it('with a million signature lines is refused by its length alone', async () => {
    const note = await signNote(TEXT, logKey, log.sign);
    const line = note.slice(TEXT.length + 1);
    await expect(openNote(note + line.repeat(1_000_000), [logKey])).rejects.toThrow(/^expected a note of at most/);
  });

  it('any flipped bit of it is refused', async () => {
    const note = Buffer.from(await signNote(TEXT, logKey, log.sign));
    for (let bit = 0; bit < note.length * 8; bit++) {
      const changed = Buffer.from(note);
      changed[Math.floor(bit / 8)]! ^= 1 << (bit % 8);
      await expect(openNote(changed.toString('utf8'), [logKey]), `bit ${bit}`).rejects.toMatchObject(isRefused);
    }
  });

  it.each<[string, (note: string) => string]>([
    ['no signature', () => TEXT],
    ['an empty signature block', () => `${TEXT}\n`],
    ['no final newline', (note) => note.slice(0, -1)],
    ['a carriage return', (note) => note.replace('first line', 'first line\r')],
    ['a null', (note) => note.replace('first', 'fi\u0000rst')],
    ['a lone surrogate', (note) => note.replace('first', 'fi\ud800rst')],
    ['a hyphen for the dash', (note) => note.replace('\u2014', '-')],
    ['a signature of four bytes', () => `${TEXT}\n\u2014 log.example.org/zeroreel AAAAAA==\n`],
    ['a second space', (note) => note.replace('\u2014 ', '\u2014  ')],
    ['a plus in the name', () => `${TEXT}\n\u2014 a+b AAAAAAAA\n`],
    ['nothing', () => ''],
  ])('with %s is refused', async (_name, spoil) => {
    const note = await signNote(TEXT, logKey, log.sign);
    await expect(openNote(spoil(note), [logKey])).rejects.toMatchObject(isRefused);
  });

  it('is not made over a text that could not be read back, nor with a key of the wrong kind', async () => {
    await expect(signNote('no newline', logKey, log.sign)).rejects.toMatchObject(isRefused);
    await expect(signNote('bell\u0007\n', logKey, log.sign)).rejects.toMatchObject(isRefused);
    await expect(signNote(TEXT, witnessKey, witness.sign)).rejects.toMatchObject(isRefused);
    await expect(cosignLine(TEXT, logKey, TIME, log.sign)).rejects.toMatchObject(isRefused);
  });
});
