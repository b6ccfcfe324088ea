/** Section 14, open records. */
import { concat, fromHex, utf8, type Bytes } from '../../../crypto/format/bytes.ts';
import { hash } from '../../../crypto/format/hash.ts';
import { sequence } from '../knownanswers.ts';
import { type HostileInput } from './cases.ts';
import {
  item,
  add,
  blob,
  patch,
  flip,
  one,
  malleate,
  signWithLowOrderR,
  RECORDER_KEY_AT,
  known,
  chunk0,
  recorder,
  open,
} from './author.ts';

export async function openCases(): Promise<void> {
  /** Signs a changed OPEN body, so that only the structure can refuse it. */
  const reopen = async (body: Bytes): Promise<HostileInput> => ({
    check: 'open',
    record: blob(concat(body, await recorder.sign('open', await hash('open', body)))),
  });
  const coreEnd = known.core.length;
  item(1);
  add('open-magic', 'format', 'another magic', {
    check: 'open',
    record: blob(patch(known.openBytes, 0, utf8('ZRCH'))),
  });
  add('open-version', 'format', 'version 0', { check: 'open', record: blob(patch(known.openBytes, 4, [0])) });
  add('open-min-suite', 'format', 'min_suite 3', { check: 'open', record: blob(patch(known.openBytes, 6, [0, 3])) });
  item(2);
  add('open-track-reserved', 'format', 'the reserved byte of a track', {
    check: 'open',
    record: blob(patch(known.openBytes, known.core.length - 22, [1])),
  });
  item(3);
  add('open-short', 'length', 'one byte short', { check: 'open', record: blob(known.openBytes.slice(0, -1)) });
  add('open-long', 'length', 'one byte long', {
    check: 'open',
    record: blob(concat(known.openBytes, Uint8Array.of(0))),
  });
  item(14);
  add(
    'open-low-order-r',
    'signature',
    'signed by the recorder with R of low order, which one engine takes and another does not',
    {
      check: 'open',
      record: blob(concat(open.body, signWithLowOrderR('open', await hash('open', open.body), sequence(32, 0x80)))),
    },
  );
  add('open-malleated', 'signature', 'S + L in place of S', {
    check: 'open',
    record: blob(patch(known.openBytes, known.openBytes.length - 64, malleate(open.signature))),
  });
  item(15);
  for (const [id, why, hex] of [
    ['open-key-zero', 'y = 0, of order 4', '00'.repeat(32)],
    ['open-key-identity', 'y = 1, the neutral element', `01${'00'.repeat(31)}`],
    ['open-key-minus-one', 'y = -1, of order 2', `ec${'ff'.repeat(30)}7f`],
    ['open-key-order-8', 'of order 8', '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'],
    [
      'open-key-order-8-sign',
      'of order 8, sign bit set',
      'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
    ],
    ['open-key-not-canonical', 'y = p + 1', `ee${'ff'.repeat(30)}7f`],
  ] as const) {
    // R = the neutral element and S = 0 satisfy the equation for a low-order key with a probability of 1/8 or more.
    const body = patch(open.body, RECORDER_KEY_AT, fromHex(hex));
    const forged = concat(body, Uint8Array.of(1), new Uint8Array(63));
    add(id, 'key', `a recorder key that lets anybody sign: ${why}`, { check: 'open', record: blob(forged) });
  }

  item(16);
  add('kc-replaced', 'signature', 'the session commitment replaced in the open record', {
    check: 'open',
    record: blob(patch(known.openBytes, RECORDER_KEY_AT + 32, sequence(32, 0x99))),
  });
  item(25);
  add('two-opens', 'equivocation', 'two opens for one session and epoch, both signed by the recorder', {
    check: 'opens',
    records: [
      [{ base: 'open', from: 0, to: known.openBytes.length }],
      blob(
        await (async () => {
          const body = flip(open.body, RECORDER_KEY_AT + 32 * 4 + 5);
          return concat(body, await recorder.sign('open', await hash('open', body)));
        })(),
      ),
    ],
  });

  item(26);
  add('open-tracks-twice', 'format', 'track 1 twice', await reopen(patch(open.body, coreEnd - 25, [0, 1])));
  add('open-track-kind', 'format', 'kind 8', await reopen(patch(open.body, coreEnd - 23, [8])));
  item(27);
  add(
    'open-prev-in-epoch-0',
    'chain',
    'epoch 0 with a predecessor',
    await reopen(patch(open.body, RECORDER_KEY_AT - 32, sequence(32, 1))),
  );
  add(
    'open-no-prev',
    'chain',
    'epoch 1 without a predecessor',
    await reopen(patch(open.body, RECORDER_KEY_AT - 36, [0, 0, 0, 1])),
  );
  item(28);
  add('open-no-wraps', 'limit', 'nobody could read it', await reopen(concat(known.core, Uint8Array.of(0, 0, 0, 0, 0))));
  add(
    'open-65-wraps',
    'limit',
    '65 wraps',
    await reopen(concat(known.core, Uint8Array.of(0, 65), new Uint8Array(65 * 32), Uint8Array.of(0, 0, 0))),
  );
  item(29);
  add(
    'open-attest-type',
    'format',
    'attestation type 2',
    await reopen(concat(open.body.subarray(0, -3), Uint8Array.of(2, 0, 1, 0))),
  );
  add(
    'open-attest-none',
    'format',
    'type 0 with bytes',
    await reopen(concat(open.body.subarray(0, -3), Uint8Array.of(0, 0, 1, 0))),
  );
  add(
    'open-attest-empty',
    'format',
    'a ticket of no bytes',
    await reopen(concat(open.body.subarray(0, -3), Uint8Array.of(3, 0, 0))),
  );
  item(30);
  add('open-codec-utf8', 'format', 'a codec that is not UTF-8', await reopen(patch(open.body, coreEnd - 1, [0xff])));
  item(31);
  const CLIENT_MS_AT = RECORDER_KEY_AT + 32 * 5;
  add(
    'open-client-ms',
    'limit',
    'a time of 2^53',
    await reopen(patch(open.body, CLIENT_MS_AT, [0, 0x20, 0, 0, 0, 0, 0, 0])),
  );
  add('chunk-wall-ms', 'limit', 'a time of 2^64 - 1', one(patch(chunk0.object, 56, new Uint8Array(8).fill(255))));

  item(0);
  add('honest-open', 'accepted', 'the open record of the vectors', { check: 'open', record: blob(known.openBytes) });
  add('honest-opens', 'accepted', 'the same open record twice', {
    check: 'opens',
    records: [blob(known.openBytes), blob(known.openBytes)],
  });
}
