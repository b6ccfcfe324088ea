/**
 * The server on Cloudflare Workers: bindings in, `fetch` and `scheduled` out. The app and the jobs are the ones that run on Node; what
 * is here is what Workers are short of: a start, a process that publishes every second, and runs of any length (schema/WORKERS.md).
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { fromBase64Url } from '../../crypto/format/bytes.ts';
import { probeBucket } from './adapters/bucket-probe.ts';
import { type D1Binding, openD1Store } from './adapters/d1.ts';
import { createBindingLimiter } from './adapters/limiter-binding.ts';
import { type AssetsBinding, openAssets } from './adapters/pages-assets.ts';
import { createS3Bucket, publicOriginOf } from './adapters/s3-bucket.ts';
import { isAppend } from './adapters/sql/statements.ts';
import { type KvBinding, openKvVault } from './adapters/vault-kv.ts';
import { importLogSigner } from './adapters/webcrypto-signer.ts';
import { type AppOptions, createApp } from './app.ts';
import { countedFetch, type Limits, Meter } from './budget.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { answerHeaders } from './http/answer-headers.ts';
import { keepFirstToken, letSetUp } from './http/staff.ts';
import { abandon } from './jobs/abandon.ts';
import { attest, isAttested } from './jobs/attest.ts';
import { heartbeat } from './jobs/heartbeat.ts';
import { publish } from './jobs/publish.ts';
import { purge } from './jobs/purge.ts';
import { resumeScrub, scrub } from './jobs/scrub.ts';
import { sweep } from './jobs/sweep.ts';
import { createWitnessing } from './jobs/witness.ts';
import type { Clock, Ports } from './ports.ts';

export interface Env extends Record<string, unknown> {
  DB: D1Binding;
  VAULT: KvBinding;
  /** What `npm run build` made; without it the Worker is the API alone. */
  ASSETS?: AssetsBinding;
  /** Secret: the log's Ed25519 seed, 32 bytes, base64url. */
  ZEROREEL_LOG_KEY: string;
  /** Secret: the first administrator's token, to be deleted once there are others. It counts only where there is no token at all. */
  ZEROREEL_FIRST_TOKEN?: string;
  /** Secret: what stands behind the `#` of the setup link, for who begins at the pages. It counts as long as there is no token. */
  ZEROREEL_SETUP_SECRET?: string;
}

export interface ExecutionContext {
  /** Keeps the invocation alive, after its answer too, until this is settled. */
  waitUntil(promise: Promise<unknown>): void;
}

export interface EdgeOptions {
  /** Default: the system's. */
  clock?: Clock;
  /** Dates the requests to the bucket, where that does not go by the world's time. */
  bucketClock?: Clock;
  /** What one trigger may use. */
  limits?: Limits;
  /** Wraps the ports: how a test lets them fail. */
  through?: (ports: Ports) => Ports;
  report?: (error: unknown) => void;
  /** Told what each trigger used. Default: a line in the Worker's log. */
  measure?: (usage: Usage) => void;
}

export interface Usage {
  cron: string;
  subrequests: number;
  statements: number;
}

/** Below what a paid plan allows (schema/WORKERS.md says how much and why so little). */
const LIMITS: Limits = { subrequests: 1000, statements: 1000, wallMs: 10 * 60_000 };

/** Recordings whose objects the nightly scrub looks at. */
const SCRUB_SAMPLE = 20;

export const JOBS = {
  purge,
  abandon,
  heartbeat,
  sweep,
  attest: (ports: Ports) =>
    attest(ports, (bucket, clock) => probeBucket(bucket, clock, { send: countedFetch(ports.budget) })),
  scrub: (ports: Ports) => scrub(ports, { sample: SCRUB_SAMPLE }),
  resumeScrub,
  publish,
} satisfies Record<string, (ports: Ports) => Promise<unknown>>;

type Job = keyof typeof JOBS;

/** By the cron expressions of wrangler.toml; a test compares the two. Publishing comes last, whatever happened before it. */
export const SCHEDULE: Record<string, readonly Job[]> = {
  '* * * * *': ['purge', 'publish'],
  '*/5 * * * *': ['abandon', 'resumeScrub', 'publish'],
  '7 * * * *': ['heartbeat', 'attest', 'publish'],
  '37 * * * *': ['sweep', 'publish'],
  '20 3 * * *': ['scrub', 'publish'],
};

/** What an invocation does is counted, whichever of the isolate's shared ports it goes through. */
interface Invocation {
  meter: Meter;
  hasAppended: boolean;
}

export function createWorker(options: EdgeOptions = {}) {
  const { clock = { now: () => Date.now() }, limits = LIMITS, through = (ports: Ports) => ports } = options;
  const { report = reportToLog, measure = measureToLog } = options;
  const invocations = new AsyncLocalStorage<Invocation>();
  /** Compiling the store's statements takes milliseconds: once for as long as the isolate lives. Nothing else is remembered. */
  let opened: ReturnType<typeof open> | undefined;

  async function open(env: Env) {
    const settings = Object.entries(env).filter((pair): pair is [string, string] => typeof pair[1] === 'string');
    const config = readConfig(Object.fromEntries(settings));
    const { storage, bucket, region, logOrigin, vaultHorizonMs, publicUrl, operator, quotas, witnesses } = config;
    if (storage.kind !== 's3') {
      throw new ConfigError('ZEROREEL_S3_ENDPOINT: expected a store; a Worker has no folder to embed a bucket in');
    }
    if (config.former) {
      throw new ConfigError(
        'ZEROREEL_FORMER_S3_ENDPOINT: objects are moved beside a Node server; a Worker has one bucket',
      );
    }
    const count = (): void => invocations.getStore()?.meter.count();
    const ports = through({
      store: openD1Store(env.DB, (statements) => {
        const invocation = invocations.getStore();
        invocation?.meter.count(statements.length);
        if (invocation && statements.some(isAppend)) invocation.hasAppended = true;
      }),
      vault: openKvVault(env.VAULT, vaultHorizonMs, count),
      bucket: createS3Bucket({
        ...storage,
        bucket,
        region,
        watch: () => {
          count();
          return undefined;
        },
        ...(options.bucketClock && { clock: options.bucketClock }),
      }),
      clock,
      signer: await importLogSigner(fromBase64Url(env.ZEROREEL_LOG_KEY), logOrigin),
      budget: { isSpent: () => invocations.getStore()?.meter.isSpent() ?? false, count },
    });
    const { ZEROREEL_FIRST_TOKEN: first, ZEROREEL_SETUP_SECRET: setup } = env;
    if (first !== undefined) await keepFirstToken(ports, () => first);
    if (setup !== undefined) await letSetUp(ports, setup);
    const pages = env.ASSETS && openAssets(env.ASSETS, publicOriginOf({ ...storage, bucket }));
    const app = createApp(ports, {
      ...{ report, pages, isAttestedFirst: true, publicUrl, operator, quotas, oidc: config.oidc },
      addressOf: addressReader(config),
      limiter: config.rateLimits && createBindingLimiter(env),
    });
    return { ports, app, headers: answerHeaders(publicUrl), witness: createWitnessing(ports, witnesses, report) };
  }

  async function openOnce(env: Env) {
    opened ??= open(env);
    try {
      return await opened;
    } catch (error) {
      opened = undefined; // a missing setting must not outlive its mending
      throw error;
    }
  }

  const begin = (): Invocation => ({ meter: new Meter(limits, clock), hasAppended: false });

  return {
    async fetch(request: Request, env: Env, context: ExecutionContext): Promise<Response> {
      const invocation = begin();
      return invocations.run(invocation, async () => {
        const { app, ports, headers } = await openOnce(env);
        const response = await app.fetch(request);
        for (const [name, value] of headers) if (!response.headers.has(name)) response.headers.set(name, value);
        // Within about a second, as on Node. Two at once publish once: the checkpoint is a compare-and-swap.
        if (invocation.hasAppended) context.waitUntil(publish(ports).catch(report));
        return response;
      });
    },

    /** A failing job is reported and stops no other; the next trigger takes it up again. */
    async scheduled({ cron }: { cron: string }, env: Env): Promise<void> {
      const invocation = begin();
      await invocations.run(invocation, async () => {
        const { ports, witness } = await openOnce(env);
        // The first minute of a deployment: nothing is known of the bucket yet.
        const isFirst = !(await isAttested(ports));
        const jobs = SCHEDULE[cron] ?? [];
        for (const job of isFirst && !jobs.includes('attest') ? (['attest', ...jobs] as const) : jobs) {
          await JOBS[job](ports).catch(report);
        }
        await witness().catch(report);
      });
      measure({ cron, subrequests: invocation.meter.subrequests, statements: invocation.meter.statements });
    },
  };
}

/** An address is what Cloudflare says that it is, in a header that no client can send through it. */
function addressReader({
  clientAddressHeader: header = 'cf-connecting-ip',
}: Config): NonNullable<AppOptions['addressOf']> {
  return (c) => c.req.header(header)?.split(',').at(-1)?.trim();
}

/** A Worker's console is its log; `wrangler tail` shows it. */
function reportToLog(error: unknown): void {
  // eslint-disable-next-line no-console -- there is no standard error
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
}

function measureToLog(usage: Usage): void {
  // eslint-disable-next-line no-console -- there is no standard output
  console.log(JSON.stringify(usage));
}
