/** How an epoch begins: what is pinned is verified, keys are made, OPEN is durable, posted, and acknowledged. */
import { utf8, type Bytes } from '../../crypto/format/bytes.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { attestWithLaunch } from '../../crypto/format/launch.ts';
import { NO_ATTESTATION, participantHash, type Attestation, type OpenTrack } from '../../crypto/format/open.ts';
import type { ParsedPolicy } from '../../crypto/format/policy.ts';
import { attestWithTicket, parseTicket } from '../../crypto/format/ticket.ts';
import { deleteByOf } from '../../crypto/log/entry.ts';
import { signerFromSeed } from '../../crypto/seal/identity.ts';
import type { Api } from './api.ts';
import { prepareEpoch } from './epoch-opening.ts';
import { ApiError, ClientError } from './errors.ts';
import type { ExamLink } from './link.ts';
import { launchParticipant } from './launch-participant.ts';
import { LiveEpoch, type SealedMedia } from './live-epoch.ts';
import { hashOfLastWords, withoutUnregistered } from './outbox-session.ts';
import type { Outbox, OutboxSession } from './outbox.ts';
import { captureRules, fetchCheckpoint, fetchPinnedPolicy } from './pinning.ts';
import { QuotaWatch } from './quota.ts';
import type { RecorderProgress } from './recorder.ts';
import { requirePromiseKept } from './release-head.ts';
import { Changes } from './turns.ts';

/** JSON that names the student: for the readers only. */
export const KIND_ABOUT = 7;

export interface RecorderOptions {
  api: Api;
  /** Pins the owner; may carry the seat ticket, or a platform's launch. */
  link: ExamLink;
  outbox: Outbox;
  /** Which of the policy's tracks this recorder writes; `about` is added where the policy has it. */
  tracks: readonly OpenTrack[];
  /** What the readers are told about this attempt, sealed as its own track: name, device. The server never sees it. */
  about?: Readonly<Record<string, unknown>>;
  /** How the recorder is let in where it is not by what the link holds. */
  attest?: (coreHash: Bytes) => Promise<Attestation>;
  /** Hash of the build, 32 bytes; zeros: not declared. */
  recorderBuild?: Bytes;
  /** Capture rules of the policy that the caller itself follows. */
  knownRules?: readonly string[];
  /** PUTs at a time. */
  concurrency?: number;
  /** Called with every chunk before it is put into the outbox, and waited for: what the caller must know durably about it. */
  onSealed?: (sealed: SealedMedia) => Promise<void>;
  onProgress?: (progress: RecorderProgress) => void;
}

/** Whom OPEN's participant hash is about, as far as this recorder knows: a seat, never a name. */
export interface Participant {
  issuer: string;
  subject: string;
}

export interface StartedEpoch {
  session: OutboxSession;
  policy: ParsedPolicy;
  live: LiveEpoch;
  participant: Participant;
  /** Of this device, as the service saw it when it opened; null where it did not know. */
  clientAddress: string | null;
  changes: Changes;
  quota: QuotaWatch;
  abort: AbortController;
}

/**
 * Opens the next epoch of `standing`. Order of effects: heads and session are durable before OPEN is posted, so a crash at any
 * point leaves an epoch that is either known to the server, or of unknown fate (`opening`), which the next start asks for.
 * Nothing is sealed before OPEN was acknowledged: its shred share is kept nowhere else.
 */
export async function startEpoch(options: RecorderOptions, standing: OutboxSession): Promise<StartedEpoch> {
  const { api, link, outbox, concurrency, onSealed } = options;
  const { environment } = api;
  const session = await withoutUnregistered(api, standing);
  const isFirst = session.epochs.length === 0;
  const policy = await fetchPinnedPolicy(api, link, isFirst ? environment.clock.now() : undefined);
  const rules = captureRules(policy.policy, options.knownRules);
  const tracks = tracksOf(policy, options);
  const checkpoint = await fetchCheckpoint(api, policy.policy.log, session.checkpoint);
  const participant = identify(link);
  const previous = session.epochs.at(-1);
  // An OPEN that seems never to have arrived may only be late. Until the next one is answered, what belongs to it is kept.
  const late = standing.epochs.length > session.epochs.length ? standing.epochs.at(-1) : undefined;
  const lateHeads = late && (await outbox.heads(late.epoch));
  const prepared = await prepareEpoch(environment, {
    policy,
    sessionId: session.recordingId,
    epoch: previous ? previous.epoch + 1 : 0,
    prevHead: previous ? await hashOfLastWords(outbox, previous.epoch) : new Uint8Array(32),
    tracks,
    participant: await participantHash(session.participantSalt, participant.issuer, participant.subject),
    recorderBuild: options.recorderBuild ?? new Uint8Array(32),
    beaconSize: checkpoint?.size ?? 0,
    beaconRoot: checkpoint?.root ?? new Uint8Array(32),
    attest: attestation(options),
  });
  const changes = new Changes();
  const abort = new AbortController();
  const { signal } = abort;
  const quota = new QuotaWatch(environment.clock);
  const live = await LiveEpoch.prepare({
    ...{ api, outbox, prepared, rules, changes, quota, signal, concurrency, onSealed },
  });

  const { uploadToken, open } = prepared;
  const { epoch } = prepared.plan;
  const opening: OutboxSession = {
    ...session,
    epochs: [...session.epochs, { epoch, state: 'opening', uploadToken, open }],
    checkpoint: checkpoint?.note ?? session.checkpoint,
  };
  await outbox.saveSession(opening);
  const proof = previous && { previous_token: previous.uploadToken };
  let answer: Awaited<ReturnType<Api['open']>>;
  try {
    answer = await api.open(link.examId, { ...prepared.request, ...proof });
  } catch (error) {
    // A refusal leaves the outbox as it was: the server has stored nothing.
    if (!(error instanceof ApiError) || error.status >= 500) throw error;
    if (late && lateHeads) await outbox.saveHeads(late.epoch, lateHeads);
    await outbox.saveSession(standing);
    if (!late || error.code !== 'open-conflict') throw error;
    abort.abort();
    // It has arrived meanwhile: it stands, with nothing in it, and this start is the next epoch.
    return startEpoch(options, standing);
  }
  if (answer.recording_id !== session.recordingId || answer.epoch !== epoch) {
    throw new ClientError('answer', 'the server opened another recording than the one that was asked for');
  }
  if (answer.delete_by_ms > deleteByOf(answer.opened_ms, policy.policy)) {
    throw new ClientError('answer', 'the server promises to delete later than the policy allows');
  }
  requirePromiseKept(standing.deleteByMs, answer.delete_by_ms);
  quota.opened(answer.quota);
  const opened: OutboxSession = {
    ...opening,
    epochs: [...session.epochs, { epoch, state: 'open', uploadToken, open }],
    openedMs: answer.opened_ms,
    deleteByMs: answer.delete_by_ms,
  };
  await outbox.saveSession(opened);
  return { session: opened, policy, live, participant, clientAddress: answer.client_address, changes, quota, abort };
}

function identify({ ticket, launch }: ExamLink): Participant {
  if (launch) return launchParticipant(launch.idToken);
  return ticket ? { issuer: 'ticket', subject: parseTicket(ticket.ticket).seat } : { issuer: 'link', subject: '' };
}

function attestation({ link, attest }: RecorderOptions): (coreHash: Bytes) => Promise<Attestation> {
  if (attest) return attest;
  const { ticket, launch } = link;
  if (launch) {
    return async (coreHash) =>
      attestWithLaunch(await sha256(utf8(launch.idToken)), coreHash, await signerFromSeed(launch.seed));
  }
  if (!ticket) return async () => NO_ATTESTATION;
  return async (coreHash) => attestWithTicket(ticket.ticket, coreHash, await signerFromSeed(ticket.seed));
}

function tracksOf({ policy }: ParsedPolicy, { tracks }: RecorderOptions): OpenTrack[] {
  const declared = tracks.filter(({ kind }) => kind !== KIND_ABOUT);
  for (const { track, kind } of declared) {
    if (!policy.tracks.some((allowed) => allowed.id === track && allowed.kind === kind)) {
      throw new ClientError('track', `the policy has no track ${track} of kind ${kind}`);
    }
  }
  const about = policy.tracks
    .filter(({ kind }) => kind === KIND_ABOUT)
    .map(({ id, kind }) => ({ track: id, kind, codec: 'application/json' }));
  return [...declared, ...about].sort((a, b) => a.track - b.track);
}
