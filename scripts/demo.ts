/**
 * The life and death of one recording, on real input, through the real command line: `npm run demo`. Nothing stands in for
 * anything; the server's clock can be moved, so that 30 days pass in a second. Exit code 0: every claim of the summary held.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { fromBase64Url, toBase64Url, utf8, type Bytes } from '../crypto/format/bytes.ts';
import { parseWrap } from '../crypto/format/wrap.ts';
import type { DecryptionKey } from '../crypto/seal/identity.ts';
import { openKeyFile } from '../crypto/seal/keyfile.ts';
import type { Release } from '../schema/api.ts';
import { Api } from '../src/client/api.ts';
import { parseExamLink } from '../src/client/link.ts';
import { RecordingReader } from '../src/client/reader.ts';
import { ApiSource } from '../src/client/source.ts';
import type { RunningServer } from '../src/node.ts';
import { burgle } from './demo/burglar.ts';
import { search, windows, type Needle } from './demo/search.ts';
import { Stage } from './demo/stage.ts';
import { formatBytes, formatTime } from './shell/figures.ts';

const USAGE = `npm run demo -- [--json] [--keep]

  --json   the summary as one JSON object on standard output; the steps go to standard error
  --keep   leaves the folder with keys, databases and objects, and says where it is`;

const MEDIA = new URL('../test/media/', import.meta.url);
const TRACKS = { webcam: 'webcam.webm', screen: 'screen.webm', events: 'events.ndjson' } as const;
type Track = keyof typeof TRACKS;
const TRACK_NAMES = Object.keys(TRACKS) as Track[];
const INSTRUCTORS = [
  { name: 'first', label: 'the first instructor', suite: '2', passphrase: 'plum orbit seventeen lanterns' },
  { name: 'second', label: 'the second instructor', suite: '1', passphrase: 'slow river under the old mill' },
] as const;
const STUDENT = 'Ingeborg Ravndal';
const DAY_MS = 86_400_000;
/** The recorder reads its files this many times faster than they were recorded. */
const PACE = 12;

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

let steps = 0;
const failures: string[] = [];

function tell(line: string): void {
  const text = `${String(++steps).padStart(2)}. ${line}`;
  if (options.json) console.error(text);
  else console.log(text);
}

/** What the demonstration is for: a claim that does not hold is told, and makes it fail. */
function claim(holds: boolean, what: string): boolean {
  if (!holds) failures.push(what);
  return holds;
}

type Hashes = Record<Track, string>;

async function hashesOf(folder: (file: string) => string | URL): Promise<Hashes> {
  const hash = async (file: string): Promise<string> =>
    createHash('sha256')
      .update(await readFile(folder(file)))
      .digest('hex');
  return { webcam: await hash(TRACKS.webcam), screen: await hash(TRACKS.screen), events: await hash(TRACKS.events) };
}

async function mediaBytes(): Promise<number> {
  const sizes = await Promise.all(Object.values(TRACKS).map(async (file) => (await stat(new URL(file, MEDIA))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Makes keys, exam, ticket and tokens, as people would. */
async function prepare(stage: Stage) {
  await Promise.all(
    INSTRUCTORS.map(({ name, label, suite, passphrase }) =>
      stage.must(['keygen', '--suite', suite, '--label', label, `${name}.key`], { ZEROREEL_PASSPHRASE: passphrase }),
    ),
  );
  tell(
    'two instructors made their keys: the first instructor with MLKEM768-X25519 (suite 2), the second instructor with X25519 (suite 1)',
  );
  const [first, second] = INSTRUCTORS;
  await stage.must(['setup', 'server/setup.link']);
  const admin = { ZEROREEL_TOKEN_FILE: 'admin.token' };
  const created = await Promise.all(
    (['instructor', 'compliance'] as const).map((role) =>
      stage.must(['token', 'create', '--role', role, '--label', role, '--out', `${role}.token`], admin),
    ),
  );
  claim(created.length === 2, 'two tokens were made');
  const link = await stage.must(
    [
      'exam',
      'create',
      '--key',
      'first.key',
      '--title',
      'Physics 101, practice paper',
      '--recipient',
      `${second.name}.key.pub`,
      '--min-suite',
      '1',
      '--rule',
      'chunk_seconds=5',
      '--rule',
      'head_seconds=1',
      '--token-file',
      'instructor.token',
    ],
    { ZEROREEL_PASSPHRASE: first.passphrase },
  );
  await stage.must(['exam', 'tickets', '--key', 'first.key', '--out', 'seats', '1'], {
    ZEROREEL_PASSPHRASE: first.passphrase,
    ZEROREEL_EXAM: link,
  });
  tell('the first instructor signed an exam with both as readers, and a seat ticket for one student');
  return { link, admin };
}

const RECORD = [
  'record',
  '--ticket',
  'seats/0001.link',
  '--json',
  '--name',
  STUDENT,
  ...Object.values(TRACKS).map((file) => new URL(file, MEDIA).pathname),
];

/** Records, is killed in the middle, and goes on. Answers the recording's id. */
async function recordWithCrash(stage: Stage): Promise<{ recordingId: string; epochs: number }> {
  const total = await mediaBytes();
  let atKill = { sealed: 0, stored: 0 };
  const killed = await stage.runUntil([...RECORD, '--pace', String(PACE)], {}, (line) => {
    const event = JSON.parse(line) as { event: string; bytes?: number; sealed: number; stored: number };
    if (event.event !== 'progress' || (event.bytes ?? 0) < 0.4 * total || event.stored === 0) return false;
    atKill = { sealed: event.sealed, stored: event.stored };
    return true;
  });
  claim(
    killed.signal === 'SIGKILL' && !killed.output.includes('"closed"'),
    `the recorder was killed in the middle (${killed.error.trim()})`,
  );
  tell(
    `a student's recorder sealed ${atKill.sealed} chunks and held receipts for ${atKill.stored}; then it was killed with SIGKILL`,
  );
  const lines = (await stage.must(RECORD)).split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  const opened = lines.find(({ event }) => event === 'opened');
  const closed = lines.find(({ event }) => event === 'closed');
  const resumedAt = Object.values((opened?.['resumed_at'] ?? {}) as Record<string, number>).reduce(
    (sum, bytes) => sum + bytes,
    0,
  );
  claim(resumedAt > 0 && resumedAt < total, 'the second run went on in the middle of the files');
  claim(closed !== undefined, 'the recording was closed');
  tell(
    `the same command went on at byte ${resumedAt} of ${total}, under new keys, uploaded what was left, and closed with a receipt`,
  );
  return { recordingId: String(opened?.['recording_id']), epochs: 2 };
}

async function fetchAsEach(stage: Stage, link: string, recordingId: string, recorded: Hashes) {
  const results = await Promise.all(
    INSTRUCTORS.map(async ({ name, passphrase }) => {
      const output = await stage.must(
        [
          'fetch',
          '--key',
          `${name}.key`,
          '--token-file',
          'instructor.token',
          '--out',
          `review-${name}`,
          '--json',
          recordingId,
        ],
        { ZEROREEL_PASSPHRASE: passphrase, ZEROREEL_EXAM: link },
      );
      const answer = JSON.parse(output) as { key_id: string; verdict: string; epochs: number };
      claim(answer.verdict === 'COMPLETE', `${name} finds the recording COMPLETE`);
      const hashes = await hashesOf((file) => stage.path(`review-${name}`, file));
      for (const track of TRACK_NAMES)
        claim(hashes[track] === recorded[track], `${name}'s ${track} is byte for byte what was recorded`);
      const about = await readFile(stage.path(`review-${name}`, 'about.json'), 'utf8');
      claim(about.includes(STUDENT), `${name} reads the student's name`);
      return { keyId: answer.key_id, epochs: answer.epochs, hashes };
    }),
  );
  tell(
    `each instructor fetched it with her own key: COMPLETE, ${results[0]!.epochs} epochs, every track byte for byte what was recorded`,
  );
  return results;
}

/** What only a reader can know, for the search: the content keys. And what the server holds of the recording. */
async function asReader(
  stage: Stage,
  server: RunningServer,
  link: string,
  recordingId: string,
): Promise<{ released: Release; ceks: Bytes[]; keys: DecryptionKey[] }> {
  const opened = await Promise.all(
    INSTRUCTORS.map(async ({ name, passphrase }) =>
      openKeyFile(await readFile(stage.path(`${name}.key`), 'utf8'), passphrase),
    ),
  );
  const keys = opened.map(({ decryptionKey }) => decryptionKey);
  const [key] = keys;
  const api = new Api({ url: server.url, token: (await readFile(stage.path('instructor.token'), 'utf8')).trim() });
  const source = new ApiSource({ api, recordingId, keyIdB64: toBase64Url(key!.keyId), purpose: 'review' });
  const { ownerHash, examId } = parseExamLink(link);
  const reader = await RecordingReader.open({
    source,
    pins: { ownerHash, examId },
    key: key!,
    nowMs: stage.clock.now(),
  });
  const ceks = reader.epochs.map(({ epoch }) => reader.secrets(epoch).cek);
  return { released: await source.released(), ceks, keys };
}

/** Answers whether anything that the server holds opens the recording; everything here must fail. */
async function tryToOpen(
  stage: Stage,
  link: string,
  recordingId: string,
  view: Awaited<ReturnType<typeof asReader>>,
): Promise<boolean> {
  const [first] = INSTRUCTORS;
  const refused = await stage.run(
    ['fetch', '--key', 'first.key', '--token-file', 'compliance.token', '--out', 'stolen', recordingId],
    {
      ZEROREEL_PASSPHRASE: first.passphrase,
      ZEROREEL_EXAM: link,
    },
  );
  const isRefused = claim(refused.exit === 77, 'a compliance token is refused, even with an instructor’s key');
  tell(`a compliance token was refused: ${refused.error.split('\n')[0]!.replace('zeroreel: ', '')}`);

  const needles: Needle[] = [
    ...view.ceks.map((bytes, epoch) => ({ name: `content key of epoch ${epoch}`, bytes })),
    ...view.keys.map(({ seed: bytes, suite }) => ({ name: `private key of suite ${suite}`, bytes })),
    { name: 'student’s name', bytes: utf8(STUDENT) },
  ];
  for (const track of TRACK_NAMES) needles.push(...windows(track, await readFile(new URL(TRACKS[track], MEDIA)), 64));
  const plain = await search(stage.dataFolder, needles);
  const isBlind = claim(plain.found === 0, `no key, name or plaintext lies on the server: ${plain.places.join(', ')}`);
  tell(
    `${needles.length} pieces of keys, name and media were looked for in every file of the server: ${plain.found} found`,
  );

  const burglar = await burgle(stage.dataFolder, view.released);
  const control = await burgle(
    stage.dataFolder,
    view.released,
    view.keys.map(({ seed }) => seed),
  );
  claim(control.opened > 0, 'the same attempt succeeds with an instructor’s key, so it is a real one');
  const isShut = claim(burglar.opened === 0, 'nothing that the server holds opens a wrap');
  tell(
    `every secret of the server was tried on every wrap, with the shred shares at hand: ${burglar.attempts} attempts, ${burglar.opened} opened; with an instructor's key ${control.opened} do`,
  );
  return !(isRefused && isBlind && isShut);
}

/** Secret-bearing parts of wraps, and the shred shares: what must be gone from the disk. */
function shreddable({ epochs }: Release): Needle[] {
  return epochs.flatMap(({ epoch, shred, wraps }) => [
    { name: `shred share of epoch ${epoch}`, bytes: fromBase64Url(shred) },
    ...wraps.flatMap(({ key_id: id, wrap }) => {
      const { encapsulation, ciphertext } = parseWrap(fromBase64Url(wrap));
      return [...windows(`wrap ${id} enc`, encapsulation, 8), ...windows(`wrap ${id} ct`, ciphertext, 2)];
    }),
  ]);
}

async function countObjects({ ports }: RunningServer): Promise<number> {
  let count = 0;
  for await (const _version of ports.bucket.listVersions('')) count++;
  return count;
}

/** Lets days pass as cron would live through them: a log that is silent for more than 24 hours is an exception to its auditor. */
async function passDays({ jobs }: RunningServer, stage: Stage, days: number): Promise<void> {
  for (let half = 0; half < 2 * days; half++) {
    stage.clock.forward(DAY_MS / 2);
    for (const job of [jobs.abandon, jobs.purge, jobs.heartbeat, jobs.publish]) await job();
  }
}

async function play(stage: Stage) {
  const startedMs = performance.now();
  const server = await stage.startServer();
  tell('the server runs on its embedded defaults in a fresh folder: SQLite, a vault, an S3 endpoint over a folder');
  const recorded = await hashesOf((file) => new URL(file, MEDIA));
  const bytes = await mediaBytes();
  const { link, admin } = await prepare(stage);
  const { recordingId } = await recordWithCrash(stage);

  const listed = await stage.must(['list', '--json', '--token-file', 'instructor.token'], { ZEROREEL_EXAM: link });
  const summary = JSON.parse(listed) as {
    recording_id: string;
    state: string;
    epochs: number;
    objects: number;
    bytes: number;
    delete_by_ms: number;
  };
  claim(summary.recording_id === recordingId && summary.state === 'closed', 'the recording is listed as closed');
  tell(
    `listed: ${recordingId}, ${summary.objects} objects, ${formatBytes(summary.bytes)}, to be destroyed by ${formatTime(summary.delete_by_ms)}`,
  );
  const fetched = await fetchAsEach(stage, link, recordingId, recorded);

  const view = await asReader(stage, server, link, recordingId);
  const serverCouldOpen = await tryToOpen(stage, link, recordingId, view);

  const doomed = shreddable(view.released);
  const objectsBefore = await countObjects(server);
  const before = await search(stage.dataFolder, doomed);
  claim(before.found === doomed.length, 'before the purge the search finds every wrap and share, so it can find them');
  await passDays(server, stage, 29.5);
  claim((await countObjects(server)) === objectsBefore, 'nothing is lost before delete_by');
  stage.clock.forward(DAY_MS / 2);
  const purged = await stage.run(['purge', '--json'], admin);
  await server.jobs.heartbeat();
  claim(purged.exit === 0, `the purge ended well: ${purged.error}`);
  const objectsAfter = await countObjects(server);
  claim(objectsAfter === 0, 'a listing of the bucket is empty');
  tell(
    `30 days passed on the server's clock; the purge ran: ${objectsBefore} objects before, a listing finds ${objectsAfter} after`,
  );
  const after = await search(stage.dataFolder, doomed);
  claim(after.found === 0, `no byte of a wrap or share is left: ${after.places.join(', ')}`);
  tell(
    `${doomed.length} pieces of wraps and shred shares lay in the server's files before; raw bytes found in any file now: ${after.bytes}`,
  );
  const gone = await stage.run(['fetch', '--key', 'first.key', '--token-file', 'instructor.token', recordingId], {
    ZEROREEL_PASSPHRASE: INSTRUCTORS[0].passphrase,
    ZEROREEL_EXAM: link,
  });
  claim(gone.exit === 77, 'an instructor’s fetch is refused now');

  await passDays(server, stage, 1);
  claim((await stage.run(['purge', '--json'], admin)).exit === 0, 'the second look ended well');
  await passDays(server, stage, 1);
  tell('two more days passed; the purge looked again, and nothing had come back');

  const at = new Date(stage.clock.now()).toISOString();
  await stage.run(['log', 'export', 'bundle', '--at', at]);
  const receipt = 'zeroreel-outbox/receipt.txt';
  const proved = await stage.run(['log', 'prove', receipt, '--out', 'deleted.json']);
  claim(proved.exit === 0, `the student's receipt is answered with a certificate: ${proved.error}`);
  await stage.stopServer();
  const vkey = /^log key +(\S+)$/m.exec(await readFile(stage.path(receipt), 'utf8'))?.[1] ?? '';
  const verified = await stage.run(['log', 'verify', 'bundle', '--vkey', vkey, '--at', at, '--json']);
  const log = (verified.output === '' ? {} : JSON.parse(verified.output)) as { entries?: number; verdict?: string };
  const isLogVerified = claim(
    verified.exit === 0,
    `the log verifies offline: ${verified.error}${verified.output.slice(0, 2000)}`,
  );
  tell(
    `the server was stopped; its log verified offline: ${log.entries ?? 0} entries, ${log.verdict ?? 'unverifiable'}`,
  );
  const offline = await stage.run(['log', 'prove', '--offline', 'deleted.json', '--receipt', receipt]);
  const isProofVerified = claim(offline.exit === 0, `the deletion's proof verifies offline: ${offline.error}`);
  tell(`the student's receipt and the kept certificate verified offline: ${offline.output.split('\n')[0] ?? ''}`);
  const left = await search(stage.dataFolder, doomed);
  claim(left.found === 0, 'nothing of a wrap or share is left after the server has stopped either');

  return {
    recorded: { bytes, sha256: recorded },
    fetched: Object.fromEntries(fetched.map(({ keyId, hashes }) => [keyId, hashes])),
    resumedEpochs: fetched[0]!.epochs,
    serverCouldOpen,
    purge: { objectsBefore, objectsAfter },
    shreddedBytesFoundInDatabase: after.bytes + left.bytes,
    log: { entries: log.entries ?? 0, verified: isLogVerified },
    deletionProofVerified: proved.exit === 0 && isProofVerified,
    seconds: Math.round((performance.now() - startedMs) / 100) / 10,
  };
}

async function main(): Promise<void> {
  const stage = await Stage.open();
  try {
    const summary = await play(stage);
    if (options.json) {
      console.log(JSON.stringify(summary));
    } else {
      const { recorded, purge, seconds } = summary;
      console.log(
        `\n${formatBytes(recorded.bytes)} recorded, killed and resumed, read by two, opened by no server, ${purge.objectsBefore} objects destroyed, proven offline; ${seconds} s`,
      );
    }
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error));
  } finally {
    await stage.close(options.keep);
    if (options.keep) console.error(`kept ${stage.folder}`);
  }
  for (const failure of failures) console.error(`demo: does not hold: ${failure}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

if (options.help) console.log(USAGE);
else await main();
