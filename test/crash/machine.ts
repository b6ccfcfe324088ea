import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedBucket, type RunningBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { openSqliteStore } from '../../src/server/adapters/sqlite.ts';
import { openSqliteVault } from '../../src/server/adapters/vault-sqlite.ts';
import { createApp } from '../../src/server/app.ts';
import type { Bytes } from '../../crypto/format/bytes.ts';
import { type Bucket, BucketError, type Ports, type Signer, type Store, type Vault } from '../../src/server/ports.ts';
import { StoreError } from '../../src/server/store.ts';
import { type Door, type Gate, throughGate } from '../simulation/gate.ts';
import { nativeSigner } from '../simulation/native-crypto.ts';
import type { Job, Living } from './life.ts';

const BUCKET = 'zeroreel';

/** The embedded bucket, which outlives the server's process as any store does, and a clock that only a test moves. */
export class Site {
  readonly clock = { nowMs: Date.UTC(2027, 5, 1, 9), now: () => this.clock.nowMs };
  readonly signer: Signer = nativeSigner(generateKeyPairSync('ed25519').privateKey, 'crash.invalid/log');
  readonly dir = mkdtempSync(join(tmpdir(), 'zeroreel-crash-'));
  bucket!: Bucket;
  address!: { endpoint: string; credentials: { accessKeyId: string; secretAccessKey: string }; name: string };
  #running!: RunningBucket;

  static async open(): Promise<Site> {
    const site = new Site();
    const credentials = { accessKeyId: 'AKCRASH', secretAccessKey: 'SKCRASH' };
    site.#running = await startEmbeddedBucket({
      dir: join(site.dir, 'bucket'),
      credentials,
      buckets: [BUCKET],
      clock: site.clock,
    });
    const { endpoint } = site.#running;
    site.address = { endpoint, credentials, name: BUCKET };
    site.bucket = createS3Bucket({ endpoint, region: 'us-east-1', bucket: BUCKET, credentials, clock: site.clock });
    return site;
  }

  async close(): Promise<void> {
    await this.#running.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export const FORMS = ['dies before', 'dies after', 'fails', 'fails when done'] as const;

/**
 * What happens at call number `at`: the process dies, before the call is done or after; or the process lives on and the
 * call fails, having done nothing or all of it. Where `at` is never reached, nothing.
 */
export interface Fault {
  at: number;
  form: (typeof FORMS)[number];
}

/** What the caller of a process sees when it dies. */
class Died extends Error {}

const NEVER = new Promise<never>(() => undefined);

/** The server's process on its files: once, at the appointed call, it dies and is started again over them, or the call fails. */
export class Machine implements Living {
  readonly #site: Site;
  readonly #dir: string;
  readonly #fault: Fault;
  #life = 0;
  #store!: Store;
  #vault!: Vault & { close(): Promise<void> };
  #death!: Promise<never>;
  #die!: (reason: Died) => void;
  /** Names of the calls to ports so far, such as `store.acceptHead`. */
  readonly calls: string[] = [];
  /** The call at which the fault came. */
  struckAt: string | undefined;
  /** Called after every restart. */
  onRestart: () => Promise<void> = () => Promise.resolve();
  ports!: Ports;
  app!: ReturnType<typeof createApp>;

  constructor(site: Site, fault: Fault) {
    this.#site = site;
    this.#fault = fault;
    this.#dir = mkdtempSync(join(site.dir, 'machine-'));
    this.#start();
  }

  #start(): void {
    const life = ++this.#life;
    this.#death = new Promise((_, reject) => (this.#die = reject));
    this.#death.catch(() => undefined);
    this.#store = openSqliteStore({ path: join(this.#dir, 'zeroreel.db') });
    this.#vault = openSqliteVault({ path: join(this.#dir, 'vault.db') });
    const { bucket, clock, signer } = this.#site;
    const gate: Gate = async (door, call, perform) => {
      if (life !== this.#life) return NEVER;
      const name = `${door}.${call}`;
      const { at, form } = this.#fault;
      if (this.calls.push(name) - 1 !== at) return perform();
      if (form === 'dies after' || form === 'fails when done') await perform();
      this.struckAt = name;
      if (form === 'fails' || form === 'fails when done') throw failureOf(door, name);
      this.#life++;
      this.#die(new Died(name));
      return NEVER;
    };
    const gatedSigner = { ...signer, sign: (message: Bytes) => gate('signer', 'sign', () => signer.sign(message)) };
    const ports = { store: this.#store, vault: this.#vault, bucket, clock, signer: gatedSigner };
    this.ports = throughGate(ports, gate, 1000);
    this.app = createApp(this.ports);
  }

  /**
   * Does `work`, and again where the fault came in it, after a restart if need be: what a client's retry and the next cron
   * run do.
   */
  async insist<T>(work: (machine: Machine) => Promise<T>): Promise<T> {
    for (;;) {
      const before = this.struckAt;
      try {
        return await Promise.race([work(this), this.#death]);
      } catch (error) {
        if (error instanceof Died) await this.#restart();
        else if (this.struckAt === before) throw error;
      }
    }
  }

  run(job: Job): Promise<unknown> {
    return job(this.ports);
  }

  async #restart(): Promise<void> {
    await this.#store.close();
    await this.#vault.close();
    this.#start();
    await this.onRestart();
  }

  /** The files as they are, without the gate. */
  get inside(): { store: Store; vault: Vault } {
    return { store: this.#store, vault: this.#vault };
  }

  async fetch(method: string, path: string, token: string, body?: unknown): Promise<{ status: number; json: unknown }> {
    const response = await this.app.request(`/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, json: (await response.json()) as unknown };
  }

  async close(): Promise<void> {
    await this.#store.close();
    await this.#vault.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

function failureOf(door: Door, name: string): Error {
  if (door === 'signer') return new Error(`${name} failed`);
  const Failure = door === 'bucket' ? BucketError : StoreError;
  return new Failure('unavailable', `${name} failed`);
}
