/**
 * A whole server for one test: real sockets, real SQLite files, a real bucket (the embedded one, or an S3 gateway), a clock that the
 * test moves, and nothing that runs by itself.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import type * as api from '../../schema/api.ts';
import { startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { start, type RunningServer } from '../../src/node.ts';
import type { Config } from '../../src/server/config.ts';
import { expectDocumented } from './contract.ts';
import type { Logger } from '../../src/server/adapters/log.ts';
import type { Clock } from '../../src/server/ports.ts';
import { type Isolate, type RunningWorker, startWorker, toldBy } from '../workerd/running.ts';
import { HEADERS } from '../workerd/strings.ts';
import { type Holdings, holdingsOf } from './holdings.ts';
import { makeExam, TestRecorder, type ExamOptions, type SealedChunk, type TestExam } from './recorder.ts';

export type { Holdings } from './holdings.ts';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** Stands still unless the test moves it. Begins today, so that stores with a clock of their own accept its signatures. */
export class TestClock implements Clock {
  #now = Date.now();

  now(): number {
    return this.#now;
  }

  advance(milliseconds: number): void {
    this.#now += milliseconds;
  }
}

/** Where a stage's server runs. A test file that sets `runtime.name` before it loads others lets these run there. */
export const runtime: { name: 'Node' | 'workerd' } = { name: 'Node' };

/** For the title of a test that cannot run everywhere: `reason` says why not in workerd. */
export const nodeOnly = (reason: string) =>
  runtime.name === 'Node' ? { isSkipped: false, why: '' } : { isSkipped: true, why: `: not in workerd, ${reason}` };

/** The same for what is about the files in a stage's folder. */
export const filesOnly = (reason: string) =>
  databaseOf ? { isSkipped: true, why: ': not on PostgreSQL, whose own suites look at its files' } : nodeOnly(reason);

export interface Answer {
  status: number;
  headers: Headers;
  /** The parsed JSON; the text where it is none. */
  body: unknown;
}

export interface CallOptions {
  token?: string;
  /** Sent as JSON, unless it is a string or bytes already. */
  body?: unknown;
  headers?: Record<string, string>;
}

export type UploadAnswer = z.infer<typeof api.uploadsResponse>['uploads'][number];
export type SignedUpload = Extract<UploadAnswer, { state: 'signed' }>;

/** Stages in workerd by their address: its clock goes with each request, and what it reports comes with the answer. */
const attached = new Map<string, { clock: Clock; reported: unknown[] }>();

/** `fetch`, for a client that asks a stage: where that is in workerd, its clock goes along. */
export const stageFetch: typeof fetch = async (input, init = {}) => {
  const strings = attached.get(new URL(input instanceof Request ? input.url : input).origin);
  if (!strings) return fetch(input, init);
  const headers = new Headers(init.headers);
  headers.set(HEADERS.now, String(strings.clock.now()));
  // workerd ends idle connections when it likes, and no client can know in time.
  headers.set('connection', 'close');
  const response = await fetch(input, { ...init, headers });
  strings.reported.push(...toldBy(response.headers).reported);
  return response;
};

/** One request; never throws for a status. */
export async function call(
  url: string,
  method: string,
  path: string,
  { token, body, headers = {} }: CallOptions = {},
): Promise<Answer> {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  const response = await stageFetch(`${url}${path}`, {
    method,
    redirect: 'manual',
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: isRaw ? (body as string | Bytes) : JSON.stringify(body) }),
  });
  const answer = await answerOf(response);
  if (!path.startsWith('//')) expectDocumented(method, path, answer);
  return answer;
}

export async function answerOf(response: Response): Promise<Answer> {
  const { status, headers } = response;
  const text = await response.text();
  return { status, headers, body: /[/+]json/.test(headers.get('content-type') ?? '') ? JSON.parse(text) : text };
}

/** The answer's body as `Body`, after its status was checked: a test that goes on with an error would test nothing. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the caller names the schema's type of the route it called
export function expectStatus<Body>(answer: Answer, ...statuses: readonly number[]): Body {
  if (!statuses.includes(answer.status)) {
    throw new Error(`expected status ${statuses.join(' or ')}, found ${answer.status}: ${JSON.stringify(answer.body)}`);
  }
  return answer.body as Body;
}

/** Sends an object as its URL wants it; answers the store's status. */
export async function put(upload: SignedUpload, object: Bytes, headers = upload.headers): Promise<number> {
  const response = await fetch(upload.url, { method: 'PUT', headers, body: object });
  await response.arrayBuffer();
  return response.status;
}

/** An S3 store that runs elsewhere. */
export interface S3Storage {
  endpoint: string;
  /** Where URLs point, if not there. */
  publicEndpoint?: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  bucket: string;
}

export interface StageOptions {
  clock?: TestClock;
  /** Default: the embedded bucket, in the stage's folder. */
  storage?: S3Storage;
  /** Default: a fresh folder, which `stop` removes. */
  dataDir?: string;
  report?: (error: unknown) => void;
  witnesses?: Config['witnesses'];
  /** Default: staff sign in by key or token only. */
  oidc?: Config['oidc'];
  /** Default: nobody is limited. */
  rateLimits?: Config['rateLimits'];
  /** Further settings, and where the server's log goes; by default there is none. */
  config?: Partial<Config>;
  log?: Logger;
  /** In workerd: the bucket is not looked at before the test does. On Node no start is refused in tests. */
  isLeftUnattested?: boolean;
}

/** By the folder of a stage: where stages keep their rows that are told nothing else. */
let databaseOf: ((dataDir: string) => Promise<Config['database']>) | undefined;

/** From here on, in this file, stages are on these databases. */
export function stageOn(database: (dataDir: string) => Promise<Config['database']>): void {
  databaseOf = database;
}

export class Stage {
  readonly clock: TestClock;
  readonly server: Pick<RunningServer, 'url' | 'ports' | 'jobs' | 'close'> & {
    metricsUrl?: string | undefined;
    holdings(): Promise<Holdings>;
  };
  readonly dataDir: string;
  /** The first administrator's token. */
  readonly admin: string;
  /** Failures that were not the client's. */
  readonly reported: unknown[];
  readonly #ownsFolder: boolean;

  private constructor(fields: Pick<Stage, 'clock' | 'server' | 'dataDir' | 'admin' | 'reported'>, ownsFolder: boolean) {
    this.clock = fields.clock;
    this.server = fields.server;
    this.dataDir = fields.dataDir;
    this.admin = fields.admin;
    this.reported = fields.reported;
    this.#ownsFolder = ownsFolder;
  }

  static async start({ clock = new TestClock(), storage, ...options }: StageOptions = {}): Promise<Stage> {
    const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'zeroreel-test-'));
    const reported: unknown[] = [];
    const { bucket, region, ...where } = storage ?? { bucket: 'zeroreel', region: 'us-east-1' };
    const config: Config = {
      dataDir,
      adminTokenFile: join(dataDir, 'admin.token'),
      ...(options.rateLimits && { rateLimits: options.rateLimits }),
      ...(options.oidc && { oidc: options.oidc }),
      host: '127.0.0.1',
      port: 0,
      logOrigin: 'test.example/zeroreel',
      vaultHorizonMs: DAY_MS,
      witnesses: options.witnesses ?? [],
      operator: { controller: null, privacyContact: null },
      bucket,
      region,
      storage: 'endpoint' in where ? { kind: 's3', pathStyle: true, ...where } : { kind: 'embedded', port: 0 },
      logLevel: 'silent',
      ...options.config,
    };
    const database = await databaseOf?.(dataDir);
    if (database) config.database = database;
    const report = (error: unknown) => {
      reported.push(error);
      options.report?.(error);
    };
    const ownsFolder = options.dataDir === undefined;
    if (runtime.name === 'workerd') {
      const { server, admin } = await inWorkerd(config, clock, options.isLeftUnattested === true);
      attached.set(server.url, { clock, reported });
      return new Stage({ clock, server, dataDir, admin, reported }, ownsFolder);
    }
    const { log } = options;
    const server = await start({ config, clock, isScheduled: false, ...(log ? { log } : { report }) });
    const admin = readFileSync(join(dataDir, 'admin.token'), 'utf8').trim();
    const holdings = () => holdingsOf(server.ports);
    return new Stage({ clock, server: { ...server, holdings }, dataDir, admin, reported }, ownsFolder);
  }

  /** A server that another process runs: of `server` there is only its address. */
  static beside(url: string, admin: string): Stage {
    const server = { url } as Stage['server'];
    return new Stage({ clock: new TestClock(), server, dataDir: '', admin, reported: [] }, false);
  }

  async stop(): Promise<void> {
    await this.server.close();
    if (this.#ownsFolder) rmSync(this.dataDir, { recursive: true, force: true });
  }

  call(method: string, path: string, options?: CallOptions): Promise<Answer> {
    return call(this.server.url, method, path, options);
  }

  async token(role: 'instructor' | 'compliance' | 'admin'): Promise<string> {
    const answer = await this.call('POST', '/v1/tokens', {
      token: this.admin,
      body: { role, label: `a test's ${role}`, days: 366 },
    });
    return expectStatus<{ token: string }>(answer, 201).token;
  }

  /** An exam that pins this server's log and is published. */
  async exam(options: Partial<ExamOptions> = {}): Promise<TestExam> {
    const { log } = expectStatus<z.infer<typeof api.serviceSchema>>(await this.call('GET', '/v1/service'), 200);
    const exam = await makeExam({ now: this.clock.now(), log, ...options });
    await this.publish(exam);
    return exam;
  }

  async publish(exam: TestExam): Promise<void> {
    const body = { policy: toBase64Url(exam.record) };
    expectStatus(await this.call('POST', '/v1/exams', { token: this.admin, body }), 201);
  }

  open(recorder: TestRecorder, changes: Record<string, unknown> = {}): Promise<Answer> {
    const path = `/v1/exams/${recorder.exam.policy.exam_id}/recordings`;
    return this.call('POST', path, { body: { ...recorder.openBody, ...changes } });
  }

  /** An honest recorder whose recording is open. */
  async recorder(
    exam: TestExam,
    options: Partial<Parameters<typeof TestRecorder.begin>[1]> = {},
  ): Promise<TestRecorder> {
    const recorder = await TestRecorder.begin(exam, { now: this.clock.now(), ...options });
    expectStatus(await this.open(recorder), 201);
    return recorder;
  }

  askUploads(recorder: TestRecorder, chunks: readonly SealedChunk['request'][], head?: string): Promise<Answer> {
    return this.call('POST', `/v1/recordings/${recorder.sessionId}/uploads`, {
      token: recorder.token,
      body: { epoch: recorder.epoch, chunks, ...(head !== undefined && { head }) },
    });
  }

  /** The URL of one chunk. */
  async sign(recorder: TestRecorder, chunk: SealedChunk): Promise<SignedUpload> {
    const { uploads } = expectStatus<{ uploads: UploadAnswer[] }>(
      await this.askUploads(recorder, [chunk.request]),
      200,
    );
    const [upload] = uploads;
    if (upload?.state !== 'signed') throw new Error(`expected a signed upload, found ${upload?.state ?? 'none'}`);
    return upload;
  }

  /** Asks for URLs and uploads; each object must be stored. */
  async upload(recorder: TestRecorder, ...chunks: readonly SealedChunk[]): Promise<void> {
    for (const chunk of chunks) {
      const status = await put(await this.sign(recorder, chunk), chunk.object);
      if (status !== 200) throw new Error(`expected the store to take the chunk, found ${status}`);
    }
  }

  sendHead(recorder: TestRecorder, head: string): Promise<Answer> {
    return this.call('POST', `/v1/recordings/${recorder.sessionId}/heads`, { token: recorder.token, body: { head } });
  }

  holdings(): Promise<Holdings> {
    return this.server.holdings();
  }
}

/** Deployments by their stages' folder: stages that share one are isolates of one deployment. */
const deployments = new Map<string, { worker: Promise<RunningWorker>; free: number[]; open: number }>();
const ISOLATES = 2;

async function inWorkerd(config: Config, clock: Clock, isLeftUnattested: boolean) {
  const { dataDir, storage, bucket: name, logOrigin, publicUrl, rateLimits, clientAddressHeader } = config;
  let deployment = deployments.get(dataDir);
  if (!deployment) {
    const free = Array.from({ length: ISOLATES }, (_, index) => index);
    deployment = { worker: startDeployment(), free, open: 0 };
    deployments.set(dataDir, deployment);
  }
  const { worker, free } = deployment;
  const isolate = free.shift()!;
  deployment.open++;
  const running = await worker;
  const own = running.isolates[isolate]!;
  const close = async () => {
    attached.delete(own.url);
    if (--deployment.open > 0) return;
    deployments.delete(dataDir);
    await running.close();
  };
  const { url, holdings } = own;
  return { server: { url, ports: running.ports, jobs: jobsOf(own), holdings, close }, admin: running.adminToken };

  async function startDeployment(): Promise<RunningWorker> {
    const settings = {
      ZEROREEL_PUBLIC_URL: publicUrl ?? '',
      ZEROREEL_RATE_LIMITS: rateLimits ? 'on' : 'off',
      ZEROREEL_CLIENT_ADDRESS_HEADER: clientAddressHeader ?? '',
    };
    const same = { clock, logOrigin, isolates: ISOLATES, settings, isLeftUnattested };
    if (storage.kind === 's3') {
      const { endpoint, credentials } = storage;
      return startWorker({ ...same, bucket: { endpoint, credentials, name, isMoved: false } });
    }
    const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'a secret of this test' };
    const embedded = await startEmbeddedBucket({ dir: join(dataDir, 'bucket'), credentials, buckets: [name], clock });
    const { endpoint } = embedded;
    const started = await startWorker({ ...same, bucket: { endpoint, credentials, name, isMoved: true } });
    const closeBoth = async () => {
      await started.close();
      await embedded.close();
    };
    return { ...started, close: closeBoth };
  }
}

function jobsOf(isolate: Isolate): RunningServer['jobs'] {
  return {
    publish: () => isolate.run('publish'),
    purge: () => isolate.run('purge'),
    abandon: () => isolate.run('abandon'),
    heartbeat: () => isolate.run('heartbeat'),
    sweep: () => isolate.run('sweep'),
    attest: () => isolate.run('attest'),
    scrub: () => isolate.run('scrub'),
    renew: () => Promise.resolve(false),
    witness: () => Promise.reject(new Error('the timetable asks witnesses')),
  };
}
