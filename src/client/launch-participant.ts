import { z } from 'zod';
import { fromBase64Url, fromUtf8 } from '../../crypto/format/bytes.ts';
import { ClientError } from './errors.ts';

const claimsSchema = z.object({ iss: z.string(), sub: z.string() });

/** Whom an id_token is about. Nothing is verified: the recorder has no more than its word, the readers check it (`launch.ts`). */
export function launchParticipant(idToken: string): { issuer: string; subject: string } {
  try {
    const { iss: issuer, sub: subject } = claimsSchema.parse(
      JSON.parse(fromUtf8(fromBase64Url(idToken.split('.')[1] ?? ''))),
    );
    return { issuer, subject };
  } catch (error) {
    throw new ClientError('link', 'the launch in the link is no message of a learning platform', { cause: error });
  }
}
