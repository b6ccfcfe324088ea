import { expect, test } from 'vitest';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { generateDecryptionKey, generateIdentity } from '../../../crypto/seal/identity.ts';
import { DEFAULT_COST, openKeyFile, readKeyFileHeader, sealKeyFile } from '../../../crypto/seal/keyfile.ts';
import { sequence } from '../knownanswers.ts';

const identity = await generateIdentity();
const decryptionKey = await generateDecryptionKey(2);
const prf = sequence(32, 0x11);

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'accepted';
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

test('a suite 2 key comes back, and its header tells anybody whose it is and what it costs', async () => {
  const file = await sealKeyFile({ decryptionKey, identity, passphrase: 'pässphrase' });
  expect(readKeyFileHeader(file)).toMatchObject({
    ...{ suite: 2, cost: DEFAULT_COST, needsPrf: false },
    ...{ identityKey: identity.publicKey, keyId: decryptionKey.keyId },
  });
  const opened = await openKeyFile(file, 'pässphrase');
  expect(opened.decryptionKey).toEqual(decryptionKey);
  expect(opened.identity.seed).toEqual(identity.seed);
  // The same passphrase with a combining diaeresis, as another keyboard sends it.
  expect(await codeOf(openKeyFile(file, 'pa\u0308ssphrase'))).toBe('accepted');
});

test('with a second factor neither the passphrase alone nor another authenticator opens it', async () => {
  const file = await sealKeyFile({ decryptionKey, identity, passphrase: 'correct horse', prf });
  expect(readKeyFileHeader(file).needsPrf).toBe(true);
  expect(await codeOf(openKeyFile(file, 'correct horse', prf))).toBe('accepted');
  expect(await codeOf(openKeyFile(file, 'correct horse'))).toBe('passphrase');
  expect(await codeOf(openKeyFile(file, 'correct horse', sequence(32, 0x12)))).toBe('passphrase');
  expect(await codeOf(openKeyFile(file, 'correct horse', sequence(31, 0x11)))).toBe('length');
});

test('two files of the same keys and passphrase share no sealed byte, because the salt is fresh', async () => {
  const seal = { decryptionKey, identity, passphrase: 'correct horse' };
  const [one, other] = [await sealKeyFile(seal), await sealKeyFile(seal)];
  expect(readKeyFileHeader(one).salt).not.toEqual(readKeyFileHeader(other).salt);
  expect(one.split('\n').at(-3)).not.toBe(other.split('\n').at(-3));
});

test('no file is sealed that no reader would open, or without a passphrase', async () => {
  const seal = { decryptionKey, identity, passphrase: 'x' };
  for (const kdf of [
    { ...DEFAULT_COST, memoryKiB: 65_535 },
    { ...DEFAULT_COST, memoryKiB: 1_048_577 },
    { ...DEFAULT_COST, passes: 2 },
    { ...DEFAULT_COST, lanes: 5 },
  ]) {
    expect(await codeOf(sealKeyFile({ ...seal, kdf }))).toBe('kdf-params');
  }
  expect(await codeOf(sealKeyFile({ ...seal, passphrase: '' }))).toBe('passphrase');
});

test('an error never repeats the passphrase or the file', async () => {
  const file = await sealKeyFile({ decryptionKey, identity, passphrase: 'very secret' });
  const failure = await openKeyFile(file, 'another secret').catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ProtocolError);
  const told = `${String(failure)} ${JSON.stringify(failure)} ${(failure as Error).stack ?? ''}`;
  for (const secret of ['very secret', 'another secret', file.split('\n')[3]!]) expect(told).not.toContain(secret);
});
