/**
 * Plays an exam's owner, its readers and its recorders over the real crypto layer, for tests of the server. Honest by default;
 * every `changes` argument makes it lie about exactly one thing, with valid signatures over the lie.
 */
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import type { Signer } from '../../crypto/format/ed25519.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { encodeHead, headHash, parseHead, TRACK_LIVE, type HeadFields } from '../../crypto/format/head.ts';
import {
  decodeEncryptionKey,
  encodeEncryptionKey,
  encodeIdentity,
  newId,
  type Suite,
} from '../../crypto/format/ids.ts';
import {
  encodeOpenBody,
  encodeOpenCore,
  NO_ATTESTATION,
  openCoreHash,
  openHash,
  participantHash,
  signOpen,
  type Attestation,
  type OpenCore,
} from '../../crypto/format/open.ts';
import { encodePolicy, noticeHash, parsePolicy, policyRecipient, type Policy } from '../../crypto/format/policy.ts';
import { randomBytes } from '../../crypto/format/random.ts';
import { attestWithTicket, encodeTicket, type TicketFields } from '../../crypto/format/ticket.ts';
import { ROLE_INSTRUCTOR, SCOPE_EPOCH, wrapHash, type Role, type WrapContext } from '../../crypto/format/wrap.ts';
import { sealChunk, type ChunkFields } from '../../crypto/seal/chunk.ts';
import {
  generateDecryptionKey,
  generateIdentity,
  generateSigner,
  type DecryptionKey,
  type Identity,
} from '../../crypto/seal/identity.ts';
import { deriveEpochKeys, shredHash, type EpochKeys, type EpochSecrets } from '../../crypto/seal/schedule.ts';
import { sealWrap } from '../../crypto/seal/wrap.ts';

const HOUR_MS = 3_600_000;

/** Somebody who may open recordings. */
export interface TestReader {
  identity: Identity;
  key: DecryptionKey;
  keyIdB64: string;
  recipient: Policy['recipients'][number];
}

export async function makeReader(
  suite: Suite,
  label = `reader of suite ${suite}`,
  role: Role = ROLE_INSTRUCTOR,
): Promise<TestReader> {
  const identity = await generateIdentity();
  const key = await generateDecryptionKey(suite);
  const recipient = await policyRecipient({
    role,
    pk: encodeEncryptionKey(suite, key.publicKey),
    identity: encodeIdentity(identity.publicKey),
    label,
  });
  return { identity, key, keyIdB64: toBase64Url(key.keyId), recipient };
}

export interface TestExam {
  owner: Identity;
  readers: TestReader[];
  policy: Policy;
  policyHash: Bytes;
  /** The signed ZRPL record. */
  record: Bytes;
}

/** What a policy pins: `GET /v1/service` tells it. */
export type PinnedLog = Policy['log'];

export interface ExamOptions {
  now: number;
  log: PinnedLog;
  readers?: TestReader[];
  owner?: Identity;
  changes?: Partial<Policy>;
}

/** Two tracks, webcam 1 and events 4; a reader in each suite; an hour from now until four hours from now, by seat ticket. */
export async function makeExam({ now, log, changes = {}, ...given }: ExamOptions): Promise<TestExam> {
  const owner = given.owner ?? (await generateIdentity());
  const readers = given.readers ?? [await makeReader(1), await makeReader(2)];
  const policy: Policy = {
    v: 1,
    exam_id: newId(),
    title: 'Practice exam',
    seq: 0,
    prev_policy_hash: null,
    owner: encodeIdentity(owner.publicKey),
    not_before: now - HOUR_MS,
    not_after: now + 4 * HOUR_MS,
    admission: 'ticket',
    min_suite: 1,
    tracks: [
      { id: 1, kind: 1, required: true },
      { id: 4, kind: 4, required: false },
    ],
    recipients: readers.map(({ recipient }) => recipient),
    retention_days: 30,
    practice: false,
    capture: {},
    notice: { text: 'Webcam and events are recorded and destroyed after 30 days.', contact: 'privacy@example.org' },
    log,
    ...changes,
  };
  const record = await encodePolicy(policy, [owner.signer]);
  return { owner, readers, policy, policyHash: (await parsePolicy(record)).policyHash, record };
}

/** The exam's next policy version, by the same owner. */
export async function nextPolicy(exam: TestExam, changes: Partial<Policy>): Promise<TestExam> {
  const { owner, readers } = exam;
  const following = { seq: exam.policy.seq + 1, prev_policy_hash: toBase64Url(exam.policyHash) };
  const policy: Policy = { ...exam.policy, ...following, ...changes };
  const record = await encodePolicy(policy, [owner.signer]);
  return { owner, readers, policy, policyHash: (await parsePolicy(record)).policyHash, record };
}

export interface TestTicket {
  record: Bytes;
  holder: Identity;
}

export async function makeTicket(
  { owner, policy }: TestExam,
  changes: Partial<TicketFields> = {},
  signer: Signer = owner.signer,
): Promise<TestTicket> {
  const holder = await generateIdentity();
  const fields = { examId: policy.exam_id, seat: newId(), ticketKey: holder.publicKey, accommodations: '' };
  const record = await encodeTicket({ ...fields, expiresMs: policy.not_after, ...changes }, signer);
  return { record, holder };
}

/** The body of `POST /v1/exams/:id/recordings`. */
export interface OpenBody {
  open: string;
  wraps: string[];
  shred: string;
  token_hash: string;
  previous_token?: string;
  notice_hash: string;
}

export interface RecorderOptions {
  now: number;
  /** Absent: a fresh one, or none where the policy admits by link. */
  ticket?: TestTicket;
  sessionId?: string;
  epoch?: number;
  /** Hash of the last head of the epoch before. */
  prevHead?: Bytes;
  /** Upload token of the epoch before. */
  previousToken?: string;
  /** How it is let in where it is not by ticket. */
  attest?: (coreHash: Bytes) => Promise<Attestation>;
  /** Lies: in the signed core, in who gets a wrap, in what a wrap is bound to, in how the student was let in. */
  changes?: {
    core?: Partial<OpenCore>;
    recipients?: Policy['recipients'];
    wrap?: Partial<WrapContext>;
    attestation?: Attestation;
  };
}

export interface SealedChunk {
  track: number;
  seq: number;
  object: Bytes;
  plaintext: Bytes;
  entryHash: Bytes;
  /** As `uploads` asks for it. */
  request: { track: number; seq: number; bytes: number; sha256: string };
}

/** One epoch of one recording, as a recorder holds it: keys in memory, chains per track, and the newest head. */
export class TestRecorder {
  readonly exam: TestExam;
  readonly ticket: TestTicket | undefined;
  readonly sessionId: string;
  readonly epoch: number;
  readonly signer: Signer;
  readonly secrets: EpochSecrets;
  readonly openHash: Bytes;
  readonly openBody: OpenBody;
  /** The upload token, of which the server is told the hash. */
  readonly token: string;
  readonly #keys: EpochKeys;
  readonly #openedMs: number;
  readonly #tracks: Map<number, { count: number; last: Bytes }>;
  #head: { seq: number; hash: Bytes } | undefined;

  private constructor(
    fields: Pick<
      TestRecorder,
      'exam' | 'ticket' | 'sessionId' | 'epoch' | 'signer' | 'secrets' | 'openHash' | 'openBody' | 'token'
    >,
    keys: EpochKeys,
    core: OpenCore,
  ) {
    this.exam = fields.exam;
    this.ticket = fields.ticket;
    this.sessionId = fields.sessionId;
    this.epoch = fields.epoch;
    this.signer = fields.signer;
    this.secrets = fields.secrets;
    this.openHash = fields.openHash;
    this.openBody = fields.openBody;
    this.token = fields.token;
    this.#keys = keys;
    this.#openedMs = core.clientMs;
    this.#tracks = new Map(core.tracks.map(({ track }) => [track, { count: 0, last: fields.openHash }]));
  }

  /** Makes keys, wraps and the signed OPEN; nothing is sent. */
  static async begin(exam: TestExam, options: RecorderOptions): Promise<TestRecorder> {
    const { now, sessionId = newId(), epoch = 0, changes = {} } = options;
    const { policy, policyHash } = exam;
    const signer = await generateSigner();
    const secrets = { cek: randomBytes(32), shred: randomBytes(32) };
    const keys = await deriveEpochKeys({ ...secrets, examId: policy.exam_id, policyHash, sessionId, epoch });
    const core: OpenCore = {
      minSuite: policy.min_suite,
      examId: policy.exam_id,
      policyHash,
      sessionId,
      epoch,
      prevHead: options.prevHead ?? new Uint8Array(32),
      recorderKey: signer.publicKey,
      commitment: keys.kc,
      shredHash: await shredHash(secrets.shred),
      participant: await participantHash(randomBytes(16), 'https://lms.example', 'a-student'),
      recorderBuild: new Uint8Array(32),
      clientMs: now,
      beaconSize: 0,
      beaconRoot: new Uint8Array(32),
      tracks: policy.tracks.map(({ id, kind }) => ({ track: id, kind, codec: 'application/octet-stream' })),
      ...changes.core,
    };
    const coreBytes = encodeOpenCore(core);
    const coreHash = await openCoreHash(coreBytes);
    const wraps = await Promise.all(
      (changes.recipients ?? policy.recipients).map(({ pk, role }) =>
        sealWrap(secrets.cek, decodeEncryptionKey(pk), {
          role,
          scope: SCOPE_EPOCH,
          track: 0,
          coreHash,
          ...changes.wrap,
        }),
      ),
    );
    const ticket = options.ticket ?? (policy.admission === 'ticket' ? await makeTicket(exam) : undefined);
    const attestation =
      changes.attestation ??
      (await options.attest?.(coreHash)) ??
      (ticket ? await attestWithTicket(ticket.record, coreHash, ticket.holder.signer) : NO_ATTESTATION);
    const body = encodeOpenBody(coreBytes, await Promise.all(wraps.map(wrapHash)), attestation);
    const token = `zru_${toBase64Url(randomBytes(32))}`;
    const openBody: OpenBody = {
      open: toBase64Url(await signOpen(body, signer)),
      wraps: wraps.map(toBase64Url),
      shred: toBase64Url(secrets.shred),
      token_hash: toBase64Url(await sha256(new TextEncoder().encode(token))),
      notice_hash: toBase64Url(await noticeHash(policy)),
      ...(options.previousToken !== undefined && { previous_token: options.previousToken }),
    };
    const fields = {
      exam,
      ticket,
      sessionId,
      epoch,
      signer,
      secrets,
      openHash: await openHash({ body }),
      openBody,
      token,
    };
    return new TestRecorder(fields, keys, core);
  }

  /** A later epoch of the same recording, as a recorder makes after a crash: new keys, linked to the newest head. */
  resume(options: Pick<RecorderOptions, 'now' | 'changes' | 'attest'>): Promise<TestRecorder> {
    return TestRecorder.begin(this.exam, {
      ...options,
      ...(this.ticket && { ticket: this.ticket }),
      sessionId: this.sessionId,
      epoch: this.epoch + 1,
      prevHead: this.#head?.hash ?? this.openHash,
      previousToken: this.token,
    });
  }

  /** Seals the next chunk of a track. The chain goes on from it, whatever `changes` made it say. */
  async chunk(track: number, plaintext: Bytes, changes: Partial<ChunkFields> = {}): Promise<SealedChunk> {
    const chain = this.#chain(track);
    const seq = chain.count;
    const fields: ChunkFields = {
      isFinal: false,
      isPadded: false,
      sessionId: this.sessionId,
      epoch: this.epoch,
      track,
      seq,
      startMs: seq * 10_000,
      durationMs: 10_000,
      gapMs: 0,
      wallMs: this.#openedMs + seq * 10_000,
      prev: chain.last,
      ...changes,
    };
    const sealed = await sealChunk(await this.#keys.trackKey(track), fields, plaintext, this.signer);
    chain.count += 1;
    chain.last = sealed.entryHash;
    return { track, seq, plaintext, ...sealed, request: await promiseOf(track, seq, sealed.object) };
  }

  /** The next signed head as base64url. It counts every chunk that was sealed; the next head follows it. */
  async head(changes: Partial<HeadFields> = {}, signer: Signer = this.signer): Promise<string> {
    const seq = this.#head ? this.#head.seq + 1 : 0;
    const fields: HeadFields = {
      isClose: false,
      reason: 0,
      sessionId: this.sessionId,
      epoch: this.epoch,
      headSeq: seq,
      prev: this.#head?.hash ?? this.openHash,
      wallMs: this.#openedMs + 30_000 * (seq + 1),
      monoMs: 30_000 * (seq + 1),
      beaconSize: 0,
      beaconRoot: new Uint8Array(32),
      tracks: this.headTracks(),
      ...changes,
    };
    const record = await encodeHead(fields, signer);
    this.#head = { seq: fields.headSeq, hash: await headHash(parseHead(record)) };
    return toBase64Url(record);
  }

  /** The head that ends the recording. */
  close(): Promise<string> {
    return this.head({ isClose: true, reason: 1 });
  }

  /** What an honest head says of each track now. */
  headTracks(): HeadFields['tracks'] {
    return [...this.#tracks].map(([track, { count, last }]) => ({ track, state: TRACK_LIVE, count, last }));
  }

  /** A recorder that forgets what it did after this point, to fork its own history. */
  fork(): () => void {
    const head = this.#head;
    const tracks = [...this.#tracks].map(([track, chain]) => [track, { ...chain }] as const);
    return () => {
      this.#head = head;
      for (const [track, chain] of tracks) this.#tracks.set(track, { ...chain });
    };
  }

  #chain(track: number): { count: number; last: Bytes } {
    let chain = this.#tracks.get(track);
    if (!chain) this.#tracks.set(track, (chain = { count: 0, last: this.openHash }));
    return chain;
  }
}

/** What a recorder asks to upload `object` as. */
export async function promiseOf(track: number, seq: number, object: Bytes): Promise<SealedChunk['request']> {
  return { track, seq, bytes: object.length, sha256: toBase64Url(await sha256(object)) };
}

/** Bytes that stand for media: every length and seed gives other ones, the same each time. */
export function media(length: number, seed = 1): Bytes {
  const bytes = new Uint8Array(length);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    // xorshift32 (Marsaglia 2003): no two of our plaintexts may look alike by accident.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state & 0xff;
  }
  return bytes;
}
