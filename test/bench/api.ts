/**
 * The API under load: the two calls that a recorder makes over and over, beside servers that only echo the same bodies; ten
 * thousand recorders at their pace; and the start of an exam, when all of them open at once.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { randomBytes } from '../../crypto/format/random.ts';
import { makeExam, makeReader, type TestExam, TestRecorder } from '../server/recorder.ts';
import { call, expectStatus } from '../server/stage.ts';
import type { Comparison, Run } from './comparison.ts';
import { requirePrograms, type Workshop } from './programs.ts';

const RECORDERS = 500;
const HEADS_EACH = 40;
const CONNECTIONS = 64;
const SECONDS = 5;
const PACED_RECORDERS = Number(process.env['BENCH_RECORDERS'] ?? 10_000);
const INTERVAL_SECONDS = 10;
const OPENINGS = Number(process.env['BENCH_OPENINGS'] ?? 10_000);

/** One HTTP request, as every contender is sent it: a POST, or a GET where it has no body. */
interface Post {
  path: string;
  token?: string;
  body: string;
}

export async function serving(workshop: Workshop): Promise<Comparison[]> {
  requirePrograms('wrk');
  const { url, tokenFile } = await workshop.serve('api');
  const exam = await publishExam(url, tokenFile, 1);
  const recorders = await openRecorders(url, exam, RECORDERS);
  const posts = await recordersCalls(recorders);
  const script = await wrkScript(workshop, 'calls', posts);
  const reads = await wrkScript(
    workshop,
    'reads',
    recorders.map(({ sessionId, token }) => ({ path: `/v1/recordings/${sessionId}/epochs/0`, token, body: '' })),
  );
  const hono = await echo(workshop, 'hono');
  const bare = await echo(workshop, 'http');
  const load = (target: string) => async (): Promise<Run> => wrk(workshop, script, target);
  const common = { unit: 'requests/s', per: 'second' as const, rounds: 3 };
  return [
    {
      ...common,
      key: 'api',
      title: `uploads and heads, ${CONNECTIONS} connections`,
      target: 0.3,
      contenders: [
        { name: 'zeroreel: everything checked, remembered, on the disk', run: load(url) },
        { name: 'bare Hono echo', run: load(hono) },
      ],
    },
    {
      ...common,
      key: 'stack',
      title: 'the stack around a hot route: reading where an upload stands, beside node:http',
      target: 0.5,
      contenders: [
        { name: 'zeroreel: limits, authentication, one row, headers', run: () => wrk(workshop, reads, url) },
        { name: 'bare node:http echo', run: () => wrk(workshop, reads, bare) },
      ],
    },
    {
      ...common,
      key: 'recorders',
      title: `${PACED_RECORDERS.toLocaleString('en')} recorders, one uploads call and one head each ${INTERVAL_SECONDS} s`,
      target: 1,
      rounds: 1,
      contenders: [
        {
          name: 'served',
          run: () => paced(url, posts, (2 * PACED_RECORDERS) / INTERVAL_SECONDS),
        },
        { name: 'asked', run: () => ({ units: (2 * PACED_RECORDERS) / INTERVAL_SECONDS, seconds: 1, cpuSeconds: 0 }) },
      ],
      remark: 'latency counts from the moment a call was due; p99 below 100 ms is wanted. CPU is the load’s own',
    },
  ];
}

export async function examStart(workshop: Workshop): Promise<Comparison[]> {
  const { url, tokenFile } = await workshop.serve('start');
  const exam = await publishExam(url, tokenFile, 5);
  const posts: Post[] = [];
  for (let i = 0; i < OPENINGS; i++) posts.push(openingOf(await TestRecorder.begin(exam, { now: Date.now() })));
  const hono = await echo(workshop, 'hono');
  return [
    {
      key: 'exam-start',
      title: `${OPENINGS.toLocaleString('en')} OPENs at once, five recipients each`,
      unit: 'OPENs/s',
      per: 'second',
      target: 0.1,
      rounds: 1,
      contenders: [
        { name: 'zeroreel: signature, wraps’ hashes, row, share and log entry', run: () => burst(url, posts, 201) },
        { name: 'bare Hono echo', run: () => burst(hono, posts, 200) },
      ],
      remark: `wanted: all within 60 s, so ${Math.ceil(OPENINGS / 60)} OPENs/s, and none lost; every answer was 201`,
    },
  ];
}

async function publishExam(url: string, tokenFile: string, readers: number): Promise<TestExam> {
  const { log } = expectStatus<{ log: { origin: string; vkey: string } }>(await call(url, 'GET', '/v1/service'), 200);
  const exam = await makeExam({
    now: Date.now(),
    log,
    readers: await Promise.all(Array.from({ length: readers }, (_, i) => makeReader(1, `reader ${i + 1}`))),
    changes: { admission: 'link' },
  });
  const token = (await readFile(tokenFile, 'utf8')).trim();
  expectStatus(await call(url, 'POST', '/v1/exams', { token, body: { policy: toBase64Url(exam.record) } }), 201);
  return exam;
}

function openingOf(recorder: TestRecorder): Post {
  return {
    path: `/v1/exams/${recorder.exam.policy.exam_id}/recordings`,
    body: JSON.stringify(recorder.openBody),
  };
}

async function openRecorders(url: string, exam: TestExam, count: number): Promise<TestRecorder[]> {
  const recorders: TestRecorder[] = [];
  for (let i = 0; i < count; i++) {
    const recorder = await TestRecorder.begin(exam, { now: Date.now() });
    const { path, body } = openingOf(recorder);
    expectStatus(await call(url, 'POST', path, { body }), 201);
    recorders.push(recorder);
  }
  return recorders;
}

/** Rounds of one uploads call and one head a recorder. Heads count no chunk, so that none has to be in the bucket; each is new. */
async function recordersCalls(recorders: readonly TestRecorder[]): Promise<Post[]> {
  const posts: Post[] = [];
  for (let round = 0; round < HEADS_EACH; round++) {
    for (const recorder of recorders) {
      const { sessionId, token } = recorder;
      const chunk = { track: 1, seq: round, bytes: 4_197_560, sha256: toBase64Url(randomBytes(32)) };
      posts.push({
        path: `/v1/recordings/${sessionId}/uploads`,
        token,
        body: JSON.stringify({ epoch: 0, chunks: [chunk] }),
      });
      posts.push({
        path: `/v1/recordings/${sessionId}/heads`,
        token,
        body: JSON.stringify({ head: await recorder.head() }),
      });
    }
  }
  return posts;
}

/** A bare server in a process of its own; answers its URL. */
async function echo(workshop: Workshop, kind: 'hono' | 'http'): Promise<string> {
  const child = workshop.script(new URL('echo.ts', import.meta.url).pathname, [kind]);
  for await (const line of createInterface({ input: child.stdout! })) {
    const port = /^port (\d+)/.exec(line)?.[1];
    if (port !== undefined) return `http://127.0.0.1:${port}`;
  }
  throw new Error('the echo did not start');
}

/** A script for wrk that sends these in turn, over and over. */
async function wrkScript(workshop: Workshop, name: string, posts: readonly Post[]): Promise<string> {
  const lines = posts.map(({ path, token = '', body }) => `${path}\t${token}\t${body}`);
  await writeFile(workshop.path(`${name}.tsv`), `${lines.join('\n')}\n`);
  const script = workshop.path(`${name}.lua`);
  await writeFile(
    script,
    `local requests = {}
for line in io.lines(${JSON.stringify(workshop.path(`${name}.tsv`))}) do
  local path, token, body = line:match("([^\t]*)\t([^\t]*)\t(.*)")
  local headers = { ["content-type"] = "application/json", ["authorization"] = "Bearer " .. token }
  requests[#requests + 1] = wrk.format(body == "" and "GET" or "POST", path, headers, body ~= "" and body or nil)
end
local next = 0
request = function()
  next = next % #requests + 1
  return requests[next]
end
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
`,
  );
  return script;
}

/** wrk's own figures; a single answer that is no 2xx or 3xx, and the run does not count. */
async function wrk(workshop: Workshop, script: string, target: string): Promise<Run> {
  const words = ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '-s', script, target];
  const { output } = await workshop.time('wrk', words);
  const figures = /RESULT (\d+) (\d+) (\d+) (\d+) (\d+)/.exec(output)?.slice(1).map(Number);
  if (!figures) throw new Error(`wrk said nothing: ${output}`);
  const [requests, micros, errors, p50, p99] = figures as [number, number, number, number, number];
  // An echo takes POSTs only and answers a GET all the same: whatever fails here, fails for a reason.
  if (errors > 0) throw new Error(`${errors} of ${requests} requests to ${target} failed`);
  return {
    units: requests,
    seconds: micros / 1e6,
    cpuSeconds: 0,
    notes: { 'p50 ms': p50 / 1000, 'p99 ms': p99 / 1000 },
  };
}

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

/** Sends one; answers its status. */
function send(target: string, { path, token, body }: Post): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    };
    const outgoing = request(`${target}${path}`, { method: 'POST', agent, headers }, (answer) => {
      answer.resume();
      answer.once('end', () => {
        resolve(answer.statusCode ?? 0);
      });
      answer.once('error', reject);
    });
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}

/** An open loop: each call goes out when it is due, whether or not those before it were answered. */
async function paced(target: string, posts: readonly Post[], perSecond: number): Promise<Run> {
  const total = Math.min(posts.length, perSecond * 2 * INTERVAL_SECONDS);
  const callsMs: number[] = [];
  const startedMs = performance.now();
  const waiting: Promise<void>[] = [];
  for (let i = 0; i < total;) {
    const dueCount = Math.min(total, Math.floor(((performance.now() - startedMs) / 1000) * perSecond));
    for (; i < dueCount; i++) {
      const dueMs = startedMs + (i / perSecond) * 1000;
      waiting.push(
        send(target, posts[i]!).then((status) => {
          if (status !== 200) throw new Error(`call ${i} was answered with ${status}`);
          callsMs.push(performance.now() - dueMs);
        }),
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(waiting);
  return { units: total, callsMs };
}

/** All at once, as many at a time as there are sockets; every one must be answered with `expected`. */
async function burst(target: string, posts: readonly Post[], expected: number): Promise<Run> {
  const callsMs: number[] = [];
  const startedMs = performance.now();
  await Promise.all(
    posts.map(async (post) => {
      const status = await send(target, post);
      if (status !== expected) throw new Error(`expected ${expected}, found ${status}`);
      callsMs.push(performance.now() - startedMs);
    }),
  );
  return { units: posts.length, callsMs };
}
