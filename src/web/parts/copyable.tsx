import { useId, useState } from 'preact/hooks';
import { Button } from './button.tsx';
import { LiveRegion } from './status.tsx';

/** A text that is to be handed on as it is: shown, and copied by one press. */
export function Copyable({ label, text }: { label: string; text: string }) {
  const id = useId();
  const [told, setTold] = useState('');
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setTold('Copied.');
    } catch {
      setTold('The browser did not allow it. Mark the text and copy it by hand.');
    }
  };
  return (
    <div class="field copyable">
      <label for={id}>{label}</label>
      <div class="row">
        <input
          id={id}
          class="mono"
          readOnly
          value={text}
          onFocus={({ currentTarget }) => {
            currentTarget.select();
          }}
        />
        <Button label={`Copy: ${label}`} onPress={() => void copy()}>
          Copy
        </Button>
      </div>
      <LiveRegion isShown>{told}</LiveRegion>
    </div>
  );
}
