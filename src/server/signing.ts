/** The log's key in the two forms in which it signs: notes (checkpoints) and labelled hashes (receipts). */
import { type Signer as LabelledSigner, signedMessage } from '../../crypto/format/ed25519.ts';
import { encodeVkey, verifierKey } from '../../crypto/log/note.ts';
import type { Signer } from './ports.ts';

/** Receipts are labelled, so that no receipt can be read as a checkpoint: a note never begins with a separator. */
export function logSigner(signer: Signer): LabelledSigner {
  return {
    publicKey: signer.publicKey,
    sign: (label, hash) => signer.sign(signedMessage(label, hash)),
  };
}

/** The verifier key that policies pin and auditors keep (C2SP signed-note). */
export function vkeyOf({ origin, publicKey }: Signer): string {
  return encodeVkey(verifierKey(origin, publicKey));
}
