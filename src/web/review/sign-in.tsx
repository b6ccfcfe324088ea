/** The key tells the service who asks: it signs a challenge. A key that the service does not know is made known here. */
import { useEffect, useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { TextField } from '../parts/field.tsx';
import { Panel } from '../parts/panel.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { Copyable } from '../parts/copyable.tsx';
import type { DeskCalls, KeyCard } from './desk.ts';
import { FailureNote, useTask } from '../parts/task.tsx';

export function SignIn({ desk, card, onSignedIn }: { desk: DeskCalls; card: KeyCard; onSignedIn: () => void }) {
  const [token, setToken] = useState('');
  const signing = useTask();
  const enrolling = useTask();
  const signIn = async (): Promise<void> => {
    await desk.signIn();
    onSignedIn();
  };
  const [ways, setWays] = useState({ mayEnrol: false, hasOidc: false });
  const enrol = async (): Promise<void> => {
    if (token.trim() !== '') await desk.signInWithToken(token.trim());
    await desk.enrol();
    setToken('');
    await signIn();
  };
  useEffect(() => void signing.run(signIn), []);

  const isUnknown = signing.failure?.code === 'reader-unknown';
  useEffect(() => {
    if (!isUnknown) return;
    void Promise.all([desk.mayEnrol(), desk.hasOidc()]).then(([mayEnrol, hasOidc]) => {
      setWays({ mayEnrol, hasOidc });
    });
  }, [isUnknown]);
  return (
    <div class="stack">
      <h1>Review recordings</h1>
      <LiveRegion isShown>{signing.isBusy && <p>Signing in with your key…</p>}</LiveRegion>
      {isUnknown ? (
        <Panel heading="The service does not know this key yet">
          <div class="stack">
            <p>
              {ways.mayEnrol
                ? 'You are signed in, so you can make it known here, once. From then on the key signs you in by itself.'
                : 'Somebody who runs the service makes it known: with the token that they gave you, you do it here, once.'}
            </p>
            {ways.hasOidc && !ways.mayEnrol && (
              <p>
                Or <a href="/v1/oidc/login">sign in with your institution</a>, and come back to this page with your key.
              </p>
            )}
            <form
              class="stack"
              onSubmit={(event) => {
                event.preventDefault();
                void enrolling.run(enrol);
              }}
            >
              {!ways.mayEnrol && <TextField label="Token" type="password" value={token} onChange={setToken} />}
              <div class="row">
                <button type="submit" class="button primary" aria-disabled={enrolling.isBusy ? 'true' : undefined}>
                  Make this key known
                </button>
              </div>
              <FailureNote failure={enrolling.failure} />
            </form>
            <p>Without a token: send them your public line, and compare the fingerprint by voice.</p>
            <Copyable label="Public line" text={card.publicLine} />
            <dl class="facts">
              <dt>Fingerprint</dt>
              <dd class="mono">{card.identityFingerprint}</dd>
            </dl>
          </div>
        </Panel>
      ) : (
        <>
          <FailureNote failure={signing.failure} />
          {signing.failure && (
            <div class="row">
              <Button kind="primary" onPress={() => void signing.run(signIn)}>
                Try again
              </Button>
            </div>
          )}
        </>
      )}
      {!isUnknown && !signing.failure && !signing.isBusy && <Status tone="good">Signed in.</Status>}
    </div>
  );
}
