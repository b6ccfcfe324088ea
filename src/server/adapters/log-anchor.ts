/**
 * `log.checkpoint`: the newest checkpoint that this machine has published, in a file beside the log's key and so apart from the
 * database and its backups. A database that was restored from before it would, with its next entry, sign a second root for a size
 * that was signed already; with this file the server sees that, and does not serve (LOG.md section 11).
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { equal } from '../../../crypto/format/bytes.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { type Checkpoint, openCheckpoint } from '../../../crypto/log/checkpoint.ts';
import { Frontier, leafHash } from '../../../crypto/log/tree.ts';
import type { Signer, Store } from '../ports.ts';
import { vkeyOf } from '../signing.ts';
import { StartRefusal } from '../start-refusal.ts';
import { LOG_KEY } from './keyring.ts';

const ANCHOR = 'log.checkpoint';
const PAGE = 1000;

/** The signed note that was kept last; undefined where none was. */
export function readAnchor(dataDir: string): string | undefined {
  try {
    return readFileSync(join(dataDir, ANCHOR), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Keeps a published checkpoint, durably, unless a larger one is there: two servers over one folder may come in any order. */
export function keepAnchor(dataDir: string, note: string): void {
  const standing = readAnchor(dataDir);
  if (standing !== undefined && sizeOf(standing) >= sizeOf(note)) return;
  const path = join(dataDir, ANCHOR);
  const temporary = `${path}.${process.pid}`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    writeSync(file, note);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}

/** Removes what a process left that died while it wrote the file; one that lives is writing it now. */
export function removeUnfinishedAnchors(dataDir: string): void {
  for (const name of readdirSync(dataDir)) {
    const pid = name.startsWith(`${ANCHOR}.`) ? Number(name.slice(ANCHOR.length + 1)) : NaN;
    if (Number.isSafeInteger(pid) && pid > 0 && !isAlive(pid)) rmSync(join(dataDir, name), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** The second line of a checkpoint, unverified: only ever compared with another one. */
function sizeOf(note: string): number {
  const size = Number(note.split('\n', 2)[1]);
  return Number.isSafeInteger(size) ? size : -1;
}

/** Throws `StartRefusal` where a log was begun and its key is not there: a new key would begin another log under its name. */
export async function requireLogKey(store: Store, dataDir: string): Promise<void> {
  if (existsSync(join(dataDir, LOG_KEY))) return;
  if ((await store.newestCheckpoint()) === undefined && readAnchor(dataDir) === undefined) return;
  throw new StartRefusal(
    `${LOG_KEY} is missing, and checkpoints were signed with it`,
    'put the key back from its own backup; if it is lost, schema/LOG.md section 11 says how a new log is begun',
  );
}

/** Throws `StartRefusal` unless database, key and kept checkpoint are of one log, and the database is not older than what was published. */
export async function requireOwnLog(store: Store, signer: Signer, dataDir: string): Promise<void> {
  const newest = await store.newestCheckpoint();
  if (newest) await openOwn(newest.note, signer, 'the database');
  const note = readAnchor(dataDir);
  if (note === undefined) return;
  const anchor = await openOwn(note, signer, ANCHOR);
  const size = await store.logSize();
  if (size < anchor.size) {
    throw new StartRefusal(
      `the database has ${size} entries of the log, and ${anchor.size} were published: it is from before`,
      '`zeroreel restore --log BUNDLE` puts the missing entries back, and destroys again what they say was destroyed',
    );
  }
  if (!equal(await rootAt(store, anchor.size, signer), anchor.root)) {
    throw new StartRefusal(
      `the database's first ${anchor.size} entries are not those that were published`,
      'this is another history of the log: find the database that belongs to this folder',
    );
  }
}

async function openOwn(note: string, signer: Signer, where: string): Promise<Checkpoint> {
  try {
    return await openCheckpoint(note, vkeyOf(signer), signer.origin);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    // The first start after a rotation finds what the former key alone has signed.
    if (signer.former) return openOwn(note, signer.former, where);
    throw new StartRefusal(
      `the checkpoint of ${where} was not signed with this ${LOG_KEY} for ${signer.origin}`,
      `an origin has one key for ever: put back the ${LOG_KEY} and the ZEROREEL_LOG_ORIGIN that belong to this data`,
      { cause: error },
    );
  }
}

/** The published root where this size was published; otherwise, after a restore, it is computed from the entries. */
async function rootAt(store: Store, size: number, signer: Signer): Promise<Uint8Array> {
  const row = await store.checkpointAt(size);
  if (row?.size === size) return (await openOwn(row.note, signer, 'the database')).root;
  const tree = new Frontier();
  while (tree.size < size) {
    for (const { bytes } of await store.entries(tree.size, Math.min(PAGE, size - tree.size)))
      tree.append(leafHash(bytes));
  }
  return tree.root();
}
