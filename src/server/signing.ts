/** The log's key in the two forms in which it signs: notes (checkpoints) and labelled hashes (receipts). */
import { type Signer as LabelledSigner, signedMessage } from '../../crypto/format/ed25519.ts';
import type { Signer } from './ports.ts';

/** Receipts are labelled, so that no receipt can be read as a checkpoint: a note never begins with a separator. */
export function logSigner(signer: Signer): LabelledSigner {
  return {
    publicKey: signer.publicKey,
    sign: (label, hash) => signer.sign(signedMessage(label, hash)),
  };
}
