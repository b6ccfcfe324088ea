/**
 * The record of processing activities (GDPR, article 30), filled from the configuration and from the log. What only the controller
 * can say is left blank, visibly, rather than made up.
 */
import type { z } from 'zod';
import type { serviceSchema } from '../../../schema/api.ts';
import type { LogAudit } from '../../client/log-audit.ts';
import { Blank } from '../parts/blank.tsx';
import { Button } from '../parts/button.tsx';

export type Service = z.infer<typeof serviceSchema>;

export function ProcessingRecord({ service, audit }: { service: Service; audit: Omit<LogAudit, 'files'> }) {
  const { controller, privacy_contact: contact } = service.operator;
  return (
    <div class="stack">
      <dl class="facts">
        <dt>Controller</dt>
        <dd>{controller ?? <Blank what="name and address (setting ZEROREEL_CONTROLLER)" />}</dd>
        <dt>Contact, data protection officer</dt>
        <dd>{contact ?? <Blank what="how to reach them (setting ZEROREEL_PRIVACY_CONTACT)" />}</dd>
        <dt>Purpose</dt>
        <dd>To let instructors review how an exam was taken. No automated decision is made (article 22).</dd>
        <dt>Legal basis</dt>
        <dd>
          <Blank what="for instance article 6(1)(e); acknowledging the notice is not consent" />
        </dd>
        <dt>People concerned</dt>
        <dd>Students who take a recorded exam; instructors and administrators who hold keys.</dd>
        <dt>Data</dt>
        <dd>
          Of students: camera, screen, microphone, events of the exam page and a display name, each as the exam’s signed
          policy says, all encrypted on the student’s device. The service itself holds ciphertext, sizes, times and
          random ids. Of staff: public keys.
        </dd>
        <dt>Recipients</dt>
        <dd>
          The readers whom each exam’s owner named in its signed policy, and nobody else: the service holds no key.
          Every release of keys is in the log ({audit.report.releases.toLocaleString()} so far).
        </dd>
        <dt>Transfer to third countries</dt>
        <dd>
          <Blank what="where the object store is; what it holds is ciphertext" />
        </dd>
        <dt>Erasure</dt>
        <dd>
          {audit.retentionDays > 0
            ? `At most ${audit.retentionDays} days after opening`
            : 'At most 30 days after opening'}
          , practice after 24 hours, earlier on request. Keys are destroyed first; a deletion is final when the last
          backup of the key shares has passed, {service.vault_horizon_hours} hours later.
        </dd>
        <dt>Security (article 32)</dt>
        <dd>
          AES-256-GCM under keys that only readers hold; signed and chained content; append-only log {audit.origin} with{' '}
          {audit.size.toLocaleString()} entries, verified on this page.
        </dd>
      </dl>
      <div class="row">
        <Button
          onPress={() => {
            print();
          }}
        >
          Print
        </Button>
      </div>
    </div>
  );
}
