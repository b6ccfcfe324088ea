/** Section 14, objects in the bucket. */
import { concat, toHex, utf8, type Bytes } from '../../../crypto/format/bytes.ts';
import { chunkHeadLength, entryHash, parseChunkHead } from '../../../crypto/format/chunk.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { sealChunk } from '../../../crypto/seal/chunk.ts';
import { answerBytes, sequence } from '../knownanswers.ts';
import {
  owner,
  item,
  add,
  blob,
  patch,
  flip,
  one,
  resign,
  fields,
  media,
  seal,
  small,
  smallHash,
  otherSession,
  malleate,
  u32,
  trackKey,
  chunk0,
  chunk1,
  bases,
  recorder,
} from './author.ts';

export async function chunkCases(): Promise<void> {
  item(1);
  add('chunk-magic', 'format', 'another magic', one(patch(chunk0.object, 0, utf8('ZRCX'))));
  add('chunk-version', 'format', 'version 2', one(patch(chunk0.object, 4, [2])));
  add('chunk-content-suite', 'format', 'content suite 2', one(patch(chunk0.object, 5, [2])));

  item(2);
  add('chunk-flag', 'format', 'flag bit 2 is unknown', one(patch(chunk0.object, 6, [0, 4])));
  add('chunk-reserved', 'format', 'the reserved u16 at 30', one(patch(chunk0.object, 30, [0, 1])));

  item(3);
  add('chunk-short', 'length', 'one byte short', one(chunk0.object.slice(0, -1)));
  add('chunk-long', 'length', 'one byte long', one(concat(chunk0.object, Uint8Array.of(0))));
  add('chunk-last-segment-cut', 'length', 'the last segment is missing', one(chunk0.object.slice(0, 288 + 65552)));
  add('chunk-head-cut', 'length', 'ends inside its table', one(chunk0.object.slice(0, 170)));
  add('chunk-empty', 'length', 'nothing at all', one(new Uint8Array(0)));

  item(4);
  add(
    'chunk-pt-len-max',
    'limit',
    'pt_len 0xffffffff, before anything is allocated',
    one(patch(chunk0.object, 36, [255, 255, 255, 255])),
  );
  add('chunk-pt-len-over', 'limit', 'pt_len 8 MiB + 1', one(patch(chunk0.object, 36, [0, 0x80, 0, 1])));

  item(5);
  add('chunk-lowered', 'signature', 'pt_len lowered to a segment boundary and the object cut to match', {
    ...{ check: 'chunks', track: 1 },
    objects: [
      [
        { base: 'chunk0', from: 0, to: 36 },
        { hex: '00010000' },
        { base: 'chunk0', from: 40, to: 192 },
        { base: 'chunk0', from: 224, to: 288 + 65552 },
      ],
    ],
  });

  item(6);
  const twinHead = chunkHeadLength(131_072);
  add('segments-swapped', 'segment-hash', 'two full segments change places', {
    ...{ check: 'chunks', track: 1 },
    objects: [
      [
        { base: 'twin', from: 0, to: twinHead },
        { base: 'twin', from: twinHead + 65552, to: twinHead + 131_104 },
        { base: 'twin', from: twinHead, to: twinHead + 65552 },
      ],
    ],
  });

  item(7);
  add('bit-in-segment', 'segment-hash', 'one bit of ciphertext', one(flip(chunk0.object, 50_000)));
  add('bit-in-tag', 'segment-hash', 'one bit of the last tag', one(flip(chunk0.object, chunk0.object.length - 1)));
  add('bit-in-table', 'signature', 'one bit of the table', one(flip(chunk0.object, 165)));
  {
    const changed = flip(small, small.length - 20);
    const headLength = chunkHeadLength(media.length);
    const table = await sha256(changed.subarray(headLength));
    add(
      'table-resigned',
      'aead',
      'ciphertext changed, table patched, signed again by the recorder',
      one(await resign(patch(changed, 160, table))),
    );
  }
  {
    const swapped = concat(
      bases['twin']!.subarray(0, 160),
      bases['twin']!.subarray(192, 224),
      bases['twin']!.subarray(160, 192),
      bases['twin']!.subarray(224, twinHead),
      bases['twin']!.subarray(twinHead + 65552),
      bases['twin']!.subarray(twinHead, twinHead + 65552),
    );
    const signed = await resign(swapped);
    add(
      'segments-swapped-resigned',
      'aead',
      'segments and table swapped, signed again: the nonce and AAD still hold the place',
      {
        ...{ check: 'chunks', track: 1 },
        objects: [
          [
            { base: 'twin', from: 0, to: 160 },
            { base: 'twin', from: 192, to: 224 },
            { base: 'twin', from: 160, to: 192 },
            { hex: toHex(signed.subarray(224, twinHead)) },
            { base: 'twin', from: twinHead + 65552, to: twinHead + 131_104 },
            { base: 'twin', from: twinHead, to: twinHead + 65552 },
          ],
        ],
      },
    );
  }

  item(8);
  add('replay-session', 'identity', 'a chunk of another session', one(await seal({ sessionId: otherSession })));
  add(
    'replay-session-rewritten',
    'signature',
    'its session id rewritten to this one',
    one(patch(await seal({ sessionId: otherSession }), 8, sequence(16, 0x20))),
  );
  item(9);
  add('replay-epoch', 'identity', 'a chunk of epoch 1', one(await seal({ epoch: 1 })));
  add(
    'replay-epoch-rewritten',
    'signature',
    'its epoch rewritten to 0',
    one(patch(await seal({ epoch: 1 }), 24, [0, 0, 0, 0])),
  );
  item(10);
  add('replay-track', 'identity', 'a chunk of track 2', one(await seal({ track: 2 })));
  add('replay-track-resigned', 'commitment', 'sealed under the key of track 1, relabelled track 2 and signed again', {
    ...{ check: 'chunks', track: 2, objects: [blob(await resign(patch(await seal(), 28, [0, 2])))] },
  });

  item(11);
  add('seq-gap', 'seq', 'chunk 1 is missing', one(small, await seal({ seq: 2, prev: smallHash })));
  add('seq-duplicate', 'seq', 'chunk 0 twice', one(small, small));
  add('seq-reorder', 'seq', 'chunk 1 before chunk 0', one(await seal({ seq: 1, prev: smallHash }), small));
  add(
    'chain',
    'chain',
    'chunk 1 names another predecessor',
    one(small, await seal({ seq: 1, prev: sequence(32, 0x99) })),
  );
  add('chain-first', 'chain', 'chunk 0 does not follow the open record', one(await seal({ prev: sequence(32, 0x99) })));

  item(12);
  const last = await seal({ isFinal: true });
  add(
    'after-final',
    'final',
    'a chunk after the final one',
    one(last, await seal({ seq: 1, prev: await entryHash(parseChunkHead(last)) })),
  );
  add('after-final-empty', 'final', 'a second FINAL', one(last, chunk1.object));
  add('empty-not-final', 'final', 'an empty chunk without FINAL', one(patch(chunk1.object, 6, [0, 0])));

  item(13);
  add(
    'instructor-forges',
    'signature',
    'an instructor holds the content key and signs with his own',
    one(await seal({}, owner.signer)),
  );
  add(
    'wrong-label',
    'signature',
    'a signature of the right key over the right hash under another label',
    one(patch(small, chunkHeadLength(media.length) - 64, await recorder.sign('head', smallHash))),
  );

  item(14);
  add(
    'chunk-malleated',
    'signature',
    'S + L in place of S',
    one(patch(small, chunkHeadLength(media.length) - 64, malleate(small.subarray(chunkHeadLength(media.length) - 64)))),
  );

  item(16);
  add(
    'ckc-replaced',
    'commitment',
    'the chunk commitment replaced and signed again',
    one(await resign(patch(small, 128, sequence(32, 0x99)))),
  );
  {
    const salamander = answerBytes('salamander_gcm_two_keys');
    const length = salamander.length - 16;
    const shaped = (await sealChunk(trackKey, fields, new Uint8Array(length), recorder)).object;
    const table = await sha256(salamander);
    const swapped = patch(patch(shaped, chunkHeadLength(length), salamander), 160, table);
    add(
      'salamander',
      'aead',
      'a ciphertext made to open under two keys of the attacker, signed by the recorder',
      one(await resign(swapped)),
    );
  }

  item(36);
  add('track-not-opened', 'identity', 'a chunk of a track that the open record does not list', {
    check: 'chunks',
    track: 9,
    objects: [blob(await seal({ track: 9 }))],
  });
  item(37);
  add(
    'padding-frame',
    'length',
    'a PADDED chunk whose true length is beyond its plaintext',
    one(
      await (async () => {
        const framed = concat(u32(media.length), media);
        const { object } = await sealChunk(trackKey, fields, patch(framed, 0, u32(media.length + 1)), recorder);
        return resealAsPadded(object, patch(framed, 0, u32(media.length + 1)));
      })(),
    ),
  );
  add(
    'padding-not-zero',
    'format',
    'padding that carries something',
    one(
      await (async () => {
        const framed = concat(u32(media.length - 1), media);
        return resealAsPadded((await sealChunk(trackKey, fields, framed, recorder)).object, framed);
      })(),
    ),
  );
  /** Seals by hand, because `sealChunk` frames and pads honestly. */
  async function resealAsPadded(object: Bytes, content: Bytes): Promise<Bytes> {
    const bound = patch(object.subarray(0, 128), 6, [0, 2]);
    const info = concat(utf8('zeroreel/v1/chunk\0'), bound);
    const bits = await crypto.subtle.deriveBits(
      { name: 'HKDF', hash: 'SHA-256', salt: bound.slice(96), info },
      trackKey,
      76 * 8,
    );
    const material = new Uint8Array(bits);
    const aes = await crypto.subtle.importKey('raw', material.slice(0, 32), 'AES-GCM', false, ['encrypt']);
    const parameters = { name: 'AES-GCM', iv: material.slice(32, 44), additionalData: Uint8Array.of(0, 0, 0, 0, 1) };
    const segment = new Uint8Array(await crypto.subtle.encrypt(parameters, aes, content));
    return resign(concat(bound, material.slice(44), await sha256(segment), new Uint8Array(64), segment));
  }
  item(38);
  add(
    'flag-final-unsigned',
    'signature',
    'FINAL set by the bucket, to make a track look complete',
    one(patch(small, 6, [0, 1])),
  );
  add('salt-changed', 'signature', 'one bit of the salt', one(flip(small, 100)));
  add('time-changed', 'signature', 'the wall clock of a chunk', one(flip(small, 63)));

  item(0);
  add('honest-chunks', 'accepted', 'both chunks of the vectors', one(chunk0.object, chunk1.object));
  add('honest-twin', 'accepted', 'two full segments', one(bases['twin']!));
  add('honest-small', 'accepted', 'one short segment', one(small));
}
