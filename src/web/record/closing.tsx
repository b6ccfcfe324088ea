import { Panel } from '../parts/panel.tsx';
import { Status } from '../parts/status.tsx';
import { Uploading } from './recording.tsx';
import type { RecorderState } from './use-recorder.ts';

/** Nothing is recorded any more; the rest goes up. */
export function Closing({ progress }: { progress: RecorderState['progress'] }) {
  return (
    <Panel heading="Sending the rest">
      <div class="stack">
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
