/** Fields that only this page has. */
import { useId } from 'preact/hooks';
import { describedBy, Labelled } from '../parts/field.tsx';

export interface TextAreaFieldProps {
  label: string;
  hint?: string;
  rows?: number;
  value: string;
  onChange: (value: string) => void;
}

export function TextAreaField({ label, hint, rows = 4, value, onChange }: TextAreaFieldProps) {
  const id = useId();
  return (
    <Labelled id={id} label={label} hint={hint} error={undefined}>
      <textarea
        id={id}
        rows={rows}
        value={value}
        aria-describedby={describedBy(id, hint, undefined)}
        onInput={({ currentTarget }) => {
          onChange(currentTarget.value);
        }}
      />
    </Labelled>
  );
}

/** A moment in the reviewer's own time zone, to the minute. */
export function DateTimeField({
  label,
  valueMs,
  onChange,
}: {
  label: string;
  valueMs: number;
  onChange: (ms: number) => void;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="datetime-local"
        value={toLocal(valueMs)}
        onChange={({ currentTarget }) => {
          const ms = new Date(currentTarget.value).getTime();
          if (Number.isFinite(ms)) onChange(ms);
        }}
      />
    </div>
  );
}

function toLocal(ms: number): string {
  const shifted = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}
