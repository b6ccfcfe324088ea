import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';

export interface DialogProps {
  heading: string;
  isOpen: boolean;
  /** By Escape, too. */
  onClose: () => void;
  children: ComponentChildren;
}

/** The browser's own modal dialog: focus stays in it and comes back, and what is behind cannot be reached. */
export function Dialog({ heading, isOpen, onClose, children }: DialogProps) {
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isOpen && dialog.current?.open === false) dialog.current.showModal();
    if (!isOpen) dialog.current?.close();
  }, [isOpen]);
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby={id}
      onCancel={(event) => {
        // The state closes it: were the browser first, a press right after Escape would be lost in between.
        event.preventDefault();
        onClose();
      }}
      onClose={onClose}
    >
      <h2 id={id}>{heading}</h2>
      {isOpen && children}
    </dialog>
  );
}
