/** Single keys, their list, and the switch that turns them off (WCAG 2.1.4). */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { CheckField } from '../parts/field.tsx';
import { hasShortcuts, keepShortcuts } from './settings.ts';

export type Action =
  'toggle' | 'back' | 'forward' | 'nextIncident' | 'previousIncident' | 'faster' | 'slower' | 'skip' | 'mute' | 'help';

const KEYS: readonly { keys: readonly string[]; shown: string; action: Action; words: string }[] = [
  { keys: [' ', 'k'], shown: 'Space or K', action: 'toggle', words: 'play or pause' },
  { keys: ['j', 'ArrowLeft'], shown: 'J or ←', action: 'back', words: '10 seconds back' },
  { keys: ['l', 'ArrowRight'], shown: 'L or →', action: 'forward', words: '10 seconds forward' },
  { keys: ['n'], shown: 'N', action: 'nextIncident', words: 'next incident' },
  { keys: ['p'], shown: 'P', action: 'previousIncident', words: 'previous incident' },
  { keys: ['.', '>'], shown: '.', action: 'faster', words: 'faster' },
  { keys: [',', '<'], shown: ',', action: 'slower', words: 'slower' },
  { keys: ['s'], shown: 'S', action: 'skip', words: 'skip what is inactive, or not' },
  { keys: ['m'], shown: 'M', action: 'mute', words: 'sound on or off' },
  { keys: ['?'], shown: '?', action: 'help', words: 'this list' },
];

/** Where keys mean something else: text is typed, a choice is made, a button is pressed. */
function takesKey(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof Element)) return false;
  if (target.closest('dialog, textarea, select, input:not([type=range], [type=checkbox])')) return true;
  if (key === ' ') return target.closest('button, a, summary, [type=checkbox]') !== null;
  return key.startsWith('Arrow') && target.closest('input, [role=region]') !== null;
}

export function useShortcuts(actions: Readonly<Record<Action, () => void>>): void {
  const newest = useRef(actions);
  newest.current = actions;
  useEffect(() => {
    const act = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || !hasShortcuts() || takesKey(event.target, event.key))
        return;
      const found = KEYS.find(({ keys }) => keys.includes(event.key) || keys.includes(event.key.toLowerCase()));
      if (!found) return;
      event.preventDefault();
      newest.current[found.action]();
    };
    addEventListener('keydown', act);
    return () => {
      removeEventListener('keydown', act);
    };
  }, []);
}

export function ShortcutHelp({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  const [isOn, setOn] = useState(hasShortcuts);
  return (
    <Dialog heading="Keys" isOpen={isOpen} onClose={onClose}>
      <dl class="facts">
        {KEYS.map(({ shown, words }) => (
          <>
            <dt>
              <kbd>{shown}</kbd>
            </dt>
            <dd>{words}</dd>
          </>
        ))}
      </dl>
      <CheckField
        isChecked={isOn}
        onChange={(next) => {
          setOn(next);
          keepShortcuts(next);
        }}
      >
        Single keys do this. Turn it off if you dictate, or press keys by accident.
      </CheckField>
      <div class="row">
        <Button kind="primary" onPress={onClose}>
          Done
        </Button>
      </div>
    </Dialog>
  );
}
