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
  /** Its `close` event comes later, perhaps after the next press has opened it anew: then it must not close that. */
  const closesItself = useRef(false);
  useEffect(() => {
    const { current } = dialog;
    if (isOpen && current?.open === false) current.showModal();
    if (!isOpen && current?.open === true) {
      closesItself.current = true;
      current.close();
    }
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
      onClose={() => {
        if (closesItself.current) closesItself.current = false;
        else onClose();
      }}
    >
      <h2 id={id}>{heading}</h2>
      {isOpen && children}
    </dialog>
  );
}
