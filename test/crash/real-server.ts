/** The real process on its own folder, and what its clients know: what it acknowledged, and whether that is there. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { freePort } from '../free-port.ts';
import { equal, toBase64Url } from '../../crypto/format/bytes.ts';
import type * as api from '../../schema/api.ts';
import { type Bundle, bundle } from '../bundle.ts';
import { makeExam, makeReader, media, type SealedChunk, type TestExam, TestRecorder } from '../server/recorder.ts';

/** A recording of which a receipt has counted these chunks. */
export interface Acknowledged {
  recorder: TestRecorder;
  chunks: SealedChunk[];
}

/** The server or its bucket answered, and not as hoped. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number, what: string) {
    super(`${what}: found ${status}`);
    this.status = status;
  }
}

export class RealServer {
  readonly #dir: string;
  readonly #program: Bundle;
  readonly #port: number;
  readonly #bucketPort: number;
  #child: ChildProcess | undefined;
  #token = '';
  /** Called after every answer of the server or the bucket. */
  answered = (): void => undefined;

  private constructor(dir: string, program: Bundle, port: number, bucketPort: number) {
    this.#dir = dir;
    this.#program = program;
    this.#port = port;
    this.#bucketPort = bucketPort;
  }

  static async open(dir: string): Promise<RealServer> {
    const server = new RealServer(dir, await bundle('src/node.ts'), await freePort(), await freePort());
    await server.start();
    server.#token = readFileSync(join(dir, 'admin.token'), 'utf8').trim();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** Waits until the process says that it serves. */
  async start(): Promise<void> {
    const started = spawn(process.execPath, [this.#program.path], {
      env: {
        ...process.env,
        ZEROREEL_DATA: this.#dir,
        ZEROREEL_ADMIN_TOKEN_FILE: join(this.#dir, 'admin.token'),
        ZEROREEL_PORT: String(this.#port),
        ZEROREEL_BUCKET_PORT: String(this.#bucketPort),
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = started;
    let said = '';
    await new Promise<void>((resolve, reject) => {
      started.stderr.on('data', (text: Buffer) => {
        said += text.toString();
        if (said.includes('serving')) resolve();
      });
      started.once('exit', () => {
        reject(new Error(`the server did not start: ${said}`));
      });
    });
  }

  async kill(): Promise<void> {
    const dying = this.#child!;
    if (dying.exitCode !== null || dying.signalCode !== null) return;
    const gone = new Promise((resolve) => dying.once('exit', resolve));
    dying.kill('SIGKILL');
    await gone;
  }

  async close(): Promise<void> {
    await this.kill();
    this.#program.remove();
  }

  async post(path: string, bearer: string, body: unknown): Promise<{ status: number; json: unknown }> {
    const answer = await fetch(`${this.url}/v1${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const json: unknown = await answer.json();
    this.answered();
    return { status: answer.status, json };
  }

  async #postOr(status: number, path: string, bearer: string, body: unknown): Promise<unknown> {
    const answer = await this.post(path, bearer, body);
    if (answer.status !== status) throw new Refused(answer.status, `expected ${status} from ${path}`);
    return answer.json;
  }

  /** An exam that anybody with its link may record for. */
  async publishExam(): Promise<TestExam> {
    const service = (await (await fetch(`${this.url}/v1/service`)).json()) as { log: { origin: string; vkey: string } };
    const exam = await makeExam({
      now: Date.now(),
      log: service.log,
      readers: [await makeReader(1)],
      changes: { admission: 'link' },
    });
    await this.#postOr(201, '/exams', this.#token, { policy: toBase64Url(exam.record) });
    return exam;
  }

  /** Opens a recording and adds it to `acknowledged`. */
  async open(exam: TestExam, acknowledged: Acknowledged[]): Promise<Acknowledged> {
    const recorder = await TestRecorder.begin(exam, { now: Date.now() });
    await this.#postOr(201, `/exams/${exam.policy.exam_id}/recordings`, recorder.token, recorder.openBody);
    const own: Acknowledged = { recorder, chunks: [] };
    acknowledged.push(own);
    return own;
  }

  /** Uploads one more chunk of `bytes` and counts it once there is a receipt. Throws `Refused` where somebody says no. */
  async upload({ recorder, chunks }: Acknowledged, bytes = 20_000): Promise<void> {
    const chunk = await recorder.chunk(1, media(bytes, chunks.length + 1));
    const path = `/recordings/${recorder.sessionId}`;
    const asked = await this.#postOr(200, `${path}/uploads`, recorder.token, { epoch: 0, chunks: [chunk.request] });
    const [upload] = (asked as z.infer<typeof api.uploadsResponse>).uploads;
    if (upload?.state !== 'signed') throw new Error('expected a URL');
    const stored = await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: chunk.object });
    await stored.arrayBuffer();
    if (stored.status !== 200) throw new Refused(stored.status, 'expected 200 for a presigned PUT');
    this.answered();
    await this.#postOr(200, `${path}/heads`, recorder.token, { head: await recorder.head() });
    chunks.push(chunk);
  }

  /** Throws unless the recording's keys are released and every chunk that was acknowledged is as it was; answers how many. */
  async requireReadable({ recorder, chunks }: Acknowledged): Promise<number> {
    const { exam, sessionId } = recorder;
    const path = `/recordings/${sessionId}`;
    const asked = { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' };
    const { epochs } = (await this.#postOr(200, `${path}/release`, this.#token, asked)) as api.Release;
    if (epochs[0]?.shred !== toBase64Url(recorder.secrets.shred)) throw new Error('the shred share is not what it was');
    for (let at = 0; at < chunks.length; at += 64) {
      const some = chunks.slice(at, at + 64);
      const objects = some.map(({ track, seq }) => ({ epoch: 0, track, seq }));
      const answer = await this.#postOr(200, `${path}/downloads`, this.#token, { objects });
      for (const [index, download] of (answer as z.infer<typeof api.downloadsResponse>).downloads.entries()) {
        const got = new Uint8Array(await (await fetch(download.url)).arrayBuffer());
        if (!equal(got, some[index]!.object)) throw new Error('an acknowledged chunk is not what it was');
      }
    }
    return chunks.length;
  }
}
