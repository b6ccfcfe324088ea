import { Table } from '../../parts/table.tsx';
import { mount } from '../../parts/mount.tsx';
import { GuidePage } from '../guide-page.tsx';

mount(() => (
  <GuidePage
    path="/guide/operator"
    title="Guide for operators"
    lead={
      <p>
        You keep a service running that you cannot look into. This page says what happens by itself, what to watch, and
        which command does what. The steps of each command stand in <code>schema/OPERATIONS.md</code> of the source.
      </p>
    }
    sections={[
      {
        id: 'itself',
        heading: 'What happens by itself',
        body: (
          <ul>
            <li>Every minute: what is due is destroyed. What fails is taken up again the next minute.</li>
            <li>Every five minutes: recordings whose recorder was silent for a day are ended.</li>
            <li>Every hour: the store is probed with real objects; orphaned key shares are swept.</li>
            <li>Every night: a sample of the store is held against the recorders’ signatures.</li>
            <li>Within a second: each entry of the log is published under a signature.</li>
          </ul>
        ),
      },
      {
        id: 'watch',
        heading: 'What to watch',
        body: (
          <ul>
            <li>
              <code>/health</code> answers 503 when a part does not work, and names it: database, vault, store, clock,
              the log’s key, room on the disk. <code>/ready</code> tells a balancer whether to send people here.
              Recorders wait meanwhile, and lose nothing.
            </li>
            <li>
              Prometheus metrics, where <code>ZEROREEL_METRICS_PORT</code> or <code>ZEROREEL_METRICS_TOKEN</code> is
              set; a dashboard and alert rules lie in <code>scripts/deploy</code> of the source.
            </li>
            <li>
              <a href="/compliance">Compliance</a> must show nothing overdue, and its exceptions should close by
              themselves.
            </li>
            <li>
              <code>zeroreel doctor --bucket</code> says whether the store still enforces what is promised.
            </li>
            <li>Free disk: a full one refuses new writes, says so, and goes on when there is room.</li>
          </ul>
        ),
      },
      {
        id: 'keep',
        heading: 'What must be kept, and what must not',
        body: (
          <Table
            caption="What is in the data folder, and its backups"
            columns={['What', 'Backup', 'Why']}
            rows={[
              {
                key: 'log',
                cells: [
                  <code key="l">log.key</code>,
                  'once, offline, apart from the rest',
                  'Without it the log cannot go on, and a new one must be begun.',
                ],
              },
              {
                key: 'meta',
                cells: ['Metadata', 'often; may be old', 'What is missing is put back from an exported log.'],
              },
              {
                key: 'vault',
                cells: [
                  'Vault of key shares',
                  'often; none older than its horizon',
                  'An older copy could bring back what was destroyed, and makes the certificates false.',
                ],
              },
              {
                key: 'bucket',
                cells: [
                  'Objects',
                  'no backup that outlives 30 days; no versioning that keeps',
                  'Copies open for nobody once the share is gone, but nobody should have to rely on it.',
                ],
              },
            ]}
          />
        ),
      },
      {
        id: 'commands',
        heading: 'What is done by hand',
        body: (
          <Table
            caption="Commands of the operator; each has --help"
            columns={['To do', 'Command']}
            rows={[
              ['Back up, restore', 'zeroreel backup DIR; zeroreel restore DIR --log BUNDLE'],
              ['Take the log away, check it', 'zeroreel log export DIR; zeroreel log verify DIR'],
              ['Move to another store or bucket, while running', 'zeroreel bucket move'],
              ['Replace the store’s credentials, while running', 'zeroreel bucket credentials'],
              ['Replace the log’s key', 'zeroreel log rotate'],
              ['Copy everything of an exam, without keys', 'zeroreel exam copy'],
              ['Erase what one seat recorded', 'zeroreel erase'],
              ['Look through the whole store', 'zeroreel scrub --deep'],
              ['Let somebody in, or out', 'zeroreel token create; zeroreel token revoke'],
              ['Plan for an exam season', 'zeroreel capacity'],
            ].map(([what, how]) => ({ key: how!, cells: [what, <code key="c">{how}</code>] }))}
          />
        ),
      },
      {
        id: 'trouble',
        heading: 'When something is wrong',
        body: (
          <dl>
            <dt>The store does not answer</dt>
            <dd>
              Nothing is lost: recorders keep what is sealed and send it later. Keys of what is due die on time all the
              same.
            </dd>
            <dt>The server does not start</dt>
            <dd>
              It says why, and what to do. It refuses to start where a start would make a promise false: a database
              older than the published log, a store that keeps what is deleted, a missing <code>log.key</code>.
            </dd>
            <dt>The databases are lost</dt>
            <dd>
              Restore the newest backup with a newer export of the log. What was destroyed since is destroyed again
              before anything is served.
            </dd>
            <dt>The log’s key was stolen, or is lost</dt>
            <dd>
              It opens no recording. Section 11 of <code>schema/LOG.md</code> says what follows, and how a new log is
              begun.
            </dd>
            <dt>A student cannot record</dt>
            <dd>
              The page names a code; <a href="/v1/reference">the reference</a> says what it means. A used ticket is
              replaced by the instructor.
            </dd>
          </dl>
        ),
      },
    ]}
  />
));
