/** Making a key: a passphrase that was drawn, not thought up; a file to keep. */
import { useEffect, useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { CheckField, TextField } from '../parts/field.tsx';
import { Panel } from '../parts/panel.tsx';
import { Status } from '../parts/status.tsx';
import type { DeskCalls, KeyCard } from './desk.ts';
import { saveText } from '../parts/saving.ts';
import { keepKey } from './kept-keys.ts';
import { FailureNote, useTask } from '../parts/task.tsx';

export interface NewKeyProps {
  desk: DeskCalls;
  onMade: (card: KeyCard) => void;
  onCancel: () => void;
}

export function NewKey({ desk, onMade, onCancel }: NewKeyProps) {
  const [label, setLabel] = useState('');
  const [drawn, setDrawn] = useState('');
  const [typed, setTyped] = useState('');
  const [isToBeKept, setToBeKept] = useState(false);
  const task = useTask();
  useEffect(
    () =>
      void task.run(async () => {
        setDrawn(await desk.drawPassphrase());
      }),
    [],
  );

  const make = async (): Promise<void> => {
    if (label.trim() === '') throw new Error('say how colleagues call you');
    if (typed.trim() !== drawn) throw new Error('what you typed is not the passphrase above');
    const { keyFile, card } = await desk.makeKey(drawn, label.trim());
    saveText(keyFile, 'instructor.key');
    if (isToBeKept) await keepKey({ keyIdB64: card.keyIdB64, label: label.trim(), keyFile, savedMs: Date.now() });
    onMade(card);
  };
  return (
    <div class="stack">
      <h1>Make a key</h1>
      <Panel heading="Your passphrase">
        <div class="stack">
          <p>
            These words were drawn by chance on this device. Write them down, or let your password manager keep them.
            Nobody can tell you them again.
          </p>
          <p class="passphrase mono">{drawn === '' ? 'Drawing…' : drawn}</p>
          <form
            class="stack"
            onSubmit={(event) => {
              event.preventDefault();
              void task.run(make);
            }}
          >
            <TextField
              label="Type the passphrase"
              hint="So that it is sure that you have it."
              value={typed}
              onChange={setTyped}
            />
            <TextField
              label="Your name as colleagues see it"
              hint="It stands in the public line, and in policies."
              value={label}
              onChange={setLabel}
            />
            <CheckField isChecked={isToBeKept} onChange={setToBeKept}>
              Keep a copy in this browser, still locked by its passphrase. Not on a computer that others use.
            </CheckField>
            <Status tone="warn">
              <p>
                The key file is saved to your downloads. Keep it: where file or passphrase is lost, what is sealed for
                it alone opens for nobody.
              </p>
            </Status>
            <div class="row">
              <button type="submit" class="button primary" aria-disabled={task.isBusy ? 'true' : undefined}>
                Make the key and save its file
              </button>
              <Button onPress={onCancel}>Back</Button>
            </div>
            <FailureNote failure={task.failure} />
          </form>
        </div>
      </Panel>
    </div>
  );
}
