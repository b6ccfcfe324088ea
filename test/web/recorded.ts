/** Recordings for pages to review: real media through the real recorder, with the service's own server, bucket and log. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { utf8 } from '../../crypto/format/bytes.ts';
import { encodeKeyDocument, KEY_ADD } from '../../crypto/format/keydoc.ts';
import { encodeEncryptionKey, encodeIdentity, SUITE_HYBRID } from '../../crypto/format/ids.ts';
import {
  generateDecryptionKey,
  generateIdentity,
  type DecryptionKey,
  type Identity,
} from '../../crypto/seal/identity.ts';
import { sealKeyFile } from '../../crypto/seal/keyfile.ts';
import { encodeEvent, type ExamEvent } from '../../schema/events.ts';
import { issueTicket, signExam, type ExamPlan } from '../../src/client/exam.ts';
import type { ExamLink } from '../../src/client/link.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { formatPublicLine } from '../../src/client/public-line.ts';
import { Recorder } from '../../src/client/recorder.ts';
import { webmPieces } from '../../scripts/recording/webm.ts';
import type { TestService } from '../client/service.ts';

const MEDIA = new URL('../media/', import.meta.url).pathname;
export const PASSPHRASE = 'correct horse battery staple';

export interface Reviewer {
  identity: Identity;
  key: DecryptionKey;
  keyFile: string;
  publicLine: string;
}

/** Somebody with a key file, known to the service or not. */
export async function makeReviewer(service: TestService, label: string, isEnrolled = true): Promise<Reviewer> {
  const identity = await generateIdentity();
  const key = await generateDecryptionKey(SUITE_HYBRID);
  const keyFile = await sealKeyFile({ identity, decryptionKey: key, passphrase: PASSPHRASE });
  if (isEnrolled) {
    const { now_ms: now } = await service.staff().service();
    const { suite, publicKey } = key;
    const fields = {
      identity: identity.publicKey,
      ...{ suite, publicKey, createdMs: now, expiresMs: now + 86_400_000, prevKeyId: new Uint8Array(16) },
      operation: KEY_ADD,
    } as const;
    await service.staff().enrolKey(await encodeKeyDocument(fields, identity.signer));
  }
  const publicLine = formatPublicLine({
    identity: identity.publicKey,
    suite: key.suite,
    publicKey: key.publicKey,
    label,
  });
  return { identity, key, keyFile, publicLine };
}

/** An exam that the first reviewer owns and all of them read. */
export async function makeExam(service: TestService, reviewers: readonly Reviewer[], plan: Partial<ExamPlan> = {}) {
  const { log, now_ms: now } = await service.staff().service();
  const [owner] = reviewers;
  const signed = await signExam(
    {
      title: 'Physics 101',
      recipients: reviewers.map(({ identity, key }, index) => ({
        role: 'instructor',
        key: encodeEncryptionKey(key.suite, key.publicKey),
        identity: encodeIdentity(identity.publicKey),
        label: `reader ${index + 1}`,
      })),
      tracks: [{ kind: 'webcam' }, { kind: 'screen' }, { kind: 'events' }],
      notBeforeMs: now - 60_000,
      notAfterMs: now + 3 * 3_600_000,
      log,
      ...plan,
    },
    owner!.identity.signer,
  );
  await service.staff().publishPolicy(signed.bytes);
  return { ...signed, owner: owner!.identity };
}

export interface Epoch {
  events?: readonly ExamEvent[];
  /** How often the minute of media is repeated, its times shifted; 1 by default. */
  minutes?: number;
  /** Track kinds to record; webcam and screen by default. */
  media?: readonly MediaKind[];
  /** Which file a kind's media come from; by default its own, and the webcam's for the mixed track. */
  from?: Partial<Record<MediaKind, MediaFile>>;
}

type MediaFile = 'webcam' | 'screen';
type MediaKind = MediaFile | 'mixed';

export interface RecordPlan {
  service: TestService;
  exam: Pick<Awaited<ReturnType<typeof makeExam>>, 'pins' | 'policy' | 'owner'>;
  seat: string;
  name?: string;
  epochs?: readonly Epoch[];
  /** A ticket that was made elsewhere; by default one is made here. */
  link?: ExamLink;
  /** Left open after the last epoch. */
  isLeftOpen?: boolean;
  about?: Readonly<Record<string, unknown>>;
}

async function makeLink({ service, exam: { pins, policy, owner }, seat }: RecordPlan): Promise<ExamLink> {
  const ticket = await issueTicket({ examId: pins.examId, seat, expiresMs: policy.not_after }, owner.signer);
  return { url: service.server.url, ...pins, ticket };
}

const BOTH = ['webcam', 'screen'] as const;
const KIND_OF = { webcam: 1, screen: 2, events: 4, mixed: 5 } as const;
const FILE_OF = { webcam: 'webcam', screen: 'screen', mixed: 'webcam' } as const;

/** Records with the command line's own parts; answers the recording's id. */
export async function record(plan: RecordPlan): Promise<string> {
  const { service, name, epochs = [{}] as readonly Epoch[], isLeftOpen, about } = plan;
  const directory = await mkdtemp(join(tmpdir(), 'zeroreel-recorded-'));
  const link = plan.link ?? (await makeLink(plan));
  const trackOf = (name: keyof typeof KIND_OF): number =>
    plan.exam.policy.tracks.find(({ kind }) => kind === KIND_OF[name])!.id;
  let recordingId = '';
  for (const [index, { events = [], minutes = 1, media = BOTH, from = {} }] of epochs.entries()) {
    const fileOf = { ...FILE_OF, ...from };
    const outbox = await openFolderOutbox({ directory });
    const options = {
      ...{ api: service.api(), link, outbox },
      tracks: [
        ...media.map((name) => ({ track: trackOf(name), kind: KIND_OF[name], codec: CODECS[fileOf[name]] })),
        { track: trackOf('events'), kind: KIND_OF.events, codec: 'application/x-ndjson' },
      ],
      knownRules: Object.keys(plan.exam.policy.capture),
      about: { ...(name !== undefined && { name }), ...about },
    };
    const recorder = index === 0 ? await Recorder.open(options) : await Recorder.resume(options);
    ({ recordingId } = recorder);
    const feed = async (kind: MediaKind): Promise<void> => {
      const writer = recorder.track(trackOf(kind));
      for await (const { bytes, tMs, durMs } of repeated(fileOf[kind], minutes))
        await writer.write(bytes, { tMs, durMs });
    };
    await Promise.all(media.map(feed));
    for (const event of events)
      await recorder.track(trackOf('events')).write(utf8(encodeEvent(event)), { tMs: event.t });
    if (index === epochs.length - 1 && isLeftOpen !== true) await recorder.close();
    else await recorder.suspend();
    await outbox.close();
  }
  await rm(directory, { recursive: true });
  await service.server.jobs.publish();
  return recordingId;
}

const CODECS = { webcam: 'video/webm; codecs="vp8,opus"', screen: 'video/webm; codecs="vp9"' } as const;
const MINUTE_MS = 60_000;

/** The minute of test media over and over, each round's clusters a minute later. */
async function* repeated(file: MediaFile, minutes: number) {
  const whole = await readFile(join(MEDIA, `${file}.webm`));
  const source = async function* () {
    yield new Uint8Array(whole);
  };
  const first: { bytes: Uint8Array; tMs: number; durMs: number }[] = [];
  for await (const piece of webmPieces(source())) first.push(piece);
  for (let minute = 0; minute < minutes; minute++) {
    for (const { bytes, tMs, durMs } of first) {
      if (minute === 0) yield { bytes, tMs, durMs };
      else yield { bytes: shifted(bytes, minute * MINUTE_MS), tMs: tMs + minute * MINUTE_MS, durMs };
    }
  }
}

const CLUSTER = [0x1f, 0x43, 0xb6, 0x75];

/** A cluster moved in time. Its Timestamp takes eight bytes then, so what stands before the cluster, and its size, are left out. */
function shifted(piece: Uint8Array, byMs: number): Uint8Array {
  const at = piece.findIndex((_, index) => CLUSTER.every((byte, offset) => piece[index + offset] === byte));
  const sizeLength = Math.clz32(piece[at + 4]!) - 23;
  const timestampAt = at + 4 + sizeLength;
  if (piece[timestampAt] !== 0xe7) throw new Error('expected a cluster that begins with its Timestamp');
  const length = piece[timestampAt + 1]! & 0x7f;
  const value = piece.subarray(timestampAt + 2, timestampAt + 2 + length).reduce((sum, byte) => sum * 256 + byte, 0);
  const head = new DataView(new ArrayBuffer(6));
  const unknownSize = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
  head.setUint16(0, 0xe784);
  head.setUint32(2, value + byMs);
  return Uint8Array.from([
    ...CLUSTER,
    ...unknownSize,
    ...new Uint8Array(head.buffer),
    ...piece.subarray(timestampAt + 2 + length),
  ]);
}
