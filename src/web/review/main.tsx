/** Not built yet, and says so. */
import { Frame } from '../parts/frame.tsx';
import { mount } from '../parts/mount.tsx';
import { Status } from '../parts/status.tsx';

mount(() => (
  <Frame path="/review" isNarrow>
    <div class="stack">
      <h1>Review</h1>
      <Status tone="info">
        <p>
          This page is not built yet. Recordings are reviewed with the command line today: zeroreel list, zeroreel
          fetch.
        </p>
      </Status>
    </div>
  </Frame>
));
