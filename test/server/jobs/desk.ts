/** A whole server over one real store, with SQLite files of its own and a clock that a test moves; and who uses it. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import type { z } from 'zod';
import { toBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { newId } from '../../../crypto/format/ids.ts';
import type { Policy } from '../../../crypto/format/policy.ts';
import { audit, type AuditReport } from '../../../crypto/log/audit.ts';
import { decodeEntry, type LogEntry } from '../../../crypto/log/entry.ts';
import type * as api from '../../../schema/api.ts';
import { startEmbeddedBucket } from '../../../src/server/adapters/embedded-bucket/index.ts';
import { createS3Bucket } from '../../../src/server/adapters/s3-bucket.ts';
import { openSqliteStore } from '../../../src/server/adapters/sqlite.ts';
import { openSqliteVault } from '../../../src/server/adapters/vault-sqlite.ts';
import { createApp } from '../../../src/server/app.ts';
import { recordingPrefix } from '../../../src/server/core/names.ts';
import type { Bucket, Ports, Store, Vault } from '../../../src/server/ports.ts';
import { vkeyOf } from '../../../src/server/signing.ts';
import { nativeSigner } from '../../simulation/native-crypto.ts';
import { makeExam, makeReader, media, type SealedChunk, type TestExam, TestRecorder } from '../recorder.ts';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

const STAFF_TOKEN = 'zra_desk-administrator';

export interface StoreAddress {
  endpoint: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
}

export interface TestRecording {
  id: string;
  recorder: TestRecorder;
  chunks: SealedChunk[];
}

type Uploads = z.infer<typeof api.uploadsResponse>['uploads'];

/** The store's clock is real; the server's is real plus what the test has added. */
export class Desk {
  readonly address: StoreAddress;
  readonly client: S3Client;
  readonly bucketName = `desk-${newId()
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '0')}`;
  readonly bucket: Bucket;
  readonly store: Store;
  readonly vault: Vault & { close(): Promise<void> };
  readonly ports: Ports;
  readonly #dir = mkdtempSync(join(tmpdir(), 'zeroreel-desk-'));
  #aheadMs = 0;
  #alsoClose: () => Promise<void> = () => Promise.resolve();

  private constructor(address: StoreAddress) {
    this.address = address;
    const { endpoint, region, credentials } = address;
    this.client = new S3Client({
      endpoint,
      region,
      credentials,
      forcePathStyle: true,
      requestChecksumCalculation: 'WHEN_REQUIRED',
    });
    this.bucket = createS3Bucket({ endpoint, region, credentials, bucket: this.bucketName });
    this.store = openSqliteStore({ path: join(this.#dir, 'zeroreel.db') });
    this.vault = openSqliteVault({ path: join(this.#dir, 'vault.db') });
    const signer = nativeSigner(generateKeyPairSync('ed25519').privateKey, 'desk.invalid/log');
    const clock = { now: () => Date.now() + this.#aheadMs };
    this.ports = { store: this.store, vault: this.vault, bucket: this.bucket, clock, signer };
  }

  static async open(address: StoreAddress, isVersioned = false): Promise<Desk> {
    const desk = new Desk(address);
    await desk.client.send(new CreateBucketCommand({ Bucket: desk.bucketName }));
    if (isVersioned) await desk.setVersioning('Enabled');
    await desk.store.addToken({
      tokenHash: toBase64Url(await sha256(utf8(STAFF_TOKEN))),
      prefix: 'zra_desk',
      role: 'admin',
      label: 'desk',
      createdMs: Date.now(),
      expiresMs: Date.now() + 400 * DAY_MS,
      revokedMs: null,
      examIds: null,
      lastUsedMs: null,
    });
    return desk;
  }

  /** On an embedded bucket in a folder of its own, which goes with the desk. */
  static async embedded(): Promise<Desk> {
    const dir = mkdtempSync(join(tmpdir(), 'zeroreel-bucket-'));
    const credentials = { accessKeyId: 'AKDESK', secretAccessKey: 'SKDESK' };
    const running = await startEmbeddedBucket({ dir, credentials });
    const desk = await Desk.open({ endpoint: running.endpoint, region: 'us-east-1', credentials });
    desk.#alsoClose = async () => {
      await running.close();
      rmSync(dir, { recursive: true, force: true });
    };
    return desk;
  }

  async setVersioning(Status: 'Enabled' | 'Suspended'): Promise<void> {
    await this.client.send(
      new PutBucketVersioningCommand({ Bucket: this.bucketName, VersioningConfiguration: { Status } }),
    );
  }

  pass(ms: number): void {
    this.#aheadMs += ms;
  }

  async post(
    path: string,
    token: string,
    body: unknown,
    ports = this.ports,
  ): Promise<{ status: number; json: unknown }> {
    const response = await createApp(ports).request(`/v1${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: response.status, json: (await response.json()) as unknown };
  }

  async exam(changes: Partial<Policy> = {}): Promise<TestExam> {
    const { signer, clock } = this.ports;
    const log = { origin: signer.origin, vkey: vkeyOf(signer) };
    const exam = await makeExam({ now: clock.now(), log, readers: [await makeReader(1)], changes });
    await this.#expect(201, '/exams', STAFF_TOKEN, { policy: toBase64Url(exam.record) });
    return exam;
  }

  async #expect(status: number, path: string, token: string, body: unknown): Promise<unknown> {
    const answer = await this.post(path, token, body);
    if (answer.status !== status)
      throw new Error(`expected ${status}, found ${answer.status}: ${JSON.stringify(answer.json)}`);
    return answer.json;
  }

  /** Opened, with one chunk in each track uploaded and acknowledged; closed unless `isOpen`. */
  async record(exam: TestExam, isOpen = false): Promise<TestRecording> {
    const recorder = await TestRecorder.begin(exam, { now: this.ports.clock.now() });
    const { sessionId: id, token } = recorder;
    await this.#expect(201, `/exams/${exam.policy.exam_id}/recordings`, token, recorder.openBody);
    const chunks = [await recorder.chunk(1, media(100_000)), await recorder.chunk(4, media(20, 2))];
    const uploads = await this.sign({ id, recorder, chunks }, chunks);
    for (const [index, upload] of uploads.entries()) {
      const status = upload.state === 'signed' ? await put(upload, chunks[index]!.object) : 0;
      if (status !== 200) throw new Error(`expected 200 for a presigned PUT, found ${status}`);
    }
    const head = isOpen ? await recorder.head() : await recorder.close();
    await this.#expect(200, `/recordings/${id}/heads`, token, { head });
    return { id, recorder, chunks };
  }

  async sign({ id, recorder }: TestRecording, chunks: readonly SealedChunk[]): Promise<Uploads> {
    const body = { epoch: recorder.epoch, chunks: chunks.map(({ request }) => request) };
    return ((await this.#expect(200, `/recordings/${id}/uploads`, recorder.token, body)) as { uploads: Uploads })
      .uploads;
  }

  async erase(id: string, ports = this.ports): Promise<number> {
    return (await this.post(`/recordings/${id}/erasure`, STAFF_TOKEN, { reason: 'student' }, ports)).status;
  }

  async release({ id, recorder }: TestRecording): Promise<number> {
    const body = { key_id: recorder.exam.readers[0]!.keyIdB64, purpose: 'review' };
    return (await this.post(`/recordings/${id}/release`, STAFF_TOKEN, body)).status;
  }

  /** Objects, versions and markers below a recording's prefix. */
  async stored(id: string): Promise<number> {
    let count = 0;
    for await (const _ of this.bucket.listVersions(recordingPrefix(id))) count++;
    return count;
  }

  async log(): Promise<LogEntry[]> {
    return (await this.store.entries(0, 1_000_000)).map(({ bytes }) => decodeEntry(bytes));
  }

  /** The steps of one recording's death, as the log tells them. */
  async death(id: string): Promise<string[]> {
    const steps = (await this.store.entriesOf(id)).map(({ bytes }) => decodeEntry(bytes).type);
    return steps.filter((type) => /^deletion|^anomaly|^erasure|^recording.(closed|abandoned)/.test(type));
  }

  async audit(): Promise<AuditReport> {
    return audit(await this.store.entries(0, 1_000_000), this.ports.clock.now(), {
      heartbeatMs: 100 * DAY_MS,
      runMs: 100 * DAY_MS,
    });
  }

  async close(): Promise<void> {
    await this.store.close();
    await this.vault.close();
    this.client.destroy();
    rmSync(this.#dir, { recursive: true, force: true });
    await this.#alsoClose();
  }
}

export async function put(
  upload: { url: string; headers: Record<string, string> },
  object: Uint8Array,
): Promise<number> {
  const answer = await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: object as BodyInit });
  await answer.arrayBuffer();
  return answer.status;
}
