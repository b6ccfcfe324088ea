/** Retention over time: what came, what went. A picture for who sees it, and the same as a table for who reads it. */
import { useId } from 'preact/hooks';
import type { LogDay } from '../../client/log-audit.ts';
import { Table } from '../parts/table.tsx';

const WIDTH = 960;
const HEIGHT = 220;
const FLOOR = HEIGHT - 24;
/** Days that one picture holds with bars wide enough to see. */
const SHOWN = 90;

export function RetentionChart({ days }: { days: readonly LogDay[] }) {
  const id = useId();
  const shown = days.slice(-SHOWN);
  const most = Math.max(1, ...shown.map(({ opened, deleted }) => Math.max(opened, deleted)));
  const slot = WIDTH / Math.max(shown.length, 14);
  const bar = Math.max(2, slot * 0.36);
  const height = (count: number): number => (count === 0 ? 0 : Math.max(2, (count / most) * (FLOOR - 16)));
  const first = shown[0]?.day ?? '';
  const last = shown.at(-1)?.day ?? '';
  return (
    <figure class="chart">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-labelledby={id}>
        <title id={id}>
          {`Recordings opened and destroyed a day, ${first} to ${last}; the most on one day is ${most}. The table below has every figure.`}
        </title>
        <line class="axis" x1="0" y1={FLOOR} x2={WIDTH} y2={FLOOR} />
        {shown.map(({ day, opened, deleted }, index) => (
          <g key={day} transform={`translate(${index * slot + slot / 2} 0)`}>
            <rect class="opened" x={-bar} y={FLOOR - height(opened)} width={bar} height={height(opened)} />
            <rect class="deleted" x={1} y={FLOOR - height(deleted)} width={bar - 1} height={height(deleted)} />
          </g>
        ))}
        <text x="0" y={HEIGHT - 6}>
          {first}
        </text>
        {last !== first && (
          <text x={WIDTH} y={HEIGHT - 6} text-anchor="end">
            {last}
          </text>
        )}
      </svg>
      <figcaption class="row">
        <span class="legend opened">opened</span>
        <span class="legend deleted">destroyed</span>
      </figcaption>
      <details>
        <summary>The same as a table</summary>
        <Table
          caption="Recordings a day, UTC"
          columns={['Day', 'Opened', 'Due', 'Destroyed']}
          rows={days
            .filter(({ opened, deleted, due }) => opened + deleted + due > 0)
            .toReversed()
            .map(({ day, opened, due, deleted }) => ({ key: day, cells: [day, opened, due, deleted] }))}
          empty="No recording was opened yet."
        />
      </details>
    </figure>
  );
}
