/**
 * The product's Worker with strings attached, for tests: its clock is moved, its limits are small, a call of a port can be its last, and
 * what it reports goes out with the next answer. Nothing of this is in the entry that is deployed.
 */
import { createWorker, type Env, type ExecutionContext, JOBS, type Usage } from '../../src/server/edge.ts';
import { BucketError, type Ports } from '../../src/server/ports.ts';
import { StoreError } from '../../src/server/store.ts';
import { holdingsOf } from '../server/holdings.ts';
import { type Gate, throughGate } from '../simulation/gate.ts';
import { type Appointment, decode, encode, HEADERS, type Left, type Reported } from './strings.ts';

interface TestEnv extends Env {
  TEST_LIMITS: string;
  /** `moved` where the bucket goes by the test's clock. */
  TEST_BUCKET_CLOCK: string;
  /** `always` where a bucket that was once found fit stays so. */
  TEST_ATTESTED: string;
}

let now = Date.now();
let ports: Ports | undefined;
/** The same without the gate: what a test looks at is no call of the server's. */
let inside: Ports | undefined;
let calls = 0;
let appointment: Appointment | undefined;
let reported: Reported[] = [];
let usages: Usage[] = [];

/** What left the isolate since the request began, counted where it leaves: beside what the Worker's own meter says. */
const left: Left = { subrequests: 0, statements: 0 };

const fetchOutside = globalThis.fetch;
globalThis.fetch = (...request) => {
  left.subrequests++;
  return fetchOutside(...request);
};

/** The bindings, whose calls are counted. */
function counted(env: TestEnv): TestEnv {
  type Prepared = ReturnType<Env['DB']['prepare']>;
  const inner = new WeakMap<Prepared, Prepared>();
  const prepared = (statement: Prepared): Prepared => {
    const outer: Prepared = {
      bind: (...parameters) => prepared(statement.bind(...parameters)),
      raw: () => {
        left.subrequests++;
        left.statements++;
        return statement.raw();
      },
    };
    inner.set(outer, statement);
    return outer;
  };
  const DB: Env['DB'] = {
    prepare: (sql) => prepared(env.DB.prepare(sql)),
    batch: (statements) => {
      left.subrequests++;
      left.statements += statements.length;
      return env.DB.batch(statements.map((statement) => inner.get(statement)!));
    },
  };
  const VAULT = new Proxy(env.VAULT, {
    get: (kv, name) => {
      const member = (kv as unknown as Record<string | symbol, unknown>)[name] as (...all: unknown[]) => unknown;
      return (...parameters: unknown[]) => {
        left.subrequests++;
        return member.apply(kv, parameters);
      };
    },
  });
  return { ...env, DB, VAULT };
}

const NEVER = new Promise<never>(() => undefined);

/** Counts the calls of ports; the appointed one fails, or is never answered, before it is done or after. */
const gate: Gate = async (door, call, perform) => {
  const { at, end, isDone } = appointment ?? { at: -1, end: 'dies', isDone: false };
  if (calls++ !== at) return perform();
  if (isDone) await perform();
  reported.push({ name: 'Appointed', message: `${door}.${call}` });
  if (end === 'dies') return NEVER;
  throw door === 'bucket'
    ? new BucketError('unavailable', `appointed failure of ${call}`)
    : new StoreError('unavailable', `appointed failure of ${call}`);
};

const report = (error: unknown): void => {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  reported.push({ name, message });
};

/** A test moves the clock by days: as if the hourly trigger had kept up with it, a bucket that was found fit stays so. */
function keptAttested({ store, ...others }: Ports): Ports {
  const bookmark = async (name: string) => {
    const place = await store.bookmark(name);
    return name.startsWith('attest') && place !== undefined ? String(now) : place;
  };
  return { ...others, store: { ...store, bookmark } };
}

let worker: ReturnType<typeof createWorker> | undefined;
let bindings: TestEnv | undefined;

function workerOf({ TEST_LIMITS, TEST_BUCKET_CLOCK, TEST_ATTESTED }: TestEnv) {
  const clock = { now: () => now };
  worker ??= createWorker({
    clock,
    ...(TEST_BUCKET_CLOCK === 'moved' && { bucketClock: clock }),
    ...(TEST_LIMITS !== '' && {
      limits: JSON.parse(TEST_LIMITS) as { subrequests: number; statements: number; wallMs: number },
    }),
    through: (opened) => {
      inside = TEST_ATTESTED === 'always' ? keptAttested(opened) : opened;
      return (ports = throughGate(inside, gate, 1000));
    },
    report,
    measure: (usage) => usages.push(usage),
  });
  return worker;
}

async function answer(request: Request, env: TestEnv, context: ExecutionContext): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const product = workerOf(env);
  if (pathname === '/test/scheduled') {
    await product.scheduled({ cron: searchParams.get('cron') ?? '' }, env);
    return Response.json({ usages, left });
  }
  if (pathname === '/test/holdings') return new Response(encode(await holdingsOf(await portsInside(env, context))));
  const door = /^\/test\/ports\/(store|vault)\/(\w+)$/.exec(pathname);
  if (door) return askInside(door[1] as 'store' | 'vault', door[2]!, await request.text(), env, context);
  const job = /^\/test\/jobs\/(\w+)$/.exec(pathname)?.[1];
  if (job === undefined) return product.fetch(request, env, context);
  await portsInside(env, context);
  return Response.json((await JOBS[job as keyof typeof JOBS](ports!)) ?? null);
}

async function portsInside(env: TestEnv, context: ExecutionContext): Promise<Ports> {
  // Opens the ports, where this is the isolate's first request.
  if (!inside) await workerOf(env).fetch(new Request('http://worker.invalid/v1/service'), env, context);
  return inside!;
}

async function askInside(door: 'store' | 'vault', call: string, body: string, env: TestEnv, context: ExecutionContext) {
  const port = (await portsInside(env, context))[door] as unknown as Record<
    string,
    (...parameters: unknown[]) => Promise<unknown>
  >;
  try {
    return new Response(encode(await port[call]!(...(decode(body) as unknown[]))));
  } catch (error) {
    const { code, message } = error as StoreError;
    return Response.json({ code, message }, { status: 500 });
  }
}

export default {
  async fetch(request: Request, env: TestEnv, context: ExecutionContext): Promise<Response> {
    const appointed = request.headers.get(HEADERS.appointment);
    now = Number(request.headers.get(HEADERS.now) ?? now);
    calls = 0;
    appointment = appointed === null ? undefined : (JSON.parse(appointed) as Appointment);
    [reported, usages] = [[...reported], []];
    let response: Response;
    try {
      Object.assign(left, { subrequests: 0, statements: 0 });
      response = await answer(request, (bindings ??= counted(env)), context);
    } catch (error) {
      report(error);
      response = new Response(JSON.stringify({ code: 'thrown', detail: String(error) }), { status: 500 });
    }
    const headers = new Headers(response.headers);
    headers.set(HEADERS.calls, String(calls));
    headers.set(HEADERS.reported, encodeURIComponent(JSON.stringify(reported)));
    reported = [];
    return new Response(response.body, { status: response.status, headers });
  },
};
