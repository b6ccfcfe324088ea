/**
 * Tries to open a recording with everything that the server holds: its databases, its vault, its keys and tokens, all objects, and
 * the code of this repository. What it lacks is an instructor's key.
 */
import { createPrivateKey } from 'node:crypto';
import { equal, fromBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { SUITE_BOX, SUITE_HYBRID } from '../../crypto/format/ids.ts';
import { openCoreHash, parseOpen } from '../../crypto/format/open.ts';
import { parseWrap } from '../../crypto/format/wrap.ts';
import { decryptionKeyFromSeed } from '../../crypto/seal/identity.ts';
import { deriveEpochKeys } from '../../crypto/seal/schedule.ts';
import { openWrap } from '../../crypto/seal/wrap.ts';
import type { Release } from '../../schema/api.ts';
import { filesIn } from './search.ts';

export interface BurglarReport {
  /** Secrets of 32 bytes that were found and tried. */
  secrets: number;
  /** Wraps times secrets, and content keys times epochs. */
  attempts: number;
  opened: number;
}

/** `further` secrets are tried too: with an instructor's among them the same attempt must succeed, or it proves nothing. */
export async function burgle(
  dataFolder: string,
  released: Release,
  further: readonly Bytes[] = [],
): Promise<BurglarReport> {
  const secrets = [...(await collectSecrets(dataFolder, released)), ...further];
  let attempts = 0;
  let opened = 0;
  for (const { open: openB64, shred: shredB64, wraps } of released.epochs) {
    const open = parseOpen(fromBase64Url(openB64));
    const coreHash = await openCoreHash(open.core);
    for (const secret of secrets) {
      for (const { wrap: wrapB64 } of wraps) {
        attempts++;
        if (await opensWrap(fromBase64Url(wrapB64), secret, coreHash)) opened++;
      }
      // Not a key that opens the wrap, but perhaps the content key itself: then it reproduces the commitment.
      attempts++;
      const keys = await deriveEpochKeys({ ...open, cek: secret, shred: fromBase64Url(shredB64) });
      if (equal(keys.kc, open.commitment)) opened++;
    }
  }
  return { secrets: secrets.length, attempts, opened };
}

/** The key that a wrap names is not here; so each secret is tried as if it were that key, by its seed. */
async function opensWrap(wrap: Bytes, secret: Bytes, coreHash: Bytes): Promise<boolean> {
  const { suite, keyId, role, scope, track } = parseWrap(wrap);
  const key = await decryptionKeyFromSeed(suite === SUITE_BOX ? SUITE_BOX : SUITE_HYBRID, secret);
  try {
    await openWrap(wrap, { ...key, keyId }, { coreHash, minSuite: SUITE_BOX, role, scope, track });
    return true;
  } catch {
    return false;
  }
}

/** Every 32 bytes that the server keeps secret, and those that the files of its keys and tokens hash to. */
async function collectSecrets(dataFolder: string, released: Release): Promise<Bytes[]> {
  const secrets = released.epochs.map(({ shred }) => fromBase64Url(shred));
  for await (const { path, bytes } of filesIn(dataFolder)) {
    if (path.endsWith('log.key')) {
      const { d } = createPrivateKey(bytes).export({ format: 'jwk' });
      secrets.push(fromBase64Url(d!));
    }
    if (/\.(key|token)$/.test(path)) secrets.push(await sha256(bytes));
  }
  return secrets;
}
