/** Records that a case file does not hold: receipts, notes, key documents, key files and the texts of keys and ids. */
import { base64, base64urlnopad } from '@scure/base';
import { argon2id } from 'hash-wasm';
import { ds, Fields, h, hkdf, must, orRefuse, same } from './fields.ts';
import { readKey } from './policy.ts';
import { checkEncryptionKey, keyIdOf, mustBeSigned, openGcm, publicKeyOf } from './primitives.ts';
import { ed25519 } from '@noble/curves/ed25519.js';

/** Section 9: the server's countersignature. */
export function checkReceipt(record: Buffer, logKey: Buffer): void {
  const f = new Fields(record, 'ZRRC');
  const state = f.int(1);
  must(state === 1 || state === 2, 'format');
  f.zero(2);
  f.take(16 + 4 + 4 + 32);
  for (let i = 0; i < 3; i++) f.int(8);
  const hash = h('receipt', f.before);
  const signature = f.take(64);
  f.end();
  mustBeSigned(logKey, 'receipt', hash, signature);
}

/** Section 8.2: a note under MK. */
export function openNote(
  record: Buffer,
  metadataKey: Buffer,
  view: { session: Buffer; epoch: number; purpose: number },
): Buffer {
  const f = new Fields(record, 'ZRNT');
  f.zero(1);
  const [purpose, session, epoch, salt, header] = [f.int(2), f.take(16), f.int(4), f.take(32), f.before];
  const commitment = f.take(32);
  must(f.left >= 16, 'length');
  must(f.left <= 65_536 + 16, 'limit');
  must(purpose === view.purpose && same(session, view.session) && epoch === view.epoch, 'identity');
  const keys = hkdf(metadataKey, salt, Buffer.concat([ds('note'), header]), 76);
  must(same(keys.subarray(44), commitment), 'commitment');
  return openGcm(keys.subarray(0, 32), keys.subarray(32, 44), f.take(f.left), Buffer.alloc(0));
}

/** Section 11: `previous` is the identity that enrolled the replaced key. */
export function checkKeyDocument(record: Buffer, previous: Buffer | undefined): void {
  const f = new Fields(record, 'ZRKD');
  const [identity, suite, key] = [f.take(32), f.int(2), f.take(f.int(2))];
  checkEncryptionKey(suite, key);
  const [created, expires, replaced, operation] = [f.int(8), f.int(8), f.take(16), f.int(1)];
  must(operation >= 1 && operation <= 3 && created < expires, 'format');
  must((operation === 2) !== replaced.equals(Buffer.alloc(16)), 'format');
  const hash = h('keydoc', f.before);
  const signature = f.take(64);
  const second = operation === 2 ? f.take(64) : undefined;
  f.end();
  mustBeSigned(identity, 'keydoc', hash, signature);
  if (!second) return;
  must(previous !== undefined, 'signature');
  mustBeSigned(previous, 'keydoc', hash, second);
}

export function readArmor(text: string): Buffer {
  const match = /^-----BEGIN ZEROREEL KEY FILE-----\n((?:.{64}\n)*.{1,64}\n)-----END ZEROREEL KEY FILE-----$/.exec(
    text.trim().replaceAll('\r\n', '\n'),
  );
  must(match !== null, 'format');
  return orRefuse('format', () => Buffer.from(base64.decode(match[1]!.replaceAll('\n', ''))));
}

/** Section 11: the fields of a key file that anybody can read. */
export function readKeyFile(file: Buffer) {
  must(file.length === 216, 'length');
  const f = new Fields(file, 'ZRKF');
  const [kdf, suite, memorySize, iterations, parallelism] = [f.int(1), f.int(2), f.int(4), f.int(4), f.int(4)];
  must(kdf === 1 && (suite === 1 || suite === 2), 'format');
  must(memorySize >= 65_536 && memorySize <= 1_048_576 && iterations >= 3 && iterations <= 10, 'kdf-params');
  must(parallelism >= 1 && parallelism <= 4, 'kdf-params');
  const factors = f.int(1);
  must(factors < 2, 'format');
  f.zero(3);
  const parts = { salt: f.take(32), identity: f.take(32), keyId: f.take(16), header: f.before };
  return {
    suite,
    cost: { memorySize, iterations, parallelism },
    factors,
    ...parts,
    commitment: f.take(32),
    sealed: f.take(80),
  };
}

/** Opens a key file that has no second factor. */
export async function openKeyFile(file: Buffer, passphrase: string): Promise<Buffer> {
  const { suite, cost, factors, salt, identity, keyId, header, commitment, sealed } = readKeyFile(file);
  must(factors === 0 && passphrase !== '', 'passphrase');
  const password = passphrase.normalize('NFC');
  const stretched = await argon2id({ password, salt, ...cost, hashLength: 32, outputType: 'binary' });
  const ikm = Buffer.concat([stretched, Buffer.alloc(32)]);
  const keys = hkdf(ikm, salt, Buffer.concat([ds('keyfile'), header]), 64);
  must(same(keys.subarray(32), commitment), 'passphrase');
  const seeds = openGcm(keys.subarray(0, 32), Buffer.alloc(12), sealed, header);
  const publicKey = publicKeyOf({ suite, seed: seeds.subarray(0, 32) });
  must(same(keyIdOf(suite, publicKey), keyId), 'key');
  must(same(ed25519.getPublicKey(seeds.subarray(32)), identity), 'key');
  return seeds;
}

export function readEncryptionKey(text: string): void {
  const { prefix, bytes } = orRefuse('format', () => readKey(text));
  const suite = prefix === 'zrbox' ? 1 : prefix === 'zrpq' ? 2 : 0;
  must(suite > 0, 'format');
  checkEncryptionKey(suite, bytes);
}

export function readId(text: string): Buffer {
  must(text.length === 22, 'format');
  return orRefuse('format', () => Buffer.from(base64urlnopad.decode(text)));
}
