/**
 * Launches: how a learning platform lets a student in (PROTOCOL.md section 6.2). The platform's id_token vouches for a key that was made
 * before the login, and that key vouches for this very OPEN. The id_token itself, which may name somebody, goes to the readers only.
 */
import { concat, Reader, toBase64Url, type Bytes } from './bytes.ts';
import { checkPublicKey, verify, type Signer } from './ed25519.ts';
import { ProtocolError } from './errors.ts';
import { hash } from './hash.ts';
import { ATTEST_ID_TOKEN, type Attestation } from './open.ts';

/** Names of an id_token's claims that LTI 1.3 adds (LTI core 1.3, section 5) begin like this. */
export const LTI_CLAIM = 'https://purl.imsglobal.org/spec/lti/claim/';

/** Algorithms of RFC 7518 and RFC 8037 that a platform may sign with: what has two keys, and never a secret that both sides know (LTI Security Framework 1.0, section 5.1.1). */
export const PLATFORM_ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'Ed25519', 'EdDSA'],
];

export interface LaunchAttestation {
  /** Ed25519 key that was made for one launch. */
  launchKey: Bytes;
  /** SHA-256 of the id_token's compact serialisation. */
  tokenHash: Bytes;
}

/** The `nonce` that the login asks the platform to sign: base64url of H("launch", launch_pk). */
export async function launchNonce(launchKey: Uint8Array): Promise<string> {
  return toBase64Url(await hash('launch', launchKey));
}

/** What OPEN carries: the launch's key, the hash of its id_token, and the key's signature over this very core_hash. */
export async function attestWithLaunch(tokenHash: Bytes, coreHash: Bytes, holder: Signer): Promise<Attestation> {
  const use = await holder.sign('launch-use', coreHash);
  return { type: ATTEST_ID_TOKEN, bytes: concat(holder.publicKey, tokenHash, use) };
}

/**
 * Checks an attestation of type 1 as far as it goes without the id_token. Throws `length` for a malformed one, `key` for a key of low order,
 * and `attestation` for one that its holder did not make for this OPEN.
 */
export async function verifyLaunchAttestation(attest: Uint8Array, coreHash: Uint8Array): Promise<LaunchAttestation> {
  const reader = new Reader(attest);
  const launchKey = reader.bytes(32);
  const tokenHash = reader.bytes(32);
  const use = reader.bytes(64);
  reader.end();
  checkPublicKey(launchKey);
  if (!(await verify(launchKey, 'launch-use', coreHash, use))) {
    throw new ProtocolError('attestation', 'launch refused: its holder did not use it here');
  }
  return { launchKey, tokenHash };
}
