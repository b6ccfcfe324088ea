/** Checkpoints that were verified, a file for each log, in the state folder: what the next run holds the log against. */
import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { toBase64Url, utf8 } from '../../crypto/format/bytes.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import type { CheckpointShelf } from '../../src/client/pinning.ts';
import { writePrivateFile } from './secrets.ts';
import type { Shell } from './shell.ts';

/** ZEROREEL_STATE, else `zeroreel` in the user's state folder (XDG Base Directory Specification 0.8). */
function stateFolder({ environment }: Pick<Shell, 'environment'>): string {
  const own = environment['ZEROREEL_STATE'];
  if (own) return own;
  const base = environment['XDG_STATE_HOME'];
  return join(base || join(environment['HOME'] || homedir(), '.local', 'state'), 'zeroreel');
}

/** Each file is named by a hash of the log's vkey, and private: it tells whose exams are read here. */
export function seenLogs(shell: Pick<Shell, 'environment'>): CheckpointShelf {
  const folder = join(stateFolder(shell), 'checkpoints');
  const pathOf = async (vkey: string): Promise<string> => join(folder, toBase64Url(await sha256(utf8(vkey))));
  return {
    async read(vkey) {
      try {
        return await readFile(await pathOf(vkey), 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
    },
    async write(vkey, note) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writePrivateFile(await pathOf(vkey), note, true);
    },
  };
}
