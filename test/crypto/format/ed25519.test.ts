import nacl from 'tweetnacl';
import { expect, test } from 'vitest';
import { fromHex } from '../../../crypto/format/bytes.ts';
import {
  checkPublicKey,
  hasNativeEd25519,
  isStrictEngine,
  signedMessage,
  tweetnaclEngine,
  verify,
  webCryptoEngine,
  type VerifyEngine,
} from '../../../crypto/format/ed25519.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { generateSigner, signerFromSeed, tweetnaclSigner } from '../../../crypto/seal/identity.ts';
import { sequence } from '../knownanswers.ts';

test('both engines are found strict; one that takes the cofactored signature too, or that is absent, is not', async () => {
  expect(await isStrictEngine(tweetnaclEngine)).toBe(true);
  expect(await isStrictEngine(webCryptoEngine)).toBe(true);
  const acceptsAll: VerifyEngine = async () => true;
  const absent: VerifyEngine = () => Promise.reject(new Error('NotSupportedError'));
  expect(await isStrictEngine(acceptsAll)).toBe(false);
  expect(await isStrictEngine(absent)).toBe(false);
});

test('WebCrypto and tweetnacl sign the same bytes, and each verifies the other', async () => {
  expect(await hasNativeEd25519()).toBe(true);
  for (let i = 0; i < 8; i++) {
    const [native, portable] = [await signerFromSeed(sequence(32, i)), tweetnaclSigner(sequence(32, i))];
    expect(native.publicKey).toEqual(portable.publicKey);
    const signature = await native.sign('open', sequence(32, 7));
    expect(await portable.sign('open', sequence(32, 7))).toEqual(signature);
    const message = signedMessage('open', sequence(32, 7));
    for (const engine of [webCryptoEngine, tweetnaclEngine]) {
      expect(await engine(native.publicKey, message, signature)).toBe(true);
    }
  }
});

test('a signature holds for its key, label and hash, and for no other', async () => {
  const [signer, other] = [await generateSigner(), await generateSigner()];
  const signature = await signer.sign('chunk', sequence(32, 1));
  expect(await verify(signer.publicKey, 'chunk', sequence(32, 1), signature)).toBe(true);
  expect(await verify(signer.publicKey, 'head', sequence(32, 1), signature)).toBe(false);
  expect(await verify(signer.publicKey, 'chunk', sequence(32, 2), signature)).toBe(false);
  expect(await verify(other.publicKey, 'chunk', sequence(32, 1), signature)).toBe(false);
});

test('what is signed is a hash of 32 bytes and nothing else', async () => {
  const signer = await generateSigner();
  await expect(signer.sign('chunk', sequence(31, 1))).rejects.toMatchObject({ code: 'length' });
  expect(() => signedMessage('chunk', new Uint8Array(33))).toThrow(ProtocolError);
});

test('every key of low order and every other spelling of one is refused before anything is verified', () => {
  const torsion = [
    `01${'00'.repeat(31)}`,
    `ec${'ff'.repeat(30)}7f`,
    '00'.repeat(32),
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  ];
  const notCanonical = ['ed', 'ee', 'ef', 'ff'].map((low) => `${low}${'ff'.repeat(30)}7f`);
  for (const hex of [...torsion, ...notCanonical]) {
    for (const top of [0, 0x80]) {
      const key = fromHex(hex);
      key[31]! |= top;
      expect(() => {
        checkPublicKey(key);
      }, `${hex} ${top}`).toThrow(ProtocolError);
    }
  }
  for (let i = 0; i < 8; i++) checkPublicKey(nacl.sign.keyPair.fromSeed(sequence(32, i)).publicKey);
});
