/** The log's key in the two forms in which it signs: notes (checkpoints) and labelled hashes (receipts). */
import type { Bytes } from '../../crypto/format/bytes.ts';
import { type Signer as LabelledSigner, signedMessage } from '../../crypto/format/ed25519.ts';
import { signCheckpoint } from '../../crypto/log/checkpoint.ts';
import { encodeVkey, verifierKey } from '../../crypto/log/note.ts';
import type { Signer } from './ports.ts';

/** Receipts are labelled, so that no receipt can be read as a checkpoint: a note never begins with a separator. */
export function logSigner(signer: Signer): LabelledSigner {
  return {
    publicKey: signer.publicKey,
    sign: (label, hash) => signer.sign(signedMessage(label, hash)),
  };
}

/** A checkpoint with the line of each of the log's keys, the current one's first. */
export async function signTree(signer: Signer, size: number, root: Bytes): Promise<string> {
  const { origin, former } = signer;
  const sign = (one: Signer) => signCheckpoint({ origin, size, root }, one.publicKey, (message) => one.sign(message));
  const note = await sign(signer);
  // The text and an empty line stand before the lines.
  return former ? note + (await sign(former)).split('\n\n')[1]! : note;
}

/** The verifier key that policies pin and auditors keep (C2SP signed-note). */
export function vkeyOf({ origin, publicKey }: Signer): string {
  return encodeVkey(verifierKey(origin, publicKey));
}
