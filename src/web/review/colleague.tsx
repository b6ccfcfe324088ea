/** A colleague's key: the public line as it was handed over, and whose it is. The fingerprint is compared before anything is done with it. */
import { useState } from 'preact/hooks';
import type { DeskCalls } from './desk.ts';
import { TextAreaField } from './more-fields.tsx';

export interface Colleague {
  line: string;
  /** What the line says of its owner, once it was asked for. */
  found: { label: string; identityFingerprint: string } | undefined;
  setLine: (line: string) => void;
  /** First shows whom the line is of; from then on, until the line changes, answers it. */
  confirm: () => Promise<string | undefined>;
  clear: () => void;
}

export function useColleague(desk: DeskCalls): Colleague {
  const [line, write] = useState('');
  const [found, setFound] = useState<Colleague['found']>();
  const setLine = (text: string): void => {
    write(text);
    setFound(undefined);
  };
  return {
    ...{ line, found, setLine },
    confirm: async () => {
      if (found) return line;
      setFound(await desk.describe(line));
      return undefined;
    },
    clear: () => {
      setLine('');
    },
  };
}

export function ColleagueField({ label, colleague }: { label: string; colleague: Colleague }) {
  const { line, found, setLine } = colleague;
  return (
    <>
      <TextAreaField label={label} hint="zrpq1… zrid1… and a name." value={line} onChange={setLine} />
      {found && (
        <dl class="facts">
          <dt>Name</dt>
          <dd>{found.label || 'none given'}</dd>
          <dt>Fingerprint</dt>
          <dd class="mono">{found.identityFingerprint}</dd>
        </dl>
      )}
    </>
  );
}
