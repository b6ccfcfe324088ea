/** The Worker of `entry.ts` in workerd: real D1 and real KV in local mode, and a bucket on loopback. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { newId } from '../../crypto/format/ids.ts';
import { randomBytes } from '../../crypto/format/random.ts';
import type { D1Binding } from '../../src/server/adapters/d1.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { importLogSigner } from '../../src/server/adapters/webcrypto-signer.ts';
import type { Limits } from '../../src/server/budget.ts';
import type { JOBS, Usage } from '../../src/server/edge.ts';
import { RATE_LIMITS } from '../../src/server/adapters/limiter-binding.ts';
import type { Clock, Ports, Store, Vault } from '../../src/server/ports.ts';
import { StoreError, type StoreErrorCode } from '../../src/server/store.ts';
import type { Holdings } from '../server/holdings.ts';
import { migrationStatements } from './migrations.ts';
import { type Appointment, decode, encode, HEADERS, type Left, type Reported } from './strings.ts';

const DAY_MS = 86_400_000;
const REGION = 'us-east-1';

const ROOT = new URL('../..', import.meta.url).pathname;
const settings = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8');
const setting = (pattern: RegExp): string => pattern.exec(settings)![1]!;

/** As it is deployed. */
const COMPATIBILITY = {
  compatibilityDate: setting(/^compatibility_date = "(.*)"$/m),
  compatibilityFlags: JSON.parse(setting(/^compatibility_flags = (.*)$/m)) as string[],
};
const ALIASES = Object.fromEntries(
  [...setting(/^\[alias\]\n((?:".*\n)*)/m).matchAll(/^"(.*)" = "(.*)"$/gm)].map(([, name, path]) => [
    name!,
    join(ROOT, path!),
  ]),
);

let bundled: Promise<string> | undefined;

/** Bundled as wrangler does it. */
function bundle(): Promise<string> {
  return (bundled ??= build({
    entryPoints: [new URL('entry.ts', import.meta.url).pathname],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    platform: 'browser',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['node:*'],
    alias: ALIASES,
    logLevel: 'error',
  }).then(({ outputFiles }) => outputFiles[0]!.text));
}

export interface WorkerOptions {
  clock: Clock;
  bucket: {
    endpoint: string;
    credentials: { accessKeyId: string; secretAccessKey: string };
    name: string;
    /** Whether it goes by `clock`, and not by the world's time. */
    isMoved: boolean;
  };
  logOrigin: string;
  limits?: Limits;
  /** Isolates of one deployment, each with an address of its own. Default 1. */
  isolates?: number;
  /** Whether each of them has a D1 and a KV of its own. */
  areApart?: boolean;
  /** Default: the bucket is found fit at the start, and stays so however far the clock is moved. */
  isLeftUnattested?: boolean;
  /** More of `ZEROREEL_...`, or instead of what is set here; an empty one is not set. */
  settings?: Readonly<Record<string, string>>;
}

export interface Told {
  reported: Reported[];
  calls: number;
}

export interface Sent {
  token?: string;
  body?: unknown;
  appointment?: Appointment;
}

/** One isolate of the deployment. */
export interface Isolate {
  url: string;
  /** Its D1 and KV, asked from outside. */
  inside: { store: Store; vault: Vault };
  holdings: () => Promise<Holdings>;
  /** Any request, by the deployment's clock. */
  send(method: string, path: string, sent?: Sent): Promise<Response>;
  /** Runs a job; throws where it throws. */
  run(job: keyof typeof JOBS): Promise<unknown>;
  /** A cron trigger; answers what it used by the Worker's meter, and what left the isolate. */
  trigger(
    cron: string,
    appointment?: Appointment,
  ): Promise<{ usage: Usage | undefined; left: Left | undefined; told: Told }>;
}

export interface RunningWorker {
  isolates: Isolate[];
  /** The same D1, KV and bucket, seen from outside of workerd. */
  ports: Ports;
  adminToken: string;
  close(): Promise<void>;
}

export function toldBy(headers: Headers): Told {
  const reported = headers.get(HEADERS.reported);
  return {
    reported: reported === null ? [] : (JSON.parse(decodeURIComponent(reported)) as Reported[]),
    calls: Number(headers.get(HEADERS.calls)),
  };
}

export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { clock, bucket, logOrigin, limits, isolates = 1, areApart = false, isLeftUnattested = false } = options;
  const seed = randomBytes(32);
  const adminToken = `zra_${newId()}${newId()}`;
  const names = Array.from({ length: isolates }, (_, index) => `isolate-${index}`);
  const script = await bundle();
  const miniflare = new Miniflare({
    workers: names.map((name) => ({
      ...COMPATIBILITY,
      name,
      modules: true as const,
      script,
      d1Databases: { DB: areApart ? `store-of-${name}` : 'store' },
      kvNamespaces: { VAULT: areApart ? `vault-of-${name}` : 'vault' },
      ratelimits: Object.fromEntries(Object.entries(RATE_LIMITS).map(([binding, simple]) => [binding, { simple }])),
      unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
      bindings: {
        ZEROREEL_LOG_KEY: toBase64Url(seed),
        ZEROREEL_LOG_ORIGIN: logOrigin,
        ZEROREEL_FIRST_TOKEN: adminToken,
        ZEROREEL_S3_ENDPOINT: bucket.endpoint,
        ZEROREEL_S3_REGION: REGION,
        ZEROREEL_S3_BUCKET: bucket.name,
        ZEROREEL_S3_ACCESS_KEY_ID: bucket.credentials.accessKeyId,
        ZEROREEL_S3_SECRET_ACCESS_KEY: bucket.credentials.secretAccessKey,
        ZEROREEL_RATE_LIMITS: 'off',
        ...options.settings,
        TEST_ATTESTED: isLeftUnattested ? '' : 'always',
        TEST_LIMITS: limits ? JSON.stringify(limits) : '',
        TEST_BUCKET_CLOCK: bucket.isMoved ? 'moved' : 'real',
      },
    })),
  });
  try {
    // Its own type needs Cloudflare's ambient types, which would change what every other file sees.
    for (const name of areApart ? names : names.slice(0, 1)) {
      const database = (await miniflare.getD1Database('DB', name)) as unknown as D1Binding;
      await database.batch(migrationStatements.map((statement) => database.prepare(statement)));
    }
    const running = await Promise.all(
      names.map(async (name) => isolateAt((await miniflare.unsafeGetDirectURL(name)).origin, clock)),
    );
    if (!isLeftUnattested) {
      for (const isolate of areApart ? running : running.slice(0, 1)) await isolate.run('attest');
    }
    const { endpoint, credentials } = bucket;
    return {
      isolates: running,
      adminToken,
      ports: {
        ...running[0]!.inside,
        bucket: createS3Bucket({
          ...{ endpoint, credentials, bucket: bucket.name, region: REGION },
          ...(bucket.isMoved && { clock }),
        }),
        clock,
        signer: await importLogSigner(seed, logOrigin),
      },
      close: () => miniflare.dispose(),
    };
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
}

const SETTLING = { horizonMs: DAY_MS, settlesMs: 10 * 60_000 };

/** A port of the Worker, asked from outside; `members` are those that are no calls. */
function portInside<Port extends object>(url: string, door: 'store' | 'vault', members: Partial<Port> = {}): Port {
  const ask = async (call: string, parameters: unknown[]): Promise<unknown> => {
    const response = await fetch(`${url}/test/ports/${door}/${call}`, { method: 'POST', body: encode(parameters) });
    const text = await response.text();
    if (response.ok) return decode(text);
    const { code, message } = JSON.parse(text) as { code: StoreErrorCode; message: string };
    throw new StoreError(code, message);
  };
  return new Proxy(members as Port, {
    get: (target, name) =>
      name in target || typeof name === 'symbol' || name === 'then'
        ? target[name as keyof Port]
        : (...parameters: unknown[]) => ask(name, parameters),
  });
}

function isolateAt(url: string, clock: Clock): Isolate {
  const send = (method: string, path: string, { token, body, appointment }: Sent = {}) =>
    fetch(url + path, {
      method,
      headers: {
        connection: 'close',
        [HEADERS.now]: String(clock.now()),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(appointment && { [HEADERS.appointment]: JSON.stringify(appointment) }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  return {
    url,
    inside: { store: portInside<Store>(url, 'store'), vault: portInside<Vault>(url, 'vault', SETTLING) },
    holdings: async () => decode(await (await send('POST', '/test/holdings')).text()) as Holdings,
    send,
    run: async (job) => {
      const response = await send('POST', `/test/jobs/${job}`);
      const text = await response.text();
      if (!response.ok) throw new Error(`${job}: ${text}`);
      return JSON.parse(text) as unknown;
    },
    trigger: async (cron, appointment) => {
      const path = `/test/scheduled?cron=${encodeURIComponent(cron)}`;
      const response = await send('POST', path, appointment && { appointment });
      const text = await response.text();
      if (!response.ok) return { usage: undefined, left: undefined, told: toldBy(response.headers) };
      const { usages, left } = JSON.parse(text) as { usages: Usage[]; left: Left };
      return { usage: usages[0], left, told: toldBy(response.headers) };
    },
  };
}
