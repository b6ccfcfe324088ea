/** What is owed and what was done about it, largest first. */
import type { LogAudit } from '../../client/log-audit.ts';
import { countText, instantText } from '../parts/instant.ts';
import { Panel } from '../parts/panel.tsx';
import { Status, type Tone } from '../parts/status.tsx';
import { Table } from '../parts/table.tsx';

type Audit = Omit<LogAudit, 'files'>;

const VERDICTS: Record<Audit['verdict'], { tone: Tone; words: string }> = {
  well: { tone: 'good', words: 'Every recording that was due was destroyed, and in time.' },
  exceptions: { tone: 'warn', words: 'The log is sound, and tells of what was not as promised.' },
  violation: { tone: 'bad', words: 'A promise was broken, or the log contradicts itself.' },
};

export function Overview({ audit }: { audit: Audit }) {
  const { report, due } = audit;
  const overdue = report.overdue.length;
  const { tone, words } = VERDICTS[audit.verdict];
  return (
    <div class="stack">
      <Status tone={tone}>
        <p>{words}</p>
      </Status>
      <ul class="figures">
        <Figure name="overdue" value={overdue} isBad={overdue > 0} isLarge />
        <Figure name="were due" value={due.total} />
        <Figure name="destroyed on time" value={due.onTime} />
        <Figure name="destroyed late" value={due.late} isBad={due.late > 0} />
        <Figure name="stand, not due yet" value={report.opened - due.total - earlier(audit)} />
        <Figure name="destroyed, second look to come" value={report.deleted - report.verified} />
      </ul>
      {overdue > 0 && (
        <details open>
          <summary>Which are overdue</summary>
          <ul class="mono">
            {report.overdue.slice(0, 200).map((id) => (
              <li key={id}>{id}</li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}

/** Destroyed before they were due: erasures on request, whose `delete_by` was brought forward, count as due; there are no others. */
function earlier({ report, due }: Audit): number {
  return Math.max(0, report.deleted - due.onTime - due.late);
}

function Figure(props: { name: string; value: number; isBad?: boolean; isLarge?: boolean }) {
  const { name, value, isBad = false, isLarge = false } = props;
  return (
    <li class={['tile', isBad && 'bad', isLarge && 'large'].filter(Boolean).join(' ')}>
      <span class="figure">{value.toLocaleString()}</span> <span>{name}</span>
    </li>
  );
}

export function Runs({ audit }: { audit: Audit }) {
  const { runs, runCount, report } = audit;
  return (
    <div class="stack">
      <p>
        In the log: {countText(runCount, 'run')}. Missed runs: <strong>{report.missedRuns}</strong>. Silences of more
        than a day: <strong>{report.heartbeatGaps}</strong>.
      </p>
      <Table
        caption="The newest runs"
        columns={['Finished', 'Job', 'Due', 'Done', 'Failed, taken up again']}
        rows={runs.map(({ run, at, job, due, done, failed }) => ({
          key: run,
          cells: [instantText(at), job, due, done, failed],
        }))}
        empty="No run is in the log yet."
      />
    </div>
  );
}

/** Shown on the page; the bundle has all. */
const MOST_FINDINGS = 100;

export function Findings({ audit }: { audit: Audit }) {
  const { findings, exceptions, violations, openAnomalies } = audit.report;
  return (
    <div class="stack">
      <p>
        Violations: <strong>{violations}</strong>. Exceptions: <strong>{exceptions}</strong>. Anomalies that are not
        closed: <strong>{openAnomalies}</strong>.
      </p>
      <Table
        caption="What the log itself shows to be wrong"
        columns={['Entry', 'Kind', 'When', 'What']}
        rows={findings.slice(0, MOST_FINDINGS).map(({ index, severity, at, message }, row) => ({
          key: String(row),
          cells: [index ?? 'all', severity, at > 0 ? instantText(at) : '', message],
        }))}
        empty="Nothing."
      />
      {findings.length > MOST_FINDINGS && (
        <p>And {findings.length - MOST_FINDINGS} more; the exported files have all.</p>
      )}
    </div>
  );
}

export function Verified({ audit, remembered }: { audit: Audit; remembered: boolean }) {
  const { report } = audit;
  return (
    <Panel heading="What was verified here">
      <p>In this browser, a moment ago, without believing the service:</p>
      <ul>
        <li>
          The log <span class="mono">{audit.origin}</span> has {audit.size.toLocaleString()} entries, and their Merkle
          root <span class="mono">{audit.rootB64}</span> is the one that the log’s key signed.
        </li>
        <li>
          {remembered
            ? `It still holds everything that it held when this browser looked before (${report.consistentCheckpoints.toLocaleString()} checkpoints compared), under the same key.`
            : audit.isPinned
              ? 'Its key is the one that you gave.'
              : 'Its key was taken on the log’s own word: this browser looks for the first time. It is remembered from now on; compare it with what your auditor has, or with the key in any exam’s policy.'}
        </li>
        <li>Each recording’s entries stand in the order that the protocol demands, each step once.</li>
        <li>
          Each date of deletion was computed again from the exam’s policy. Nobody was given keys after a deletion began.
        </li>
      </ul>
      <p>
        Key of the log: <span class="mono">{audit.vkey}</span>
      </p>
      <p class="quiet">
        No log can prove that nobody made a copy outside of the service, or that clocks were honest before a witness
        signed.
      </p>
    </Panel>
  );
}
