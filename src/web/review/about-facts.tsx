import type { Accommodations } from '../../../schema/events.ts';
import type { Opened } from './recording.tsx';
import { instantText } from '../parts/instant.ts';

/** What the recorder told the readers; the service never had any of it. */
export function AboutFacts({ opened: { card, recordingId, exam } }: { opened: Opened }) {
  const { about, summary } = card;
  const granted = accommodationWords(card.accommodations);
  const { location, address } = about ?? {};
  return (
    <dl class="facts">
      <dt>Name, as typed</dt>
      <dd>{about?.name ?? 'not given'}</dd>
      <dt>Exam</dt>
      <dd>{exam.policy.title}</dd>
      <dt>Recording</dt>
      <dd class="mono">{recordingId}</dd>
      <dt>Began</dt>
      <dd>{instantText(summary.opened_ms)}</dd>
      <dt>Ended</dt>
      <dd>{summary.ended_ms === null ? 'not ended' : instantText(summary.ended_ms)}</dd>
      <dt>Parts</dt>
      <dd>
        {summary.epochs === 1
          ? 'one, without interruption'
          : `${summary.epochs}: the recorder was started again ${summary.epochs - 1} times`}
      </dd>
      <dt>Accommodations</dt>
      <dd>{granted.length === 0 ? 'none' : granted.join('; ')}</dd>
      <dt>Device</dt>
      <dd>{about?.device?.user_agent ?? 'not told'}</dd>
      {address !== undefined && (
        <>
          <dt>Network address</dt>
          <dd>{address ?? 'asked for; the service did not know it'}</dd>
        </>
      )}
      {location !== undefined && (
        <>
          <dt>Coarse location</dt>
          <dd>
            {location
              ? `${location.latitude}, ${location.longitude} (within ${Math.round(location.accuracy_m)} m)`
              : 'asked for; the student did not tell it'}
          </dd>
        </>
      )}
      <dt>Destroyed by</dt>
      <dd>{instantText(summary.delete_by_ms)}</dd>
      <dt>Opened by readers</dt>
      <dd>{summary.releases === 1 ? 'once, which is now' : `${summary.releases} times`}</dd>
    </dl>
  );
}

function accommodationWords({ tracksOff, rulesOff, flagsIgnored, others }: Accommodations): string[] {
  const list = (what: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : [`${what}: ${names.map((name) => name.replaceAll('_', ' ')).join(', ')}`];
  return [
    ...list('not recorded', tracksOff),
    ...list('rules not to be kept', rulesOff),
    ...list('flags not counted', flagsIgnored),
    ...Object.entries(others).map(([name, value]) => `${name.replaceAll('_', ' ')}: ${String(value)}`),
  ];
}
