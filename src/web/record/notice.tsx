/** The notice, out of the policy that the exam's owner signed: what, who, until when, whom to ask. */
import { Table } from '../parts/table.tsx';
import type { RuleName } from '../../../schema/events.ts';
import type { ExamView, TrackView } from './messages.ts';
import { deadlineText } from '../parts/instant.ts';

const CAPTURED: Readonly<Record<TrackView['kind'], string>> = {
  webcam: 'the picture of your camera',
  screen: 'the picture of your screen',
  microphone: 'the sound of your microphone',
  events:
    'what happens to this page: leaving it, full screen, its size, copying and pasting (how much, never what), screens and devices, darkness, stillness and loudness',
  mixed: 'picture and sound together',
  photo: 'a photo of your ID',
  about: 'your name, this browser’s name, its language and time zone',
};

const RULES: Readonly<Record<RuleName, string>> = {
  full_screen: 'Stay in full screen.',
  no_clipboard: 'Do not copy, cut or paste on this page.',
  no_context_menu: 'Do not open the context menu on this page.',
  one_screen: 'Use one screen only.',
};

const DAY_MS = 86_400_000;

export interface NoticeProps {
  exam: ExamView;
  /** Of a recording that was begun already. */
  deleteByMs: number | null;
}

export function Notice({ exam, deleteByMs }: NoticeProps) {
  const lifeMs = exam.isPractice ? DAY_MS : exam.retentionDays * DAY_MS;
  const { tracksOff, rulesOff, flagsIgnored, others } = exam.accommodations;
  const granted = [
    ...tracksOff.map((kind) => `Not recorded for you: ${kind}.`),
    ...rulesOff.map(
      (rule) => `You need not keep this rule: ${(RULES as Record<string, string | undefined>)[rule] ?? rule}`,
    ),
    ...flagsIgnored.map((type) => `Not counted for you: ${type.replaceAll('_', ' ')}.`),
    ...Object.entries(others).map(([name, value]) => `${name.replaceAll('_', ' ')}: ${String(value)}`),
  ];
  return (
    <div class="stack">
      <div>
        <h3>What is recorded</h3>
        <ul>
          {exam.tracks
            .filter(({ isOff }) => !isOff)
            .map(({ track, kind, isRequired }) => (
              <li key={track}>
                {CAPTURED[kind]}
                {!isRequired && kind !== 'about' && ' (if you allow it)'}
              </li>
            ))}
          {exam.wantsAddress && (
            <li>
              your network address, as this service sees it: it tells your browser, which encrypts it with the
              recording; the service writes it down nowhere
            </li>
          )}
          {exam.wantsLocation && <li>your rough location, to about a kilometre (if you allow it)</li>}
        </ul>
        <p class="quiet">
          Not seen: addresses of other tabs and windows, other programs, other devices. It is encrypted on this device,
          before it leaves it. Nothing is judged by a machine.
        </p>
      </div>
      <Table
        caption="Who can open it"
        columns={['Name', 'Role', 'Fingerprint of the key']}
        rows={exam.readers.map(({ label, role, fingerprint }) => ({
          key: fingerprint,
          cells: [label, role, <code key="print">{fingerprint}</code>],
        }))}
      />
      <p>
        Nobody else: not this service, nor whoever runs it. The list was signed by the exam’s owner,{' '}
        <code>{exam.ownerFingerprint}</code>.
      </p>
      <div>
        <h3>When it is destroyed</h3>
        <p>
          {exam.isPractice ? '24 hours' : `${exam.retentionDays} days`} after it begins.{' '}
          {deleteByMs === null ? 'If you begin now: ' : 'Yours: '}
          <strong>{deadlineText(deleteByMs ?? Date.now() + lifeMs)}</strong>, or earlier. You get a receipt with the
          exact moment, and can check with it that it was destroyed.
        </p>
      </div>
      {exam.rules.length > 0 && (
        <div>
          <h3>Rules of this exam</h3>
          <ul>
            {exam.rules.map((rule) => (
              <li key={rule}>{RULES[rule]}</li>
            ))}
          </ul>
          <p class="quiet">Nothing is blocked. Leaving a rule is noted in the recording, and you are told.</p>
        </div>
      )}
      {granted.length > 0 && (
        <div>
          <h3>Granted to your seat</h3>
          <ul>
            {granted.map((what) => (
              <li key={what}>{what}</li>
            ))}
          </ul>
        </div>
      )}
      <div>
        <h3>From who runs the exam</h3>
        <p class="notice-text">{exam.notice}</p>
        <p>
          Whom to ask: <strong>{exam.contact || 'your instructor'}</strong>
        </p>
      </div>
    </div>
  );
}
