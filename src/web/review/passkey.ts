/**
 * A passkey as a second factor of a kept key: WebAuthn's PRF extension gives 32 bytes that never leave the authenticator otherwise
 * (W3C WebAuthn Level 3, section 10.1.4). Passphrase and passkey are then needed together.
 */
import type { Bytes } from '../../../crypto/format/bytes.ts';
import { utf8 } from '../../../crypto/format/bytes.ts';

/** Fixed: each credential has secrets of its own. */
const PRF_INPUT = utf8('zeroreel/v1/keyfile');

const NO_PRF = 'this authenticator gives no key material (WebAuthn PRF); the passphrase alone is used';

interface PrfOutputs {
  prf?: { enabled?: boolean; results?: { first: BufferSource } };
}

export function hasPasskeys(): boolean {
  return 'PublicKeyCredential' in globalThis;
}

/** Makes a passkey for this key; throws where the authenticator has no PRF. */
export async function makePasskey(name: string): Promise<{ credentialId: Bytes; prf: Bytes }> {
  const credential = (await navigator.credentials.create({
    publicKey: {
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      rp: { name: 'Zeroreel' },
      user: { id: crypto.getRandomValues(new Uint8Array(16)), name, displayName: name },
      pubKeyCredParams: [
        { type: 'public-key', alg: -7 },
        { type: 'public-key', alg: -257 },
      ],
      authenticatorSelection: { residentKey: 'preferred', userVerification: 'required' },
      extensions: { prf: {} },
    },
  })) as PublicKeyCredential | null;
  const { prf } = (credential?.getClientExtensionResults() ?? {}) as PrfOutputs;
  if (!credential || prf?.enabled !== true) throw new Error(NO_PRF);
  const credentialId = new Uint8Array(credential.rawId);
  return { credentialId, prf: await askPasskey(credentialId) };
}

/** The passkey's 32 bytes for key files; throws where it was refused. */
export async function askPasskey(credentialId: Bytes): Promise<Bytes> {
  const credential = (await navigator.credentials.get({
    publicKey: {
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      allowCredentials: [{ type: 'public-key', id: credentialId }],
      userVerification: 'required',
      extensions: { prf: { eval: { first: PRF_INPUT } } },
    },
  })) as PublicKeyCredential | null;
  const first = ((credential?.getClientExtensionResults() ?? {}) as PrfOutputs).prf?.results?.first;
  if (!first) throw new Error(NO_PRF);
  return new Uint8Array(first instanceof ArrayBuffer ? first : first.buffer.slice(0));
}
