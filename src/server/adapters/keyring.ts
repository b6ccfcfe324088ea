/** Secrets that the server keeps in its data folder: the log's signing key, the embedded bucket's credentials, the first token. */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, SECRET_SETTINGS } from '../config.ts';
import type { Signer } from '../ports.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The log's key has a file of its own, apart from the database and its backups. */
export const LOG_KEY = 'log.key';
/** The key before a rotation, which signs beside the new one until it is retired (`zeroreel log rotate`). */
export const FORMER_LOG_KEY = 'log.key.former';

/**
 * The log's Ed25519 key from `log.key` (PKCS #8, PEM, mode 0600), made at the first start. A file of its own: what follows
 * from its loss or theft stands in schema/LOG.md.
 */
export function openLogSigner(dataDir: string, origin: string): Signer {
  const pem = keepFile(join(dataDir, LOG_KEY), makeLogKey);
  const signer = signerOf(pem, origin);
  const former = readFormerLogSigner(dataDir, origin);
  return former && !former.publicKey.every((byte, index) => byte === signer.publicKey[index])
    ? { ...signer, former }
    : signer;
}

/** The key that is being retired; undefined where no rotation is under way. */
export function readFormerLogSigner(dataDir: string, origin: string): Signer | undefined {
  try {
    return signerOf(readFileSync(join(dataDir, FORMER_LOG_KEY), 'utf8'), origin);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A fresh Ed25519 key as PKCS #8, PEM. */
export function makeLogKey(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function signerOf(pem: string, origin: string): Signer {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyType !== 'ed25519') throw new Error(`${LOG_KEY}: expected an Ed25519 key`);
  return { origin, publicKey: publicKeyOf(key), sign: async (message) => new Uint8Array(sign(null, message, key)) };
}

function publicKeyOf(key: KeyObject): Uint8Array<ArrayBuffer> {
  const { x } = key.export({ format: 'jwk' });
  return new Uint8Array(Buffer.from(x!, 'base64url'));
}

/** Credentials of the embedded bucket: nobody but this server ever needs them. */
export function openBucketCredentials(dataDir: string): { accessKeyId: string; secretAccessKey: string } {
  const text = keepFile(join(dataDir, 'bucket.key'), () =>
    JSON.stringify({
      accessKeyId: `ZR${randomBytes(9).toString('hex').toUpperCase()}`,
      secretAccessKey: randomBytes(30).toString('base64'),
    }),
  );
  return JSON.parse(text) as { accessKeyId: string; secretAccessKey: string };
}

/**
 * The environment with each secret setting that is given as `NAME_FILE` read from that file's first line: so no secret need stand in an
 * environment, which is inherited and shown. Throws `ConfigError`, which names the setting and never its content.
 */
export function withSecretFiles(environment: Environment): Environment {
  const read: Record<string, string> = {};
  for (const name of SECRET_SETTINGS) {
    const path = environment[`${name}_FILE`];
    if (path === undefined || path === '') continue;
    if (environment[name] !== undefined && environment[name] !== '') {
      throw new ConfigError(`${name}: expected it in the environment or in ${name}_FILE, found both`);
    }
    try {
      read[name] = readFileSync(path, 'utf8').split(/\r?\n/, 1)[0]!;
    } catch {
      throw new ConfigError(`${name}_FILE: the file cannot be read`);
    }
  }
  return { ...environment, ...read };
}

/** Reads a secret, or makes it once, durably and readable by its owner alone. Two starts at once agree on one of the two. */
export function keepFile(path: string, make: () => string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  const file = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(file, make());
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  try {
    linkSync(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(temporary);
  }
  return readFileSync(path, 'utf8');
}
