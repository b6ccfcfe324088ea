/** One epoch as a reader sees it after steps 1 to 4, and step 6 for its heads: what stands, and what is wrong with it. */
import { equal, toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { checkSuccessor, headHash, parseHead, verifyHead, type HeadRecord } from '../../crypto/format/head.ts';
import type { OpenTrack } from '../../crypto/format/open.ts';
import type { ParsedPolicy } from '../../crypto/format/policy.ts';
import type { DecryptionKey } from '../../crypto/seal/identity.ts';
import {
  checkEntries,
  checkOpen,
  openKeys,
  type CheckedOpen,
  type ProvenLife,
  type ReaderKeys,
} from './epoch-check.ts';
import { ClientError } from './errors.ts';
import type { Beacon, CheckpointWatch } from './pinning.ts';
import type { ReleasedEpoch, ReleasedRecording, Source } from './source.ts';
import type { Problem, TrackFindings } from './verdict.ts';

/** How deep a verification goes: signatures and chains, every segment's hash too, or every segment opened. */
export type Depth = 'heads' | 'ciphertext' | 'plaintext';

export interface ReaderEpoch {
  epoch: number;
  /** Undefined where OPEN was refused: then nothing of this epoch is read. */
  checked: CheckedOpen | undefined;
  head: HeadRecord | undefined;
  tracks: readonly OpenTrack[];
}

export interface EpochView extends ReaderEpoch {
  released: ReleasedEpoch;
  keys: ReaderKeys | undefined;
  keyError: Error | undefined;
  problems: Problem[];
  findings: Map<number, { depth: Depth; track: TrackFindings }>;
}

export function claimOf(view: EpochView, track: number) {
  return view.head?.tracks.find((candidate) => candidate.track === track);
}

export function requireKeys(view: EpochView): ReaderKeys {
  if (view.keys) return view.keys;
  throw view.keyError ?? new ClientError('no-key', `epoch ${view.epoch} is not open: no key was given`);
}

/** One past the last chunk that is there. */
export function listedEnd(view: EpochView, track: number): number {
  return view.released.tracks.find((candidate) => candidate.track === track)?.end ?? 0;
}

export async function hashB64(head: HeadRecord | undefined): Promise<string | null> {
  return head ? toBase64Url(await headHash(head)) : null;
}

/** Whether the next epoch's OPEN names this epoch's newest head, or its OPEN where no head ever was. */
export async function isContinued(view: EpochView, next: CheckedOpen): Promise<boolean> {
  const last = view.head ? await headHash(view.head) : view.checked?.openHash;
  return last !== undefined && equal(next.open.prevHead, last);
}

/** Steps 1 and 2 for the log: its key is the policy's, and `watch` knows what was seen of it before. */
export async function checkLife(
  source: Source,
  released: ReleasedRecording,
  policies: ReadonlyMap<string, ParsedPolicy>,
  problems: Problem[],
  watch: CheckpointWatch | undefined,
): Promise<ProvenLife> {
  const [policy] = policies.values();
  if (!policy) throw new ProtocolError('policy', 'the recording came without a policy');
  const { log } = policy.policy;
  try {
    const life = await checkEntries(await source.entries(), released.recordingId, log.vkey);
    if (life.checkpoint !== undefined) await watch?.(log, life.checkpoint);
    return life;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    problems.push({ code: error.code, message: error.message });
    return { openings: new Map(), ending: undefined, checkpoint: undefined };
  }
}

/** Step 2, once it is known what the recorder itself saw of the log: an epoch whose beacons the log contradicts is shut. */
export async function checkBeacons(
  view: EpochView,
  { checkpoint }: ProvenLife,
  watch: CheckpointWatch | undefined,
): Promise<void> {
  if (!view.checked || checkpoint === undefined || !watch) return;
  const { open, policy } = view.checked;
  const beacons = new Map<string, Beacon>();
  for (const { beaconSize: size, beaconRoot: root } of [open, ...(view.head ? [view.head] : [])]) {
    if (size > 0) beacons.set(`${size} ${toBase64Url(root)}`, { size, root });
  }
  if (beacons.size === 0) return;
  try {
    await watch(policy.policy.log, checkpoint, [...beacons.values()]);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    view.checked = undefined;
    view.problems.push({ code: error.code, message: `what its recorder saw of the log: ${error.message}` });
  }
}

export async function viewEpoch(
  released: ReleasedEpoch,
  recordingId: string,
  policies: ReadonlyMap<string, ParsedPolicy>,
  life: ProvenLife,
): Promise<EpochView> {
  const { epoch } = released;
  const view: EpochView = {
    epoch,
    released,
    checked: undefined,
    head: undefined,
    tracks: [],
    keys: undefined,
    keyError: undefined,
    problems: [],
    findings: new Map(),
  };
  try {
    const checked = await checkOpen(released.open, { recordingId, epoch }, policies, life.openings.get(epoch));
    view.checked = checked;
    view.tracks = checked.open.tracks;
    view.head = await checkHeads(released.heads, checked);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    view.problems.push({ code: error.code, message: error.message });
  }
  return view;
}

/** Step 6, the heads by themselves: each verified, in one line without a fork. Answers the newest. */
async function checkHeads(heads: readonly Bytes[], { open, openHash }: CheckedOpen): Promise<HeadRecord | undefined> {
  let newest: HeadRecord | undefined;
  for (const bytes of heads) {
    const head = parseHead(bytes);
    await verifyHead(head, open.recorderKey);
    if (head.sessionId !== open.sessionId || head.epoch !== open.epoch) {
      throw new ProtocolError('identity', 'a head of another recording or epoch');
    }
    if (!head.tracks.every(({ track }) => open.tracks.some((declared) => declared.track === track))) {
      throw new ProtocolError('identity', 'a head that counts a track which the open record does not have');
    }
    const { sessionId, epoch } = open;
    // Servers keep the newest head only: neighbours are checked where both are here.
    if (newest && head.headSeq <= newest.headSeq + 1) await checkSuccessor(newest, head);
    else if (head.headSeq === 0) await checkSuccessor({ sessionId, epoch, openHash }, head);
    newest = head;
  }
  return newest;
}

export async function unlock(
  view: EpochView,
  key: DecryptionKey,
  policies: ReadonlyMap<string, ParsedPolicy>,
  nowMs: number,
): Promise<void> {
  if (!view.checked) return;
  try {
    view.keys = await openKeys(view.checked, view.released, key, policies, nowMs);
  } catch (error) {
    if (error instanceof ProtocolError) view.problems.push({ code: error.code, message: error.message });
    else if (!(error instanceof ClientError)) throw error;
    view.keyError = error;
  }
}
