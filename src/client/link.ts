/** Exam links: everything a recorder pins, in a fragment, which no browser sends to any server (PROTOCOL.md section 5). */
import { z } from 'zod';
import { concat, fromBase64Url, toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { formatId, parseId } from '../../crypto/format/ids.ts';
import { parseStrictJson } from '../../crypto/format/json.ts';
import { parseTicket } from '../../crypto/format/ticket.ts';
import { ClientError } from './errors.ts';

const SEED_LENGTH = 32;

/** A seat ticket as its student holds it. */
export interface TicketSecret {
  /** ZRTK record, signed by the exam's owner. */
  ticket: Bytes;
  /** Ed25519 seed of the ticket's key, 32 bytes. */
  seed: Bytes;
}

/** A launch by a learning platform as its browser holds it. */
export interface LaunchSecret {
  /** Signed by the platform; its nonce commits to the launch's key. */
  idToken: string;
  /** The platform's public key, as JSON (JWK): for the readers, who know its thumbprint. */
  jwk: Readonly<Record<string, unknown>>;
  /** Ed25519 seed of the launch's key, 32 bytes. */
  seed: Bytes;
}

export interface ExamLink {
  /** Origin of the service. */
  url: string;
  examId: string;
  /** Hash of the owner's identity key, 32 bytes. */
  ownerHash: Bytes;
  minSeq: number;
  /** Absent in a link that is safe to write down, and where the policy admits by link. */
  ticket?: TicketSecret;
  /** Where a learning platform lets this student in. */
  launch?: LaunchSecret;
}

/**
 * `https://HOST/record#v1.EXAM_ID.OWNER_HASH.MIN_SEQ[.SECRET]`, SECRET = base64url(ticket record || seed), or of JSON for a launch:
 * `{"id_token", "jwk", "seed"}`.
 */
export function formatExamLink(link: ExamLink): string {
  const parts = ['v1', formatId(parseId(link.examId)), toBase64Url(link.ownerHash), String(link.minSeq)];
  if (link.ticket) parts.push(toBase64Url(concat(link.ticket.ticket, link.ticket.seed)));
  if (link.launch) {
    const { idToken, jwk, seed } = link.launch;
    parts.push(toBase64Url(utf8(JSON.stringify({ id_token: idToken, jwk, seed: toBase64Url(seed) }))));
  }
  return `${new URL(link.url).origin}/record#${parts.join('.')}`;
}

/** The link without its ticket or launch: what an outbox keeps. */
export function withoutTicket({ url, examId, ownerHash, minSeq }: ExamLink): ExamLink {
  return { url, examId, ownerHash, minSeq };
}

/** Throws `link`, without repeating the link: it may hold a ticket. */
export function parseExamLink(text: string): ExamLink {
  try {
    return readLink(text);
  } catch (error) {
    if (!(error instanceof ProtocolError || error instanceof TypeError)) throw error;
    throw new ClientError(
      'link',
      `not an exam link: ${error.message.startsWith('Invalid URL') ? 'expected a URL' : error.message}`,
      {
        hint: 'copy the whole link, from https:// to its last character',
      },
    );
  }
}

function readLink(text: string): ExamLink {
  const url = new URL(text);
  if (url.protocol !== 'https:' && !isLoopback(url)) {
    throw new ProtocolError('format', `expected https, found ${url.protocol.replace(':', '')}`);
  }
  const [version, examId = '', ownerHashB64 = '', minSeq = '', secretB64, ...rest] = url.hash.slice(1).split('.');
  if (version !== 'v1' || rest.length > 0) throw new ProtocolError('format', 'expected a fragment that begins with v1');
  parseId(examId);
  const ownerHash = fromBase64Url(ownerHashB64);
  if (ownerHash.length !== 32)
    throw new ProtocolError('length', `expected an owner hash of 32 bytes, found ${ownerHash.length}`);
  if (!/^(?:0|[1-9]\d{0,9})$/.test(minSeq)) throw new ProtocolError('format', 'expected a policy number');
  const link: ExamLink = { url: url.origin, examId, ownerHash, minSeq: Number(minSeq) };
  if (secretB64 === undefined) return link;
  const secret = fromBase64Url(secretB64);
  return secret[0] === BRACE
    ? { ...link, launch: readLaunchSecret(secret) }
    : { ...link, ticket: readTicket(secret, examId) };
}

/** `{`: no ticket begins like this. */
const BRACE = 0x7b;

const launchSecretSchema = z.strictObject({
  id_token: z.string(),
  jwk: z.record(z.string(), z.unknown()),
  seed: z.string(),
});

function readLaunchSecret(bytes: Bytes): LaunchSecret {
  const parsed = launchSecretSchema.safeParse(parseStrictJson(bytes));
  if (!parsed.success) throw new ProtocolError('format', 'the launch is cut off');
  const { id_token: idToken, jwk, seed: seedB64 } = parsed.data;
  const seed = fromBase64Url(seedB64);
  if (seed.length !== SEED_LENGTH) throw new ProtocolError('length', 'the launch is cut off');
  return { idToken, jwk, seed };
}

function readTicket(bytes: Bytes, examId: string): TicketSecret {
  if (bytes.length <= SEED_LENGTH) throw new ProtocolError('length', 'the ticket is cut off');
  const ticket = bytes.slice(0, -SEED_LENGTH);
  if (parseTicket(ticket).examId !== examId) throw new ProtocolError('identity', 'the ticket is for another exam');
  return { ticket, seed: bytes.slice(-SEED_LENGTH) };
}

/** Plain http never leaves the machine here; anywhere else it would hand the upload tokens to the network. */
function isLoopback({ protocol, hostname }: URL): boolean {
  return (
    protocol === 'http:' && (hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname))
  );
}
