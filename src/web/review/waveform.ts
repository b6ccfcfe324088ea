/** Sound over time as a drawing, out of what the recorder measured: nothing needs to be fetched or decoded for it. Pure. */
import type { SoundLevel } from './marks.ts';

const COLUMNS = 500;
/** What is quieter is drawn as silence. */
const FLOOR_DB = -70;

/** Peaks, both ways from the middle, as a closed SVG path in a box of this size; empty where nothing was measured. */
export function wavePath(
  sound: readonly SoundLevel[],
  endMs: number,
  { width, height }: { width: number; height: number },
): string {
  if (sound.length === 0 || endMs === 0) return '';
  const peaks = new Float32Array(COLUMNS);
  for (const { atMs, forMs, peakDb } of sound) {
    const level = Math.max(0, 1 - peakDb / FLOOR_DB);
    const from = Math.floor((atMs / endMs) * COLUMNS);
    const to = Math.min(COLUMNS - 1, Math.floor(((atMs + forMs) / endMs) * COLUMNS));
    for (let column = Math.max(0, from); column <= to; column++) peaks[column] = Math.max(peaks[column]!, level);
  }
  const half = height / 2;
  const points = [...peaks].map((level, column) => [(column / COLUMNS) * width, level * (half - 2)] as const);
  const top = points.map(([x, y]) => `${x.toFixed(1)},${(half - y).toFixed(1)}`);
  const bottom = points.map(([x, y]) => `${x.toFixed(1)},${(half + y).toFixed(1)}`).reverse();
  return `M${[...top, ...bottom].join('L')}Z`;
}
