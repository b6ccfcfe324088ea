/** A data protection impact assessment (GDPR, article 35), as far as software can fill it in. The rest is left open, visibly. */
import { useEffect, useState } from 'preact/hooks';
import type { z } from 'zod';
import type { serviceSchema } from '../../../../schema/api.ts';
import { Api } from '../../../client/api.ts';
import { Blank } from '../../parts/blank.tsx';
import { mount } from '../../parts/mount.tsx';
import { Table } from '../../parts/table.tsx';
import { GuidePage } from '../guide-page.tsx';

type Service = z.infer<typeof serviceSchema>;

function Dpia() {
  const [service, setService] = useState<Service>();
  useEffect(() => {
    new Api({ url: location.origin }).service().then(setService, () => undefined);
  }, []);
  const { controller, privacy_contact: contact } = service?.operator ?? { controller: null, privacy_contact: null };
  return (
    <GuidePage
      path="/guide/dpia"
      title="Impact assessment: a template"
      lead={
        <p>
          For the controller, under article 35 of the GDPR. What follows from the software and from this service’s
          settings is filled in; what only the controller can say is marked. It is no legal advice, and the assessment
          is the controller’s. The record of processing (article 30) stands on <a href="/compliance">compliance</a>.
        </p>
      }
      sections={[
        {
          id: 'who',
          heading: '1. Who is responsible',
          body: (
            <dl class="facts">
              <dt>Controller</dt>
              <dd>{controller ?? <Blank what="name and address (setting ZEROREEL_CONTROLLER)" />}</dd>
              <dt>Data protection officer</dt>
              <dd>{contact ?? <Blank what="how to reach them (setting ZEROREEL_PRIVACY_CONTACT)" />}</dd>
              <dt>Service</dt>
              <dd>{service ? <code>{service.log.origin}</code> : 'not known yet'}</dd>
              <dt>Processors</dt>
              <dd>
                <Blank what="who runs the servers and the object store, with the contracts of article 28" />
              </dd>
              <dt>Date, version, next review</dt>
              <dd>
                <Blank what="and who took part; the views of students, article 35(9)" />
              </dd>
            </dl>
          ),
        },
        {
          id: 'what',
          heading: '2. What is done, and why (article 35(7)(a))',
          body: (
            <>
              <p>
                Students who take a recorded exam are recorded by their own browser: as the exam’s signed policy says,
                camera, screen, microphone, a photo of an ID, events of the exam page, a display name, and where asked
                for and agreed a rough location. Everything is encrypted on the student’s device for the readers whom
                the exam’s owner named. The service stores ciphertext, sizes, times and random ids. Readers open
                recordings on their own devices.
              </p>
              <p>
                Kept for at most {service?.retention_days.maximum ?? 30} days after a recording begins, practice for 24
                hours. A deletion is final {service ? `${service.vault_horizon_hours} hours` : 'a declared time'} later,
                when no backup of the key shares can hold what was destroyed.
              </p>
              <p>
                Purpose: <Blank what="which exams, and why these need recording" />. Legal basis:{' '}
                <Blank what="for instance article 6(1)(e) with national law. Acknowledging the notice is not consent" />
                . Special categories: pictures of a room may show health, belief or origin;{' '}
                <Blank what="how article 9 is met, or why it does not apply" />. No face recognition and no other
                biometric identification is built in.
              </p>
            </>
          ),
        },
        {
          id: 'need',
          heading: '3. Is it necessary and proportionate? (article 35(7)(b))',
          body: (
            <ul>
              <li>
                Alternatives that were considered: <Blank what="exams on site, oral exams, open-book exams" />.
              </li>
              <li>
                Minimisation: every track is a choice of the exam’s owner; seats can be exempted from tracks and rules;
                copied text is never recorded, only its length.
              </li>
              <li>
                No automated decision (article 22): flags are places to look at, weights are the reviewer’s, and a
                person decides and gives a reason.
              </li>
              <li>
                Transparency (articles 13 and 14): the notice is part of the signed policy and is acknowledged before
                anything is recorded; its hash is in the log.
              </li>
              <li>
                Rights: access by way of a reader; erasure at once, with proof; each student has a receipt that shows
                how often keys were released. <Blank what="who decides on requests, and within what time" />.
              </li>
              <li>
                A real choice: <Blank what="what students do who cannot or will not be recorded" />.
              </li>
            </ul>
          ),
        },
        {
          id: 'risks',
          heading: '4. Risks, and what is done about them (article 35(7)(c) and (d))',
          body: (
            <>
              <Table
                caption="Risks to students"
                columns={['Risk', 'Measure in the software', 'What remains']}
                rows={[
                  {
                    key: 'a',
                    cells: [
                      'Strangers see a recording: a break-in, a curious operator, a stolen disk',
                      'Encrypted on the device; the service has no key; wraps after quantum computers by default',
                      'Times and sizes are visible. A changed page could deceive a browser',
                    ],
                  },
                  {
                    key: 'b',
                    cells: [
                      'It is kept too long',
                      'Deletion at a time fixed at the start, by keys first; overdue figures that anybody can compute',
                      'Copies and exports of readers, which the log counts but cannot delete',
                    ],
                  },
                  {
                    key: 'c',
                    cells: [
                      'A reader misuses what they see',
                      'Only readers whom the owner signed for; every release is logged and visible to the student',
                      'A reader can photograph a screen',
                    ],
                  },
                  {
                    key: 'd',
                    cells: [
                      'Somebody is suspected wrongly',
                      'No score of a person, no automated decision; flags are explained; second opinions; integrity is proven',
                      'Flags can be raised by poor light, old devices, disabilities: reviewers must be taught',
                    ],
                  },
                  {
                    key: 'e',
                    cells: [
                      'Pressure and intrusion into the home',
                      'Sources can be switched off per exam and seat; practice; nothing before Start is pressed',
                      'Being recorded remains an intrusion',
                    ],
                  },
                  {
                    key: 'f',
                    cells: [
                      'A recording is lost, and with it a proof in the student’s favour',
                      'Nothing acknowledged is lost by crashes; signatures show whether something is missing',
                      'Lost keys of every reader: hence a recovery key',
                    ],
                  },
                  {
                    key: 'g',
                    cells: [
                      'Exclusion: a device, a network, a disability',
                      'Offline recording, resuming after crashes, pages for keyboard and screen reader, accommodations by seat',
                      'A computer with a camera is needed',
                    ],
                  },
                ]}
              />
              <p>
                Likelihood and severity here: <Blank what="for each risk, before and after the measures" />.
              </p>
            </>
          ),
        },
        {
          id: 'own',
          heading: '5. Measures of the controller',
          body: (
            <ul>
              <li>
                Teaching of reviewers: <Blank what="what flags mean, and what they do not" />.
              </li>
              <li>
                Custody of keys and of the recovery key: <Blank what="who holds them, and where" />.
              </li>
              <li>
                Exports: <Blank what="who may make one, where it is kept, when it is deleted" />.
              </li>
              <li>
                Where the store is: <Blank what="country, and transfers under chapter V; it holds ciphertext" />.
              </li>
              <li>
                Checks: <Blank what="who looks at the compliance page, and how often" />.
              </li>
            </ul>
          ),
        },
        {
          id: 'result',
          heading: '6. Result',
          body: (
            <p>
              <Blank what="whether the remaining risk is acceptable, the officer’s advice, and whether the supervisory authority is asked first (article 36)" />
            </p>
          ),
        },
      ]}
    />
  );
}

mount(Dpia);
