/**
 * Receipt: what became of my recording? Without an account. The receipt is checked first, then the log's answer is held against it; a
 * certificate that was kept is checked without asking anybody.
 */
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { ProtocolError } from '../../../crypto/format/errors.ts';
import { RECEIPT_CLOSED } from '../../../crypto/format/receipt.ts';
import { parseVkey } from '../../../crypto/log/note.ts';
import { verifyCertificate, type CertificateStatement } from '../../../crypto/log/certificate.ts';
import { Api } from '../../client/api.ts';
import { readReceipt } from '../../client/kept-receipt.ts';
import { checkLogNow } from '../../client/pinning.ts';
import { compareReceipt, certificateFromProofs } from '../../client/proof.ts';
import { Button } from '../parts/button.tsx';
import { DownloadLink } from '../parts/download-link.tsx';
import { FileField } from '../parts/field.tsx';
import { Frame } from '../parts/frame.tsx';
import { countText, instantText } from '../parts/instant.ts';
import { recallNewest, rememberNewest, shelfOf } from '../parts/log-memory.ts';
import { mount } from '../parts/mount.tsx';
import { Panel } from '../parts/panel.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';

type Receipt = Awaited<ReturnType<typeof readReceipt>>;

interface Outcome {
  receipt: Receipt;
  statement: CertificateStatement;
  certificate: string;
  /** Whether it was checked without asking the service. */
  isOffline: boolean;
}

type State =
  | { step: 'waiting' }
  | { step: 'checking' }
  | { step: 'elsewhere'; receipt: Receipt }
  | { step: 'checked'; outcome: Outcome }
  | { step: 'failed'; receipt: Receipt | undefined; code: string; message: string };

/** Throws what `readReceipt`, `certificateFromProofs` and `verifyCertificate` throw. */
async function check(receipt: Receipt, kept: string | undefined): Promise<Outcome> {
  const { record, vkey } = receipt;
  const { certificate, statement } =
    kept === undefined
      ? await certificateFromProofs(new Api({ url: location.origin }), record.sessionId, vkey)
      : { certificate: kept, statement: await verifyCertificate(kept, vkey) };
  compareReceipt(record, statement);
  if (kept === undefined) {
    const log = { origin: parseVkey(vkey).name, vkey };
    await checkLogNow(new Api({ url: location.origin }), log, shelfOf(recallNewest(), rememberNewest));
  }
  return { receipt, statement, certificate, isOffline: kept !== undefined };
}

function Page() {
  const [state, setState] = useState<State>({ step: 'waiting' });
  const [text, setText] = useState('');
  const [certificate, setCertificate] = useState<string>();
  const begin = async (receiptText: string): Promise<void> => {
    setState({ step: 'checking' });
    let receipt: Receipt | undefined;
    try {
      receipt = await readReceipt(receiptText);
      if (certificate === undefined && new URL(receipt.server).origin !== location.origin) {
        setState({ step: 'elsewhere', receipt });
      } else setState({ step: 'checked', outcome: await check(receipt, certificate) });
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'internal';
      setState({ step: 'failed', receipt, code, message: error instanceof Error ? error.message : String(error) });
    }
  };
  useEffect(() => {
    // A receipt's QR code leads here: the receipt stands behind the #, which no browser sends.
    const beginWithLink = (): void => {
      if (location.hash.startsWith('#v1.')) void begin(location.href);
    };
    beginWithLink();
    addEventListener('hashchange', beginWithLink);
    return () => {
      removeEventListener('hashchange', beginWithLink);
    };
  }, []);
  return (
    <Frame path="/receipt" isNarrow>
      <div
        class="stack"
        onDragOver={(event) => {
          event.preventDefault();
        }}
        onDrop={(event) => {
          event.preventDefault();
          const [file] = event.dataTransfer?.files ?? [];
          if (file) void file.text().then(begin);
        }}
      >
        <h1>Check a receipt</h1>
        <p>
          Your receipt shows what became of your recording: whether it stands, when it will be destroyed, how often it
          was opened, and after its destruction the proof. You need no account, and the receipt opens nothing.
        </p>
        <Panel heading="Your receipt">
          <div class="stack">
            <FileField
              label="Receipt file"
              hint="The text file that you were given at the end, often receipt.txt. You may drop it anywhere on this page."
              accept=".txt,text/plain"
              onChange={(file) => {
                if (file) void file.text().then(begin);
              }}
            />
            <details>
              <summary>Paste its text or link instead, or check a certificate that you kept</summary>
              <div class="stack inset">
                <div class="field">
                  <label for="receipt-text">Text or link of the receipt</label>
                  <textarea
                    id="receipt-text"
                    rows={8}
                    class="mono"
                    spellcheck={false}
                    value={text}
                    onInput={({ currentTarget }) => {
                      setText(currentTarget.value);
                    }}
                  />
                </div>
                <FileField
                  label="Certificate, if you kept one"
                  hint="Then nobody is asked: it is checked here, offline."
                  accept=".json,application/json"
                  onChange={(file) => {
                    if (file) void file.text().then(setCertificate);
                    else setCertificate(undefined);
                  }}
                />
                <div class="row">
                  <Button
                    kind="primary"
                    unavailable={text.trim() === '' ? 'the text of the receipt is missing' : undefined}
                    onPress={() => void begin(text)}
                  >
                    Check
                  </Button>
                </div>
              </div>
            </details>
          </div>
        </Panel>
        <LiveRegion isShown={state.step === 'checking'}>{announcementOf(state)}</LiveRegion>
        {state.step === 'elsewhere' && <Elsewhere receipt={state.receipt} />}
        {state.step === 'failed' && <Failure {...state} />}
        {state.step === 'checked' && <Result outcome={state.outcome} />}
      </div>
    </Frame>
  );
}

function announcementOf(state: State): string {
  switch (state.step) {
    case 'checking':
      return 'Checking the receipt …';
    case 'checked':
      return 'The receipt is checked.';
    case 'elsewhere':
    case 'failed':
      return 'The receipt could not be checked.';
    case 'waiting':
      return '';
  }
}

function Elsewhere({ receipt }: { receipt: Receipt }) {
  return (
    <Status tone="info">
      <p>The receipt is genuine as far as its own key says. It comes from another service; check it there:</p>
      <p>
        <a href={`${receipt.server}/receipt`} rel="noreferrer">
          {receipt.server}/receipt
        </a>
      </p>
    </Status>
  );
}

function Result({ outcome }: { outcome: Outcome }) {
  const { receipt, statement, isOffline } = outcome;
  const { deleted, verified, deleteBy, finalFrom, releases, findings, proven, notProven } = statement;
  const wasClosed = receipt.record.state === RECEIPT_CLOSED;
  return (
    <>
      {deleted === null ? (
        <Status tone="info">
          <p>
            <strong>Your recording is stored, encrypted.</strong> It will be destroyed by {instantText(deleteBy)}.
          </p>
          {!wasClosed && <p>This receipt was given before the recording was closed.</p>}
        </Status>
      ) : (
        <Status tone="good">
          <p>
            <strong>Your recording was destroyed on {instantText(deleted)}.</strong>{' '}
            {verified === null
              ? 'It will be looked for once more, to be sure that nothing came back.'
              : `It was looked for again on ${instantText(verified)}, and nothing was there.`}
          </p>
        </Status>
      )}
      {findings.length > 0 && (
        <Status tone="bad">
          <p>
            The log itself shows that something was not as promised. You may ask the contact in your exam’s notice about
            it:
          </p>
          <ul>
            {findings.map(({ message }) => (
              <li key={message}>{message}</li>
            ))}
          </ul>
        </Status>
      )}
      <Panel heading="Your recording">
        <dl class="facts">
          <dt>Recording</dt>
          <dd class="mono">{statement.recording}</dd>
          <dt>Opened by readers</dt>
          <dd>{releases === 0 ? 'never' : countText(releases, 'time')}</dd>
          <dt>Began</dt>
          <dd>{instantText(statement.opened)}</dd>
          <dt>To be destroyed by</dt>
          <dd>{instantText(deleteBy)}</dd>
          {finalFrom !== null && (
            <>
              <dt>Final from</dt>
              <dd>{instantText(finalFrom)}: from then on no backup can hold what would be needed to open a copy</dd>
            </>
          )}
          <dt>Checked</dt>
          <dd>{isOffline ? 'here, without asking the service' : 'here, against the log’s signed entries'}</dd>
        </dl>
      </Panel>
      <Panel heading="What is proven">
        <ul>
          {proven.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
        <h3>What no log can prove</h3>
        <ul class="quiet">
          {notProven.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
        <Keep outcome={outcome} />
      </Panel>
    </>
  );
}

function Keep({ outcome: { certificate, statement, isOffline } }: { outcome: Outcome }) {
  const blob = useMemo(() => new Blob([certificate], { type: 'application/json' }), [certificate]);
  if (isOffline) return null;
  return (
    <div class="row">
      <DownloadLink isButton name={`zeroreel-certificate-${statement.recording}.json`} blob={blob}>
        Keep the certificate
      </DownloadLink>
      <span class="quiet">With it and your receipt this can be checked again without the service.</span>
    </div>
  );
}

const FORGED: readonly string[] = ['signature', 'equivocation', 'log', 'identity'] satisfies ProtocolError['code'][];

function Failure({ receipt, code, message }: { receipt: Receipt | undefined; code: string; message: string }) {
  if (code === 'unreachable') {
    return (
      <Status tone="warn">
        <p>The service cannot be reached now. Your receipt is genuine; try again later.</p>
      </Status>
    );
  }
  if (code === 'answer') {
    return (
      <Status tone="info">
        <p>The log has not published your recording’s entries yet. That takes a second; try again.</p>
      </Status>
    );
  }
  if (code === 'recording-unknown' || code === 'not-found') {
    return (
      <Status tone="bad">
        <p>
          Your receipt is signed by this service’s log, and yet the service says that it does not know the recording.
          That must not happen. Keep the receipt and tell the contact in your exam’s notice.
        </p>
      </Status>
    );
  }
  return (
    <Status tone={FORGED.includes(code) ? 'bad' : 'warn'}>
      <p>
        {receipt === undefined
          ? 'This is not a receipt that can be checked'
          : 'The service’s answer does not fit your receipt'}
        : {message} <span class="quiet">({code})</span>
      </p>
      <p>
        {receipt === undefined
          ? 'Choose the whole text file as you were given it, unchanged.'
          : 'Keep the receipt, and tell the contact in your exam’s notice.'}
      </p>
    </Status>
  );
}

mount(Page);
