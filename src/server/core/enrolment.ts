/** Which of an identity's keys are live, by its key documents. */
import { toBase64Url } from '../../../crypto/format/bytes.ts';
import { KEY_REVOKE, KEY_ROTATE, parseKeyDocument } from '../../../crypto/format/keydoc.ts';
import type { KeyRow } from '../store.ts';

/**
 * When the last of the identity's enrolled keys expires, ms; undefined where every key is revoked, replaced or expired, or none was
 * ever enrolled. `rows` are all of its documents in the order of enrolment.
 */
export function enrolledUntil(rows: readonly KeyRow[], now: number): number | undefined {
  const live = new Map<string, number>();
  for (const { keyId, op, document } of rows) {
    const { expiresMs, prevKeyId } = parseKeyDocument(document);
    if (op === KEY_ROTATE) live.delete(toBase64Url(prevKeyId));
    if (op === KEY_REVOKE) live.delete(keyId);
    else live.set(keyId, expiresMs);
  }
  const ends = [...live.values()].filter((expiresMs) => expiresMs > now);
  return ends.length > 0 ? Math.max(...ends) : undefined;
}
