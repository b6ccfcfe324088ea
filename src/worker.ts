/** Zeroreel on Cloudflare Workers: the same app and jobs over D1, KV and an S3 store. `wrangler.toml` binds them. */
import { fromBase64Url } from '../crypto/format/bytes.ts';
import { type D1Binding, openD1Store } from './server/adapters/d1.ts';
import { createS3Bucket } from './server/adapters/s3-bucket.ts';
import { type KvBinding, openKvVault } from './server/adapters/vault-kv.ts';
import { importLogSigner } from './server/adapters/webcrypto-signer.ts';
import { createApp } from './server/app.ts';
import { readConfig } from './server/config.ts';
import { abandon } from './server/jobs/abandon.ts';
import { heartbeat } from './server/jobs/heartbeat.ts';
import { publish } from './server/jobs/publish.ts';
import { purge } from './server/jobs/purge.ts';
import { scrub } from './server/jobs/scrub.ts';
import { sweep } from './server/jobs/sweep.ts';
import { createWitnessing } from './server/jobs/witness.ts';
import type { Ports } from './server/ports.ts';

interface Env extends Record<string, unknown> {
  DB: D1Binding;
  VAULT: KvBinding;
  /** Secret: the log's Ed25519 seed, 32 bytes, base64url. */
  ZEROREEL_LOG_KEY: string;
}

interface Server extends Ports {
  witness: () => Promise<number>;
}

/** One set of ports for as long as the isolate lives. */
const cache = new WeakMap<Env, Promise<Server>>();

function portsOf(env: Env): Promise<Server> {
  let ports = cache.get(env);
  if (!ports) cache.set(env, (ports = openPorts(env)));
  return ports;
}

async function openPorts(env: Env): Promise<Server> {
  const settings = Object.entries(env).filter((pair): pair is [string, string] => typeof pair[1] === 'string');
  const { storage, bucket, region, logOrigin, vaultHorizonMs, witnesses } = readConfig(Object.fromEntries(settings));
  if (storage.kind !== 's3')
    throw new Error('expected ZEROREEL_S3_ENDPOINT: a Worker has no folder to embed a bucket in');
  const ports: Ports = {
    store: openD1Store(env.DB),
    vault: openKvVault(env.VAULT, vaultHorizonMs),
    bucket: createS3Bucket({ ...storage, bucket, region }),
    clock: { now: () => Date.now() },
    signer: await importLogSigner(fromBase64Url(env.ZEROREEL_LOG_KEY), logOrigin),
  };
  return { ...ports, witness: createWitnessing(ports, witnesses, console.error) };
}

/** By the cron expressions of wrangler.toml. Publishing also follows every request that may have written an entry. */
const SCHEDULE: Record<string, (ports: Server) => Promise<unknown>> = {
  '* * * * *': async (ports) => [await purge(ports), await publish(ports), await ports.witness()],
  '*/5 * * * *': abandon,
  '7 * * * *': heartbeat,
  '37 * * * *': sweep,
  '20 3 * * *': (ports) => scrub(ports, { sample: 20 }),
};

interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

export default {
  async fetch(request: Request, env: Env, context: Context): Promise<Response> {
    const ports = await portsOf(env);
    const response = await createApp(ports, { report: console.error }).fetch(request);
    if (request.method !== 'GET' && response.ok) context.waitUntil(publish(ports));
    return response;
  },

  async scheduled({ cron }: { cron: string }, env: Env): Promise<void> {
    const ports = await portsOf(env);
    await SCHEDULE[cron]?.(ports);
    await publish(ports);
  },
};
