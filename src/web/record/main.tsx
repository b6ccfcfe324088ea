/** Not built yet, and says so. */
import { Frame } from '../parts/frame.tsx';
import { mount } from '../parts/mount.tsx';
import { Status } from '../parts/status.tsx';

mount(() => (
  <Frame path="/record" isNarrow>
    <div class="stack">
      <h1>Record your exam</h1>
      <Status tone="info">
        <p>
          This page is not built yet. Recording in the browser is not built yet. The command line records: zeroreel
          record.
        </p>
      </Status>
    </div>
  </Frame>
));
