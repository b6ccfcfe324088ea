/**
 * What this browser has seen of the log before. A log that changes its key, or takes back what it once signed, is noticed by
 * whoever looked before: the more people look, the less can be rewritten.
 */
import type { CheckpointShelf } from '../../client/pinning.ts';

const KEY = 'zeroreel.log';

export interface LogMemory {
  vkey: string;
  /** Signed notes. */
  checkpoints: string[];
}

/** Enough to notice a rewritten past, little enough for any browser. */
const MOST_CHECKPOINTS = 16;

export function recall(): LogMemory | undefined {
  try {
    const { vkey, checkpoints } = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<LogMemory>;
    const isWhole = typeof vkey === 'string' && Array.isArray(checkpoints);
    return isWhole ? { vkey, checkpoints: checkpoints.filter((note) => typeof note === 'string') } : undefined;
  } catch {
    return undefined; // storage that is switched off remembers nothing
  }
}

export function remember({ vkey, checkpoint }: { vkey: string; checkpoint: string }): void {
  const before = recall()?.checkpoints ?? [];
  const checkpoints = [...before.filter((known) => known !== checkpoint), checkpoint].slice(-MOST_CHECKPOINTS);
  try {
    localStorage.setItem(KEY, JSON.stringify({ vkey, checkpoints } satisfies LogMemory));
  } catch {
    // Nothing is lost but the comparison with next time.
  }
}

export function forget(): void {
  localStorage.removeItem(KEY);
}

/** A log and the newest checkpoint that was seen of it: what a page and its worker, which has no storage of its own, tell each other. */
export interface SeenLog {
  vkey: string;
  /** A signed note. */
  note: string;
}

/** The one of most entries, which is the newest of an honest log; a shorter one that was shown later makes nobody forget it. */
export function recallNewest(): SeenLog | null {
  const memory = recall();
  const [note] = memory?.checkpoints.toSorted((a, b) => sizeOf(b) - sizeOf(a)) ?? [];
  return memory && note !== undefined ? { vkey: memory.vkey, note } : null;
}

/** Second line of a checkpoint (C2SP tlog-checkpoint). */
function sizeOf(note: string): number {
  return Number(note.split('\n', 2)[1]);
}

/** Another log than the one that is remembered is not: the compliance page asks its reader about that. */
export function rememberNewest({ vkey, note }: SeenLog): void {
  const memory = recall();
  if (memory === undefined || memory.vkey === vkey) remember({ vkey, checkpoint: note });
}

/** One log's shelf: what was seen before, and who is told what is seen now. */
export function shelfOf(before: SeenLog | null, onSeen: (log: SeenLog) => void): CheckpointShelf {
  let seen = before;
  return {
    read: async (vkey) => (seen?.vkey === vkey ? seen.note : null),
    write: async (vkey, note) => {
      seen = { vkey, note };
      onSeen(seen);
    },
  };
}
