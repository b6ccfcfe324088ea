/** The guides, by who one is. */
import { Frame } from '../parts/frame.tsx';
import { mount } from '../parts/mount.tsx';
import { Panel } from '../parts/panel.tsx';
import { GuideList } from './guide-page.tsx';

mount(() => (
  <Frame path="/guide" isNarrow>
    <div class="stack">
      <h1>Guides</h1>
      <p>Nobody needs an account to read them, and each prints well.</p>
      <Panel heading="Choose yours">
        <GuideList />
      </Panel>
      <Panel heading="How it works, in a minute">
        <ol>
          <li>
            An instructor signs who may open the recordings of an exam, what is recorded, and for how many days: 30 at
            most.
          </li>
          <li>
            The student’s browser encrypts camera, screen, sound and events for exactly these people, before anything
            leaves the device.
          </li>
          <li>The service stores what it cannot open, and promises in a public log when it will be destroyed.</li>
          <li>Instructors open recordings on their own device. The log says each time that keys were released.</li>
          <li>
            On its day the recording is destroyed: first the half of its key that the service holds, then the rest. The
            log proves it to anybody who has a receipt.
          </li>
        </ol>
      </Panel>
    </div>
  </Frame>
));
