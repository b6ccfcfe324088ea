import { Panel } from '../parts/panel.tsx';
import { Status } from '../parts/status.tsx';
import { Uploading } from './recording.tsx';
import type { RecorderState } from './use-recorder.ts';

/** Nothing is recorded any more; the rest goes up. */
export function Closing({ progress, isAtLimit }: { progress: RecorderState['progress']; isAtLimit: boolean }) {
  return (
    <Panel heading="Sending the rest">
      <div class="stack">
        {isAtLimit && <AtLimit />}
        <Status tone="info">
          <p>
            Nothing is recorded any more. Keep this page open until everything is stored. If it is closed, open your
            link again: it goes on where it stopped.
          </p>
        </Status>
        <Uploading progress={progress} />
      </div>
    </Panel>
  );
}

/** Why it ended, though nobody ended it. */
export function AtLimit() {
  return (
    <Status tone="warn">
      <p>
        <strong>The recording ended by itself.</strong> It became as large or as long as this exam allows. That is not
        your doing. What was recorded until then is kept. Tell whoever runs the exam, if it is not over yet.
      </p>
    </Status>
  );
}
