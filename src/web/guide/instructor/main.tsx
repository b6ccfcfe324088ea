import { Table } from '../../parts/table.tsx';
import { mount } from '../../parts/mount.tsx';
import { GuidePage } from '../guide-page.tsx';

mount(() => (
  <GuidePage
    path="/guide/instructor"
    title="Guide for instructors"
    lead={
      <p>
        You decide who opens the recordings of your exam, and only these people can. The service cannot help you where a
        key is lost: so begin with the key.
      </p>
    }
    sections={[
      {
        id: 'key',
        heading: 'Your key',
        body: (
          <>
            <p>
              Make it at <a href="/review">review</a>. A passphrase is drawn for you; write it down. The key file is
              yours alone: save it where you save other important files, and keep a copy elsewhere. Neither the key nor
              the passphrase is ever sent to the service.
            </p>
            <p>
              The first time, the service does not know your key: use the token that an administrator gave you, once.
              After that you sign in with the key itself.
            </p>
            <p>
              Give colleagues your <em>public line</em>. Compare the fingerprint with them by voice: that is how both
              know that nobody exchanged it on the way.
            </p>
          </>
        ),
      },
      {
        id: 'exam',
        heading: 'An exam',
        body: (
          <ol>
            <li>
              Say when recordings may begin, what is recorded, which rules hold, and for how many days, 1 to 30. Record
              no more than you will look at.
            </li>
            <li>
              Name the readers. Add a <strong>recovery key</strong> that lies offline: where every reader’s key is lost,
              the recordings are lost.
            </li>
            <li>
              Name whom students ask. The notice is written for you from your choices; add what your school requires.
            </li>
            <li>
              Sign. From now on nobody, the service included, can add a reader but you. Readers that you add later reach
              what is recorded from then on; older recordings are given to them one by one.
            </li>
            <li>
              Make tickets, one link for each seat, with exceptions for seats that need them. A seat is a number, never
              a name: the service sees it. Who sits where stays in your own list.
            </li>
            <li>Make a practice exam with the same settings, and let students try it.</li>
          </ol>
        ),
      },
      {
        id: 'during',
        heading: 'While it runs',
        body: (
          <>
            <p>
              You do not watch: there is nothing to watch live. The list shows that recordings exist, in which state,
              and how large they are.
            </p>
            <p>
              A student whose browser crashed opens the same link on the same computer and goes on; the recording is
              then in parts, with the time between them shown. On another computer a used ticket does not work: give
              them a new one.
            </p>
          </>
        ),
      },
      {
        id: 'review',
        heading: 'Reviewing',
        body: (
          <>
            <p>
              Open <a href="/review">review</a>, unlock your key, choose the exam. Your browser fetches recordings,
              checks every signature and opens them on your device. The log notes each time that keys are released to
              you, and the student can see how often.
            </p>
            <p>
              The list is ranked by flags, whose weights you may change. <strong>A flag is a place to look at.</strong>{' '}
              It is no finding: dark rooms, old cameras, a pet, a slow computer all raise flags. Look, decide, write
              down what you saw; a colleague can add a second opinion. Notes are encrypted, and destroyed with the
              recording.
            </p>
            <Table
              caption="What the verdict on a recording’s integrity means"
              columns={['Verdict', 'It means', 'What to do']}
              rows={[
                {
                  key: 'c',
                  cells: ['Complete', 'All that was recorded is there, unaltered, to its end.', 'Nothing.'],
                },
                {
                  key: 'o',
                  cells: [
                    'Open-ended',
                    'It was not ended by the student: a crash, or a page closed early. What is there is unaltered.',
                    'Ask; it happens to honest people.',
                  ],
                },
                {
                  key: 'g',
                  cells: [
                    'Gaps',
                    'Parts that the recorder counted are not there. The recording names which.',
                    'Tell the operator: what the service once confirmed, a student cannot take away.',
                  ],
                },
                {
                  key: 'i',
                  cells: [
                    'Invalid',
                    'Something is not what the recorder signed.',
                    'Do not use it as evidence. Tell the operator.',
                  ],
                },
                {
                  key: 'e',
                  cells: [
                    'Equivocation',
                    'The recorder signed two stories that cannot both be true.',
                    'Keep it, and have somebody look who knows the protocol.',
                  ],
                },
              ]}
            />
          </>
        ),
      },
      {
        id: 'case',
        heading: 'When there is a case',
        body: (
          <>
            <p>
              Recordings are destroyed on their day, and no hold puts that off. If a proceeding needs one, export it in
              time as a case file: still encrypted, verifiable by anybody for years, opened with your key. Or export a
              film, which is not encrypted any more.
            </p>
            <p>
              Each export is declared in the log before it is made. From then on the copy is under your school’s rules
              for records, and you are responsible for it: keep it no longer than the case, and delete it then.
            </p>
          </>
        ),
      },
      {
        id: 'change',
        heading: 'When people and keys change',
        body: (
          <dl>
            <dt>A colleague helps later</dt>
            <dd>
              Add them to the exam as a reader; then give them the recordings that they need. It is logged, and cannot
              be taken back.
            </dd>
            <dt>You want a new key</dt>
            <dd>
              On the command line: <code>zeroreel key rotate</code> makes it, <code>zeroreel key regrant</code> puts it
              into your exam and gives it every recording that the old one opens. Then <code>zeroreel key revoke</code>{' '}
              ends the old one. Keep its file until what it opens is destroyed.
            </dd>
            <dt>Your key was stolen</dt>
            <dd>
              Revoke it at once, on the command line: <code>zeroreel key revoke</code>. The service releases nothing
              more to it. Then publish the exam again without it. What was fetched before stays opened.
            </dd>
            <dt>Your key is lost</dt>
            <dd>Another reader, or the recovery key, gives your new key the recordings. Without either nobody can.</dd>
            <dt>A student asks for erasure</dt>
            <dd>
              Your school decides. The operator destroys the recording by the seat’s number or its ticket; the student’s
              receipt then shows the proof.
            </dd>
          </dl>
        ),
      },
    ]}
  />
));
