/** One's own key: what to hand out, and a passkey as a second lock of the copy in this browser. */
import { useEffect, useState } from 'preact/hooks';
import { TextField } from '../parts/field.tsx';
import { Panel } from '../parts/panel.tsx';
import { LiveRegion } from '../parts/status.tsx';
import { Copyable } from '../parts/copyable.tsx';
import type { DeskCalls, KeyCard } from './desk.ts';
import { keepKey, keptKeys, type KeptKey } from './kept-keys.ts';
import { hasPasskeys, makePasskey } from './passkey.ts';
import { FailureNote, useTask } from '../parts/task.tsx';

export function OwnKey({ desk, card }: { desk: DeskCalls; card: KeyCard }) {
  const [kept, setKept] = useState<KeptKey>();
  const [passphrase, setPassphrase] = useState('');
  const [told, setTold] = useState('');
  const task = useTask();
  useEffect(() => {
    void keptKeys()
      .catch(() => [])
      .then((keys) => {
        setKept(keys.find(({ keyIdB64 }) => keyIdB64 === card.keyIdB64));
      });
  }, [card]);

  const addPasskey = async (): Promise<void> => {
    if (!kept) return;
    // A passphrase that does not fit must not become the new one.
    await desk.unlock(kept.keyFile, passphrase);
    const { credentialId, prf } = await makePasskey(kept.label);
    const locked: KeptKey = { ...kept, keyFile: await desk.reseal(passphrase, prf), passkey: { credentialId } };
    await keepKey(locked);
    setKept(locked);
    setPassphrase('');
    setTold('From now on the copy in this browser needs your passphrase and the passkey. Your key file is as it was.');
  };
  return (
    <Panel heading="Your key">
      <div class="stack">
        <Copyable label="Public line, for owners of exams" text={card.publicLine} />
        <dl class="facts">
          <dt>Fingerprint</dt>
          <dd class="mono">{card.identityFingerprint}</dd>
        </dl>
        {kept && !kept.passkey && hasPasskeys() && (
          <form
            class="stack"
            onSubmit={(event) => {
              event.preventDefault();
              void task.run(addPasskey);
            }}
          >
            <p>
              The copy in this browser is locked by your passphrase. A passkey can be a second lock: both are needed
              then.
            </p>
            <TextField
              label="Passphrase of the key"
              type="password"
              autoComplete="current-password"
              value={passphrase}
              onChange={setPassphrase}
            />
            <div class="row">
              <button type="submit" class="button" aria-disabled={task.isBusy ? 'true' : undefined}>
                Add a passkey
              </button>
            </div>
          </form>
        )}
        {kept?.passkey && <p>The copy in this browser needs your passphrase and a passkey.</p>}
        <LiveRegion isShown>{told}</LiveRegion>
        <FailureNote failure={task.failure} />
      </div>
    </Panel>
  );
}
