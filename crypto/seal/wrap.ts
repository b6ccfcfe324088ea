/** Sealing a content key or a track key to one recipient (PROTOCOL.md section 7). */
import { equal, type Bytes } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import { checkEncryptionKey, keyId, SUITE_BOX, type Suite } from '../format/ids.ts';
import { randomBytes } from '../format/random.ts';
import {
  encodeWrap,
  parseWrap,
  wrapContextBytes,
  type Role,
  type Scope,
  type WrapContext,
  type WrapHeader,
} from '../format/wrap.ts';
import { openBox, sealBox } from './box.ts';
import { openHybrid, sealHybrid } from './hybrid.ts';
import type { DecryptionKey } from './identity.ts';

export interface Recipient {
  suite: Suite;
  publicKey: Bytes;
}

/** What the opener knows by itself; whatever is given must be what the wrap says. */
export interface WrapExpectation {
  coreHash: Uint8Array;
  /** From OPEN: a weaker wrap is refused before any crypto. */
  minSuite: number;
  role?: Role;
  scope?: Scope;
  track?: number;
}

/** Bytes of randomness that a wrap uses up, by suite: the ephemeral secret; both halves' encapsulation randomness. */
export const WRAP_RANDOMNESS = { 1: 32, 2: 64 } as const satisfies Record<Suite, number>;

/**
 * Seals 32 secret bytes; answers the whole wrap record. `randomness` is drawn here unless a test fixes it: two wraps with
 * the same randomness and context would repeat a nonce. Throws `key` for a recipient key that must not be used.
 */
export async function sealWrap(
  secret: Uint8Array,
  recipient: Recipient,
  context: WrapContext,
  randomness: Uint8Array = randomBytes(WRAP_RANDOMNESS[recipient.suite]),
): Promise<Bytes> {
  const { suite, publicKey } = recipient;
  if (secret.length !== 32) throw new ProtocolError('length', `expected 32 secret bytes, found ${secret.length}`);
  if (randomness.length !== WRAP_RANDOMNESS[suite]) throw new ProtocolError('length', 'wrong amount of randomness');
  checkEncryptionKey(suite, publicKey);
  const id = await keyId(suite, publicKey);
  const seal = suite === SUITE_BOX ? sealBox : sealHybrid;
  const sealed = await seal(secret, publicKey, wrapContextBytes(suite, id, context), randomness);
  return encodeWrap({ suite, keyId: id, ...context, ...sealed });
}

/**
 * Opens a wrap; answers the 32 secret bytes, whose commitment the caller checks next (`openEpochKeys`). Throws `format`
 * and `length` for a malformed wrap, `suite` for one below the floor or of another suite than the key, `wrap` for one that is
 * for somebody or something else, `zero-shared-secret` and `aead` for one that was tampered with.
 */
export async function openWrap(wrap: Uint8Array, key: DecryptionKey, expected: WrapExpectation): Promise<Bytes> {
  const header = parseWrap(wrap);
  checkHeader(header, key, expected);
  // The context is the opener's own view: what it expects where it knows, what it is asked to believe elsewhere.
  const context = wrapContextBytes(key.suite, key.keyId, {
    role: expected.role ?? header.role,
    scope: expected.scope ?? header.scope,
    track: expected.track ?? header.track,
    coreHash: expected.coreHash as Bytes,
  });
  return key.suite === SUITE_BOX
    ? openBox(header, key.publicKey, key.seed, context)
    : openHybrid(header, key.seed, context);
}

function checkHeader(header: WrapHeader, key: DecryptionKey, expected: WrapExpectation): void {
  if (header.suite < expected.minSuite) {
    throw new ProtocolError('suite', `expected suite ${expected.minSuite} or better, found ${header.suite}`);
  }
  if (header.suite !== key.suite) {
    throw new ProtocolError('suite', `a wrap of suite ${header.suite} for a key of suite ${key.suite}`);
  }
  if (!equal(header.keyId, key.keyId)) throw new ProtocolError('wrap', 'a wrap for another key');
  if (!equal(header.coreHash, expected.coreHash)) throw new ProtocolError('wrap', 'a wrap for another recording');
  for (const field of ['role', 'scope', 'track'] as const) {
    const value = expected[field];
    if (value !== undefined && header[field] !== value) {
      throw new ProtocolError('wrap', `expected ${field} ${value}, found ${header[field]}`);
    }
  }
}
