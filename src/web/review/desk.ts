/**
 * The reviewer's desk: everything that holds a key, in a worker of its own. The page asks it for lists, media and texts, and never sees
 * a secret; closing the page, or `lock`, forgets them.
 */
import { equal, fromBase64Url, fromUtf8, toBase64Url, type Bytes } from '../../../crypto/format/bytes.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { decodeIdentity, fingerprint, IDENTITY_SUITE, keyId, SUITE_HYBRID } from '../../../crypto/format/ids.ts';
import { encodeKeyDocument, KEY_ADD } from '../../../crypto/format/keydoc.ts';
import { ownerHash, parsePolicy, type ParsedPolicy, type Policy } from '../../../crypto/format/policy.ts';
import { generateDecryptionKey, generateIdentity } from '../../../crypto/seal/identity.ts';
import { openKeyFile, sealKeyFile, type KeyFileContents } from '../../../crypto/seal/keyfile.ts';
import { drawPassphrase } from '../../../crypto/seal/passphrase.ts';
import type { RecordingSummary } from '../../../schema/api.ts';
import {
  aboutSchema,
  parseAccommodations,
  parseEvents,
  type About,
  type Accommodations,
} from '../../../schema/events.ts';
import { Api } from '../../client/api.ts';
import { exportCaseFile, type CaseFolder } from '../../client/casefile.ts';
import { ClientError } from '../../client/errors.ts';
import {
  examRecipient,
  issueTicket,
  planOf,
  recipientOf,
  signExam,
  type ExamPlan,
  type RecipientRole,
} from '../../client/exam.ts';
import { grantRecording } from '../../client/granting.ts';
import { formatExamLink } from '../../client/link.ts';
import { examsOf, recordingsOf } from '../../client/listing.ts';
import { describeKey, formatPublicLine, parsePublicLine } from '../../client/public-line.ts';
import { RecordingReader, type Depth, type MediaChunk } from '../../client/reader.ts';
import { readNotes, writeNote, type NewNote, type ReadNotes, type ReviewNote } from '../../client/review-notes.ts';
import { watchLog } from '../../client/pinning.ts';
import { ApiSource } from '../../client/source.ts';
import type { RecordingFindings, Verdict } from '../../client/verdict.ts';
import type { Calls } from './desk-calls.ts';
import type { EventRecord } from './marks.ts';
import { shelfOf, type SeenLog } from '../parts/log-memory.ts';
import { OwnCaseFolder, ownFile, sweepOwnFiles } from './own-files.ts';
import { tarOf } from './tar.ts';
import { layOut, type RecordedEpoch } from './timeline.ts';

const EVENTS = 4;

/** What may be shown of the unlocked key. */
export interface KeyCard {
  /** `zrid1...` */
  identity: string;
  identityFingerprint: string;
  keyFingerprint: string;
  keyIdB64: string;
  suite: number;
  /** What an exam's owner needs to make this key a reader. */
  publicLine: string;
}

export interface ExamCard {
  examId: string;
  seq: number;
  policy: Policy;
  /** base64url of the hash that links pin. */
  ownerHashB64: string;
  ownerFingerprint: string;
  /** Whether this key made the exam. */
  isOwn: boolean;
  /** Whether this key is among its readers. */
  isReader: boolean;
  /** For who holds a ticket; without one where the policy admits by link. */
  link: string;
}

export interface RecordingCard {
  summary: RecordingSummary;
  epochs: RecordedEpoch[];
  about: About | undefined;
  /** By the ticket that the exam's owner signed; what the recorder tells of itself counts for nothing here. */
  accommodations: Accommodations;
  records: EventRecord[];
  /** Parts that could not be read, in words. */
  problems: string[];
}

/** What the page's form holds, before times and keys are read. */
export type NewExam = Omit<ExamPlan, 'recipients' | 'log'> & {
  /** How the owner stands in the policy. */
  ownLabel: string;
  others: readonly { role: RecipientRole; publicLine: string }[];
};

export type DeskCalls = Calls<Desk>;

interface OpenedRecording {
  reader: RecordingReader;
  card: RecordingCard;
}

export class Desk {
  readonly #api: Api;
  #keys: KeyFileContents | undefined;
  readonly #opened = new Map<string, Promise<OpenedRecording>>();
  /** What was seen of the log, here and on this service's other pages. */
  #shelf = shelfOf(null, () => undefined);

  constructor(url: string) {
    this.#api = new Api({ url });
  }

  // ---- the key ---------------------------------------------------------------------------------------------------------
  /** Throws `passphrase` for one that does not fit, and what a file that is no key file throws. */
  async unlock(keyFile: string, passphrase: string, prf?: Bytes): Promise<KeyCard> {
    await sweepOwnFiles();
    this.#keys = await openKeyFile(keyFile, passphrase, prf);
    return this.#card();
  }

  /** Six words, 77 bits. */
  async drawPassphrase(): Promise<string> {
    return drawPassphrase();
  }

  /** A new key, as its file; it is unlocked from here on. */
  async makeKey(passphrase: string, label: string): Promise<{ keyFile: string; card: KeyCard }> {
    const identity = await generateIdentity();
    const decryptionKey = await generateDecryptionKey(SUITE_HYBRID);
    const keyFile = await sealKeyFile({ identity, decryptionKey, passphrase });
    this.#keys = { identity, decryptionKey };
    return { keyFile, card: await this.#card(label) };
  }

  /** The same keys under a passphrase and, with `prf`, a second factor. */
  async reseal(passphrase: string, prf?: Bytes): Promise<string> {
    return sealKeyFile({ ...this.#unlocked(), passphrase, ...(prf && { prf }) });
  }

  async lock(): Promise<void> {
    this.#keys = undefined;
    this.#opened.clear();
    await sweepOwnFiles();
    await this.#api.signOut().catch(() => undefined);
  }

  /** Proves to the service who asks; throws `reader-unknown` where it does not know the key. */
  async signIn(): Promise<void> {
    await this.#api.signIn(this.#unlocked().identity.signer);
  }

  /** Signs in with a token instead, e.g. to enrol the first key. */
  async signInWithToken(token: string): Promise<void> {
    await this.#api.signInWithToken(token);
  }

  /** Whether a session stands that may make a key known: begun from a course, or with the institution's OpenID provider. */
  async mayEnrol(): Promise<boolean> {
    const session = await this.#api.session();
    // One that another key began enrols that key's identity only.
    return session?.identity === null && (session.role === 'instructor' || session.role === 'admin');
  }

  /** Whether staff may sign in with the institution's OpenID provider. */
  async hasOidc(): Promise<boolean> {
    return (await this.#api.service()).sign_in.oidc;
  }

  /** Makes this key known to the service, for a year. */
  async enrol(): Promise<void> {
    const { identity, decryptionKey } = this.#unlocked();
    const { now_ms: now } = await this.#api.service();
    const { suite, publicKey } = decryptionKey;
    await this.#api.enrolKey(
      await encodeKeyDocument(
        {
          identity: identity.publicKey,
          ...{ suite, publicKey, createdMs: now, expiresMs: now + 365 * 86_400_000 },
          prevKeyId: new Uint8Array(16),
          operation: KEY_ADD,
        },
        identity.signer,
      ),
    );
  }

  // ---- exams -----------------------------------------------------------------------------------------------------------
  async exams(): Promise<ExamCard[]> {
    const cards: ExamCard[] = [];
    for await (const { exam_id: examId, policy } of examsOf(this.#api)) {
      cards.push(await this.#examCard(await parsePolicy(fromBase64Url(policy), { examId })));
    }
    return cards;
  }

  /** The tenants that an exam can be launched from, each with its name and the keys that it signs with now. */
  async tenants(): Promise<{ name: string; platform: NonNullable<Policy['platform']> }[]> {
    const { platforms } = await this.#api.platforms();
    return platforms.flatMap(({ label, issuer, client_id, deployments, keys }) =>
      deployments.map((deployment_id) => ({
        name: deployments.length === 1 ? label : `${label}, ${deployment_id}`,
        platform: { issuer, client_id, deployment_id, keys: keys.slice(0, 16) },
      })),
    );
  }

  /** Signs and publishes; throws what a form can show: `policy`, `public-line`. */
  async createExam({ ownLabel, others, ...plan }: NewExam): Promise<ExamCard> {
    const { identity, decryptionKey } = this.#unlocked();
    const { suite, publicKey } = decryptionKey;
    const own = examRecipient('instructor', { identity: identity.publicKey, suite, publicKey, label: ownLabel });
    const recipients = [own, ...others.map(({ role, publicLine }) => examRecipient(role, parsePublicLine(publicLine)))];
    const { log } = await this.#api.service();
    const { bytes } = await signExam({ ...plan, recipients, log }, identity.signer);
    await this.#api.publishPolicy(bytes);
    return this.#examCard(await parsePolicy(bytes));
  }

  /** The exam's next policy, with one more reader. */
  async addReader(examId: string, role: RecipientRole, publicLine: string): Promise<ExamCard> {
    const { identity } = this.#unlocked();
    const previous = await this.#newestPolicy(examId, await ownerHash(identity.publicKey));
    const recipients = [
      ...previous.policy.recipients.map(recipientOf),
      examRecipient(role, parsePublicLine(publicLine)),
    ];
    const { bytes } = await signExam({ ...planOf(previous), recipients }, identity.signer, previous);
    await this.#api.publishPolicy(bytes);
    return this.#examCard(await parsePolicy(bytes));
  }

  /** One link a seat, signed here; the service learns of none. */
  async tickets(
    exam: ExamCard,
    seats: readonly { seat: string; accommodations?: Readonly<Record<string, boolean | number | string>> }[],
    onTicket: (made: number) => void,
  ): Promise<{ seat: string; link: string }[]> {
    const { identity } = this.#unlocked();
    const made: { seat: string; link: string }[] = [];
    const { examId, seq, policy } = exam;
    const pins = { url: this.#api.url, examId, ownerHash: fromBase64Url(exam.ownerHashB64), minSeq: seq };
    for (const { seat, accommodations } of seats) {
      const plan = { examId, seat, expiresMs: policy.not_after, ...(accommodations && { accommodations }) };
      const ticket = await issueTicket(plan, identity.signer);
      made.push({ seat, link: formatExamLink({ ...pins, ticket }) });
      onTicket(made.length);
    }
    return made;
  }

  async recordings(examId: string): Promise<RecordingSummary[]> {
    const found: RecordingSummary[] = [];
    for await (const summary of recordingsOf(this.#api, examId)) found.push(summary);
    return found;
  }

  // ---- one recording -----------------------------------------------------------------------------------------------------
  /**
   * Opens it for review, which the log says; once for as long as the key is unlocked. Throws `log` where the log does not go on from
   * `seen`; `onSeen` is told what is to be remembered.
   */
  async open(
    recordingId: string,
    { examId, ownerHashB64 }: Pick<ExamCard, 'examId' | 'ownerHashB64'>,
    seen: SeenLog | null,
    onSeen: (log: SeenLog) => void,
  ): Promise<RecordingCard> {
    let opening = this.#opened.get(recordingId);
    if (!opening) {
      this.#shelf = shelfOf(seen, onSeen);
      opening = this.#open(recordingId, { examId, ownerHash: fromBase64Url(ownerHashB64) });
      opening.catch(() => this.#opened.delete(recordingId));
      this.#opened.set(recordingId, opening);
    }
    return (await opening).card;
  }

  async seqAt(recordingId: string, epoch: number, track: number, atMs: number): Promise<number | undefined> {
    return (await this.#reader(recordingId)).seqAt(epoch, track, atMs);
  }

  async chunk(recordingId: string, epoch: number, track: number, seq: number): Promise<MediaChunk | undefined> {
    return (await this.#reader(recordingId)).readChunk(epoch, track, seq);
  }

  /** `onChunk` is told how many chunks were checked, of how many. */
  async verify(
    recordingId: string,
    depth: Depth,
    onChunk: (checked: number, most: number) => void,
  ): Promise<RecordingFindings> {
    const reader = await this.#reader(recordingId);
    const counts = reader.epochs.flatMap(({ epoch, tracks }) =>
      tracks.map(({ track }) => reader.chunkCount(epoch, track)),
    );
    const most = counts.reduce((sum, count) => sum + count, 0);
    let checked = 0;
    return reader.verify(depth, () => {
      if (++checked % 16 === 0 || checked === most) onChunk(checked, most);
    });
  }

  // ---- notes and decisions -------------------------------------------------------------------------------------------------
  async notes(recordingId: string): Promise<ReadNotes> {
    return readNotes(this.#api, await this.#reader(recordingId));
  }

  /** Signed with this key, sealed for the recording's readers. */
  async addNote(recordingId: string, note: NewNote): Promise<ReviewNote> {
    return writeNote(this.#api, await this.#reader(recordingId), this.#unlocked().identity.signer, note);
  }

  // ---- what leaves ---------------------------------------------------------------------------------------------------------
  /** The case file as one tar: still sealed, verifiable for ever. The log says that it exists. */
  async exportCase(
    recordingId: string,
    exam: ExamCard,
    onObject: (written: number) => void,
  ): Promise<{ blob: Blob; verdict: Verdict }> {
    const folder = await OwnCaseFolder.create(recordingId);
    let written = 0;
    const told: CaseFolder = {
      read: (path) => folder.read(path),
      list: (path) => folder.list(path),
      write: async (path, bytes) => {
        await folder.write(path, bytes);
        onObject(++written);
      },
    };
    const { verdict } = await exportCaseFile({
      ...{ api: this.#api, recordingId, key: this.#unlocked().decryptionKey, folder: told },
      pins: { examId: exam.examId, ownerHash: fromBase64Url(exam.ownerHashB64) },
      watch: watchLog(this.#api, this.#shelf),
    });
    const nowMs = this.#api.environment.clock.now();
    return {
      blob: tarOf(
        (await folder.files()).map(([path, file]) => [`${recordingId}/${path}`, file]),
        nowMs,
      ),
      verdict,
    };
  }

  /** Picture and sound as a film that every player plays. It is open then: the log says that it exists. */
  async exportFilm(
    recordingId: string,
    { picture, sound, format }: { picture: number | undefined; sound: number | undefined; format: 'webm' | 'mp4' },
    onProgress: (atMs: number) => void,
  ): Promise<Blob> {
    const reader = await this.#reader(recordingId);
    const { card } = await this.#opened.get(recordingId)!;
    const keyIdB64 = toBase64Url(this.#unlocked().decryptionKey.keyId);
    await this.#api.declareExport(recordingId, { key_id: keyIdB64, kind: 'decrypted' });
    const { exportFilm } = await import('./media-export.ts');
    const { writable, read } = await ownFile(`${recordingId}.${format}`);
    await exportFilm({ reader, timeline: layOut(card.epochs), picture, sound, format, writable, onProgress });
    return read();
  }

  /** Seals the recording for a colleague whom the owner's policy names; answers how many epochs. */
  async grant(recordingId: string, exam: ExamCard, publicLine: string): Promise<number> {
    const { identity, decryptionKey } = this.#unlocked();
    const pins = { examId: exam.examId, ownerHash: fromBase64Url(exam.ownerHashB64) };
    const policy = await this.#newestPolicy(exam.examId, pins.ownerHash);
    const { suite, publicKey } = parsePublicLine(publicLine);
    const toKeyId = await keyId(suite, publicKey);
    return grantRecording({
      api: this.#api,
      recordingId,
      pins,
      policy,
      toKeyId,
      decryptionKey,
      signer: identity.signer,
      watch: watchLog(this.#api, this.#shelf),
    });
  }

  /** What a public line says of its owner, to be compared by voice. */
  async describe(publicLine: string): Promise<{ label: string; identityFingerprint: string; keyFingerprint: string }> {
    const line = parsePublicLine(publicLine);
    const { identity_fingerprint: identityFingerprint, key_fingerprint: keyFingerprint } = await describeKey(line);
    return { label: line.label, identityFingerprint, keyFingerprint };
  }

  // ---- inside ------------------------------------------------------------------------------------------------------------
  async #open(recordingId: string, pins: { examId: string; ownerHash: Bytes }): Promise<OpenedRecording> {
    const { decryptionKey: key } = this.#unlocked();
    const keyIdB64 = toBase64Url(key.keyId);
    const source = new ApiSource({ api: this.#api, recordingId, keyIdB64, purpose: 'review' });
    const watch = watchLog(this.#api, this.#shelf);
    const reader = await RecordingReader.open({
      ...{ source, pins, key, watch },
      nowMs: this.#api.environment.clock.now(),
    });
    const { recording: summary } = await source.released();
    const card: RecordingCard = {
      summary,
      epochs: [],
      about: undefined,
      accommodations: parseAccommodations(''),
      records: [],
      problems: [],
    };
    for (const { epoch, checked, tracks } of reader.epochs) {
      if (!checked) {
        card.problems.push(`Epoch ${epoch} does not verify, and is not shown.`);
        continue;
      }
      const told = await Promise.all(
        tracks.map(async ({ track, kind, codec }) => ({
          ...{ track, kind, codec, chunks: reader.chunkCount(epoch, track) },
          endMs: await reader.trackEndMs(epoch, track),
        })),
      );
      card.epochs.push({ epoch, clientMs: checked.open.clientMs, tracks: told });
      // Every epoch has the same ticket, or is refused.
      card.accommodations = readAccommodations(checked.accommodations, card.problems);
      card.about ??= await readAbout(reader, epoch, card.problems);
      for (const { track, kind } of tracks) {
        if (kind === EVENTS) card.records.push(await readEvents(reader, epoch, track, card.problems));
      }
    }
    return { reader, card };
  }

  async #reader(recordingId: string): Promise<RecordingReader> {
    const opening = this.#opened.get(recordingId);
    if (!opening) throw new ClientError('no-key', 'this recording is not open');
    return (await opening).reader;
  }

  async #newestPolicy(examId: string, owner: Bytes): Promise<ParsedPolicy> {
    const { policy } = await this.#api.policy(examId);
    return parsePolicy(fromBase64Url(policy), { examId, ownerHash: owner });
  }

  async #examCard({ policy }: ParsedPolicy): Promise<ExamCard> {
    const { identity, decryptionKey } = this.#unlocked();
    const owner = decodeIdentity(policy.owner);
    const pin = await ownerHash(owner);
    return {
      examId: policy.exam_id,
      seq: policy.seq,
      policy,
      ownerHashB64: toBase64Url(pin),
      ownerFingerprint: await fingerprint(IDENTITY_SUITE, owner),
      isOwn: equal(owner, identity.publicKey),
      isReader: policy.recipients.some(({ key_id: id }) => id === toBase64Url(decryptionKey.keyId)),
      link: formatExamLink({ url: this.#api.url, examId: policy.exam_id, ownerHash: pin, minSeq: policy.seq }),
    };
  }

  async #card(label = ''): Promise<KeyCard> {
    const { identity, decryptionKey } = this.#unlocked();
    const { suite, publicKey } = decryptionKey;
    const line = { identity: identity.publicKey, suite, publicKey, label };
    const described = await describeKey(line);
    return {
      identity: described.identity,
      identityFingerprint: described.identity_fingerprint,
      keyFingerprint: described.key_fingerprint,
      keyIdB64: described.key_id,
      suite,
      publicLine: formatPublicLine(line),
    };
  }

  #unlocked(): KeyFileContents {
    if (!this.#keys) throw new ClientError('no-key', 'the key is locked');
    return this.#keys;
  }
}

function readAccommodations(json: string, problems: string[]): Accommodations {
  try {
    return parseAccommodations(json);
  } catch {
    problems.push('The accommodations in this seat’s ticket cannot be read; none is taken into account.');
    return parseAccommodations('');
  }
}

async function readAbout(reader: RecordingReader, epoch: number, problems: string[]): Promise<About | undefined> {
  try {
    const told = aboutSchema.safeParse(await reader.readAbout(epoch));
    return told.success ? told.data : undefined;
  } catch (error) {
    problems.push(`What the recorder told about epoch ${epoch} cannot be read: ${wordsOf(error)}`);
    return undefined;
  }
}

async function readEvents(
  reader: RecordingReader,
  epoch: number,
  track: number,
  problems: string[],
): Promise<EventRecord> {
  let text = '';
  try {
    for await (const { bytes } of reader.readTrack(epoch, track, { allowGaps: true })) text += fromUtf8(bytes);
  } catch (error) {
    problems.push(`Events of epoch ${epoch} are shown as far as they verify: ${wordsOf(error)}`);
  }
  return { epoch, ...parseEvents(text) };
}

/** A key that reads single tracks only, or a chunk that does not verify: told, and the rest is shown. */
function wordsOf(error: unknown): string {
  if (error instanceof ProtocolError || error instanceof ClientError) return error.message;
  throw error;
}
