/** Section 14, wraps. */
import { concat, fromHex, toHex, utf8 } from '../../../crypto/format/bytes.ts';
import { sealWrap } from '../../../crypto/seal/wrap.ts';
import { sequence } from '../knownanswers.ts';
import { item, add, patch, flip, openWrapCase, elsewhere, keyText, known, coreHash } from './author.ts';

export async function wrapCases(): Promise<void> {
  item(1);
  add('wrap-magic', 'format', 'another magic', openWrapCase(patch(known.wrap1, 0, utf8('ZRWX')), 'box'));
  add('wrap-suite', 'format', 'suite 3', openWrapCase(patch(known.wrap1, 6, [0, 3]), 'box'));
  item(2);
  add('wrap-reserved', 'format', 'the reserved byte at 5', openWrapCase(patch(known.wrap1, 5, [1]), 'box'));
  item(17);
  for (const [key, wrap] of [
    ['box', known.wrap1],
    ['hybrid', known.wrap2],
  ] as const) {
    add(`${key}-moved`, 'wrap', 'a wrap of another recording', openWrapCase(wrap, key, { coreHash: toHex(elsewhere) }));
    add(
      `${key}-moved-rewritten`,
      'aead',
      'core_hash rewritten to this recording',
      openWrapCase(patch(wrap, 28, elsewhere), key, { coreHash: toHex(elsewhere) }),
    );
  }
  item(18);
  for (const [key, wrap] of [
    ['box', known.wrap1],
    ['hybrid', known.wrap2],
  ] as const) {
    add(
      `${key}-role`,
      'aead',
      'role 1 rewritten to 2, as the reader expects',
      openWrapCase(patch(wrap, 8, [2]), key, { role: 2 }),
    );
    add(`${key}-scope`, 'aead', 'scope 1 rewritten to 2', openWrapCase(patch(wrap, 9, [2]), key, { scope: 2 }));
    const trackWrap = await sealWrap(
      await known.keys.rawTrackKey(1),
      known[key],
      { role: 1, scope: 2, track: 1, coreHash },
      sequence(key === 'box' ? 32 : 64, 0x21),
    );
    add(
      `${key}-track`,
      'aead',
      'track 1 rewritten to 2',
      openWrapCase(patch(trackWrap, 10, [0, 2]), key, { scope: 2, track: 2 }),
    );
    add(`${key}-unexpected-role`, 'wrap', 'role 1 where the reader expects 3', openWrapCase(wrap, key, { role: 3 }));
  }
  item(19);
  add(
    'box-low-order',
    'zero-shared-secret',
    'an ephemeral key of zero',
    openWrapCase(patch(known.wrap1, 62, new Uint8Array(32)), 'box'),
  );
  add(
    'box-low-order-8',
    'zero-shared-secret',
    'an ephemeral key of order 8',
    openWrapCase(
      patch(known.wrap1, 62, fromHex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800')),
      'box',
    ),
  );
  add(
    'hybrid-low-order',
    'zero-shared-secret',
    'the X25519 half of enc is zero',
    openWrapCase(patch(known.wrap2, 62 + 1088, new Uint8Array(32)), 'hybrid'),
  );
  add(
    'hybrid-low-order-p',
    'zero-shared-secret',
    'the X25519 half of enc is p',
    openWrapCase(patch(known.wrap2, 62 + 1088, fromHex(`ed${'ff'.repeat(30)}7f`)), 'hybrid'),
  );

  item(20);
  add(
    'hybrid-lattice-half',
    'aead',
    'one bit of the ML-KEM half of enc',
    openWrapCase(flip(known.wrap2, 62 + 7), 'hybrid'),
  );
  add(
    'hybrid-curve-half',
    'aead',
    'one bit of the X25519 half of enc',
    openWrapCase(flip(known.wrap2, 62 + 1090), 'hybrid'),
  );
  add('hybrid-ciphertext', 'aead', 'one bit of ct', openWrapCase(flip(known.wrap2, 1200), 'hybrid'));
  add('box-ciphertext', 'aead', 'one bit of ct', openWrapCase(flip(known.wrap1, 120), 'box'));
  add('box-ephemeral', 'aead', 'one bit of epk', openWrapCase(flip(known.wrap1, 70), 'box'));
  add('mlkem-coefficient', 'key', 'an ML-KEM coefficient of q', {
    check: 'encryption-key',
    text: keyText('zrpq', patch(known.hybrid.publicKey, 0, [0x01, (known.hybrid.publicKey[1]! & 0xf0) | 0x0d])),
  });
  add('hybrid-key-low-order', 'key', 'the X25519 half of a suite 2 key is of low order', {
    check: 'encryption-key',
    text: keyText('zrpq', patch(known.hybrid.publicKey, 1184, new Uint8Array(32))),
  });

  item(21);
  add('box-below-floor', 'suite', 'suite 1 under min_suite 2', openWrapCase(known.wrap1, 'box', { minSuite: 2 }));
  add(
    'box-relabelled',
    'length',
    'suite 1 relabelled as 2',
    openWrapCase(patch(known.wrap1, 6, [0, 2]), 'box', { minSuite: 2 }),
  );
  add('hybrid-relabelled', 'length', 'suite 2 relabelled as 1', openWrapCase(patch(known.wrap2, 6, [0, 1]), 'box'));
  add('wrap-trailing', 'length', 'a trailing byte', openWrapCase(concat(known.wrap1, Uint8Array.of(0)), 'box'));
  add('wrap-field-length', 'length', 'enc_len 31', openWrapCase(patch(known.wrap1, 60, [0, 31]), 'box'));
  add('wrap-other-suite-key', 'suite', 'a box wrap for the hybrid key', openWrapCase(known.wrap1, 'hybrid'));
  {
    const stranger = await sealWrap(
      known.cek,
      { suite: 1, publicKey: fromHex('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f') },
      known.context,
      sequence(32, 0x22),
    );
    add('box-not-mine', 'wrap', 'a wrap for somebody else', openWrapCase(stranger, 'box'));
    add(
      'box-not-mine-relabelled',
      'aead',
      'somebody else’s wrap with my key id',
      openWrapCase(patch(stranger, 12, known.box.keyId), 'box'),
    );
  }

  item(34);
  add('wrap-scope-track', 'format', 'scope 1 with a track', openWrapCase(patch(known.wrap1, 10, [0, 1]), 'box'));
  add('wrap-role', 'format', 'role 0', openWrapCase(patch(known.wrap1, 8, [0]), 'box'));
  item(35);
  {
    const trackWrap = await sealWrap(
      await known.keys.rawTrackKey(1),
      known.box,
      { role: 1, scope: 2, track: 1, coreHash },
      sequence(32, 0x21),
    );
    add('wrap-track-as-epoch', 'wrap', 'a track key offered as the content key', openWrapCase(trackWrap, 'box'));
    add(
      'wrap-track-secret-as-cek',
      'commitment',
      'a track key wrapped as the content key',
      openWrapCase(
        await sealWrap(await known.keys.rawTrackKey(1), known.box, known.context, sequence(32, 0x24)),
        'box',
      ),
    );
  }

  item(0);
  add('honest-box', 'accepted', 'the suite 1 wrap of the vectors', openWrapCase(known.wrap1, 'box'));
  add(
    'honest-hybrid',
    'accepted',
    'the suite 2 wrap of the vectors',
    openWrapCase(known.wrap2, 'hybrid', { minSuite: 2 }),
  );
}
