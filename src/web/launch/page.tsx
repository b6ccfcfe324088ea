/** Between a course and this service: nobody stays here but who chooses an exam, registers a platform, or was refused. */
import { useEffect, useState } from 'preact/hooks';
import { Api } from '../../client/api.ts';
import { ApiError } from '../../client/errors.ts';
import { Button } from '../parts/button.tsx';
import { Frame } from '../parts/frame.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { begin, proofOf, recordLink, reviewPlace, stepOf } from './launching.ts';

type Proof = Awaited<ReturnType<typeof proofOf>>;
type Shown =
  | { view: 'busy' }
  | { view: 'nothing' }
  | { view: 'tab'; href: string }
  | { view: 'register'; configuration: string; register: () => Promise<void> }
  | { view: 'registered' }
  | { view: 'select'; exams: { exam_id: string; title: string }[]; proof: Proof }
  | { view: 'refused'; detail: string; hint: string | null; code: string };

const HEADINGS: Partial<Record<Shown['view'], string>> = {
  select: 'Choose an exam',
  refused: 'You did not get in',
  register: 'Register a learning platform',
};

export function LaunchPage() {
  const [shown, show] = useState<Shown>({ view: 'busy' });
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (error instanceof ApiError) {
        show({ view: 'refused', detail: error.detail, hint: error.hint ?? null, code: error.code });
      } else {
        show({
          view: 'refused',
          detail: error instanceof Error ? error.message : String(error),
          hint: null,
          code: 'page',
        });
      }
    }
  };
  useEffect(() => void attempt(() => arrive(show, attempt)), []);
  return (
    <Frame path="/launch" isNarrow hasNavigation={false}>
      <div class="stack">
        <h1>{HEADINGS[shown.view] ?? 'From your course'}</h1>
        <View shown={shown} attempt={attempt} />
      </div>
    </Frame>
  );
}

async function arrive(show: (shown: Shown) => void, attempt: (work: () => Promise<void>) => Promise<void>) {
  const now = stepOf(location);
  switch (now.step) {
    case 'nothing':
      show({ view: 'nothing' });
      return;
    case 'tab':
      show({ view: 'tab', href: now.href });
      return;
    case 'login':
      location.replace(await begin(now.parameters));
      return;
    case 'register': {
      const { invitation, configuration, token } = now;
      const register = () =>
        attempt(async () => {
          show({ view: 'busy' });
          await new Api({ url: location.origin }).registerPlatform({
            invitation,
            openid_configuration: configuration,
            ...(token !== null && { registration_token: token }),
          });
          show({ view: 'registered' });
          // Dynamic Registration 1.0, section 3.8: the platform's window closes.
          ((window.opener as Window | null) ?? window.parent).postMessage({ subject: 'org.imsglobal.lti.close' }, '*');
        });
      show({ view: 'register', configuration, register });
      return;
    }
    case 'arrived': {
      const { handoff } = now;
      if (handoff.to === 'refused') {
        show({ view: 'refused', detail: handoff.detail, hint: handoff.hint, code: handoff.reason });
      } else if (handoff.to === 'select') {
        show({ view: 'select', exams: handoff.exams, proof: await proofOf(handoff) });
      } else if (handoff.to === 'record') location.replace(recordLink(handoff));
      else location.replace(await reviewPlace(handoff));
    }
  }
}

function View({ shown, attempt }: { shown: Shown; attempt: (work: () => Promise<void>) => Promise<void> }) {
  switch (shown.view) {
    case 'busy':
      return <LiveRegion isShown>Asking your learning platform …</LiveRegion>;
    case 'nothing':
      return (
        <Status tone="info">
          <p>This page is opened by a link in a course. If you came from there, open that link again.</p>
        </Status>
      );
    case 'tab':
      return (
        <>
          <p>This opens in a tab of its own: inside the course, a browser lends neither camera nor storage.</p>
          <div class="row">
            <a class="button primary" href={shown.href} target="_blank" rel="noopener">
              Open in a new tab
            </a>
          </div>
        </>
      );
    case 'register':
      return (
        <>
          <p>
            A learning platform asks to be registered here. Its courses can then open exams whose owners name it, and it
            vouches for who its students and teachers are.
          </p>
          <dl class="facts">
            <dt>Platform</dt>
            <dd class="mono">{URL.canParse(shown.configuration) ? new URL(shown.configuration).host : 'unknown'}</dd>
          </dl>
          <div class="row">
            <Button kind="primary" onPress={() => void attempt(shown.register)}>
              Register this platform
            </Button>
          </div>
        </>
      );
    case 'registered':
      return (
        <Status tone="good">
          <p>The platform is registered. You can close this window.</p>
        </Status>
      );
    case 'select':
      return <Selection {...shown} />;
    case 'refused':
      return (
        <div role="alert">
          <Status tone="bad">
            <p>
              <strong>What stood in the way: {shown.detail}.</strong>
            </p>
            {shown.hint !== null && <p>What helps: {shown.hint}.</p>}
            <p class="quiet">
              Tell this to who helps you: <span class="mono">{shown.code}</span>
            </p>
          </Status>
        </div>
      );
  }
}

function Selection({ exams, proof }: { exams: { exam_id: string; title: string }[]; proof: Proof }) {
  if (exams.length === 0) {
    return (
      <Status tone="info">
        <p>
          No exam admits launches from this course’s platform yet. Its owner makes one at Zeroreel, and chooses this
          platform under “Who may record”.
        </p>
      </Status>
    );
  }
  return (
    // A form, because its answer is a document that goes on to the platform.
    <form class="stack" method="post" action="/lti/select">
      {Object.entries(proof).map(([name, value]) => (
        <input key={name} type="hidden" name={name} value={value} />
      ))}
      <fieldset class="stack group">
        <legend>Exams that this platform may open</legend>
        {exams.map(({ exam_id: id, title }, index) => (
          <label key={id} class="check">
            <input type="radio" name="exam_id" value={id} required defaultChecked={index === 0} /> {title}
          </label>
        ))}
      </fieldset>
      <div class="row">
        <button type="submit" class="button primary">
          Place it in the course
        </button>
      </div>
    </form>
  );
}
