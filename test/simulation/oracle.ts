/**
 * What must hold whatever happens, checked at the moment at which it could first be broken. The oracle sees true time and
 * all sides; nothing in the application can ask it anything.
 */
import { Audit, type AuditReport } from '../../crypto/log/audit.ts';
import { decodeEntry, type LogEntry } from '../../crypto/log/entry.ts';
import { openCheckpoint } from '../../crypto/log/checkpoint.ts';
import { Frontier, leafHash } from '../../crypto/log/tree.ts';
import { equal } from '../../crypto/format/bytes.ts';
import { parseObjectKey } from '../../src/server/core/names.ts';
import { CLOCK_SKEW_MS } from '../../src/server/core/retention.ts';
import type { ObjectPromise, Signer } from '../../src/server/ports.ts';
import { vkeyOf } from '../../src/server/signing.ts';
import type { MemoryDriver } from './memory-driver.ts';
import type { Counts } from './situations.ts';
import type { SimulatedBucket, SimulatedVault, Witness } from './stores.ts';
import type { Timeline } from './timeline.ts';

/** A promise of the service that this history broke. */
export interface Broken {
  at: number;
  step: number;
  promise: string;
}

const DAY_MS = 86_400_000;
const LEAP_DAY_MS = Date.UTC(2028, 1, 29);

interface Owed {
  deleteBy: number;
  /** As it stood at the opening: an erasure may come while an upload is being signed. */
  firstDeleteBy: number;
  /** When erasure was requested; from there nothing has to be kept. */
  erasedAt: number | undefined;
  isIntended: boolean;
  isVerified: boolean;
  /** Objects that were created after the intent. */
  returned: number;
  epochs: Set<number>;
  /** Keys of objects that a receipt has counted. */
  acknowledged: Set<string>;
}

export class Oracle implements Witness {
  readonly #timeline: Timeline;
  readonly #driver: MemoryDriver;
  readonly #counts: Counts;
  readonly #owed = new Map<string, Owed>();
  readonly #anomalies = new Map<string, string>();
  #bucket!: SimulatedBucket;
  #vault!: SimulatedVault;
  #known = 0;
  /** The first broken promise: it ends the history. */
  broken: Broken | undefined;

  constructor(timeline: Timeline, driver: MemoryDriver, counts: Counts) {
    this.#timeline = timeline;
    this.#driver = driver;
    this.#counts = counts;
    driver.onCommit = (statements) => {
      if (statements.some(({ sql }) => sql.includes('log_entries'))) this.#readLog();
    };
  }

  watch(bucket: SimulatedBucket, vault: SimulatedVault): void {
    this.#bucket = bucket;
    this.#vault = vault;
  }

  breaks(promise: string): void {
    this.broken ??= { at: this.#timeline.now, step: this.#timeline.steps, promise };
  }

  /** delete_by counts by servers' clocks, which may be off by the skew that the design allows. */
  #mayBeGone({ deleteBy, erasedAt }: Owed): boolean {
    return erasedAt !== undefined || this.#timeline.now >= deleteBy - CLOCK_SKEW_MS;
  }

  created(key: string): void {
    this.#counts.created++;
    const owed = this.#owed.get(key.slice(0, 22));
    if (!owed) this.breaks('an object exists without an obligation in the log');
    else if (owed.isVerified) this.breaks('an object came back after its deletion was verified');
    else if (owed.isIntended) {
      this.#counts.returned++;
      owed.returned++;
    }
  }

  removed(key: string, isLast: boolean): void {
    const owed = this.#owed.get(key.slice(0, 22));
    if (!owed || !isLast) return;
    if (owed.acknowledged.has(key) && !this.#mayBeGone(owed))
      this.breaks('an acknowledged chunk was deleted before its time');
    if (!owed.isIntended) this.breaks('an object was deleted before the intent was in the log');
  }

  signed({ key }: ObjectPromise, expiresMs: number): void {
    const name = parseObjectKey(key)!;
    const owed = this.#owed.get(name.recordingId);
    if (!owed) {
      this.breaks('an upload was signed without an obligation in the log');
      return;
    }
    if (expiresMs > owed.firstDeleteBy - CLOCK_SKEW_MS) this.breaks('an upload URL lives up to delete_by');
    const [row] = this.#driver.read('SELECT last_url_ms FROM recordings WHERE id = ?', name.recordingId);
    if ((row?.[0] as number) < expiresMs) this.breaks('an upload was signed whose expiry is not remembered');
    const [pending] = this.#driver.read(
      `SELECT (SELECT COUNT(*) FROM pending WHERE recording_id = ? AND epoch = ? AND track = ? AND seq = ?)
        + (SELECT COUNT(*) FROM tracks WHERE recording_id = ? AND epoch = ? AND track = ? AND count > ?)
        + (SELECT COUNT(*) FROM recordings WHERE id = ? AND state <> 'open')`,
      ...[name.recordingId, name.epoch, name.track, name.seq, name.recordingId, name.epoch, name.track, name.seq],
      name.recordingId,
    );
    if (pending?.[0] === 0) this.breaks('an upload was signed before it was remembered');
  }

  shareDestroyed(recordingId: string, epoch: number): void {
    const owed = this.#owed.get(recordingId);
    if (!owed?.epochs.has(epoch)) return;
    if (!this.#mayBeGone(owed)) this.breaks('a shred share was destroyed before its time');
    if (!owed.isIntended) this.breaks('a shred share was destroyed before the intent was in the log');
  }

  /** A receipt reached the recorder: it counts these objects, and promises them until `deleteBy`. */
  receipt(recordingId: string, keys: readonly string[], deleteBy: number): void {
    const owed = this.#owed.get(recordingId);
    if (!owed) {
      this.breaks('a receipt was given for a recording that is not in the log');
      return;
    }
    if (owed.deleteBy > deleteBy) this.breaks('delete_by was put off');
    for (const key of keys) {
      if (!owed.acknowledged.has(key)) this.#counts.acknowledged++;
      owed.acknowledged.add(key);
      if (!this.#bucket.has(key) && !this.#mayBeGone(owed))
        this.breaks('a receipt counts an object that is not stored');
    }
    this.requireReadable(recordingId);
  }

  /** Everything that opens the recording is there, or its time has come. */
  requireReadable(recordingId: string): void {
    const owed = this.#owed.get(recordingId);
    if (!owed || this.#mayBeGone(owed)) return;
    for (const epoch of owed.epochs) {
      if (!this.#vault.has(recordingId, epoch)) this.breaks('an epoch has no shred share before its time');
    }
    const [row] = this.#driver.read('SELECT COUNT(*) FROM wraps WHERE recording_id = ?', recordingId);
    if (row?.[0] !== owed.epochs.size) this.breaks('an epoch has no wraps before its time');
    for (const key of owed.acknowledged) {
      if (!this.#bucket.has(key)) this.breaks('an acknowledged chunk is missing before its time');
    }
  }

  requireAllReadable(): void {
    for (const recordingId of this.#owed.keys()) this.requireReadable(recordingId);
  }

  /**
   * Keys, or a URL to read by, were handed to a reader whose request began when the server's clock said `askedMs`. What
   * counts is what the log said then: an erasure may have come since, by a server whose clock is behind.
   */
  handedOut(askedMs: number, { deleteBy, isIntended }: Pick<Owed, 'deleteBy' | 'isIntended'>): void {
    this.#counts.handedOut++;
    if (isIntended) this.breaks('a recording was readable after its deletion had begun');
    if (askedMs >= deleteBy) this.breaks('a recording was readable after delete_by');
  }

  /** What the log says now about when it dies. */
  dueOf(recordingId: string): Pick<Owed, 'deleteBy' | 'isIntended'> {
    const { deleteBy = Infinity, isIntended = false } = this.#owed.get(recordingId) ?? {};
    return { deleteBy, isIntended };
  }

  /** An erasure was answered: whatever is left in the bucket opens for nobody. */
  erased(recordingId: string): void {
    for (const epoch of this.#owed.get(recordingId)?.epochs ?? []) {
      if (this.#vault.has(recordingId, epoch)) this.breaks('an erasure was answered while a shred share was there');
    }
  }

  /** An upload was signed for a request that began after the intent to delete. */
  signedTooLate(): void {
    this.breaks('an upload was signed after the deletion had begun');
  }

  /** Whether it exists and no deletion was begun. */
  isAlive(recordingId: string): boolean {
    return this.#owed.get(recordingId)?.isIntended === false;
  }

  isIntended(recordingId: string): boolean {
    return this.#owed.get(recordingId)?.isIntended ?? false;
  }

  /** True times at which something is due: what the jobs of a history are run around. */
  deadlines(): number[] {
    return [...this.#owed.values()].map(({ deleteBy }) => deleteBy);
  }

  /** Whether some deletion was begun and is not verified. */
  isDeleting(): boolean {
    return [...this.#owed.values()].some(({ isIntended, isVerified }) => isIntended !== isVerified);
  }

  isAllVerified(): boolean {
    return [...this.#owed.values()].every(({ isVerified }) => isVerified);
  }

  #readLog(): void {
    const rows = this.#driver.read('SELECT bytes FROM log_entries WHERE position >= ? ORDER BY position', this.#known);
    for (const [bytes] of rows) {
      this.#known++;
      this.#counts.entries++;
      this.#accept(decodeEntry(bytes as Uint8Array));
    }
  }

  #accept(entry: LogEntry): void {
    switch (entry.type) {
      case 'recording.opened':
        this.#counts.opened++;
        if (entry.at < LEAP_DAY_MS && entry.delete_by > LEAP_DAY_MS + DAY_MS) this.#counts.leapDays++;
        if (entry.delete_by >= LEAP_DAY_MS && entry.delete_by < LEAP_DAY_MS + DAY_MS) this.#counts.leapDeadlines++;
        this.#owed.set(entry.recording, {
          deleteBy: entry.delete_by,
          firstDeleteBy: entry.delete_by,
          erasedAt: undefined,
          isIntended: false,
          isVerified: false,
          returned: 0,
          epochs: new Set([0]),
          acknowledged: new Set(),
        });
        return;
      case 'recording.reopened':
        this.#counts.resumed++;
        this.#owed.get(entry.recording)!.epochs.add(entry.epoch);
        return;
      case 'erasure.requested': {
        this.#counts.erased++;
        const owed = this.#owed.get(entry.recording)!;
        owed.erasedAt ??= this.#timeline.now;
        owed.deleteBy = Math.min(owed.deleteBy, entry.delete_by);
        return;
      }
      case 'deletion.intended': {
        const owed = this.#owed.get(entry.recording)!;
        owed.isIntended = true;
        if (!this.#mayBeGone(owed)) this.breaks('a deletion was begun before its time');
        return;
      }
      case 'deletion.completed': {
        const [wraps] = this.#driver.read('SELECT COUNT(*) FROM wraps WHERE recording_id = ?', entry.recording);
        if (wraps?.[0] !== 0) this.breaks('a deletion was completed while wraps were there');
        const owed = this.#owed.get(entry.recording)!;
        // A slow upload may end between the listing and this commit; what was there when the deletion began may not be.
        if (this.#bucket.remains(`${entry.recording}/`).stored > owed.returned) {
          this.breaks('a deletion was completed while something was stored');
        }
        for (const epoch of owed.epochs) {
          if (this.#vault.has(entry.recording, epoch))
            this.breaks('a deletion was completed while a shred share was there');
        }
        return;
      }
      case 'deletion.verified': {
        const { stored, inFlight } = this.#bucket.remains(`${entry.recording}/`);
        if (stored > 0) this.breaks('a deletion was verified while something was stored');
        if (inFlight > 0) this.breaks('a deletion was verified while an upload was under way');
        this.#owed.get(entry.recording)!.isVerified = true;
        this.#counts.verified++;
        for (const name of this.#anomalies.values()) {
          if (name.startsWith(entry.recording)) this.breaks('a deletion was verified while its anomaly was open');
        }
        return;
      }
      case 'anomaly.found': {
        this.#counts.anomalies++;
        const name = `${entry.recording ?? ''} ${entry.kind}`;
        if ([...this.#anomalies.values()].includes(name)) this.breaks('an anomaly was logged twice');
        this.#anomalies.set(entry.anomaly, name);
        return;
      }
      case 'anomaly.closed':
        if (!this.#anomalies.delete(entry.anomaly)) this.breaks('an anomaly was closed that is not open');
        return;
      case 'policy.published':
      case 'key.enrolled':
      case 'key.revoked':
      case 'recording.closed':
        this.#counts.closed++;
        return;
      case 'recording.abandoned':
        this.#counts.abandoned++;
        return;
      case 'access.released':
      case 'grant.added':
      case 'export.declared':
      case 'run.started':
      case 'run.finished':
      case 'storage.attested':
      case 'log.rotated':
      case 'log.retired':
      case 'heartbeat':
        return; // their order and number are the audit's business, at the end
    }
  }

  /** When everything is calm again and time has passed: nothing is left, and the log proves it. */
  async finish(signer: Signer, graceMs: number): Promise<AuditReport> {
    const { stored, inFlight } = this.#bucket.remains('');
    if (!this.isAllVerified()) this.breaks('a deletion is not verified at the end');
    if (stored + inFlight > 0) this.breaks('something is stored at the end');
    if (this.#vault.size > 0) this.breaks('a shred share is in the vault at the end');
    if (this.#anomalies.size > 0) this.breaks('an anomaly is open at the end');
    for (const table of ['wraps', 'grants', 'notes', 'epochs', 'tracks', 'pending']) {
      const [row] = this.#driver.read(`SELECT COUNT(*) FROM ${table}`);
      if (row?.[0] !== 0) this.breaks(`rows of ${table} are left at the end`);
    }
    const entries = this.#driver
      .read('SELECT bytes FROM log_entries ORDER BY position')
      .map(([bytes]) => bytes as Uint8Array);
    const audit = new Audit({ graceMs, verifyWithinMs: graceMs + 48 * 3_600_000, skewMs: 2 * CLOCK_SKEW_MS });
    for (const [index, bytes] of entries.entries()) audit.accept({ index, bytes });
    const report = audit.finish(this.#timeline.now + CLOCK_SKEW_MS);
    const violation = report.findings.find(({ severity }) => severity === 'violation');
    if (violation) this.breaks(`the audit finds a violation: ${violation.code}`);
    await this.#checkTree(entries, signer);
    return report;
  }

  /** Every checkpoint that was ever published is the root of the entries that it covers, and the last covers all. */
  async #checkTree(entries: readonly Uint8Array[], signer: Signer): Promise<void> {
    const roots = new Map<number, Uint8Array>();
    const frontier = new Frontier();
    for (const bytes of entries) {
      frontier.append(leafHash(bytes));
      roots.set(frontier.size, frontier.root());
    }
    let size = 0;
    for (const [note] of this.#driver.read('SELECT note FROM checkpoints ORDER BY size')) {
      const checkpoint = await openCheckpoint(note as string, vkeyOf(signer), signer.origin).catch(() => undefined);
      const root = checkpoint && roots.get(checkpoint.size);
      if (!root || !equal(root, checkpoint.root)) this.breaks('a checkpoint is not the root of its entries');
      else size = checkpoint.size;
    }
    if (size !== entries.length) this.breaks('the last checkpoint does not cover the log');
  }
}
