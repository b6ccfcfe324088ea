/** Not built yet, and says so. */
import { Frame } from '../parts/frame.tsx';
import { mount } from '../parts/mount.tsx';
import { Status } from '../parts/status.tsx';

mount(() => (
  <Frame path="/compliance" isNarrow>
    <div class="stack">
      <h1>Compliance</h1>
      <Status tone="info">
        <p>
          This page is not built yet. The log is checked with the command line today: zeroreel log export, zeroreel log
          verify.
        </p>
      </Status>
    </div>
  </Frame>
));
