import type { ComponentChildren } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';

export interface DownloadLinkProps {
  /** Name of the file that is saved. */
  name: string;
  blob: Blob;
  isButton?: boolean;
  children?: ComponentChildren;
}

/** A link to a file that was made in this page and is on no server. */
export function DownloadLink({ name, blob, isButton = false, children = name }: DownloadLinkProps) {
  const url = useMemo(() => URL.createObjectURL(blob), [blob]);
  useEffect(
    () => () => {
      URL.revokeObjectURL(url);
    },
    [url],
  );
  return (
    <a class={isButton ? 'button' : ''} href={url} download={name}>
      {children}
    </a>
  );
}
