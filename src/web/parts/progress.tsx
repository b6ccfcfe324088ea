import { useId } from 'preact/hooks';

export interface ProgressProps {
  label: string;
  value: number;
  most: number;
  /** The same in words, e.g. `24 of 30 chunks stored`. */
  words: string;
}

export function Progress({ label, value, most, words }: ProgressProps) {
  const id = useId();
  return (
    <div class="progress">
      <label for={id}>{label}</label>
      <progress id={id} max={Math.max(most, 1)} value={value} aria-valuetext={words} />
      <span class="words">{words}</span>
    </div>
  );
}
