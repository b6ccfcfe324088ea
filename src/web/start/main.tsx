/** The first page: where to go, by who one is. */
import { Frame } from '../parts/frame.tsx';
import { mount } from '../parts/mount.tsx';
import { Panel } from '../parts/panel.tsx';

mount(() => (
  <Frame path="/" isNarrow>
    <div class="stack">
      <h1>Zeroreel</h1>
      <p>
        Exam recordings that are encrypted on the student’s device, opened only by instructors, and destroyed after at
        most 30 days. Whoever runs this service cannot open them.
      </p>
      <Panel heading="I take an exam">
        <p>Open the link that your instructor gave you. It begins the recording, and works only as a whole.</p>
      </Panel>
      <Panel heading="I took an exam">
        <p>
          With your receipt you can see what is stored, who opened it, and that it was destroyed:{' '}
          <a href="/receipt">check a receipt</a>.
        </p>
      </Panel>
      <Panel heading="I teach">
        <p>
          Create exams and review recordings with your key: <a href="/review">review</a>.
        </p>
      </Panel>
      <Panel heading="I watch over retention">
        <p>
          What is due, what was destroyed, and the proof: <a href="/compliance">compliance</a>.
        </p>
      </Panel>
      <Panel heading="I want to know more">
        <p>
          Guides for students, instructors, compliance staff and operators, readable without an account:{' '}
          <a href="/guide">guides</a>.
        </p>
      </Panel>
    </div>
  </Frame>
));
