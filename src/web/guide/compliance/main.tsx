import { mount } from '../../parts/mount.tsx';
import { GuidePage } from '../guide-page.tsx';

mount(() => (
  <GuidePage
    path="/guide/compliance"
    title="Guide for compliance staff"
    lead={
      <p>
        Every promise to destroy, and every destruction, is in a log that can only grow. You do not have to believe the
        service: your browser computes what was due, on time, late and overdue from the log itself.
      </p>
    }
    sections={[
      {
        id: 'routine',
        heading: 'Once a month, ten minutes',
        body: (
          <ol>
            <li>
              Open <a href="/compliance">compliance</a>. It reads the whole log, checks its signatures and shows the
              figures. It needs no account.
            </li>
            <li>
              Look at <em>overdue</em>. It must be zero. A recording is overdue from the first millisecond after its
              day; the figure has no tolerance.
            </li>
            <li>
              Look at the exceptions. Each says what was found, in words. Ask the operator about those that do not close
              by themselves.
            </li>
            <li>
              Save the files under “Take it away”, and the key of the log the first time. With last month’s files beside
              them it can be shown later that the log was never rewritten.
            </li>
          </ol>
        ),
      },
      {
        id: 'key',
        heading: 'Which log is it?',
        body: (
          <p>
            A log is known by its key, a line such as <code>university.example/zeroreel+1a2b3c4d+…</code>. Get it from
            the operator by another way than this page, once, and enter it there. Your browser remembers the last
            checkpoint it saw: a log that was rolled back or forked since is refused. Independent witnesses, where the
            operator has some, sign that they saw the same log.
          </p>
        ),
      },
      {
        id: 'words',
        heading: 'What the words mean',
        body: (
          <dl>
            <dt>Destroyed</dt>
            <dd>
              The share of the key that the service holds is destroyed, then the wrapped keys, then every version of
              every object; and a listing of the store was empty.
            </dd>
            <dt>Verified</dt>
            <dd>
              A second listing was empty too, taken after the last upload that could have been under way: a day and more
              later.
            </dd>
            <dt>Final</dt>
            <dd>
              From then on no backup of the key shares is old enough to hold what would be needed. The compliance page
              says how many hours that takes here.
            </dd>
            <dt>Released</dt>
            <dd>
              Keys were given to a reader whom the exam’s owner had named. The log has the key, the time and the
              purpose.
            </dd>
            <dt>Exported</dt>
            <dd>
              A copy left the service. What becomes of it is no longer in this log, but under your records policy.
            </dd>
          </dl>
        ),
      },
      {
        id: 'requests',
        heading: 'Requests by students',
        body: (
          <dl>
            <dt>“What do you have about me?”</dt>
            <dd>
              The service holds ciphertext under a random number. An instructor opens the recording and exports it, or
              shows it. The receipt names the recording.
            </dd>
            <dt>“Erase it”</dt>
            <dd>
              Once your school has decided, the operator runs <code>zeroreel erase</code> for the exam and the seat. It
              is destroyed at once, and the log says that it was on request.
            </dd>
            <dt>“Prove that it is gone”</dt>
            <dd>
              The student’s receipt does, at <a href="/receipt">check a receipt</a>: the certificate can be kept, and
              checked again offline.
            </dd>
            <dt>“Who looked at it?”</dt>
            <dd>The receipt page counts releases of keys; the log’s entries name each reader’s key.</dd>
          </dl>
        ),
      },
      {
        id: 'documents',
        heading: 'Documents',
        body: (
          <ul>
            <li>
              The record of processing (GDPR article 30) stands at the end of <a href="/compliance">compliance</a>,
              filled from this service’s settings and its log.
            </li>
            <li>
              A template for an <a href="/guide/dpia">impact assessment</a> (article 35), with what is known filled in.
            </li>
            <li>
              The notice to students is part of each exam’s signed policy; its hash is in the log with every recording.
            </li>
          </ul>
        ),
      },
      {
        id: 'limits',
        heading: 'What the log cannot show',
        body: (
          <ul>
            <li>That nobody made a copy elsewhere: a reader who may open can keep.</li>
            <li>
              That the machines did what the operator signed. It makes a false statement lasting evidence, not
              impossible.
            </li>
            <li>What never reached it: a recorder and a reader that were both changed could work beside it.</li>
          </ul>
        ),
      },
    ]}
  />
));
