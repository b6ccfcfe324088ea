import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { parseReceipt, RECEIPT_CLOSED } from '../../crypto/format/receipt.ts';
import { formatExamLink, type ExamLink } from '../../src/client/link.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { RecordingReader } from '../../src/client/reader.ts';
import { Recorder } from '../../src/client/recorder.ts';
import { ApiSource } from '../../src/client/source.ts';
import { isKnown, TRACKS } from './known-media.ts';
import { TestService, type TestExam } from './service.ts';

const ROUNDS = process.env['SLOW'] ? 25 : 4;

let service: TestService;
let exam: TestExam;
let directory: string;

beforeAll(async () => {
  service = await TestService.start();
  exam = await service.exam({ capture: { chunk_bytes: 65_536, head_seconds: 1 } });
  directory = await mkdtemp(join(tmpdir(), 'zeroreel-crash-'));
});
afterAll(async () => {
  await service.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Runs a recorder until `lines` lines of progress were told, and a random while longer; then kill -9. What it told last. */
async function recordAndKill(link: ExamLink, round: number): Promise<number> {
  const script = new URL('recording-child.ts', import.meta.url).pathname;
  const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx', script, formatExamLink(link), directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  let stored = 0;
  let told = 0;
  for await (const line of createInterface({ input: child.stdout! })) {
    stored = Number(/^stored (\d+)$/.exec(line)?.[1] ?? stored);
    // The pulse is a second; the kill falls somewhere between two of them.
    if (++told === 3) setTimeout(() => child.kill('SIGKILL'), (round * 379) % 1000);
  }
  await exited;
  return stored;
}

test(
  `a recorder that is killed ${ROUNDS} times loses nothing that a receipt covers, and the whole is COMPLETE after it`,
  async () => {
    const link = await exam.link('seat-of-crashes');
    let acknowledged = 0;
    for (let round = 1; round <= ROUNDS; round++)
      acknowledged = Math.max(acknowledged, await recordAndKill(link, round));
    expect(acknowledged).toBeGreaterThan(0);

    const outbox = await openFolderOutbox({ directory });
    const session = (await outbox.session())!;
    expect(session.epochs.length).toBeGreaterThanOrEqual(ROUNDS);
    const receipt = parseReceipt(await Recorder.finish({ api: service.api(), link, outbox }, 4));
    expect(receipt.state).toBe(RECEIPT_CLOSED);
    expect(await Recorder.finish({ api: service.api(), link, outbox }, 4)).toEqual(
      (await outbox.session())!.closeReceipt,
    );
    expect(outbox.backlogBytes).toBe(0);
    await outbox.close();

    const { key } = exam.instructors[0]!;
    const { recordingId } = session;
    const source = new ApiSource({
      api: service.staff(),
      recordingId,
      keyIdB64: toBase64Url(key.keyId),
      purpose: 'review',
    });
    const reader = await RecordingReader.open({ source, pins: exam.pins, key, nowMs: Date.now() });
    let chunks = 0;
    for (const { epoch } of reader.epochs) {
      for (const { track } of TRACKS) {
        let at = 0;
        for await (const { bytes } of reader.readTrack(epoch, track)) {
          expect(isKnown(bytes, epoch, track, at)).toBe(true);
          at += bytes.length;
          chunks += 1;
        }
      }
    }
    expect(chunks).toBeGreaterThanOrEqual(acknowledged);
    const findings = await reader.verify('plaintext');
    expect(findings.reasons).toEqual([]);
    expect(findings.verdict).toBe('COMPLETE');
    expect(findings.epochs.length).toBe(session.epochs.length + 1);
  },
  120_000 + ROUNDS * 15_000,
);
