/** What a recording leaves in the metadata: the same however long it was, beside a row for each of its chunks. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { media } from '../server/recorder.ts';
import { Stage } from '../server/stage.ts';
import type { Comparison } from './comparison.ts';
import type { Workshop } from './programs.ts';

/** Three hours of three tracks in chunks of ten seconds. */
const CHUNKS = 3 * 1080;
const RECORDINGS = 3;
/** Chunks between two heads, as a recorder counts them. */
const PER_HEAD = 60;

export function metadata(workshop: Workshop): Comparison[] {
  const contenders = [CHUNKS, CHUNKS / 10, CHUNKS / 90].map((size) => ({
    name: `${size.toLocaleString('en')} chunks`,
    run: async () => ({ units: 1e6 / (await bytesPerRecording(workshop, size)), seconds: 1 }),
  }));
  return [
    {
      key: 'metadata',
      title: 'recordings that fit into a megabyte of metadata, log and vault included',
      unit: 'recordings/MB',
      per: 'second',
      target: 0.95,
      rounds: 1,
      contenders: [
        ...contenders,
        { name: 'a row per chunk', run: () => ({ units: 1e6 / bytesOfRows(workshop.path('rows.db')), seconds: 1 }) },
      ],
      remark:
        'bytes in use on the pages of both databases, grown by three closed recordings; constant in the chunks is wanted',
    },
  ];
}

let stages = 0;

async function bytesPerRecording(workshop: Workshop, chunks: number): Promise<number> {
  const dataDir = workshop.path(`metadata-${stages++}`);
  const stage = await Stage.start({ dataDir });
  const used = () => ['zeroreel.db', 'vault.db'].reduce((sum, name) => sum + bytesIn(join(dataDir, name)), 0);
  try {
    const exam = await stage.exam();
    const before = used();
    for (let i = 0; i < RECORDINGS; i++) {
      const recorder = await stage.recorder(exam);
      for (let sent = 0; sent < chunks;) {
        for (const end = Math.min(chunks, sent + PER_HEAD); sent < end; sent++) {
          await stage.upload(recorder, await recorder.chunk(1, media(16)));
        }
        await stage.sendHead(recorder, await (sent < chunks ? recorder.head() : recorder.close()));
      }
    }
    return (used() - before) / RECORDINGS;
  } finally {
    await stage.stop();
  }
}

/** Bytes that cells and page headers take up, free space left out. */
function bytesIn(path: string): number {
  const database = new Database(path, { readonly: true });
  try {
    return database.prepare('SELECT SUM(pgsize - unused) FROM dbstat').pluck().get() as number;
  } finally {
    database.close();
  }
}

/** The least that a row per chunk could hold: which chunk, its length, its hash. */
function bytesOfRows(path: string): number {
  const database = new Database(path);
  database.exec(`CREATE TABLE IF NOT EXISTS chunks (recording TEXT, epoch INTEGER, track INTEGER, seq INTEGER,
    bytes INTEGER, sha256 BLOB, PRIMARY KEY (recording, epoch, track, seq)) WITHOUT ROWID`);
  const insert = database.prepare('INSERT INTO chunks VALUES (?, 0, ?, ?, 4197560, ?)');
  const recording = randomBytes(16).toString('base64url');
  for (let i = 0; i < CHUNKS; i++) insert.run(recording, i % 3, Math.floor(i / 3), randomBytes(32));
  database.close();
  return bytesIn(path);
}
