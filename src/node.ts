/** Zeroreel on one machine: the ports over SQLite, an S3 store or the embedded one, and cron. `npm start` runs it. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import { type Logger, schedule } from 'node-cron';
import { probeBucket } from './server/adapters/bucket-probe.ts';
import { startEmbeddedBucket } from './server/adapters/embedded-bucket/index.ts';
import { openDatabases } from './server/adapters/databases.ts';
import { listen, listenForMetrics } from './server/adapters/http-server.ts';
import { watchJobs } from './server/adapters/watched-jobs.ts';
import { keepFile, openBucketCredentials, openLogSigner, withSecretFiles } from './server/adapters/keyring.ts';
import { type Logger as Log, openLog, type Report, reporter } from './server/adapters/log.ts';
import { keepAnchor, removeUnfinishedAnchors, requireLogKey, requireOwnLog } from './server/adapters/log-anchor.ts';
import { createMetrics } from './server/adapters/metrics.ts';
import { metricsRoutes } from './server/adapters/metrics-routes.ts';
import { openPages } from './server/adapters/pages.ts';
import { createMovingBucket } from './server/adapters/moving-bucket.ts';
import { createRenewedBucket } from './server/adapters/renewed-bucket.ts';
import { createS3Bucket, publicOriginOf } from './server/adapters/s3-bucket.ts';
import { createMemoryLimiter } from './server/adapters/limiter-memory.ts';
import { requestIdOf } from './server/adapters/requests.ts';
import type { Tracing } from './server/adapters/tracing.ts';
import { type AppOptions, createApp } from './server/app.ts';
import { type Config, ConfigError, readConfig, type StoragePlace, takeEnvironment } from './server/config.ts';
import type { Surroundings } from './server/http/health.ts';
import { issueSetup, keepFirstToken } from './server/http/staff.ts';
import { abandon } from './server/jobs/abandon.ts';
import { attest } from './server/jobs/attest.ts';
import { heartbeat } from './server/jobs/heartbeat.ts';
import { publish } from './server/jobs/publish.ts';
import { purge } from './server/jobs/purge.ts';
import { announceRotation } from './server/jobs/rotation.ts';
import { scrub } from './server/jobs/scrub.ts';
import { sweep } from './server/jobs/sweep.ts';
import { createWitnessing } from './server/jobs/witness.ts';
import { BucketError, type Clock, type Ports } from './server/ports.ts';
import { StartRefusal } from './server/start-refusal.ts';
import { tellAll, type Telemetry } from './server/telemetry.ts';

/** When each job runs. A run that finds the one before still at work does nothing. */
const SCHEDULE = {
  purge: '0 * * * * *',
  abandon: '30 */5 * * * *',
  heartbeat: '15 0 * * * *',
  sweep: '45 30 * * * *',
  attest: '20 10 * * * *',
  scrub: '10 20 3 * * *',
} as const;

/**
 * Jobs that run again this long after they have ended: an entry is published within a second of its commit, witnesses permitting cosigned;
 * the store's credentials are looked for in their files.
 */
const PULSE = { publish: 250, witness: 250, renew: 5000 } as const;

/** Recordings whose objects the nightly scrub looks at, chosen at random. */
const SCRUB_SAMPLE = 200;

/** Where `npm run build` leaves the pages. */
const PAGES_DIR = new URL('../dist', import.meta.url).pathname;

/** The setup link again, for `zeroreel setup`; whoever reads the data folder could make a token anyway. */
const SETUP_FILE = 'setup.link';

/** A server is not ready with less than this on the disk of its data folder. */
const LEAST_FREE_BYTES = 64 * 1024 * 1024;

// The SDK's version is pinned to one that supports this Node; its reminder would be the first thing that an operator reads.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

export interface RunningServer {
  /** `http://HOST:PORT` */
  url: string;
  /** Whether the pages were built, and are served. */
  hasPages: boolean;
  ports: Ports;
  /** The jobs, for whoever does not want to wait for cron. */
  jobs: Record<keyof typeof SCHEDULE | keyof typeof PULSE, () => Promise<unknown>>;
  /** Lets the first administrator in, once and for a day; undefined where there is a token already. Behind its `#` is a secret. */
  setupLink: string | undefined;
  /** Where the metrics have a port of their own. */
  metricsUrl: string | undefined;
  /** Ends gracefully: no new requests, what is under way finishes, files are closed. */
  close(): Promise<void>;
}

export interface StartOptions {
  config: Config;
  clock?: Clock;
  /** Told of what fails, in place of the log. */
  report?: Report;
  /** Default: lines of JSON on standard error. */
  log?: Log;
  /** Whether cron runs the jobs; default true. Who says false runs `jobs` in time. */
  isScheduled?: boolean;
  /** The settings again: secrets that are in files may have been replaced. Absent: nothing is ever read again. */
  readAgain?: () => Config;
  /** Whether the bucket is probed before anything is served; default: as `isScheduled`. */
  isProbed?: boolean;
}

const SYSTEM_CLOCK: Clock = { now: () => Date.now() };

export async function start(options: StartOptions): Promise<RunningServer> {
  const { config, clock = SYSTEM_CLOCK, isScheduled = true } = options;
  const { isProbed = isScheduled, log = openLog(config.logLevel ?? 'warn') } = options;
  const { report = reporter(log) } = options;
  const dataDir = resolve(config.dataDir);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const opened: { close(): Promise<void> }[] = [];
  const closeAll = async () => {
    for (const part of opened.toReversed()) await part.close();
  };
  let state: 'starting' | 'serving' | 'stopping' = 'starting';
  try {
    // Databases may take minutes to migrate: whoever asks meanwhile is told so.
    const http = await listen(config);
    opened.push(http);
    const tracing = config.traces && (await openTraces(config.traces));
    if (tracing) opened.push(tracing);
    const { store, vault } = await openDatabases(config, dataDir, report);
    opened.push(store, vault);
    const listeners: Partial<Telemetry>[] = [];
    const telemetry = tellAll(listeners);
    const isWatched = config.metrics !== undefined || tracing !== undefined;
    const storage = await openStorage(config, dataDir, clock, isWatched ? telemetry : undefined);
    opened.push(storage);
    await requireLogKey(store, dataDir);
    const signer = openLogSigner(dataDir, config.logOrigin);
    await requireOwnLog(store, signer, dataDir);
    removeUnfinishedAnchors(dataDir);
    await announceRotation(store, signer, clock);
    const ports: Ports = { store, vault, bucket: storage.bucket, clock, signer, ...(isWatched && { telemetry }) };
    const metrics = config.metrics && createMetrics(ports, () => freeBytes(dataDir));
    if (metrics) listeners.push(metrics.telemetry);
    if (tracing) listeners.push(tracing.telemetry);
    const { adminTokenFile } = config;
    // The file comes first: a crash between the two, or two starts at once, end with the file's token being the one that counts.
    if (adminTokenFile !== undefined) {
      await keepFirstToken(ports, (make) => keepFile(adminTokenFile, () => `${make()}\n`).trim());
    }

    const jobs = watchJobs(
      {
        publish: publisher(ports, dataDir),
        witness: createWitnessing(ports, config.witnesses, report),
        purge: () => purge(ports),
        abandon: () => abandon(ports),
        heartbeat: () => heartbeat(ports),
        sweep: () => sweep(ports),
        attest: () => attest(ports, probeBucket),
        scrub: () => scrub(ports, { sample: SCRUB_SAMPLE }),
        renew: () => storage.renew(options.readAgain?.()),
      },
      { log, metrics, tracing },
    );
    if (isProbed) await attestOrGoOn(jobs.attest, report);
    await jobs.heartbeat();
    await jobs.publish();

    const pages = openPages({ dir: PAGES_DIR, bucketOrigin: storage.publicOrigin });
    const { publicUrl, operator, quotas } = config;
    const surroundings: Surroundings = {
      state: () => (state === 'serving' && isRestoring(dataDir) ? 'restoring' : state),
      hasRoom: async () => (await freeBytes(dataDir)) >= LEAST_FREE_BYTES,
    };
    const requestIdOfAnswer = (c: Context) => requestIdOf(c.env as Partial<HttpBindings>);
    const app = createApp(ports, {
      ...{ report, requestIdOf: requestIdOfAnswer, surroundings },
      ...{ pages, publicUrl, operator, quotas, oidc: config.oidc },
      addressOf: addressReader(config),
      // Calls are counted in this process.
      limiter: config.rateLimits && createMemoryLimiter(),
    });
    let metricsUrl: string | undefined;
    if (metrics && config.metrics) {
      const { token, listen: own } = config.metrics;
      if (token !== undefined) app.route('/', metricsRoutes(metrics, token));
      if (own) {
        const apart = await listenForMetrics(metrics, own, token);
        opened.push(apart);
        metricsUrl = `${apart.url}/metrics`;
      }
    }
    http.serve(app, { log, metrics, tracing });
    state = 'serving';
    const cron = isScheduled ? startCron(jobs, report) : undefined;

    const setupLink = await keepSetupLink(ports, config.publicUrl ?? http.url, dataDir);

    let closing: Promise<void> | undefined;
    const close = async () => {
      state = 'stopping';
      log.info('stopping');
      await cron?.close();
      await http.close();
      await jobs.publish();
      await closeAll();
    };
    log.info(
      { pages: pages !== undefined, metrics: config.metrics !== undefined, traces: tracing !== undefined },
      'serving',
    );
    return {
      url: http.url,
      hasPages: pages !== undefined,
      ports,
      jobs,
      setupLink,
      metricsUrl,
      close: () => (closing ??= close()),
    };
  } catch (error) {
    // A half-started server would keep the process, and the files, for ever.
    await closeAll();
    throw error;
  }
}

/** A crash between the two leaves a kept checkpoint that is older than the database, which is no contradiction. */
function publisher(ports: Ports, dataDir: string): () => Promise<number> {
  let kept = 0;
  return async () => {
    const size = await publish(ports);
    if (size === kept) return size;
    const newest = await ports.store.newestCheckpoint();
    if (newest) keepAnchor(dataDir, newest.note);
    kept = size;
    return size;
  };
}

/**
 * A bucket that is unfit, refuses the credentials or is not there keeps the server from starting. One that does not answer does
 * not: keys of what is due die on time whatever the bucket does (jobs/purge.ts), and cron looks at it again.
 */
async function attestOrGoOn(attestNow: () => Promise<unknown>, report: Report): Promise<void> {
  try {
    await attestNow();
  } catch (error) {
    if (!(error instanceof BucketError)) throw error;
    if (error.code !== 'unavailable') {
      throw new StartRefusal(
        `the bucket cannot be used: ${error.message}`,
        'endpoint, bucket name, credentials: `zeroreel doctor --bucket` shows what it answers',
        { cause: error },
      );
    }
    report(error);
  }
}

/** A client's own address, or what the proxy in front says; never that of the proxy. Read for each call, and kept by nobody. */
function addressReader({ clientAddressHeader: header }: Config): NonNullable<AppOptions['addressOf']> {
  return (c: Context) => {
    if (header !== undefined) return c.req.header(header)?.split(',').at(-1)?.trim();
    const address = (c.env as Partial<HttpBindings>).incoming?.socket.remoteAddress;
    return address === undefined || /^(?:::ffff:)?127\.|^::1$/.test(address) ? undefined : address;
  };
}

/** Its packages are optional: who traces nothing need not have them. */
async function openTraces(traces: NonNullable<Config['traces']>): Promise<Tracing> {
  const { openTracing } = await import('./server/adapters/tracing.ts').catch((error: unknown) => {
    throw new StartRefusal(
      'traces are configured, and the packages of OpenTelemetry are not installed',
      '`npm ci` without `--omit=optional`; or no OTEL_EXPORTER_OTLP_ENDPOINT',
      { cause: error },
    );
  });
  return openTracing(traces);
}

async function freeBytes(dataDir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dataDir);
  return bavail * bsize;
}

/** Whether a backup is being put back into this folder (scripts/backup/restore.ts): what is served meanwhile is about to be replaced. */
function isRestoring(dataDir: string): boolean {
  return existsSync(join(dataDir, 'zeroreel.db.restoring'));
}

function startCron(jobs: RunningServer['jobs'], report: Report) {
  // A run that comes a second late is no news: every job looks at what is due, not at when it is called.
  const ignore = () => undefined;
  const error: Logger['error'] = (message, cause) => {
    report(cause ?? message);
  };
  const logger: Logger = { info: ignore, warn: ignore, debug: ignore, error };
  const running = new Set<Promise<unknown>>();
  const tasks = (Object.keys(SCHEDULE) as (keyof typeof SCHEDULE)[]).map((name) =>
    schedule(
      SCHEDULE[name],
      async () => {
        const run = jobs[name]().catch(report);
        running.add(run);
        await run.finally(() => running.delete(run));
      },
      { noOverlap: true, name, logger },
    ),
  );
  const pulses = (Object.keys(PULSE) as (keyof typeof PULSE)[]).map((name) => beat(jobs[name], PULSE[name], report));
  return {
    close: async () => {
      for (const task of tasks) await task.destroy();
      for (const pulse of pulses) await pulse.close();
      await Promise.all(running);
    },
  };
}

/** Runs `job` over and over, with a pause between: never twice at once, whatever one run takes. */
function beat(job: () => Promise<unknown>, pauseMs: number, report: Report) {
  let isClosed = false;
  let timer: NodeJS.Timeout;
  let running: Promise<unknown> = Promise.resolve();
  const wait = () => {
    if (isClosed) return;
    timer = setTimeout(() => {
      running = job().catch(report).finally(wait);
    }, pauseMs);
  };
  wait();
  return {
    close: async () => {
      isClosed = true;
      clearTimeout(timer);
      await running;
    },
  };
}

/** The bucket, and while objects are moved the former one behind it. The embedded endpoint runs where either of them is in it. */
async function openStorage(config: Config, dataDir: string, clock: Clock, telemetry: Telemetry | undefined) {
  const watched = telemetry && { watch: (operation: string) => telemetry.asked(operation) };
  const places = [pick(config), ...(config.former ? [config.former] : [])];
  const inside = places.filter(({ storage }) => storage.kind === 'embedded');
  const embedded =
    inside[0] &&
    (await startEmbedded(
      inside[0],
      inside.map(({ bucket }) => bucket),
    ));
  const [current, former] = places.map(open);
  return {
    /** Signs with the credentials of these settings, if they are others; answers whether they are. */
    renew: async (settings: Config | undefined): Promise<boolean> => {
      if (settings?.storage.kind !== 's3') return false;
      return (await current!.renew?.(settings.storage.credentials, { now: () => Date.now() })) ?? false;
    },
    bucket: former ? createMovingBucket(current!.bucket, former.bucket) : current!.bucket,
    /** Of each bucket, blanks between. */
    publicOrigin: [...new Set([current, former].flatMap((one) => one?.publicOrigin ?? []))].join(' '),
    close: async () => embedded?.close(),
  };

  function startEmbedded({ storage, region }: StoragePlace, buckets: string[]) {
    const port = storage.kind === 'embedded' ? storage.port : 0;
    const credentials = openBucketCredentials(dataDir);
    return startEmbeddedBucket({
      dir: join(dataDir, 'bucket'),
      ...{ credentials, region, buckets, clock, port },
      host: config.host,
    });
  }

  function open({ storage, bucket, region }: StoragePlace) {
    if (storage.kind === 's3') {
      const { kind: _, ...where } = storage;
      // No clock is handed on: a store elsewhere compares the requests' dates with its own, which is the world's.
      const publicOrigin = publicOriginOf({ ...where, bucket });
      const renewed = createRenewedBucket(where.credentials, (credentials) =>
        createS3Bucket({ ...where, credentials, bucket, region, ...watched }),
      );
      return { ...renewed, publicOrigin };
    }
    const { endpoint } = embedded!;
    const { publicEndpoint } = storage;
    const seen = publicEndpoint === undefined ? {} : { publicEndpoint };
    const credentials = openBucketCredentials(dataDir);
    return {
      bucket: createS3Bucket({ endpoint, ...seen, credentials, bucket, region, clock, ...watched }),
      publicOrigin: publicEndpoint ?? endpoint,
      renew: undefined,
    };
  }
}

function pick({ bucket, region, storage }: Config): StoragePlace {
  return { bucket, region, storage };
}

/** The link of a service that has no token yet, in a file that only its owner can read. Behind `#`, which no browser sends, is a secret. */
async function keepSetupLink(ports: Ports, url: string, dataDir: string): Promise<string | undefined> {
  const path = join(dataDir, SETUP_FILE);
  rmSync(path, { force: true });
  const secret = await issueSetup(ports);
  if (secret === undefined) return undefined;
  const link = `${url}/setup#${secret}`;
  keepFile(path, () => `${link}\n`);
  return link;
}

function reportToStderr(error: unknown): void {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
}

async function main(): Promise<void> {
  const environment = takeEnvironment(process.env);
  const readAgain = () => readConfig(withSecretFiles(environment));
  const server = await start({ config: readAgain(), readAgain });
  const stop = () => {
    console.error('zeroreel: finishing what is under way');
    server.close().then(
      () => process.exit(0),
      (error: unknown) => {
        reportToStderr(error);
        process.exit(1);
      },
    );
  };
  // Before the line that says it serves: who reads it may stop it at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  if (!server.hasPages) console.error('zeroreel: no pages are served; `npm run build` makes them');
  console.error(`zeroreel: serving ${server.url}`);
  if (server.metricsUrl !== undefined) console.error(`zeroreel: metrics at ${server.metricsUrl}`);
  // The one secret that is ever printed: it holds once, and for a day.
  if (server.setupLink !== undefined) console.error(`zeroreel: nobody has a token yet; to begin: ${server.setupLink}`);
}

if (process.argv[1] === import.meta.filename) {
  main().catch((error: unknown) => {
    const isPlain = error instanceof ConfigError || error instanceof StartRefusal;
    console.error(isPlain ? `zeroreel: ${error.message}` : error);
    if (error instanceof StartRefusal) console.error(`hint: ${error.hint}`);
    process.exitCode = 1;
  });
}
