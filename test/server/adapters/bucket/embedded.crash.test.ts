import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startEmbeddedBucket } from '../../../../src/server/adapters/embedded-bucket/index.ts';
import { createS3Bucket } from '../../../../src/server/adapters/s3-bucket.ts';
import { type Bundle, bundle } from '../../../bundle.ts';
import { viewFolder } from './folder-view.ts';
import { keysOf, promiseOf, put, sample, send, sha256 } from './wire.ts';

/** KILLS=n as many as asked, SLOW=1 what is claimed in the README; the default is what every commit can afford. */
const ROUNDS = Number(process.env['KILLS'] ?? (process.env['SLOW'] === '1' ? 1_000 : 25));
const CREDENTIALS = { accessKeyId: 'CRASH', secretAccessKey: 'crash-secret' };
const SIZES = [0, 1_000, 70_000, 300_000];

let program: Bundle;
let victim: ChildProcess | undefined;
const dirs: string[] = [];

beforeAll(async () => {
  program = await bundle('test/server/adapters/bucket/crash-victim.ts');
});

afterAll(async () => {
  victim?.kill('SIGKILL');
  program.remove();
  for (const dir of dirs) await rm(dir, { recursive: true, force: true });
});

async function startVictim(dir: string): Promise<string> {
  victim = spawn(process.execPath, [program.path, dir, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(victim.stdout!, 'data')) as [Buffer];
  return line.toString().trim();
}

async function killVictim(): Promise<void> {
  const dead = once(victim!, 'exit');
  victim!.kill('SIGKILL');
  await dead;
}

function bucketAt(endpoint: string) {
  return createS3Bucket({ endpoint, region: 'us-east-1', bucket: 'crash', credentials: CREDENTIALS, attempts: 1 });
}

/** The same moments in every run: xorshift32. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

it(
  `loses nothing that it acknowledged in ${ROUNDS} kills at any moment, and leaves nothing behind`,
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'zeroreel-crash-'));
    dirs.push(dir);
    const random = randomNumbers(20_261_123);
    /** What must be there; what was deleted with an answer must not. A request that was cut may have gone either way. */
    const stored = new Map<string, number>();
    const deleted = new Set<string>();
    const undecided = new Set<string>();
    let acknowledged = 0;

    for (let round = 0; round < ROUNDS; round++) {
      const endpoint = await startVictim(dir);
      const bucket = bucketAt(endpoint);
      // The kill comes after so many answers: a moment of the work itself, not of the clock.
      let answersLeft = 1 + Math.floor(random() * 40);
      let isKilled = false;
      const isOver = (): boolean => isKilled;
      const answered = (): void => {
        answersLeft -= 1;
        if (answersLeft > 0 || isOver()) return;
        isKilled = true;
        victim!.kill('SIGKILL');
      };
      const dead = once(victim!, 'exit');
      const work = async (worker: number): Promise<void> => {
        for (let at = 0; !isOver(); at++) {
          const key = `${worker}/${round}-${at}`;
          const bytes = SIZES[(worker + at) % SIZES.length]!;
          const body = sample(bytes, key);
          const { status } = await put(bucket.presignPut(promiseOf(key, body), Date.now(), 300), body);
          if (status === 200) {
            stored.set(key, bytes);
            acknowledged += 1;
          } else {
            expect(status).toBe(0);
            undecided.add(key);
          }
          answered();
          if (at % 4 !== 3 || isOver()) continue;
          const victimKey = `${worker}/${round}-${at - 2}`;
          if (!stored.delete(victimKey)) continue;
          try {
            await bucket.deleteVersions([{ key: victimKey }]);
            deleted.add(victimKey);
          } catch {
            undecided.add(victimKey);
          }
          answered();
        }
      };
      await Promise.all(Array.from({ length: 6 }, (_, worker) => work(worker)));
      await dead;
    }

    const running = await startEmbeddedBucket({ dir, credentials: CREDENTIALS, buckets: ['crash'] });
    const bucket = bucketAt(running.endpoint);
    try {
      const listed = new Set(await keysOf(bucket.list('')));
      for (const [key, bytes] of stored) {
        expect(listed.has(key), `${key} is listed`).toBe(true);
        expect(sha256((await bucket.get(key))!)).toEqual(sha256(sample(bytes, key)));
      }
      for (const key of deleted) expect(listed.has(key), `${key} is deleted`).toBe(false);
      for (const key of listed) {
        expect(stored.has(key) || undecided.has(key), `${key} was asked for`).toBe(true);
        // Whole, whichever way it went.
        const bytes = (await send(bucket.presignGet(key, Date.now(), 60), { method: 'GET' })).body;
        expect(sha256(bytes)).toEqual(sha256(sample(bytes.length, key)));
        expect(SIZES).toContain(bytes.length);
      }
      process.stderr.write(`${ROUNDS} kills of the bucket: ${acknowledged} acknowledged objects, all there\n`);
      expect(acknowledged).toBeGreaterThan(ROUNDS);
      const view = viewFolder(dir);
      expect(view.incoming).toEqual([]);
      expect(view.files).toEqual(view.indexed);
      expect(view.doomed).toBe(0);
      expect(view.files).toHaveLength(listed.size);
    } finally {
      await running.close();
    }
  },
  ROUNDS * 30_000,
);

const hasProc = existsSync('/proc/self/status');

it.skipIf(!hasProc)(
  `holds no body in memory: 256 MiB go in and out of a process that grows by less than a quarter of them${hasProc ? '' : ' (skipped: needs /proc)'}`,
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'zeroreel-crash-'));
    dirs.push(dir);
    const bucket = bucketAt(await startVictim(dir));
    const piece = sample(1024 * 1024);
    const hash = createHash('sha256');
    for (let at = 0; at < 256; at++) hash.update(piece);
    const digest = hash.digest();
    /** The most that the process has held so far, in bytes. */
    const peak = (): number => {
      const [, kibibytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${victim!.pid!}/status`, 'utf8'))!;
      return Number(kibibytes) * 1_024;
    };
    const before = peak();
    const { url, headers } = bucket.presignPut(
      { key: 'large', bytes: 256 * piece.length, sha256: digest },
      Date.now(),
      3_600,
    );
    const request = httpRequest(url, { method: 'PUT', headers: { ...headers, 'content-length': 256 * piece.length } });
    const answered = once(request, 'response');
    await pipeline(Readable.from(Array.from({ length: 256 }, () => piece)), request);
    const [stored] = (await answered) as [IncomingMessage];
    expect(stored.statusCode).toBe(200);
    const read = createHash('sha256');
    const [found] = (await once(httpRequest(bucket.presignGet('large', Date.now(), 3_600)).end(), 'response')) as [
      IncomingMessage,
    ];
    for await (const part of found) read.update(part as Buffer);
    expect(read.digest()).toEqual(digest);
    expect(peak() - before).toBeLessThan(64 * 1024 * 1024);
    await killVictim();
  },
);

it('keeps a second process out of a folder in use, and lets it in when the first was killed', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'zeroreel-crash-'));
  dirs.push(dir);
  await startVictim(dir);
  await expect(startEmbeddedBucket({ dir, credentials: CREDENTIALS })).rejects.toThrow('in use by another process');
  await killVictim();
  const running = await startEmbeddedBucket({ dir, credentials: CREDENTIALS });
  await running.close();
});

it('finishes at the start what a crash cut between its steps, and no request sees it', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'zeroreel-crash-'));
  dirs.push(dir);
  const body = sample(5_000);
  const endpoint = await startVictim(dir);
  const promise = bucketAt(endpoint).presignPut(promiseOf('a/key', body), Date.now(), 300);
  expect((await put(promise, body)).status).toBe(200);
  await killVictim();

  // By hand, each state that [Note: Order of effects] names: a file without row; a row whose file was not moved yet; a doomed file.
  const { mkdirSync, renameSync, writeFileSync } = await import('node:fs');
  const { files } = viewFolder(dir);
  const [settled] = files;
  renameSync(join(dir, 'objects', settled!), join(dir, 'incoming', settled!.split('/')[1]!));
  writeFileSync(join(dir, 'incoming', 'ffffffffffffffffffffffffffffffff-1-00000000'), 'never committed');
  mkdirSync(join(dir, 'objects', 'abc'), { recursive: true });
  writeFileSync(join(dir, 'objects', 'abc', 'doomed'), 'deleted');
  const { default: Database } = await import('better-sqlite3');
  const database = new Database(join(dir, 'index.sqlite'));
  database.exec(`INSERT INTO doomed VALUES ('abc', 'doomed'), ('abd', 'already gone')`);
  database.close();

  const running = await startEmbeddedBucket({ dir, credentials: CREDENTIALS, buckets: ['crash'] });
  try {
    expect(Buffer.from((await bucketAt(running.endpoint).get('a/key'))!).equals(body)).toBe(true);
    expect(viewFolder(dir)).toEqual({ incoming: [], files: [settled], indexed: [settled], doomed: 0 });
  } finally {
    await running.close();
  }
});
