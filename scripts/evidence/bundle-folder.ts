/** An exported log in a folder: `checkpoint`, `log.vkey`, `entries.jsonl`, `checkpoints/`, `export.csv` (LOG.md, bundle). */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../../crypto/log/checkpoint.ts';
import { parseVkey } from '../../crypto/log/note.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import type { AuditItem } from '../../crypto/log/audit.ts';
import {
  BUNDLE,
  type BundleOptions,
  BundleVerifier,
  CSV_HEADER,
  csvRow,
  entryLine,
  readEntryLines,
  type BundleReport,
} from '../../crypto/log/bundle.ts';
import type { Api } from '../../src/client/api.ts';
import { liveEntries, type LiveLog } from '../../src/client/live-log.ts';

export interface VerifyOptions {
  /** The time of `overdue(now)`, ms. */
  now: number;
  /** Signed notes that the auditor kept from elsewhere. */
  kept: readonly string[];
  audit?: BundleOptions;
  /** Told of each entry while it is verified, in order. */
  onEntry?: ((entry: AuditItem) => void) | undefined;
}

/** Verifies a live log in one pass. Throws `log` for what cannot be verified. */
export async function verifyLiveLog(
  api: Api,
  log: LiveLog,
  { now, kept, audit, onEntry }: VerifyOptions,
): Promise<BundleReport> {
  const verifier = await BundleVerifier.open(log.checkpoint, log.vkey, kept, audit);
  let index = 0;
  for await (const bytes of liveEntries(api, log)) {
    verifier.accept(bytes);
    onEntry?.({ index: index++, bytes });
  }
  return verifier.finish(now);
}

/**
 * Writes the bundle, verified while it is written. A folder that holds an older export is brought up to date: its
 * checkpoint moves to `checkpoints/`, so that the next verification also shows that the log has only grown.
 */
export async function exportLog(api: Api, live: LiveLog, directory: string, now: number): Promise<BundleReport> {
  await mkdir(join(directory, BUNDLE.earlier), { recursive: true });
  const log = { ...live, vkey: await standingKey(directory, live) };
  await keepCheckpoint(directory);
  const entries = await open(join(directory, `${BUNDLE.entries}.tmp`), 'w');
  const csv = await open(join(directory, `${BUNDLE.csv}.tmp`), 'w');
  const rows: string[] = [CSV_HEADER];
  try {
    const verifier = await BundleVerifier.open(log.checkpoint, log.vkey, await readEarlier(directory), {
      onObligation: (obligation) => rows.push(csvRow(obligation)),
    });
    for await (const entry of liveEntries(api, log)) {
      verifier.accept(entry);
      await entries.writeFile(entryLine(entry));
      await csv.writeFile(rows.splice(0).join(''));
    }
    const report = verifier.finish(now);
    await csv.writeFile(rows.join(''));
    await entries.sync();
    await csv.sync();
    await rename(join(directory, `${BUNDLE.entries}.tmp`), join(directory, BUNDLE.entries));
    await rename(join(directory, `${BUNDLE.csv}.tmp`), join(directory, BUNDLE.csv));
    await writeFile(join(directory, BUNDLE.vkey), `${log.vkey}\n`);
    await writeFile(join(directory, BUNDLE.checkpoint), log.checkpoint);
    return report;
  } finally {
    await entries.close();
    await csv.close();
  }
}

/** Verifies a bundle offline. `vkey` is the one that the auditor pinned; without it the bundle's own is believed. */
export async function verifyBundle(
  directory: string,
  vkey: string | undefined,
  options: VerifyOptions,
): Promise<BundleReport & { vkey: string }> {
  const key = vkey ?? (await readPart(directory, BUNDLE.vkey)).trim();
  const checkpoint = await readPart(directory, BUNDLE.checkpoint);
  const verifier = await BundleVerifier.open(
    checkpoint,
    key,
    [...(await readEarlier(directory)), ...options.kept],
    options.audit,
  );
  let index = 0;
  for await (const bytes of readEntryLines(streamPart(directory, BUNDLE.entries))) {
    verifier.accept(bytes);
    options.onEntry?.({ index: index++, bytes });
  }
  const csv = createHash('sha256');
  for await (const bytes of streamPart(directory, BUNDLE.csv)) csv.update(bytes);
  return { ...verifier.finish(options.now, csv.digest()), vkey: key };
}

/** A folder keeps the key that it began with for as long as that signs: its earlier checkpoints have no line of a later one (LOG.md section 11). */
async function standingKey(directory: string, { vkey, checkpoint }: LiveLog): Promise<string> {
  const standing = (await readFile(join(directory, BUNDLE.vkey), 'utf8').catch(() => vkey)).trim();
  if (standing === vkey) return vkey;
  return openCheckpoint(checkpoint, standing, parseVkey(standing).name).then(
    () => standing,
    () => vkey,
  );
}

async function keepCheckpoint(directory: string): Promise<void> {
  const standing = await readFile(join(directory, BUNDLE.checkpoint), 'utf8').catch(() => undefined);
  if (standing === undefined) return;
  const size = standing.split('\n')[1] ?? '';
  if (/^\d+$/.test(size)) await writeFile(join(directory, BUNDLE.earlier, size), standing);
}

async function readEarlier(directory: string): Promise<string[]> {
  const names = await readdir(join(directory, BUNDLE.earlier)).catch(() => []);
  return Promise.all(names.sort().map((name) => readFile(join(directory, BUNDLE.earlier, name), 'utf8')));
}

/** What is missing makes a bundle unverifiable, and not the disk faulty. */
function absent(name: string, error: unknown): never {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new ProtocolError('log', `the bundle has no ${name}`);
  throw error;
}

async function readPart(directory: string, name: string): Promise<string> {
  return readFile(join(directory, name), 'utf8').catch((error: unknown) => absent(name, error));
}

async function* streamPart(directory: string, name: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of createReadStream(join(directory, name)) as AsyncIterable<Uint8Array>) yield bytes;
  } catch (error) {
    absent(name, error);
  }
}
