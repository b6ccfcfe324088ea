import { mount } from '../../parts/mount.tsx';
import { GuidePage } from '../guide-page.tsx';

mount(() => (
  <GuidePage
    path="/guide/student"
    title="Guide for students"
    lead={
      <p>
        Your exam is recorded by your own browser and encrypted on your device. Whoever runs this service cannot watch
        it. This page says what happens, what to do when something fails, and how you check afterwards that it is gone.
      </p>
    }
    sections={[
      {
        id: 'before',
        heading: 'Before the exam',
        body: (
          <ul>
            <li>
              Use a computer with a current Chrome, Edge or Chromium. Nothing is installed, and there is no extension.
            </li>
            <li>
              You need the whole link that your instructor gave you. It may hold your own seat’s ticket: do not pass it
              on, because each ticket records once.
            </li>
            <li>
              Open the link early. The page checks browser, network, clock and free space, and shows you what your
              camera sees. <strong>Nothing is recorded before you press Start recording.</strong>
            </li>
            <li>If there is a practice exam, take it. It is destroyed after 24 hours and counts for nothing.</li>
            <li>
              Choose a place where you do not mind being seen. A kitchen is as good as a bedroom. The sound of others is
              no judgement about you, but loud sound is marked for your instructor to look at; say beforehand if you
              share a room.
            </li>
          </ul>
        ),
      },
      {
        id: 'recorded',
        heading: 'What is recorded, and what is not',
        body: (
          <>
            <p>
              The notice that you read before you start lists exactly what this exam records; it was signed by your
              instructor and nobody can change it on the way. It may be your camera, your screen, your microphone, a
              photo of an ID, and events of the exam page: leaving it, full screen, its size, copying and pasting. Of
              copied text only the number of characters is noted, never the text.
            </p>
            <p>
              Not seen: addresses of other tabs and windows, other programs, other devices, and anything on a screen
              that you do not share. If you share your whole screen, all that is on it is in the picture.
            </p>
            <p>
              Rough location, to about a kilometre, is asked for only where your instructor wants it. You may say no;
              that you did is recorded.
            </p>
          </>
        ),
      },
      {
        id: 'open',
        heading: 'Who can open it',
        body: (
          <>
            <p>
              Only the people whom the notice names, each with a key of their own. A colleague can be added later, but
              only one whom the exam’s owner signs for, and the log says so. The service, its administrators and the
              store hold no key that opens anything.
            </p>
            <p>
              Your name is encrypted with the recording. The service knows random numbers and, at most, a pseudonym such
              as the number of your seat.
            </p>
            <p>Nothing is judged by a machine. Events are marked as places to look at; a person looks, and decides.</p>
          </>
        ),
      },
      {
        id: 'trouble',
        heading: 'When something fails during the exam',
        body: (
          <dl>
            <dt>The page was closed, the browser crashed, the computer restarted</dt>
            <dd>
              Open your link again, in the same browser on the same computer. What was recorded is kept, but for the
              last seconds, and you go on. The interruption is visible to your instructor, with its length.
            </dd>
            <dt>The network is gone</dt>
            <dd>
              Go on with your exam. Recording continues; everything waits on your device, encrypted, and is sent when
              the network is back.
            </dd>
            <dt>The camera or the microphone stopped</dt>
            <dd>The page tells you and offers to use it again. Everything else goes on, and the gap is noted.</dd>
            <dt>There is no room on the device</dt>
            <dd>
              Free some space, or get the network back. Nothing old is thrown away; what is new is lost until then.
            </dd>
            <dt>The camera’s picture is called dark or still</dt>
            <dd>
              That is about light and pixels, not about you. More light helps. If it stays, go on: nothing is lost by
              it.
            </dd>
            <dt>You cannot start at all</dt>
            <dd>Ask the contact in the notice, or your instructor. Keep what the page says: it names the reason.</dd>
          </dl>
        ),
      },
      {
        id: 'end',
        heading: 'The end, and your receipt',
        body: (
          <>
            <p>
              Press End the recording, and keep the page open until it says that everything is stored and that it is
              safe to close. If it is closed before, open your link again: it sends the rest.
            </p>
            <p>
              You get a receipt, as a file and as a QR code. Keep it. It opens nothing. With it you can see at{' '}
              <a href="/receipt">check a receipt</a>, without an account, whether your recording stands, when it will be
              destroyed, how often its keys were given to a reader, and after its destruction the proof. Your browser
              does the checking, not the service.
            </p>
          </>
        ),
      },
      {
        id: 'destroyed',
        heading: 'When it is destroyed',
        body: (
          <>
            <p>
              At the moment that your receipt names: at most 30 days after it began, practice after 24 hours. It can be
              brought forward and never put off. Half of the key dies first, so that even copies of the encrypted data
              open for nobody; then everything is deleted, and looked for again later.
            </p>
            <p>
              You may ask for it to be erased earlier. Ask the contact in the notice, and give them the number of your
              recording from the receipt. Your school decides within its rules; if it is erased, your receipt shows it.
            </p>
            <p>
              Two things no proof can show: that no reader kept a copy of what they saw, and what your instructor
              exported for a proceeding. Such an export is in the log, and it is then under your school’s rules.
            </p>
          </>
        ),
      },
      {
        id: 'rights',
        heading: 'Accommodations and your rights',
        body: (
          <>
            <p>
              Your instructor can give your seat exceptions: a source that is not recorded, a rule that you need not
              keep, events that are not counted, more time. The notice lists what was granted to you. Ask before the
              exam.
            </p>
            <p>
              The pages work with keyboard and screen reader. If one does not for you, tell the contact in the notice:
              there is another way to take an exam.
            </p>
            <p>
              To see what was recorded of you, ask your school: the service itself cannot open it. Where the GDPR
              applies, articles 15 to 22 are your rights, and you may complain to a data protection authority.
            </p>
          </>
        ),
      },
      {
        id: 'limits',
        heading: 'What this does not protect you from',
        body: (
          <ul>
            <li>
              The pages come from the service. A service that lies could send your browser another page. The command
              line, whose code does not come from the service, has no such gap.
            </li>
            <li>When you recorded, for how long, and how much, is visible to whoever runs the service.</li>
            <li>A reader who may open your recording can also copy what they see.</li>
          </ul>
        ),
      },
    ]}
  />
));
