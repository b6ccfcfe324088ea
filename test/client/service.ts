/** The real service for tests: server, embedded bucket and log over real sockets, in a folder of its own. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bytes } from '../../crypto/format/bytes.ts';
import { encodeEncryptionKey, encodeIdentity, SUITE_BOX, SUITE_HYBRID } from '../../crypto/format/ids.ts';
import {
  generateDecryptionKey,
  generateIdentity,
  type DecryptionKey,
  type Identity,
} from '../../crypto/seal/identity.ts';
import { Api } from '../../src/client/api.ts';
import type { Environment } from '../../src/client/environment.ts';
import { issueTicket, signExam, type ExamPlan, type SignedExam } from '../../src/client/exam.ts';
import type { ExamLink } from '../../src/client/link.ts';
import { start, type RunningServer } from '../../src/node.ts';
import { readConfig } from '../../src/server/config.ts';

export interface Instructor {
  identity: Identity;
  key: DecryptionKey;
}

/** A clock that stands still until it is moved. */
export interface MovableClock {
  now(): number;
  advance(ms: number): void;
}

export function movableClock(from: number): MovableClock {
  let offset = 0;
  return {
    now: () => from + offset,
    advance: (ms) => {
      offset += ms;
    },
  };
}

export class TestService {
  readonly server: RunningServer;
  readonly directory: string;
  readonly #adminToken: string;

  private constructor(server: RunningServer, directory: string, adminToken: string) {
    this.server = server;
    this.directory = directory;
    this.#adminToken = adminToken;
  }

  /** `settings`: beside those of a test. */
  static async start(clock?: { now(): number }, settings: Record<string, string> = {}): Promise<TestService> {
    const directory = await mkdtemp(join(tmpdir(), 'zeroreel-client-'));
    const config = readConfig({
      ZEROREEL_DATA: join(directory, 'data'),
      ZEROREEL_ADMIN_TOKEN_FILE: join(directory, 'admin.token'),
      ZEROREEL_PORT: '0',
      ZEROREEL_BUCKET_PORT: '0',
      ZEROREEL_LOG_LEVEL: 'warn',
      ...settings,
    });
    const server = await start({ config, ...(clock && { clock }) });
    return new TestService(server, directory, (await readFile(join(directory, 'admin.token'), 'utf8')).trim());
  }

  async stop(): Promise<void> {
    await this.server.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** As a student: without any token. */
  api(environment?: Environment, url = this.server.url): Api {
    return new Api({ url, ...(environment && { environment }) });
  }

  /** With an administrator's token. */
  staff(environment?: Environment): Api {
    return new Api({ url: this.server.url, token: this.#adminToken, ...(environment && { environment }) });
  }

  /** A published exam with one instructor per suite. */
  async exam(plan: Partial<ExamPlan> = {}): Promise<TestExam> {
    const owner = await generateIdentity();
    const instructors = await Promise.all([SUITE_HYBRID, SUITE_BOX].map((suite) => makeInstructor(suite as 1 | 2)));
    const { log, now_ms: now } = await this.staff().service();
    const signed = await signExam(
      {
        title: 'Practice of reading',
        recipients: instructors.map(({ identity, key }, i) => ({
          role: 'instructor',
          key: encodeEncryptionKey(key.suite, key.publicKey),
          identity: encodeIdentity(identity.publicKey),
          label: `instructor ${i + 1}`,
        })),
        tracks: [{ kind: 'webcam' }, { kind: 'screen' }, { kind: 'events' }],
        notBeforeMs: now - 60_000,
        notAfterMs: now + 3 * 3_600_000,
        log,
        ...plan,
      },
      owner.signer,
    );
    await this.staff().publishPolicy(signed.bytes);
    await this.server.jobs.publish();
    return new TestExam(this, owner, instructors, signed);
  }
}

async function makeInstructor(suite: 1 | 2): Promise<Instructor> {
  return { identity: await generateIdentity(), key: await generateDecryptionKey(suite) };
}

export class TestExam {
  readonly service: TestService;
  readonly owner: Identity;
  readonly instructors: Instructor[];
  readonly signed: SignedExam;

  constructor(service: TestService, owner: Identity, instructors: Instructor[], signed: SignedExam) {
    this.service = service;
    this.owner = owner;
    this.instructors = instructors;
    this.signed = signed;
  }

  get pins(): { ownerHash: Bytes; examId: string } {
    const { ownerHash, examId } = this.signed.pins;
    return { ownerHash, examId };
  }

  /** A student's personal link. */
  async link(seat: string): Promise<ExamLink> {
    const { examId } = this.signed.pins;
    const ticket = await issueTicket({ examId, seat, expiresMs: this.signed.policy.not_after }, this.owner.signer);
    return { url: this.service.server.url, ...this.signed.pins, ticket };
  }
}
