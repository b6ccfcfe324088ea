/** The line of time: a slider for the keyboard, marks and sound for the eye. What the marks say stands in the list of events too. */
import { useMemo } from 'preact/hooks';
import { formatMoment, type Timeline } from './timeline.ts';
import type { Stretch } from './player.ts';
import type { Opened } from './recording.tsx';
import type { Mark } from './marks.ts';
import { wavePath } from './waveform.ts';

/** The drawing's own units: it is stretched over the bar. */
const WIDTH = 1000;
const HEIGHT = 64;

export interface TimeBarProps {
  opened: Opened;
  positionMs: number;
  /** What play passes over. */
  quiet: readonly Stretch[];
  onSeek: (atMs: number) => void;
}

export function TimeBar({ opened: { timeline, marks, sound }, positionMs, quiet, onSeek }: TimeBarProps) {
  const { endMs } = timeline;
  const wave = useMemo(() => wavePath(sound, endMs, { width: WIDTH, height: HEIGHT }), [sound, endMs]);
  const share = (atMs: number): number => (endMs === 0 ? 0 : (atMs / endMs) * WIDTH);
  return (
    <div class="time-bar">
      <svg
        class="lane"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        aria-hidden="true"
        onClick={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          onSeek(((event.clientX - box.left) / box.width) * endMs);
        }}
      >
        {quiet.map(({ startMs, endMs: overMs }) => (
          <rect
            key={startMs}
            class="quiet-stretch"
            x={share(startMs)}
            width={share(overMs) - share(startMs)}
            y={0}
            height={HEIGHT}
          />
        ))}
        {timeline.gaps.map((gap) => (
          <rect
            key={gap.startMs}
            class="gap"
            x={share(gap.startMs)}
            width={Math.max(2, share(gap.endMs) - share(gap.startMs))}
            y={0}
            height={HEIGHT}
          />
        ))}
        <path class="wave" d={wave} />
        <rect class="head" x={share(positionMs) - 1} width={2} y={0} height={HEIGHT} />
      </svg>
      <div class="marks" aria-hidden="true">
        {marks.map((mark) => (
          <MarkSign key={mark.id} mark={mark} timeline={timeline} onSeek={onSeek} />
        ))}
      </div>
      <input
        type="range"
        class="position"
        aria-label="Position"
        aria-valuetext={`${formatMoment(positionMs)} of ${formatMoment(endMs)}`}
        min={0}
        max={Math.max(1, Math.round(endMs))}
        step={1000}
        value={Math.round(positionMs)}
        onInput={({ currentTarget }) => {
          onSeek(Number(currentTarget.value));
        }}
      />
      <ul class="mark-legend">
        <li>
          <span class="sign flag" aria-hidden="true">
            ▲
          </span>{' '}
          flag: may deserve a look
        </li>
        <li>
          <span class="sign milestone" aria-hidden="true">
            ◆
          </span>{' '}
          milestone: what happened to the recording
        </li>
        <li>
          <span class="sign ignored" aria-hidden="true">
            △
          </span>{' '}
          flag that is not counted for this seat
        </li>
        <li>
          <span class="sign gap-sign" aria-hidden="true">
            ▒
          </span>{' '}
          nothing was recorded
        </li>
      </ul>
    </div>
  );
}

export const SIGNS: Readonly<Record<Mark['class'], string>> = { flag: '▲', milestone: '◆', unreadable: '?' };

function MarkSign({ mark, timeline, onSeek }: { mark: Mark; timeline: Timeline; onSeek: (atMs: number) => void }) {
  return (
    <span
      class={`sign ${mark.isIgnored ? 'ignored' : mark.class}`}
      style={{ left: `${timeline.endMs === 0 ? 0 : (mark.atMs / timeline.endMs) * 100}%` }}
      title={`${formatMoment(mark.atMs)} ${mark.label}${mark.detail === '' ? '' : `: ${mark.detail}`}`}
      onClick={() => {
        onSeek(Math.max(0, mark.atMs - 1000));
      }}
    >
      {mark.isIgnored ? '△' : SIGNS[mark.class]}
    </span>
  );
}
