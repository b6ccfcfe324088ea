/** A launch by a learning platform, as recorder and readers see it (PROTOCOL.md section 6.2). */
import { calculateJwkThumbprint } from 'jose/jwk/thumbprint';
import { jwtVerify } from 'jose/jwt/verify';
import { decodeJwt } from 'jose/jwt/decode';
import type { JWK } from 'jose';
import { z } from 'zod';
import { equal, fromBase64Url, toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { launchNonce, type LaunchAttestation, LTI_CLAIM, PLATFORM_ALGORITHMS } from '../../crypto/format/launch.ts';
import { participantHash } from '../../crypto/format/open.ts';
import type { PolicyPlatform } from '../../crypto/format/policy.ts';

/** An epoch is opened within this time of its launch: three days, and what clocks differ. */
const LONGEST_MS = 73 * 3_600_000;
const CLOCK_MS = 10 * 60_000;

const claimsSchema = z.looseObject({
  sub: z.string(),
  iat: z.number(),
  nonce: z.string(),
  [`${LTI_CLAIM}deployment_id`]: z.string(),
  [`${LTI_CLAIM}custom`]: z.looseObject({ exam: z.string() }),
});

/** Of the about track: what of a launch the readers are shown. Every member may be missing or wrong. */
const shownSchema = z.object({
  launch: z.object({ id_token: z.string(), jwk: z.record(z.string(), z.unknown()) }),
  participant: z.object({ salt: z.string() }),
});

export interface LaunchFinding {
  /**
   * `verified`: the platform signed, with a key that the owner pinned, that this person opened this exam. `unpinned`: with a key that the
   * policy does not know, such as one that is newer; that it is the platform's is the server's word alone. `not-shown`: the recorder kept
   * the id_token from the readers; the server's word is all there is.
   */
  state: 'verified' | 'unpinned' | 'not-shown';
  /** The platform's name of the person; undefined where nothing was shown. */
  subject?: string;
  /** When the platform launched, ms. */
  atMs?: number;
}

export interface LaunchExpectation {
  attestation: LaunchAttestation;
  platform: PolicyPlatform;
  examId: string;
  /** Of the owner's identity key. */
  ownerHash: Bytes;
  /** OPEN's. */
  participant: Bytes;
  /** When the log says that the epoch was opened. */
  openedMs: number;
}

/**
 * Holds what the recorder shows of its launch against OPEN and policy. Throws `attestation` where that contradicts them: an id_token of
 * another launch, person, tenant or exam, or one that is not signed by the key that is shown with it.
 */
export async function checkLaunch(about: unknown, expected: LaunchExpectation): Promise<LaunchFinding> {
  const shown = shownSchema.safeParse(about);
  if (!shown.success) return { state: 'not-shown' };
  const { id_token: idToken, jwk } = shown.data.launch;
  const { attestation, platform } = expected;
  if (!equal(await sha256(utf8(idToken)), attestation.tokenHash)) refuse('another id_token than OPEN commits to');
  const claims = await verifiedClaims(idToken, jwk, platform);
  if (claims.nonce !== (await launchNonce(attestation.launchKey))) refuse('the platform vouched for another key');
  if (claims[`${LTI_CLAIM}deployment_id`] !== platform.deployment_id) refuse('of another deployment');
  const [version, examId, ownerHash] = claims[`${LTI_CLAIM}custom`].exam.split('.');
  if (version !== 'v1' || examId !== expected.examId || ownerHash !== toBase64Url(expected.ownerHash)) {
    refuse('for another exam, or another owner');
  }
  const salt = fromBase64Url(shown.data.participant.salt);
  if (!equal(await participantHash(salt, platform.issuer, claims.sub), expected.participant))
    refuse('of somebody else');
  const atMs = claims.iat * 1000;
  if (expected.openedMs < atMs - CLOCK_MS || expected.openedMs > atMs + LONGEST_MS) refuse('of another time');
  const isPinned = platform.keys.includes(await calculateJwkThumbprint(jwk));
  return { state: isPinned ? 'verified' : 'unpinned', subject: claims.sub, atMs };
}

async function verifiedClaims(idToken: string, jwk: JWK, { issuer, client_id: audience }: PolicyPlatform) {
  try {
    // Read years later: it held when it was signed, and that the opening was soon after is checked apart.
    const currentDate = new Date((decodeJwt(idToken).iat ?? 0) * 1000);
    const options = { issuer, audience, algorithms: PLATFORM_ALGORITHMS, currentDate, clockTolerance: CLOCK_MS / 1000 };
    return claimsSchema.parse((await jwtVerify(idToken, jwk, options)).payload);
  } catch {
    return refuse('not signed by the key that is shown, or not for this service');
  }
}

function refuse(reason: string): never {
  throw new ProtocolError('attestation', `launch refused: ${reason}`);
}
