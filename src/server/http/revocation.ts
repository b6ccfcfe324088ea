/**
 * Revoked keys (PROTOCOL.md section 11). A key is withdrawn by a document of the identity that the owner's policy gives the key to;
 * anybody else's word about it counts for nothing. It is final: an older enrolment that is sent again brings no key back.
 */
import { toBase64Url } from '../../../crypto/format/bytes.ts';
import { decodeIdentity } from '../../../crypto/format/ids.ts';
import { KEY_REVOKE } from '../../../crypto/format/keydoc.ts';
import { storedRecipients } from '../../../crypto/format/policy.ts';
import { ServerError } from '../errors.ts';
import type { Store } from '../ports.ts';
import type { KeyRow } from '../store.ts';

/** A key in somebody's hands: both base64url. */
export interface HeldKey {
  identity: string;
  keyId: string;
}

/** The readers of a stored policy. */
export function readersOf({ bytes }: { bytes: Uint8Array }): HeldKey[] {
  return storedRecipients(bytes).map(({ identity, key_id: keyId }) => ({
    identity: toBase64Url(decodeIdentity(identity)),
    keyId,
  }));
}

/** The documents that revoke any of these keys. */
export async function revocations(store: Pick<Store, 'keys'>, held: readonly HeldKey[]): Promise<KeyRow[]> {
  const identities = [...new Set(held.map(({ identity }) => identity))];
  const rows = (await Promise.all(identities.map((identity) => store.keys(identity)))).flat();
  const isHeld = (row: KeyRow) => held.some(({ identity, keyId }) => identity === row.identity && keyId === row.keyId);
  return rows.filter((row) => row.op === KEY_REVOKE && isHeld(row));
}

/** Throws `key-revoked` where one of these keys was revoked. */
export async function requireStanding(store: Pick<Store, 'keys'>, held: readonly HeldKey[]): Promise<void> {
  const [revoked] = await revocations(store, held);
  if (!revoked) return;
  throw new ServerError('key-revoked', `the key ${revoked.keyId} was revoked by its identity`, {
    hint: 'a reader with another key of the policy can grant the recording to a new one',
    extra: { key_id: revoked.keyId },
  });
}
