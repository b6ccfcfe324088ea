/**
 * Compliance: was everything destroyed on time? Answered from the log, in this browser, without an account: the log is public and
 * holds no name. Nothing is shown before it is verified.
 */
import { useEffect, useState } from 'preact/hooks';
import type { LogAudit } from '../../client/log-audit.ts';
import { Api } from '../../client/api.ts';
import { Button } from '../parts/button.tsx';
import { DownloadLink } from '../parts/download-link.tsx';
import { TextField } from '../parts/field.tsx';
import { Frame } from '../parts/frame.tsx';
import { mount } from '../parts/mount.tsx';
import { Panel } from '../parts/panel.tsx';
import { Progress } from '../parts/progress.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { startWorker } from '../parts/worker.ts';
import type { AuditNews, AuditTask } from './audit.worker.ts';
import workerUrl from './audit.worker.ts?worker&url';
import { RetentionChart } from './chart.tsx';
import { Findings, Overview, Runs, Verified } from './figures.tsx';
import { forget, recall, remember } from '../parts/log-memory.ts';
import { ProcessingRecord, type Service } from './processing-record.tsx';
import { Storage } from './storage.tsx';

interface Verification {
  audit: Omit<LogAudit, 'files'>;
  files: { name: string; blob: Blob }[];
  service: Service;
  /** Whether an earlier look of this browser was held against the log. */
  remembered: boolean;
}

type State =
  | { step: 'reading'; entries: number; of: number }
  | { step: 'verified'; found: Verification }
  | { step: 'failed'; isRefuted: boolean; code: string; message: string; wasRemembered: boolean };

/** Runs one audit; answers how to stop it. */
function verify(given: string | undefined, tell: (state: State) => void): () => void {
  const memory = recall();
  const worker = startWorker(workerUrl, 'audit');
  const fail = (isRefuted: boolean, code: string, message: string): void => {
    worker.terminate();
    tell({ step: 'failed', isRefuted, code, message, wasRemembered: memory !== undefined && given === undefined });
  };
  tell({ step: 'reading', entries: 0, of: 0 });
  worker.onmessage = ({ data }: MessageEvent<AuditNews>) => {
    if (data.kind === 'progress') {
      tell({ step: 'reading', entries: data.entries, of: data.of });
    } else if (data.kind === 'failed') {
      fail(data.isRefuted, data.code, data.message);
    } else {
      worker.terminate();
      const { audit, files } = data;
      remember(audit);
      new Api({ url: location.origin }).service().then(
        (service) => {
          tell({ step: 'verified', found: { audit, files, service, remembered: memory?.vkey === audit.vkey } });
        },
        (error: unknown) => {
          fail(false, 'unreachable', error instanceof Error ? error.message : String(error));
        },
      );
    }
  };
  worker.onerror = () => {
    fail(false, 'internal', 'the verification stopped');
  };
  const task: AuditTask = {
    origin: location.origin,
    vkey: given ?? memory?.vkey,
    now: Date.now(),
    seen: memory && (given === undefined || given === memory.vkey) ? memory.checkpoints : [],
  };
  worker.postMessage(task);
  return () => {
    worker.terminate();
  };
}

function Page() {
  const [state, setState] = useState<State>({ step: 'reading', entries: 0, of: 0 });
  const [round, setRound] = useState<{ vkey?: string }>({});
  const [vkey, setVkey] = useState('');
  useEffect(() => verify(round.vkey, setState), [round]);
  const again = (): void => {
    setRound(vkey.trim() === '' ? {} : { vkey: vkey.trim() });
  };
  return (
    <Frame path="/compliance">
      <div class="stack">
        <h1>Retention</h1>
        <LiveRegion>{announcementOf(state)}</LiveRegion>
        {state.step === 'reading' && (
          <Panel heading="Verifying the log">
            <Progress
              label="Entries of the log"
              value={state.entries}
              most={state.of}
              words={`${state.entries.toLocaleString()} of ${state.of.toLocaleString()} entries read and checked`}
            />
          </Panel>
        )}
        {state.step === 'failed' && (
          <Failure
            {...state}
            onForget={() => {
              forget();
              again();
            }}
          />
        )}
        {state.step === 'verified' && <Results found={state.found} />}
        {state.step !== 'reading' && (
          <Panel heading="Verify again">
            <div class="stack">
              <TextField
                label="Key of the log, if you were given it"
                hint="A line like university.example/zeroreel+1a2b3c4d+… . Without it this browser’s memory is used."
                value={vkey}
                onChange={setVkey}
              />
              <div class="row">
                <Button kind="primary" onPress={again}>
                  Verify
                </Button>
              </div>
            </div>
          </Panel>
        )}
      </div>
    </Frame>
  );
}

function announcementOf(state: State): string {
  if (state.step === 'reading') return 'The log is being verified.';
  if (state.step === 'failed') return 'The log could not be verified.';
  const { length } = state.found.audit.report.overdue;
  return `Verified: ${length} recordings are overdue.`;
}

function Results({ found }: { found: Verification }) {
  const { audit, files, service, remembered } = found;
  return (
    <>
      <Overview audit={audit} />
      <Panel heading="Over time">
        <RetentionChart days={audit.days} />
      </Panel>
      <div class="columns">
        <Panel heading="Purge runs">
          <Runs audit={audit} />
        </Panel>
        <Panel heading="Exceptions">
          <Findings audit={audit} />
        </Panel>
      </div>
      <div class="columns">
        <Panel heading="The store">
          <Storage attested={audit.storage} />
        </Panel>
        <Panel heading="Take it away">
          <p>
            The whole log as files. Anybody can check them offline, years later: put them into one folder and run{' '}
            <code>zeroreel log verify FOLDER</code>. The CSV is for spreadsheets. Certificates of single recordings come
            from their <a href="/receipt">receipts</a>.
          </p>
          <ul>
            {files.map(({ name, blob }) => (
              <li key={name}>
                <DownloadLink name={name} blob={blob} /> <span class="quiet">({blob.size.toLocaleString()} bytes)</span>
              </li>
            ))}
          </ul>
        </Panel>
      </div>
      <Verified audit={audit} remembered={remembered} />
      <Panel heading="Record of processing (GDPR, article 30)">
        <ProcessingRecord service={service} audit={audit} />
      </Panel>
    </>
  );
}

function Failure(props: Extract<State, { step: 'failed' }> & { onForget: () => void }) {
  const { isRefuted, code, message, wasRemembered, onForget } = props;
  return (
    <Status tone={isRefuted ? 'bad' : 'warn'}>
      <h2>{isRefuted ? 'The log does not verify' : 'The log cannot be read now'}</h2>
      <p>
        {message} <span class="quiet">({code})</span>
      </p>
      {!isRefuted ? (
        <p>Nothing is known, either way. Try again in a moment.</p>
      ) : (
        <p>
          Keep this page as it is, or print it, and tell whoever audits this service. Nothing that the service says
          about its deletions is proven until this is explained.
        </p>
      )}
      {isRefuted && wasRemembered && (
        <>
          <p>
            This browser compared the log with what it saw before. If the operator began a new log, and told you so,
            this browser can forget the old one.
          </p>
          <Button onPress={onForget}>Forget the old log and verify again</Button>
        </>
      )}
    </Status>
  );
}

mount(Page);
