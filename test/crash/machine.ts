import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedBucket, type RunningBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { openSqliteStore } from '../../src/server/adapters/sqlite.ts';
import { openSqliteVault } from '../../src/server/adapters/vault-sqlite.ts';
import { createApp } from '../../src/server/app.ts';
import type { Bucket, Ports, Signer, Store, Vault } from '../../src/server/ports.ts';
import { type Gate, throughGate } from '../simulation/gate.ts';
import { nativeSigner } from '../simulation/native-crypto.ts';

const BUCKET = 'zeroreel';

/** The embedded bucket, which outlives the server's process as any store does, and a clock that only a test moves. */
export class Site {
  readonly clock = { nowMs: Date.UTC(2027, 5, 1, 9), now: () => this.clock.nowMs };
  readonly signer: Signer = nativeSigner(generateKeyPairSync('ed25519').privateKey, 'crash.invalid/log');
  readonly dir = mkdtempSync(join(tmpdir(), 'zeroreel-crash-'));
  bucket!: Bucket;
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
    site.bucket = createS3Bucket({ endpoint, region: 'us-east-1', bucket: BUCKET, credentials, clock: site.clock });
    return site;
  }

  async close(): Promise<void> {
    await this.#running.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Dies at call number `at`, before it is done or after; and where `at` is never reached, not at all. */
export interface Kill {
  at: number;
  isDone: boolean;
}

/** What the caller of a process sees when it dies. */
export class Died extends Error {}

const NEVER = new Promise<never>(() => undefined);

/** The server's process on its files: it dies once, at the appointed call, and is started again over the same files. */
export class Machine {
  readonly #site: Site;
  readonly #dir: string;
  readonly #kill: Kill;
  #life = 0;
  #store!: Store;
  #vault!: Vault & { close(): Promise<void> };
  #death!: Promise<never>;
  #die!: (reason: Died) => void;
  /** Calls to ports so far. */
  calls = 0;
  /** The call at which it died, such as `store.acceptHead`. */
  diedAt: string | undefined;
  ports!: Ports;
  app!: ReturnType<typeof createApp>;

  constructor(site: Site, kill: Kill) {
    this.#site = site;
    this.#kill = kill;
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
      const isAppointed = this.calls++ === this.#kill.at;
      if (!isAppointed) return perform();
      if (this.#kill.isDone) await perform();
      this.diedAt = `${door}.${call}`;
      this.#life++;
      this.#die(new Died(this.diedAt));
      return NEVER;
    };
    this.ports = throughGate({ store: this.#store, vault: this.#vault, bucket, clock, signer }, gate, 1000);
    this.app = createApp(this.ports);
  }

  /** Does `work`, again after a restart when the process dies in it: what a client's retry and the next cron run do. */
  async insist<T>(work: (machine: Machine) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await Promise.race([work(this), this.#death]);
      } catch (error) {
        if (!(error instanceof Died)) throw error;
        await this.#restart();
      }
    }
  }

  async #restart(): Promise<void> {
    await this.#store.close();
    await this.#vault.close();
    this.#start();
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
