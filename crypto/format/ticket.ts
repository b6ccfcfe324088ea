/** Seat tickets: how an exam's owner lets somebody in without an account (PROTOCOL.md section 6). */
import { concat, equal, fromUtf8, Reader, utf8, Writer, type Bytes } from './bytes.ts';
import { checkPublicKey, verify, type Signer } from './ed25519.ts';
import { ProtocolError } from './errors.ts';
import { hash } from './hash.ts';
import { formatId, parseId } from './ids.ts';
import { parseStrictJson } from './json.ts';
import { ATTEST_TICKET, type Attestation } from './open.ts';

export interface TicketFields {
  examId: string;
  /** Opaque, 1 to 255 bytes of UTF-8: never a name, because the server sees it. */
  seat: string;
  /** Ed25519 key whose secret half the student holds. */
  ticketKey: Bytes;
  /** JSON about extra time and the like; empty for none. */
  accommodations: string;
  expiresMs: number;
}

export interface Ticket extends TicketFields {
  body: Bytes;
  /** By the exam's owner. */
  signature: Bytes;
}

function parseTicketFrom(reader: Reader, bytes: Uint8Array): Ticket {
  reader.magic('ZRTK');
  const fields = {
    examId: formatId(reader.bytes(16)),
    seat: fromUtf8(reader.lp8()),
    ticketKey: reader.bytes(32),
    accommodations: fromUtf8(reader.lp16()),
    expiresMs: reader.u64(),
  };
  if (fields.seat === '') throw new ProtocolError('format', 'expected a seat');
  if (fields.accommodations !== '') parseStrictJson(utf8(fields.accommodations));
  const body = new Uint8Array(bytes.subarray(0, reader.at));
  return { ...fields, body, signature: reader.bytes(64) };
}

/** Signed by the exam's owner. */
export async function encodeTicket(fields: TicketFields, owner: Signer): Promise<Bytes> {
  checkPublicKey(fields.ticketKey);
  const body = new Writer()
    .bytes(utf8('ZRTK'))
    .u8(1)
    .bytes(parseId(fields.examId))
    .lp8(utf8(fields.seat))
    .bytes(fields.ticketKey, 32)
    .lp16(utf8(fields.accommodations))
    .u64(fields.expiresMs)
    .finish();
  const record = concat(body, await owner.sign('ticket', await hash('ticket', body)));
  parseTicket(record);
  return record;
}

/** Strict, signature not yet checked; throws `format` or `length`. */
export function parseTicket(bytes: Uint8Array): Ticket {
  const reader = new Reader(bytes);
  const ticket = parseTicketFrom(reader, bytes);
  reader.end();
  return ticket;
}

/** What OPEN carries: the ticket, and its key's signature over this very core_hash. */
export async function attestWithTicket(ticket: Uint8Array, coreHash: Bytes, holder: Signer): Promise<Attestation> {
  return { type: ATTEST_TICKET, bytes: concat(ticket, await holder.sign('ticket-use', coreHash)) };
}

export interface TicketExpectation {
  examId: string;
  coreHash: Uint8Array;
  /** Identity key of the exam's owner, 32 bytes. */
  owner: Uint8Array;
  nowMs: number;
}

/**
 * Checks an attestation of type 3. Throws `format` or `length` for a malformed one and `attestation` for one that is of
 * another exam, expired, not the owner's, or used by who does not hold the ticket's key.
 */
export async function verifyTicketAttestation(attest: Uint8Array, expected: TicketExpectation): Promise<Ticket> {
  const reader = new Reader(attest);
  const ticket = parseTicketFrom(reader, attest);
  const use = reader.bytes(64);
  reader.end();
  if (!equal(parseId(ticket.examId), parseId(expected.examId))) refuse('it is for another exam');
  if (!(await verify(expected.owner, 'ticket', await hash('ticket', ticket.body), ticket.signature))) {
    refuse('the owner did not sign it');
  }
  if (!(await verify(ticket.ticketKey, 'ticket-use', expected.coreHash, use))) refuse('its holder did not use it here');
  if (expected.nowMs >= ticket.expiresMs) refuse('it has expired');
  return ticket;
}

function refuse(reason: string): never {
  throw new ProtocolError('attestation', `ticket refused: ${reason}`);
}
