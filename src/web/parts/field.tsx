import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';

interface Named {
  label: string;
  hint?: string;
  /** What is wrong with it, and how to mend it. */
  error?: string | undefined;
}

export interface TextFieldProps extends Named {
  value: string;
  type?: 'text' | 'password' | 'search' | 'number';
  autoComplete?: string;
  isRequired?: boolean;
  onChange: (value: string) => void;
}

export function TextField({
  label,
  hint,
  error,
  value,
  type = 'text',
  autoComplete,
  isRequired,
  onChange,
}: TextFieldProps) {
  const id = useId();
  return (
    <Labelled id={id} label={label} hint={hint} error={error}>
      <input
        id={id}
        // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-assertion -- tsc needs it: Preact's inputs are a union
        type={type as 'text'}
        value={value}
        required={isRequired}
        autoComplete={autoComplete ?? 'off'}
        aria-invalid={error !== undefined ? 'true' : undefined}
        aria-describedby={describedBy(id, hint, error)}
        onInput={({ currentTarget }) => {
          onChange(currentTarget.value);
        }}
      />
    </Labelled>
  );
}

export interface SelectFieldProps extends Named {
  value: string;
  options: readonly (readonly [value: string, text: string])[];
  onChange: (value: string) => void;
}

export function SelectField({ label, hint, error, value, options, onChange }: SelectFieldProps) {
  const id = useId();
  return (
    <Labelled id={id} label={label} hint={hint} error={error}>
      <select
        id={id}
        value={value}
        aria-describedby={describedBy(id, hint, error)}
        onChange={({ currentTarget }) => {
          onChange(currentTarget.value);
        }}
      >
        {options.map(([option, text]) => (
          <option key={option} value={option}>
            {text}
          </option>
        ))}
      </select>
    </Labelled>
  );
}

export interface FileFieldProps extends Named {
  accept?: string;
  onChange: (file: File | undefined) => void;
}

export function FileField({ label, hint, error, accept, onChange }: FileFieldProps) {
  const id = useId();
  return (
    <Labelled id={id} label={label} hint={hint} error={error}>
      <input
        id={id}
        type="file"
        accept={accept}
        aria-invalid={error !== undefined ? 'true' : undefined}
        aria-describedby={describedBy(id, hint, error)}
        onChange={({ currentTarget }) => {
          onChange(currentTarget.files?.[0]);
        }}
      />
    </Labelled>
  );
}

export interface CheckFieldProps {
  isChecked: boolean;
  onChange: (isChecked: boolean) => void;
  children: ComponentChildren;
}

export function CheckField({ isChecked, onChange, children }: CheckFieldProps) {
  const id = useId();
  return (
    <div class="check">
      <input
        id={id}
        type="checkbox"
        checked={isChecked}
        onChange={({ currentTarget }) => {
          onChange(currentTarget.checked);
        }}
      />
      <label for={id}>{children}</label>
    </div>
  );
}

/** A control with its label, its hint and what is wrong with it. */
export function Labelled({
  id,
  label,
  hint,
  error,
  children,
}: {
  id: string;
  label: string;
  hint: string | undefined;
  error: string | undefined;
  children: ComponentChildren;
}) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {hint !== undefined && (
        <span class="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
      {children}
      {error !== undefined && (
        <span class="error" id={`${id}-error`}>
          {error}
        </span>
      )}
    </div>
  );
}

/** For `aria-describedby`. */
export function describedBy(id: string, hint: string | undefined, error: string | undefined): string | undefined {
  const ids = [hint !== undefined && `${id}-hint`, error !== undefined && `${id}-error`].filter(Boolean);
  return ids.length > 0 ? ids.join(' ') : undefined;
}
