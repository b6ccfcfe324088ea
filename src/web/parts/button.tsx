import type { ComponentChildren } from 'preact';

export interface ButtonProps {
  kind?: 'plain' | 'primary' | 'danger';
  isSmall?: boolean;
  /** Why it cannot be pressed now; it stays in reach of the keyboard and says so, rather than vanishing from it. */
  unavailable?: string | undefined;
  /** For a button that switches something: whether it is on. */
  isPressed?: boolean;
  /** Where its words alone do not tell what it is for. */
  label?: string;
  onPress: () => void;
  children: ComponentChildren;
}

export function Button({
  kind = 'plain',
  isSmall = false,
  unavailable,
  isPressed,
  label,
  onPress,
  children,
}: ButtonProps) {
  return (
    <button
      type="button"
      class={['button', kind, isSmall && 'small'].filter(Boolean).join(' ')}
      aria-disabled={unavailable !== undefined ? 'true' : undefined}
      aria-pressed={isPressed}
      aria-label={label}
      title={unavailable}
      onClick={() => {
        if (unavailable === undefined) onPress();
      }}
    >
      {children}
      {unavailable !== undefined && <span class="hidden-visually"> ({unavailable})</span>}
    </button>
  );
}
