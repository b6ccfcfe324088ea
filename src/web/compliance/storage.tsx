/** The store as the log last attested it, each line with what it means for "destroyed". */
import type { LogEntryOf } from '../../../crypto/log/entry.ts';
import { instantText } from '../parts/instant.ts';
import { Status } from '../parts/status.tsx';

const ENFORCED = {
  signature: 'refuses forged signatures',
  expiry: 'refuses expired upload links',
  length: 'refuses bodies of another length',
  sha256: 'refuses bodies with another content',
  create_only: 'refuses to overwrite',
} as const;

const VERSIONING = {
  off: 'off: what is deleted leaves no older version',
  enabled: 'on: the purge deletes every version and every marker, by its id',
  suspended: 'suspended: the server does not start on such a store',
  unknown: 'the store does not tell',
} as const;

export function Storage({ attested }: { attested: LogEntryOf<'storage.attested'> | undefined }) {
  if (!attested) {
    return (
      <Status tone="warn">
        <p>The store was not attested yet. The server does it at its start and every hour.</p>
      </Status>
    );
  }
  const { at, versioning, object_lock: lock, lifecycle_days: days, enforces, clock_skew_ms: skew } = attested;
  const answer = (found: unknown): string => (found === true ? 'yes' : found === false ? 'no' : 'unknown');
  return (
    <dl class="facts">
      <dt>Probed with real objects</dt>
      <dd>{instantText(at)}</dd>
      <dt>Versioning</dt>
      <dd>{VERSIONING[versioning]}</dd>
      <dt>Object lock</dt>
      <dd>{lock === false ? 'off: nothing keeps an object from being destroyed' : answer(lock)}</dd>
      <dt>The store’s own backstop</dt>
      <dd>{days === null ? 'none; the purge needs none' : `the store itself deletes after ${days} days`}</dd>
      {Object.entries(ENFORCED).map(([name, words]) => {
        const found = enforces[name as keyof typeof ENFORCED];
        return [
          <dt key={`${name} term`}>The store {words}</dt>,
          <dd key={name}>{found === false ? 'no; the server checks in its place' : answer(found)}</dd>,
        ];
      })}
      <dt>Its clock differs by</dt>
      <dd>{skew === null ? 'unknown' : `${(skew / 1000).toLocaleString()} s`}</dd>
    </dl>
  );
}
