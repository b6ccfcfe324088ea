/** The first state of the page: which key, its passphrase, and whether this browser keeps a copy. */
import { useEffect, useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { CheckField, FileField, SelectField, TextField } from '../parts/field.tsx';
import { Panel } from '../parts/panel.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import type { DeskCalls, KeyCard } from './desk.ts';
import { forgetKey, keepKey, keptKeys, type KeptKey } from './kept-keys.ts';
import { NewKey } from './new-key.tsx';
import { askPasskey } from './passkey.ts';
import { FailureNote, useTask } from '../parts/task.tsx';

export interface UnlockProps {
  desk: DeskCalls;
  onUnlocked: (card: KeyCard) => void;
}

export function Unlock({ desk, onUnlocked }: UnlockProps) {
  const [kept, setKept] = useState<KeptKey[]>([]);
  const [chosen, setChosen] = useState('file');
  const [file, setFile] = useState<File>();
  const [passphrase, setPassphrase] = useState('');
  const [isToBeKept, setToBeKept] = useState(false);
  const [isMaking, setMaking] = useState(false);
  const task = useTask();

  const look = async (): Promise<void> => {
    const found = await keptKeys().catch(() => []);
    setKept(found);
    setChosen(found[0]?.keyIdB64 ?? 'file');
  };
  useEffect(() => void look(), []);

  const unlock = async (): Promise<void> => {
    const copy = kept.find(({ keyIdB64 }) => keyIdB64 === chosen);
    const keyFile = copy?.keyFile ?? (await file?.text());
    if (keyFile === undefined) throw new Error('choose your key file first');
    const prf = copy?.passkey && (await askPasskey(copy.passkey.credentialId));
    const card = await desk.unlock(keyFile, passphrase, prf);
    if (!copy && isToBeKept) {
      await keepKey({ keyIdB64: card.keyIdB64, label: file?.name ?? 'key', keyFile, savedMs: Date.now() });
    }
    setPassphrase('');
    onUnlocked(card);
  };

  if (isMaking) {
    return (
      <NewKey
        desk={desk}
        onMade={onUnlocked}
        onCancel={() => {
          setMaking(false);
        }}
      />
    );
  }
  return (
    <div class="stack">
      <h1>Review recordings</h1>
      <p>Recordings open with your key, on this device. Nothing that opens them is sent to the service.</p>
      <Panel heading="Unlock your key">
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void task.run(unlock);
          }}
        >
          {kept.length > 0 && (
            <SelectField
              label="Key"
              value={chosen}
              options={[
                ...kept.map((key) => [key.keyIdB64, `${key.label} (kept in this browser)`] as const),
                ['file', 'another key file'],
              ]}
              onChange={setChosen}
            />
          )}
          {chosen === 'file' && (
            <FileField
              label="Key file"
              hint="The file that begins with -----BEGIN ZEROREEL KEY FILE-----. Only its owner has it."
              onChange={setFile}
            />
          )}
          <TextField
            label="Passphrase of the key"
            type="password"
            autoComplete="current-password"
            value={passphrase}
            onChange={setPassphrase}
          />
          {chosen === 'file' ? (
            <CheckField isChecked={isToBeKept} onChange={setToBeKept}>
              Keep a copy in this browser, still locked by its passphrase. Not on a computer that others use.
            </CheckField>
          ) : (
            <Button isSmall onPress={() => void forgetKey(chosen).then(look)}>
              Forget this copy
            </Button>
          )}
          <div class="row">
            <button type="submit" class="button primary" aria-disabled={task.isBusy ? 'true' : undefined}>
              Unlock
            </button>
          </div>
          <LiveRegion isShown>
            {task.isBusy && <p class="quiet">Deriving the key from the passphrase. This takes a moment on purpose.</p>}
          </LiveRegion>
          <FailureNote failure={task.failure} />
        </form>
      </Panel>
      <Panel heading="No key yet?">
        <p>
          A key is made once, here in this browser or with the command line. Its public line is what exams are sealed
          for.
        </p>
        <Button
          onPress={() => {
            setMaking(true);
          }}
        >
          Make a key
        </Button>
      </Panel>
      <Status tone="info">
        <p>
          This page comes from the service that must not open recordings. Who wants to trust it in nothing uses the
          command line instead.
        </p>
      </Status>
    </div>
  );
}
