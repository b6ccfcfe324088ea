/** A recorder that misbehaves needs its own key: a real recording of some tracks, closed, whose signing key the test keeps. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Signer } from '../../crypto/format/ed25519.ts';
import { newId } from '../../crypto/format/ids.ts';
import { parsePolicy } from '../../crypto/format/policy.ts';
import { attestWithTicket } from '../../crypto/format/ticket.ts';
import { signerFromSeed } from '../../crypto/seal/identity.ts';
import { exportCaseFile } from '../../src/client/casefile.ts';
import { systemEnvironment } from '../../src/client/environment.ts';
import { prepareEpoch } from '../../src/client/epoch-opening.ts';
import { LiveEpoch } from '../../src/client/live-epoch.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { type Beacon, captureRules } from '../../src/client/pinning.ts';
import { QuotaWatch } from '../../src/client/quota.ts';
import { Changes } from '../../src/client/turns.ts';
import { knownStream, TRACKS } from './known-media.ts';
import { MemoryFolder } from './memory-folder.ts';
import type { TestExam, TestService } from './service.ts';

export async function recordWithKnownKey(
  service: TestService,
  exam: TestExam,
  tracks: readonly number[] = [1],
  beacon: Beacon = { size: 0, root: new Uint8Array(32) },
): Promise<{ folder: MemoryFolder; signer: Signer; recordingId: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'zeroreel-known-key-'));
  const outbox = await openFolderOutbox({ directory });
  const policy = await parsePolicy(exam.signed.bytes);
  const { ticket } = await exam.link('seat-of-the-dishonest');
  const recordingId = newId();
  const prepared = await prepareEpoch(systemEnvironment, {
    policy,
    sessionId: recordingId,
    epoch: 0,
    prevHead: new Uint8Array(32),
    tracks: TRACKS.filter(({ track }) => tracks.includes(track)),
    participant: new Uint8Array(32),
    recorderBuild: new Uint8Array(32),
    beaconSize: beacon.size,
    beaconRoot: beacon.root,
    attest: async (coreHash) => attestWithTicket(ticket!.ticket, coreHash, await signerFromSeed(ticket!.seed)),
  });
  const changes = new Changes();
  const { signal } = new AbortController();
  const api = service.api();
  const quota = new QuotaWatch(systemEnvironment.clock);
  const rules = captureRules(policy.policy);
  const live = await LiveEpoch.prepare({ api, outbox, prepared, rules, changes, quota, signal });
  await api.open(policy.policy.exam_id, prepared.request);
  let isEnded = false;
  const heads = live.runHeads(() => (isEnded ? 1 : undefined));
  for (const track of tracks) await live.writer(track).write(knownStream(0, track, 0, 20_000));
  await live.endTracks();
  isEnded = true;
  changes.notify();
  await heads;
  await outbox.close();
  await rm(directory, { recursive: true });
  await service.server.jobs.publish();
  const folder = new MemoryFolder();
  const { key } = exam.instructors[0]!;
  await exportCaseFile({ api: service.staff(), recordingId, key, pins: exam.pins, folder });
  return { folder, signer: prepared.signer, recordingId };
}
