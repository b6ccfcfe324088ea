/**
 * The second implementation: opens and verifies a case file from schema/PROTOCOL.md alone, in the order of section 13. It shares no
 * code with `crypto/` or `src/`, reads everything into memory, and is meant to be read beside the specification.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Track } from './chunks.ts';
import { must, Refused, same, sha256 } from './fields.ts';
import { checkProof } from './log.ts';
import { readIdentity, readPolicy, type Policy } from './policy.ts';
import { keyIdOf, publicKeyOf, type SecretKey } from './primitives.ts';
import {
  checkGrant,
  checkLaunchUse,
  checkTicket,
  openWrap,
  readHead,
  readOpen,
  unlock,
  type Head,
  type Open,
} from './records.ts';

/** From best to worst. */
const VERDICTS = ['COMPLETE', 'OPEN-ENDED', 'GAPS', 'INVALID', 'EQUIVOCATION'] as const;

export interface ReadOptions {
  folder: string;
  ownerHash: Uint8Array;
  /** Without it signatures, chains and hashes are verified; with it everything is opened too. */
  key?: SecretKey;
  nowMs: number;
}

type TrackKeys = (track: number) => Buffer | undefined;

/** One reading. A refusal makes a recording INVALID, or EQUIVOCATION where two signed statements contradict each other. */
export class CaseFile {
  verdict: (typeof VERDICTS)[number] = 'COMPLETE';
  /** Classes of what was refused. */
  readonly refusals: string[] = [];
  /** `media`: SHA-256 in hex of what a track holds; null where this key does not open it. */
  readonly tracks: { epoch: number; track: number; chunks: number; media: string | null }[] = [];
  readonly #options: ReadOptions;
  readonly #policies = new Map<string, { policy: Policy; hash: Buffer }>();

  constructor(options: ReadOptions) {
    this.#options = options;
    this.#attempt(() => {
      this.#read();
    });
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refusals.push(error.code);
      this.#sink(error.code === 'equivocation' ? 'EQUIVOCATION' : 'INVALID');
    }
  }

  #sink(verdict: (typeof VERDICTS)[number]): void {
    if (VERDICTS.indexOf(verdict) > VERDICTS.indexOf(this.verdict)) this.verdict = verdict;
  }

  #file(...path: (string | number)[]): Buffer {
    return readFileSync(join(this.#options.folder, ...path.map(String)));
  }

  #names(...path: (string | number)[]): string[] {
    const folder = join(this.#options.folder, ...path.map(String));
    return existsSync(folder) ? readdirSync(folder).sort() : [];
  }

  /** Names that are numbers with this ending, ascending. */
  #numbers(ending: string, ...path: (string | number)[]): number[] {
    const names = this.#names(...path).filter(
      (name) => /^\d+$/.test(name.replace(ending, '')) && name.endsWith(ending),
    );
    return names.map((name) => Number(name.replace(ending, ''))).sort((a, b) => a - b);
  }

  #read(): void {
    const { recording_id: id, exam_id: examId } = JSON.parse(this.#file('recording.json').toString()) as SummaryFile;
    const further = this.#names('policies').map((name) => this.#file('policies', name));
    for (const record of [this.#file('policy.bin'), ...further]) {
      const parsed = readPolicy(record, { ownerHash: this.#options.ownerHash, examId });
      this.#policies.set(parsed.hash.toString('hex'), parsed);
    }
    const [{ policy }] = this.#policies.values() as unknown as [{ policy: Policy }];
    const logged = this.#openings(policy, id);
    const epochs = this.#numbers('', 'epochs');
    must(epochs.length > 0 && epochs.every((epoch, i) => epoch === i) && logged.size === epochs.length, 'log');
    let before: { open: Open; newest: Head | undefined } | undefined;
    let seat: string | undefined;
    for (const epoch of epochs) {
      const open = readOpen(this.#file('epochs', epoch, 'open.bin'));
      must(open.session.toString('base64url') === id && open.epoch === epoch, 'identity');
      const opening = logged.get(epoch);
      must(opening?.open_hash === open.hash.toString('base64url'), 'log');
      const ticket = this.#checkOpen(open, opening);
      must((seat ??= ticket) === ticket, 'attestation');
      if (before) this.#checkContinuation(before, open);
      const keys = this.#options.key && this.#keys(open, this.#options.key);
      const newest = this.#heads(open);
      for (const track of open.tracks) {
        this.#attempt(() => {
          this.#track(open, track, keys, newest);
        });
      }
      before = { open, newest };
    }
    if (before?.newest?.isClose !== true) this.#sink('OPEN-ENDED');
  }

  /** Step 2: by epoch, the opening as the log proves it. */
  #openings({ log }: Policy, recordingId: string): Map<number, OpeningEntry> {
    const openings = new Map<number, OpeningEntry>();
    const checkpoints = new Set<string>();
    for (const index of this.#numbers('.json', 'log', 'proofs')) {
      const bytes = this.#file('log', 'proofs', `${index}.json`);
      const proof = this.#file('log', 'proofs', `${index}.tlog-proof`).toString();
      must(checkProof(bytes, proof, log) === index, 'log');
      must(checkpoints.add(proof.slice(proof.indexOf('\n\n'))).size === 1, 'log');
      const entry = { ...(JSON.parse(bytes.toString()) as OpeningEntry), index };
      must((entry.recording ?? recordingId) === recordingId, 'identity');
      if (entry.type !== 'recording.opened' && entry.type !== 'recording.reopened') continue;
      must((openings.get(entry.epoch)?.open_hash ?? entry.open_hash) === entry.open_hash, 'equivocation');
      openings.set(entry.epoch, entry);
    }
    return openings;
  }

  /** Step 3: the policy that OPEN names, its window, its floor, and by which ticket the student was let in. */
  #checkOpen(open: Open, { at, index }: OpeningEntry): string {
    must(open.beaconSize <= index, 'log');
    const { policy } = this.#policies.get(open.policyHash.toString('hex')) ?? {};
    must(policy !== undefined, 'policy');
    must(open.exam.toString('base64url') === policy.exam_id, 'identity');
    must(open.minSuite >= policy.min_suite, 'suite');
    must(open.epoch > 0 || (at >= policy.not_before && at <= policy.not_after), 'policy');
    const { type, bytes } = open.attestation;
    if (type === 0) must(policy.admission === 'link', 'attestation');
    if (type === 1) must(policy.admission === 'launch', 'attestation');
    const owner = readIdentity(policy.owner);
    if (type === 0) return '';
    if (type === 1) return checkLaunchUse(bytes, open);
    return checkTicket(bytes, { examId: policy.exam_id, owner, coreHash: open.coreHash, at }).toString('hex');
  }

  /** An epoch names the newest head before it, or the OPEN where there was none; a later head than we have is a gap. */
  #checkContinuation({ open, newest }: { open: Open; newest: Head | undefined }, next: Open): void {
    must(newest?.isClose !== true, 'final');
    if (!same(next.prevHead, newest?.hash ?? open.hash)) this.#sink('GAPS');
  }

  /** Step 4: the wrap that OPEN lists for this key, or those that grants hand over. */
  #keys(open: Open, key: SecretKey): TrackKeys {
    const at = ['epochs', open.epoch] as const;
    const shred = this.#file(...at, 'shred.bin');
    const id = keyIdOf(key.suite, publicKeyOf(key)).toString('base64url');
    const view = { coreHash: open.coreHash, minSuite: open.minSuite };
    if (this.#names(...at, 'wraps').includes(`${id}.bin`)) {
      const wrap = this.#file(...at, 'wraps', `${id}.bin`);
      const digest = sha256(wrap);
      must(
        open.wrapHashes.some((hash) => same(hash, digest)),
        'wrap',
      );
      return unlock(open, openWrap(wrap, key, { ...view, scope: 1, track: 0 }), shred).trackKey;
    }
    const granted = new Map<number, Buffer>();
    for (const name of this.#names(...at, 'grants').filter((file) => file.endsWith('.wrap.bin'))) {
      const [wrap, record] = [name, name.replace('.wrap', '')].map((file) => this.#file(...at, 'grants', file)) as [
        Buffer,
        Buffer,
      ];
      if (!name.startsWith(id)) continue;
      const under = this.#policies.get(record.subarray(109, 141).toString('hex'));
      must(under !== undefined, 'grant');
      const grant = checkGrant(record, wrap, open, { ...under, minSuite: open.minSuite, at: this.#options.nowMs });
      const secret = openWrap(wrap, key, { ...view, scope: grant.scope, track: grant.track });
      if (grant.scope === 1) return unlock(open, secret, shred).trackKey;
      granted.set(grant.track, secret);
    }
    must(granted.size > 0, 'wrap');
    return (track) => granted.get(track);
  }

  /** Step 6, first half: heads are a chain as far as they are here. */
  #heads(open: Open): Head | undefined {
    let newest: Head | undefined;
    for (const seq of this.#numbers('.bin', 'epochs', open.epoch, 'heads')) {
      newest = readHead(this.#file('epochs', open.epoch, 'heads', `${seq}.bin`), open, newest, { maySkip: true });
      must(
        [...newest.tracks.keys()].every((track) => open.tracks.includes(track)),
        'identity',
      );
    }
    return newest;
  }

  /** Steps 5 and 6: the chunks in order, as far as they are here, against what the newest head counts. */
  #track(open: Open, id: number, keys: TrackKeys | undefined, newest: Head | undefined): void {
    const key = keys?.(id);
    const track = new Track(open, id, key);
    const counted = newest?.tracks.get(id);
    for (const seq of this.#numbers('.bin', 'epochs', open.epoch, 'tracks', id)) {
      if (seq !== track.count) this.#sink('GAPS');
      if (seq !== track.count) break;
      track.add(this.#file('epochs', open.epoch, 'tracks', id, `${seq}.bin`));
      if (track.count === counted?.count) must(same(track.last, counted.last), 'equivocation');
    }
    if (track.count < (counted?.count ?? 0)) this.#sink('GAPS');
    const media = key ? track.media.digest('hex') : null;
    this.tracks.push({ epoch: open.epoch, track: id, chunks: track.count, media });
  }
}

interface SummaryFile {
  recording_id: string;
  exam_id: string;
}

interface OpeningEntry {
  type: string;
  at: number;
  recording?: string;
  epoch: number;
  open_hash: string;
  index: number;
}
