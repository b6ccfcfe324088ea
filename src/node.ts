/** Zeroreel on one machine: the ports over SQLite, an S3 store or the embedded one, and cron. `npm start` runs it. */
import { mkdirSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { createAdaptorServer } from '@hono/node-server';
import { schedule } from 'node-cron';
import { startEmbeddedBucket } from './server/adapters/embedded-bucket/index.ts';
import { keepFile, openBucketCredentials, openLogSigner } from './server/adapters/keyring.ts';
import { createS3Bucket } from './server/adapters/s3-bucket.ts';
import { openSqliteStore } from './server/adapters/sqlite.ts';
import { openSqliteVault } from './server/adapters/vault-sqlite.ts';
import { createApp } from './server/app.ts';
import { type Config, ConfigError, readConfig } from './server/config.ts';
import { mintToken } from './server/http/staff.ts';
import { abandon } from './server/jobs/abandon.ts';
import { heartbeat } from './server/jobs/heartbeat.ts';
import { publish } from './server/jobs/publish.ts';
import { purge } from './server/jobs/purge.ts';
import { sweep } from './server/jobs/sweep.ts';
import type { Clock, Ports } from './server/ports.ts';

/** When each job runs. A run that finds the one before still at work does nothing. */
const SCHEDULE = {
  publish: '* * * * * *',
  purge: '0 * * * * *',
  abandon: '30 */5 * * * *',
  heartbeat: '15 0 * * * *',
  sweep: '45 30 * * * *',
} as const;

const FIRST_TOKEN_DAYS = 366;

// The SDK's version is pinned to one that supports this Node; its reminder would be the first thing that an operator reads.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

export interface RunningServer {
  /** `http://HOST:PORT` */
  url: string;
  ports: Ports;
  /** The jobs, for whoever does not want to wait for cron. */
  jobs: Record<keyof typeof SCHEDULE, () => Promise<unknown>>;
  /** File with the token of the first administrator. */
  adminTokenFile: string;
  /** Ends gracefully: no new requests, what is under way finishes, files are closed. */
  close(): Promise<void>;
}

export interface StartOptions {
  config: Config;
  clock?: Clock;
  report?: (error: unknown) => void;
}

const SYSTEM_CLOCK: Clock = { now: () => Date.now() };

export async function start({
  config,
  clock = SYSTEM_CLOCK,
  report = reportToStderr,
}: StartOptions): Promise<RunningServer> {
  const dataDir = resolve(config.dataDir);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const signer = openLogSigner(dataDir, config.logOrigin);
  const store = openSqliteStore({ path: join(dataDir, 'zeroreel.db') });
  const vault = openSqliteVault({ path: join(dataDir, 'vault.db'), horizonMs: config.vaultHorizonMs });
  const storage = await openStorage(config, dataDir, clock);
  const ports: Ports = { store, vault, bucket: storage.bucket, clock, signer };
  const adminTokenFile = join(dataDir, 'admin.token');
  if ((await store.tokens()).length === 0) await writeFirstToken(ports, adminTokenFile);

  const jobs = {
    publish: () => publish(ports),
    purge: () => purge(ports),
    abandon: () => abandon(ports),
    heartbeat: () => heartbeat(ports),
    sweep: () => sweep(ports),
  };
  await jobs.heartbeat();
  await jobs.publish();

  const app = createApp(ports, { report });
  const server = createAdaptorServer({ fetch: app.fetch });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    server.listen(config.port, config.host, listening);
  });

  const running = new Set<Promise<unknown>>();
  const tasks = (Object.keys(SCHEDULE) as (keyof typeof SCHEDULE)[]).map((name) =>
    schedule(
      SCHEDULE[name],
      async () => {
        const run = jobs[name]().catch(report);
        running.add(run);
        await run.finally(() => running.delete(run));
      },
      { noOverlap: true, name },
    ),
  );

  let closing: Promise<void> | undefined;
  const close = async () => {
    for (const task of tasks) await task.destroy();
    await new Promise((closed) => {
      server.close(closed);
      if ('closeIdleConnections' in server) server.closeIdleConnections();
    });
    await Promise.all(running);
    await publish(ports);
    await storage.close();
    await vault.close();
    await store.close();
  };
  const { port } = server.address() as AddressInfo;
  return { url: `http://${config.host}:${port}`, ports, jobs, adminTokenFile, close: () => (closing ??= close()) };
}

async function openStorage({ storage, bucket, region, host }: Config, dataDir: string, clock: Clock) {
  if (storage.kind === 's3') {
    const { kind: _, ...where } = storage;
    return { bucket: createS3Bucket({ ...where, bucket, region, clock }), close: () => Promise.resolve() };
  }
  const credentials = openBucketCredentials(dataDir);
  const dir = join(dataDir, 'bucket');
  const embedded = await startEmbeddedBucket({
    dir,
    credentials,
    region,
    buckets: [bucket],
    clock,
    port: storage.port,
    host,
  });
  const { endpoint, close } = embedded;
  return { bucket: createS3Bucket({ endpoint, credentials, bucket, region, clock }), close };
}

/** The one secret of a first start; it is in a file that only the operator can read, and never in a log. */
async function writeFirstToken({ store, clock }: Ports, path: string): Promise<void> {
  const { token } = await mintToken(store, 'admin', 'first administrator', clock.now(), FIRST_TOKEN_DAYS);
  keepFile(path, () => `${token}\n`);
}

function reportToStderr(error: unknown): void {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
}

async function main(): Promise<void> {
  const server = await start({ config: readConfig(process.env) });
  console.error(`zeroreel: serving ${server.url}; the first administrator's token is in ${server.adminTokenFile}`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      console.error('zeroreel: finishing what is under way');
      void server.close().then(() => process.exit(0), reportToStderr);
    });
  }
}

if (process.argv[1] === import.meta.filename) {
  main().catch((error: unknown) => {
    console.error(error instanceof ConfigError ? `zeroreel: ${error.message}` : error);
    process.exitCode = 1;
  });
}
