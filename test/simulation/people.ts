/** Who uses the service in a simulation: recorders with bad networks, readers, and students who want to be forgotten. */
import type { z } from 'zod';
import type * as api from '../../schema/api.ts';
import type { Oracle } from './oracle.ts';
import type { Random } from './random.ts';
import { ConnectionLost, type SimulatedServer } from './server.ts';
import type { Counts } from './situations.ts';
import type { SimulatedBucket } from './stores.ts';
import { type EpochTape, keyIdOf, keyOf, type Step, type Tape } from './tape.ts';
import type { Timeline } from './timeline.ts';

export interface World {
  timeline: Timeline;
  random: Random;
  oracle: Oracle;
  servers: SimulatedServer[];
  bucket: SimulatedBucket;
  counts: Counts;
  staffToken: string;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
/** A store is assumed to end every upload by then: `LONGEST_UPLOAD_MS` of the design, less the time to begin it. */
const LONGEST_STALL_MS = 24 * HOUR_MS - MINUTE_MS;

function stall(random: Random): number {
  return random.chance(0.3)
    ? LONGEST_STALL_MS - random.magnitude(1, 10 * MINUTE_MS)
    : random.magnitude(MINUTE_MS, LONGEST_STALL_MS);
}

type Opened = z.infer<typeof api.openResponse>;

interface Answer {
  status: number;
  json: unknown;
}

/** Sends until somebody answers, to whichever server; undefined when the client loses patience. */
async function insist(
  world: World,
  attempts: number,
  send: (server: SimulatedServer) => Promise<Answer>,
): Promise<Answer | undefined> {
  const { timeline, random, servers } = world;
  for (let attempt = 0; attempt < attempts; attempt++) {
    try {
      const answer = await send(random.pick(servers));
      if (answer.status < 500) return answer;
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
    }
    await timeline.sleep(random.magnitude(SECOND_MS, 20 * MINUTE_MS));
  }
  return undefined;
}

/** One student's attempt. It may be slow, vanish, come back as a new epoch, or keep URLs for later. */
export async function record(world: World, tape: Tape): Promise<void> {
  const { timeline, random } = world;
  for (const epoch of tape.epochs) {
    const opened = await open(world, tape, epoch);
    if (!opened) return;
    const { delete_by_ms: deleteBy, uploads_until_ms: uploadsUntil } = opened;
    for (const step of epoch.steps) {
      if (random.chance(0.04)) return; // vanishes without a word
      // Comes back at the very last moment at which anything may be uploaded, or a little too late.
      if (random.chance(0.05))
        await timeline.sleep(Math.max(0, uploadsUntil + random.between(-HOUR_MS, HOUR_MS) - timeline.now));
      await timeline.sleep(random.magnitude(10 * SECOND_MS, random.chance(0.05) ? 30 * HOUR_MS : MINUTE_MS));
      if (!(await upload(world, tape, epoch, step, deleteBy))) return;
    }
    if (random.chance(0.1)) return;
    await timeline.sleep(random.magnitude(SECOND_MS, 2 * HOUR_MS));
  }
}

async function open(world: World, { exam }: Tape, { open: body, token }: EpochTape): Promise<Opened | undefined> {
  const path = `/exams/${exam.policy.exam_id}/recordings`;
  const answer = await insist(world, 12, (server) => server.fetch('POST', path, token, body));
  if (answer?.status !== 200 && answer?.status !== 201) return undefined;
  return answer.json as Opened;
}

/** Uploads a step's chunks and sends its head until a receipt comes; false when this epoch is over. */
async function upload(world: World, tape: Tape, epoch: EpochTape, step: Step, deleteBy: number): Promise<boolean> {
  const { random, oracle } = world;
  for (let round = 0; round < 6; round++) {
    if (step.chunks.length > 0 && !(await putChunks(world, tape, epoch, step))) return false;
    const path = `/recordings/${tape.recordingId}/heads`;
    const answer = await insist(world, 12, (server) => server.fetch('POST', path, epoch.token, { head: step.head }));
    if (answer?.status === 200) {
      const index = epoch.steps.indexOf(step);
      const counted = epoch.steps.slice(0, index + 1).flatMap(({ chunks }) => chunks);
      oracle.receipt(
        tape.recordingId,
        counted.map((chunk) => keyOf(tape, epoch.epoch, chunk)),
        deleteBy,
      );
      return !step.isClose;
    }
    const code = (answer?.json as { code?: string } | undefined)?.code;
    if (code !== 'chunks-missing') return false;
    await world.timeline.sleep(random.magnitude(SECOND_MS, MINUTE_MS));
  }
  return false;
}

async function putChunks(world: World, tape: Tape, epoch: EpochTape, step: Step): Promise<boolean> {
  const { timeline, random, bucket } = world;
  const path = `/recordings/${tape.recordingId}/uploads`;
  const chunks = step.chunks.map(({ request }) => request);
  const answer = await insist(world, 12, async (server) => {
    const wasIntended = world.oracle.isIntended(tape.recordingId);
    const signed = await server.fetch('POST', path, epoch.token, { epoch: epoch.epoch, chunks });
    if (wasIntended && signed.status === 200) world.oracle.signedTooLate();
    return signed;
  });
  if (answer?.status !== 200) return false;
  for (const upload of (answer.json as z.infer<typeof api.uploadsResponse>).uploads) {
    if (upload.state === 'stored') continue;
    const { object } = step.chunks.find(({ track, seq }) => track === upload.track && seq === upload.seq)!;
    const put = (durationMs: number) => bucket.put(upload.url, object, durationMs);
    // Stalls: the recorder gives it up and asks again, and the store finishes it at its leisure.
    if (random.chance(0.08)) void put(stall(random));
    // Kept until the last moment of its life, and stalled on top of it.
    else if (random.chance(0.05)) {
      const stallMs = stall(random);
      // By the store's clock, which is the true time: a server whose clock runs ahead signs for longer than it thinks.
      timeline.at(upload.expires_ms - random.magnitude(1, MINUTE_MS), () => void put(stallMs));
    } else if (random.chance(0.96)) {
      await put(random.magnitude(20, 5 * SECOND_MS));
      if (random.chance(0.1)) await put(20);
    }
  }
  return true;
}

/** Somebody with an instructor's token who wants to read at random times, also when nobody may. */
export async function read(world: World, tape: Tape): Promise<void> {
  const { random, oracle } = world;
  const server = random.pick(world.servers);
  const askedMs = server.now();
  const due = oracle.dueOf(tape.recordingId);
  const object = { epoch: 0, track: 1, seq: 0 };
  const [path, body] = random.pick([
    ['release', { key_id: keyIdOf(tape.exam), purpose: 'review' }],
    ['downloads', { objects: [object] }],
  ] as const);
  try {
    const answer = await server.fetch('POST', `/recordings/${tape.recordingId}/${path}`, world.staffToken, body);
    if (answer.status < 300) oracle.handedOut(askedMs, due);
    if (answer.status === 410) world.counts.turnedAway++;
  } catch (error) {
    if (!(error instanceof ConnectionLost)) throw error;
  }
}

/** Erasure on request, asked for until it is done. */
export async function erase(world: World, tape: Tape): Promise<void> {
  const path = `/recordings/${tape.recordingId}/erasure`;
  const answer = await insist(world, 8, (server) =>
    server.fetch('POST', path, world.staffToken, { reason: 'student' }),
  );
  if (answer?.status === 202) world.oracle.erased(tape.recordingId);
}
