import { Button } from '../parts/button.tsx';
import { Panel } from '../parts/panel.tsx';
import { Status } from '../parts/status.tsx';
import { saveBlob } from '../parts/saving.ts';
import { AtLimit } from './closing.tsx';
import type { ExamView, ReceiptView } from './messages.ts';
import { QrCode } from './qr.tsx';
import { deadlineText } from '../parts/instant.ts';

interface DoneProps {
  receipt: ReceiptView;
  exam: ExamView;
  isAtLimit: boolean;
  /** Chunks that were recorded and that the service did not take any more. */
  notTaken: number;
}

/** Everything is stored and closed: the receipt. */
export function Done({ receipt, exam, isAtLimit, notTaken }: DoneProps) {
  return (
    <>
      {isAtLimit && <AtLimit />}
      <Status tone="good">
        <p>
          <strong>
            {notTaken === 0
              ? 'Everything is stored.'
              : `It is stored, but for the last ${notTaken} chunks, which the service did not take.`}{' '}
            It is safe to close this page.
          </strong>
        </p>
        <p>It will be destroyed by {deadlineText(receipt.deleteByMs)}.</p>
      </Status>
      <Panel heading="Your receipt">
        <div class="columns">
          <div class="stack">
            <p>
              Keep it. It opens nothing. With it you can see later who opened the recording, and check that it was
              destroyed: <a href={receipt.link}>check it now</a>.
            </p>
            <dl class="facts">
              <dt>Recording</dt>
              <dd class="mono">{receipt.recordingId}</dd>
              <dt>To be destroyed</dt>
              <dd>{deadlineText(receipt.deleteByMs)}</dd>
              <dt>Questions</dt>
              <dd>{exam.contact || 'your instructor'}</dd>
            </dl>
            <div class="row">
              <Button
                kind="primary"
                onPress={() => {
                  saveBlob(new Blob([receipt.text], { type: 'text/plain' }), 'zeroreel-receipt.txt');
                }}
              >
                Download the receipt
              </Button>
            </div>
          </div>
          <figure class="qr-frame">
            <QrCode text={receipt.link} label="The receipt as a QR code" />
            <figcaption class="quiet">The same, for a phone’s camera</figcaption>
          </figure>
        </div>
        <details>
          <summary>The receipt’s text</summary>
          <pre class="mono receipt-text" tabIndex={0}>
            {receipt.text}
          </pre>
        </details>
      </Panel>
    </>
  );
}
