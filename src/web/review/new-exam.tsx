/** A policy in plain words: what is recorded, who may open it, for how long. Signing it here is what makes it the exam's. */
import { useEffect, useState } from 'preact/hooks';
import { TRACK_KINDS } from '../../../crypto/format/open.ts';
import type { ExamPlan, RecipientRole, TrackKindName } from '../../client/exam.ts';
import { Button } from '../parts/button.tsx';
import { CheckField, SelectField, TextField } from '../parts/field.tsx';
import { Panel } from '../parts/panel.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import type { DeskCalls, ExamCard, KeyCard } from './desk.ts';
import { DateTimeField, TextAreaField } from './more-fields.tsx';
import { FailureNote, useTask } from '../parts/task.tsx';

const DAY_MS = 86_400_000;

type TrackChoice = 'off' | 'optional' | 'required';

const TRACKS: readonly { kind: TrackKindName; label: string; usual: TrackChoice }[] = [
  { kind: 'webcam', label: 'Webcam', usual: 'required' },
  { kind: 'screen', label: 'Screen', usual: 'required' },
  { kind: 'microphone', label: 'Microphone', usual: 'optional' },
  { kind: 'events', label: 'Events of the exam page, such as leaving the window', usual: 'required' },
  { kind: 'photo', label: 'A photo of an ID', usual: 'off' },
];

const RULES: readonly { rule: string; label: string }[] = [
  { rule: 'full_screen', label: 'Stay in full screen' },
  { rule: 'no_clipboard', label: 'No copying and pasting' },
  { rule: 'no_context_menu', label: 'No context menu' },
  { rule: 'one_screen', label: 'One screen only' },
  { rule: 'pause', label: 'The student may pause the recording' },
  { rule: 'address', label: 'Seal the network address for the readers' },
  { rule: 'location', label: 'Seal the coarse location for the readers' },
];

const ROLES: readonly (readonly [RecipientRole, string])[] = [
  ['instructor', 'Instructor'],
  ['administrator', 'Administrator of the learning platform'],
  ['recovery', 'Recovery key, kept offline'],
];

interface OtherReader {
  role: RecipientRole;
  publicLine: string;
}

export interface NewExamProps {
  desk: DeskCalls;
  card: KeyCard;
  onMade: (exam: ExamCard) => void;
}

export function NewExam({ desk, card, onMade }: NewExamProps) {
  const [title, setTitle] = useState('');
  const [ownLabel, setOwnLabel] = useState('');
  const [fromMs, setFromMs] = useState(() => Math.floor(Date.now() / 60_000) * 60_000);
  const [untilMs, setUntilMs] = useState(() => Math.floor(Date.now() / 60_000) * 60_000 + 7 * DAY_MS);
  const [days, setDays] = useState('30');
  const [isPractice, setPractice] = useState(false);
  const [admission, setAdmission] = useState('ticket');
  const [tenants, setTenants] = useState<Awaited<ReturnType<DeskCalls['tenants']>>>([]);
  useEffect(() => void desk.tenants().then(setTenants, () => undefined), []);
  const [tracks, setTracks] = useState(() => new Map(TRACKS.map(({ kind, usual }) => [kind, usual])));
  const [rules, setRules] = useState<ReadonlySet<string>>(new Set());
  const [others, setOthers] = useState<readonly OtherReader[]>([{ role: 'recovery', publicLine: '' }]);
  const [minSuite, setMinSuite] = useState('2');
  const [contact, setContact] = useState('');
  const [notice, setNotice] = useState('');
  const task = useTask();

  const create = async (): Promise<void> => {
    const retentionDays = Number(days);
    if (title.trim() === '') throw new Error('the exam needs a title');
    if (ownLabel.trim() === '') throw new Error('say how you are called among the readers: students see it');
    if (!Number.isInteger(retentionDays) || retentionDays < 1 || retentionDays > 30) {
      throw new Error('recordings are kept for 1 to 30 days');
    }
    if (untilMs <= fromMs) throw new Error('the last moment to begin must be after the first');
    const tenant = tenants[Number(/^launch (\d+)$/.exec(admission)?.[1] ?? -1)];
    const plan: Omit<ExamPlan, 'recipients' | 'log'> = {
      title: title.trim(),
      tracks: [...tracks]
        .filter(([, choice]) => choice !== 'off')
        .map(([kind, choice]) => ({ kind, required: choice === 'required' })),
      ...{ notBeforeMs: fromMs, notAfterMs: untilMs, retentionDays, practice: isPractice },
      ...(tenant
        ? { admission: 'launch' as const, platform: tenant.platform }
        : { admission: admission === 'link' ? ('link' as const) : ('ticket' as const) }),
      minSuite: minSuite === '1' ? 1 : 2,
      capture: Object.fromEntries([...rules].map((rule) => [rule, true])),
      contact: contact.trim(),
      ...(notice.trim() !== '' && { notice: notice.trim() }),
    };
    if (plan.tracks.length === 0) throw new Error('choose at least one thing that is recorded');
    const readers = others.filter(({ publicLine }) => publicLine.trim() !== '');
    onMade(await desk.createExam({ ...plan, ownLabel: ownLabel.trim(), others: readers }));
  };

  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void task.run(create);
      }}
    >
      <h1>New exam</h1>
      <p>
        What you choose here is signed with your key. Recorders and readers accept nothing else for this exam, and it
        cannot be weakened later by anybody but you.
      </p>
      <div class="columns">
        <Panel heading="Exam">
          <div class="stack">
            <TextField label="Title" hint="Students and readers see it." value={title} onChange={setTitle} isRequired />
            <DateTimeField label="Recordings may begin from" valueMs={fromMs} onChange={setFromMs} />
            <DateTimeField label="and until" valueMs={untilMs} onChange={setUntilMs} />
            <SelectField
              label="Who may record"
              value={admission}
              options={[
                ['ticket', 'who has a personal ticket (a link for each seat)'],
                ['link', 'who has the exam’s link'],
                ...tenants.map(({ name }, index) => [`launch ${index}`, `whom ${name} launches`] as const),
              ]}
              onChange={setAdmission}
            />
            <CheckField isChecked={isPractice} onChange={setPractice}>
              Practice exam: it behaves exactly alike, is destroyed after 24 hours, and nothing in it counts.
            </CheckField>
            <TextField
              label="Days until a recording is destroyed"
              hint="1 to 30. It can be brought forward for a student, and never put off."
              type="number"
              value={days}
              onChange={setDays}
            />
          </div>
        </Panel>
        <Panel heading="What is recorded">
          <div class="stack">
            {TRACKS.map(({ kind, label }) => (
              <SelectField
                key={kind}
                label={label}
                value={tracks.get(kind)!}
                options={[
                  ['required', 'required'],
                  ['optional', 'if the student’s device has it'],
                  ['off', 'not recorded'],
                ]}
                onChange={(value) => {
                  setTracks(new Map([...tracks, [kind, value as TrackChoice]]));
                }}
              />
            ))}
          </div>
        </Panel>
        <Panel heading="Rules">
          <div class="stack">
            <p>
              A page can notice when a rule is left, and tells you. It blocks nothing. Exceptions for a student stand in
              that student’s ticket.
            </p>
            {RULES.map(({ rule, label }) => (
              <CheckField
                key={rule}
                isChecked={rules.has(rule)}
                onChange={(isOn) => {
                  setRules(new Set([...rules].filter((other) => other !== rule).concat(isOn ? [rule] : [])));
                }}
              >
                {label}
              </CheckField>
            ))}
          </div>
        </Panel>
        <Panel heading="Who can open recordings">
          <div class="stack">
            <TextField
              label="You, as students read it"
              hint="For instance: Instructor, Physics"
              value={ownLabel}
              onChange={setOwnLabel}
              isRequired
            />
            <p class="quiet">
              Your key: <span class="mono">{card.keyFingerprint}</span>
            </p>
            {others.map((other, index) => (
              <fieldset key={index} class="stack group">
                <legend>Reader {index + 2}</legend>
                <SelectField
                  label={`Role of reader ${index + 2}`}
                  value={other.role}
                  options={ROLES}
                  onChange={(role) => {
                    setOthers(others.with(index, { ...other, role: role as RecipientRole }));
                  }}
                />
                <TextAreaField
                  label={`Public line of reader ${index + 2}`}
                  hint="zrpq1… zrid1… and a name. Compare its fingerprint with its owner by voice. Leave it empty for none."
                  value={other.publicLine}
                  onChange={(publicLine) => {
                    setOthers(others.with(index, { ...other, publicLine }));
                  }}
                />
              </fieldset>
            ))}
            <div class="row">
              <Button
                onPress={() => {
                  setOthers([...others, { role: 'instructor', publicLine: '' }]);
                }}
              >
                Add a reader
              </Button>
            </div>
            {!others.some(({ role, publicLine }) => role === 'recovery' && publicLine.trim() !== '') && (
              <Status tone="warn">
                <p>No recovery key: where every reader’s key is lost, nobody opens these recordings any more.</p>
              </Status>
            )}
            <SelectField
              label="Keys that may be used"
              value={minSuite}
              options={[
                ['2', 'only keys that are safe against a quantum computer, too'],
                ['1', 'also older keys (X25519 alone)'],
              ]}
              onChange={setMinSuite}
            />
          </div>
        </Panel>
        <Panel heading="What students read first">
          <div class="stack">
            <TextField
              label="Whom students ask"
              hint="An address of an office, shown with the notice."
              value={contact}
              onChange={setContact}
            />
            <TextAreaField
              label="Notice"
              hint="Leave it empty for a text that says what is recorded, who can open it, and until when."
              value={notice}
              onChange={setNotice}
            />
          </div>
        </Panel>
      </div>
      <FailureNote failure={task.failure} />
      <LiveRegion isShown>{task.isBusy && <p>Signing and publishing…</p>}</LiveRegion>
      <div class="row">
        <button type="submit" class="button primary" aria-disabled={task.isBusy ? 'true' : undefined}>
          Sign and publish
        </button>
        <a class="button" href="#/exams">
          Cancel
        </a>
      </div>
    </form>
  );
}

export function kindName(kind: number): string {
  return TRACK_KINDS[kind as keyof typeof TRACK_KINDS];
}
