import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodeVkey, verifierKey } from '../../crypto/log/note.ts';
import { withSecretFiles } from '../../src/server/adapters/keyring.ts';
import { ConfigError, readConfig, takeEnvironment } from '../../src/server/config.ts';
import { LOG, VKEY } from '../crypto/log/keys.ts';

const WITNESS_VKEY = encodeVkey(verifierKey('w.example.org', LOG.publicKey, 4));

const S3 = {
  ZEROREEL_S3_ENDPOINT: 'https://s3.example.org',
  ZEROREEL_S3_ACCESS_KEY_ID: 'AK',
  ZEROREEL_S3_SECRET_ACCESS_KEY: 'a secret',
};

describe('settings', () => {
  test('have defaults that run one machine alone, reachable from it alone', () => {
    expect(readConfig({})).toEqual({
      dataDir: 'data',
      host: '127.0.0.1',
      port: 8600,
      rateLimits: 'on',
      logOrigin: 'localhost/zeroreel',
      vaultHorizonMs: 86_400_000,
      witnesses: [],
      operator: { controller: null, privacyContact: null },
      quotas: { recordingBytes: 100e9, recordingMs: 86_400_000, examBytes: null, tracks: 16 },
      logLevel: 'info',
      bucket: 'zeroreel',
      region: 'us-east-1',
      storage: { kind: 'embedded', port: 8601 },
    });
  });

  test('that are secret may be in a file, and then not in the environment too', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'zeroreel-config-')), 'secret');
    writeFileSync(path, 'from a file\nnot this\n');
    const { ZEROREEL_S3_SECRET_ACCESS_KEY: _, ...rest } = S3;
    const given = { ...rest, ZEROREEL_S3_SECRET_ACCESS_KEY_FILE: path };
    expect(readConfig(withSecretFiles(given)).storage).toMatchObject({
      credentials: { accessKeyId: 'AK', secretAccessKey: 'from a file' },
    });
    expect(() => withSecretFiles({ ...given, ...S3 })).toThrow(/^ZEROREEL_S3_SECRET_ACCESS_KEY: .*found both$/);
    rmSync(dirname(path), { recursive: true });
    expect(() => withSecretFiles(given)).toThrow(/^ZEROREEL_S3_SECRET_ACCESS_KEY_FILE: the file cannot be read$/);
  });

  test('that are empty were not made', () => {
    expect(readConfig({ ZEROREEL_PORT: '', ZEROREEL_S3_ENDPOINT: '' })).toEqual(readConfig({}));
  });

  test('name another store, with its credentials', () => {
    expect(readConfig(S3).storage).toEqual({
      kind: 's3',
      endpoint: 'https://s3.example.org',
      credentials: { accessKeyId: 'AK', secretAccessKey: 'a secret' },
      pathStyle: true,
    });
  });

  test('name the origin under which the embedded bucket is seen', () => {
    expect(readConfig({ ZEROREEL_S3_PUBLIC_ENDPOINT: 'https://objects.example.org/' }).storage).toEqual({
      kind: 'embedded',
      port: 8601,
      publicEndpoint: 'https://objects.example.org',
    });
  });

  test('name witnesses, each by where it is asked and the key that it signs with', () => {
    const { witnesses } = readConfig({
      ZEROREEL_WITNESSES: `https://w.example.org/api/ ${WITNESS_VKEY}, http://127.0.0.1:8 ${WITNESS_VKEY}`,
    });
    expect(witnesses.map(({ url, key }) => [url, key.name, key.type])).toEqual([
      ['https://w.example.org/api', 'w.example.org', 4],
      ['http://127.0.0.1:8', 'w.example.org', 4],
    ]);
  });

  test('name two clusters, or none', () => {
    const url = 'postgres://zeroreel@db.example.org/zeroreel?sslmode=verify-full';
    const vaultUrl = 'postgresql:///vault?host=/run/vault';
    const { database } = readConfig({ ZEROREEL_DATABASE_URL: url, ZEROREEL_VAULT_URL: vaultUrl });
    expect(database).toEqual({ url, vaultUrl });
  });

  test.each([
    ['ZEROREEL_WITNESSES', { ZEROREEL_WITNESSES: WITNESS_VKEY }],
    ['ZEROREEL_WITNESSES', { ZEROREEL_WITNESSES: 'https://w.example.org' }],
    ['ZEROREEL_WITNESSES', { ZEROREEL_WITNESSES: `https://w.example.org ${VKEY}` }],
    ['ZEROREEL_PORT', { ZEROREEL_PORT: '65536' }],
    ['ZEROREEL_PORT', { ZEROREEL_PORT: '-1' }],
    ['ZEROREEL_PORT', { ZEROREEL_PORT: '80.5' }],
    ['ZEROREEL_PORT', { ZEROREEL_PORT: ' ' }],
    ['ZEROREEL_PORT', { ZEROREEL_PORT: '0x50' }],
    ['ZEROREEL_BUCKET_PORT', { ZEROREEL_BUCKET_PORT: 'x' }],
    ['ZEROREEL_LOG_ORIGIN', { ZEROREEL_LOG_ORIGIN: 'with space' }],
    ['ZEROREEL_LOG_ORIGIN', { ZEROREEL_LOG_ORIGIN: 'with+plus' }],
    ['ZEROREEL_S3_ENDPOINT', { ...S3, ZEROREEL_S3_ENDPOINT: 's3.example.org' }],
    ['ZEROREEL_S3_ENDPOINT', { ...S3, ZEROREEL_S3_ENDPOINT: 'ftp://s3.example.org' }],
    ['ZEROREEL_S3_BUCKET', { ZEROREEL_S3_BUCKET: 'ab' }],
    ['ZEROREEL_S3_PATH_STYLE', { ZEROREEL_S3_PATH_STYLE: 'yes' }],
    ['ZEROREEL_VAULT_HORIZON_HOURS', { ZEROREEL_VAULT_HORIZON_HOURS: '49' }],
    ['go together', { ZEROREEL_DATABASE_URL: 'postgres://zeroreel:a secret@db.example.org/zeroreel' }],
    ['go together', { ZEROREEL_VAULT_URL: 'postgres:///vault' }],
    ['ZEROREEL_VAULT_URL', { ZEROREEL_DATABASE_URL: 'postgres:///rows', ZEROREEL_VAULT_URL: 'mysql://a secret' }],
    ['ZEROREEL_S3_ENDPOINT needs', { ZEROREEL_S3_ENDPOINT: S3.ZEROREEL_S3_ENDPOINT }],
    ['ZEROREEL_S3_ENDPOINT needs', { ...S3, ZEROREEL_S3_SECRET_ACCESS_KEY: '' }],
  ])('that are wrong are named, and their values are not: %s %#', (name, environment) => {
    const read = () => readConfig(environment);
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(name);
    expect(read).not.toThrow(/a secret|65536|with space/);
  });

  test('with secrets in them are taken out of the environment, and no other', () => {
    const secret = ['ZEROREEL_S3_SECRET_ACCESS_KEY', 'ZEROREEL_DATABASE_URL', 'ZEROREEL_VAULT_URL'];
    const open = ['ZEROREEL_PUBLIC_URL', 'ZEROREEL_ADMIN_TOKEN_FILE', 'PATH'];
    const environment = Object.fromEntries([...secret, ...open].map((name) => [name, name]));
    const all = { ...environment };
    expect(takeEnvironment(environment)).toEqual(all);
    expect(Object.keys(environment)).toEqual(open);
  });
});
