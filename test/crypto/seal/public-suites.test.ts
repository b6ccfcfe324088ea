import { ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import nacl from 'tweetnacl';
import { afterAll, describe, expect, test } from 'vitest';
import { concat, equal, fromHex, isZero, toHex } from '../../../crypto/format/bytes.ts';
import { tweetnaclEngine, verifyMessage, webCryptoEngine, hasNativeEd25519 } from '../../../crypto/format/ed25519.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { checkEncryptionKey, SUITE_HYBRID } from '../../../crypto/format/ids.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { decapsulate, encapsulate, keySchedule } from '../../../crypto/seal/hybrid.ts';
import { hkdf, hkdfBase } from '../../../crypto/seal/schedule.ts';
import { sealBox } from '../../../crypto/seal/box.ts';
import { nodeSegments, webCryptoSegments } from '../../../crypto/seal/segments.ts';
import { havePublicVectors, publicVectors, type Wycheproof } from '../publicvectors.ts';

const counts: Record<string, number> = {};
const count = (suite: string): void => {
  counts[suite] = (counts[suite] ?? 0) + 1;
};

const SEGMENT_ENGINES = [webCryptoSegments, ...(nodeSegments ? [nodeSegments] : [])];

/** The mark of an input that the engine refused; everything else it answers is hex. */
const REFUSED = 'refused';
async function hexOrRefused(work: () => Promise<Uint8Array> | Uint8Array): Promise<string> {
  try {
    return toHex(await work());
  } catch {
    return REFUSED;
  }
}

interface Cctv {
  number: number;
  key: string;
  sig: string;
  msg: string;
  flags: string[] | null;
}

/** What V-strict refuses of CCTV's flags. */
const STRICT_REFUSALS = ['low_order_A', 'low_order_R', 'low_order_residue', 'non_canonical_A', 'non_canonical_R'];

describe.skipIf(!havePublicVectors)('public suites', () => {
  test('V-strict decides Wycheproof Ed25519 as it asks, the same on every engine', async () => {
    expect(await hasNativeEd25519()).toBe(true);
    const file = publicVectors<Wycheproof<{ publicKey: { pk: string } }, { msg: string; sig: string }>>(
      'wycheproof_ed25519.json',
      { testGroups: [] },
    );
    for (const { publicKey, tests } of file.testGroups) {
      for (const { tcId, msg, sig, result } of tests) {
        const input = [fromHex(publicKey.pk), fromHex(msg), fromHex(sig)] as const;
        for (const engine of [tweetnaclEngine, webCryptoEngine]) {
          expect(await verifyMessage(...input, engine), `tcId ${tcId}`).toBe(result === 'valid');
        }
        count('ed25519 wycheproof');
      }
    }
  });

  test('V-strict decides CCTV Ed25519 by its flags, the same on every engine', async () => {
    for (const { number, key, sig, msg, flags } of publicVectors<Cctv[]>('cctv_ed25519.json', [])) {
      const input = [fromHex(key), new TextEncoder().encode(msg), fromHex(sig)] as const;
      const isRefused = STRICT_REFUSALS.some((flag) => flags?.includes(flag));
      for (const engine of [tweetnaclEngine, webCryptoEngine]) {
        expect(await verifyMessage(...input, engine), `number ${number}`).toBe(!isRefused);
      }
      count('ed25519 cctv');
    }
  });

  test('AES-GCM of WebCrypto opens what is valid and refuses the rest, at the 96-bit nonce that is used here', async () => {
    interface Vector {
      key: string;
      iv: string;
      aad: string;
      msg: string;
      ct: string;
      tag: string;
    }
    const file = publicVectors<Wycheproof<{ ivSize: number }, Vector>>('wycheproof_aes_gcm.json', { testGroups: [] });
    for (const { ivSize, tests } of file.testGroups) {
      if (ivSize !== 96) continue;
      for (const { tcId, key, iv, aad, msg, ct, tag, result } of tests) {
        const usages: KeyUsage[] = ['encrypt', 'decrypt'];
        const aes = await crypto.subtle.importKey('raw', fromHex(key), 'AES-GCM', false, usages).catch(() => undefined);
        if (!aes) {
          // Chromium has no AES-192, which nothing here uses.
          expect(fromHex(key), `tcId ${tcId}`).toHaveLength(24);
          continue;
        }
        const parameters = { name: 'AES-GCM', iv: fromHex(iv), additionalData: fromHex(aad) };
        const opened = await hexOrRefused(
          async () => new Uint8Array(await crypto.subtle.decrypt(parameters, aes, fromHex(ct + tag))),
        );
        expect(opened, `tcId ${tcId}`).toBe(result === 'valid' ? msg : REFUSED);
        if (result === 'valid') {
          const sealed = await crypto.subtle.encrypt(parameters, aes, fromHex(msg));
          expect(toHex(new Uint8Array(sealed)), `tcId ${tcId}`).toBe(ct + tag);
        }
        // What seals and opens segments takes keys of 256 bits alone, on each engine that is here.
        for (const engine of key.length === 64 ? SEGMENT_ENGINES : []) {
          const [nonce, place, segment] = [fromHex(iv), fromHex(aad), fromHex(ct + tag)];
          const opener = await engine.importKey(fromHex(key), 'decrypt');
          const clear = await hexOrRefused(
            async () => (await opener.open(nonce, place, segment, await sha256(segment)))!,
          );
          expect(clear, `tcId ${tcId}`).toBe(result === 'valid' ? msg : REFUSED);
          expect(await opener.open(nonce, place, segment, new Uint8Array(32)), `tcId ${tcId}`).toBeUndefined();
          if (result === 'valid') {
            const object = new Uint8Array(segment.length);
            const digest = await (
              await engine.importKey(fromHex(key), 'encrypt')
            ).seal(nonce, place, fromHex(msg), object);
            expect([toHex(object), toHex(digest)], `tcId ${tcId}`).toEqual([ct + tag, toHex(await sha256(segment))]);
          }
          count('aes-gcm of segments');
        }
        count('aes-gcm');
      }
    }
  });

  test('HKDF-SHA-256 of WebCrypto gives the known output and refuses what is too long', async () => {
    const file = publicVectors<
      Wycheproof<object, { ikm: string; salt: string; info: string; size: number; okm: string }>
    >('wycheproof_hkdf_sha256.json', { testGroups: [] });
    for (const { tcId, ikm, salt, info, size, okm, result } of file.testGroups.flatMap(({ tests }) => tests)) {
      const derived = await hexOrRefused(async () =>
        hkdf(await hkdfBase(fromHex(ikm)), fromHex(salt), fromHex(info), size),
      );
      expect(derived, `tcId ${tcId}`).toBe(result === 'valid' ? okm : REFUSED);
      count('hkdf');
    }
  });

  test('X25519 of tweetnacl gives the known secret, and a box refuses every zero one', async () => {
    const file = publicVectors<Wycheproof<object, { public: string; private: string; shared: string }>>(
      'wycheproof_x25519.json',
      { testGroups: [] },
    );
    let zeros = 0;
    for (const { tcId, public: publicHex, private: privateHex, shared } of file.testGroups.flatMap(
      ({ tests }) => tests,
    )) {
      const [point, scalar] = [fromHex(publicHex), fromHex(privateHex)];
      expect(toHex(nacl.scalarMult(scalar, point)), `tcId ${tcId}`).toBe(shared);
      const sealing = sealBox(new Uint8Array(32), point, new Uint8Array(0), scalar);
      if (isZero(fromHex(shared))) {
        zeros++;
        await expect(sealing, `tcId ${tcId}`).rejects.toMatchObject({ code: 'zero-shared-secret' });
      } else {
        expect((await sealing).ciphertext, `tcId ${tcId}`).toHaveLength(80);
      }
      count('x25519');
    }
    expect(zeros).toBe(31);
  });

  test('ML-KEM-768 of noble makes, encapsulates to and decapsulates with the known keys', async () => {
    const made = publicVectors<Wycheproof<object, { seed: string; ek: string; dk: string }>>(
      'wycheproof_mlkem_768_keygen_seed.json',
      { testGroups: [] },
    );
    for (const { tcId, seed, ek, dk } of made.testGroups.flatMap(({ tests }) => tests)) {
      const keys = ml_kem768.keygen(fromHex(seed));
      expect([toHex(keys.publicKey), toHex(keys.secretKey)], `tcId ${tcId}`).toEqual([ek, dk]);
      count('ml-kem-768 keygen');
    }
    const opened = publicVectors<Wycheproof<object, { seed: string; c: string; K: string }>>(
      'wycheproof_mlkem_768.json',
      { testGroups: [] },
    );
    for (const { tcId, seed, c, K, result } of opened.testGroups.flatMap(({ tests }) => tests)) {
      const secret = await hexOrRefused(() =>
        ml_kem768.decapsulate(fromHex(c), ml_kem768.keygen(fromHex(seed)).secretKey),
      );
      expect(secret, `tcId ${tcId}`).toBe(result === 'valid' ? K : REFUSED);
      count('ml-kem-768 decapsulate');
    }
  });

  test('a hybrid key is refused for exactly the ML-KEM keys that Wycheproof calls invalid', async () => {
    const file = publicVectors<Wycheproof<object, { m: string; ek: string; c: string; K: string }>>(
      'wycheproof_mlkem_768_encaps.json',
      { testGroups: [] },
    );
    const curveHalf = nacl.box.keyPair.fromSecretKey(new Uint8Array(32).fill(1)).publicKey;
    for (const { tcId, m, ek, c, K, result } of file.testGroups.flatMap(({ tests }) => tests)) {
      const answer = await hexOrRefused(() => {
        const { cipherText, sharedSecret } = ml_kem768.encapsulate(fromHex(ek), fromHex(m));
        return concat(cipherText, sharedSecret);
      });
      expect(answer, `tcId ${tcId}`).toBe(result === 'valid' ? c + K : REFUSED);
      let code = 'accepted';
      try {
        checkEncryptionKey(SUITE_HYBRID, concat(fromHex(ek), curveHalf));
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        code = error.code;
      }
      expect(code, `tcId ${tcId}`).toBe(result === 'valid' ? 'accepted' : 'key');
      count('ml-kem-768 encapsulate');
    }
  });

  test('MLKEM768-X25519 is X-Wing', () => {
    for (const vector of publicVectors<Record<'seed' | 'eseed' | 'ss' | 'pk' | 'ct', string>[]>('xwing.json', [])) {
      expect(toHex(ml_kem768_x25519.keygen(fromHex(vector.seed)).publicKey)).toBe(vector.pk);
      const { encapsulation, sharedSecret } = encapsulate(fromHex(vector.pk), fromHex(vector.eseed));
      expect(toHex(encapsulation)).toBe(vector.ct);
      expect(toHex(sharedSecret)).toBe(vector.ss);
      expect(toHex(decapsulate(encapsulation, fromHex(vector.seed)))).toBe(vector.ss);
      count('x-wing');
    }
  });

  test('the HPKE key schedule gives key and nonce of the HPKE-PQ vectors for this KEM and KDF', async () => {
    interface Vector extends Record<
      'info' | 'ikmE' | 'skRm' | 'pkRm' | 'enc' | 'shared_secret' | 'suite_id' | 'key' | 'base_nonce',
      string
    > {
      mode: number;
      kem_id: number;
      kdf_id: number;
    }
    const vectors = publicVectors<Vector[]>('hpke_pq.json', []).filter(({ kem_id }) => kem_id === 0x647a);
    for (const vector of vectors) {
      const { encapsulation, sharedSecret } = encapsulate(fromHex(vector.pkRm), fromHex(vector.ikmE));
      expect(toHex(encapsulation)).toBe(vector.enc);
      expect(toHex(sharedSecret)).toBe(vector.shared_secret);
      expect(equal(decapsulate(encapsulation, fromHex(vector.skRm)), sharedSecret)).toBe(true);
      count('hpke-pq kem');
      if (vector.kdf_id !== 1) continue;
      const { key, nonce } = await keySchedule(sharedSecret, fromHex(vector.info), fromHex(vector.suite_id));
      expect([toHex(key), toHex(nonce)]).toEqual([vector.key, vector.base_nonce]);
      count('hpke-pq key schedule');
    }
  });
});

afterAll(() => {
  process.stderr.write(`public vectors run: ${JSON.stringify(counts)}\n`);
});
