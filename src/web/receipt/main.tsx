/** Not built yet, and says so. */
import { Frame } from '../parts/frame.tsx';
import { mount } from '../parts/mount.tsx';
import { Status } from '../parts/status.tsx';

mount(() => (
  <Frame path="/receipt" isNarrow>
    <div class="stack">
      <h1>Check a receipt</h1>
      <Status tone="info">
        <p>This page is not built yet. A receipt is checked with the command line today: zeroreel receipt FILE.</p>
      </Status>
    </div>
  </Frame>
));
