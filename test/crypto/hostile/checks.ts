/** How `crypto/` meets a hostile input: one check for each kind, as a reader or a server would make it. */
import { fromBase64Url, fromHex, type Bytes } from '../../../crypto/format/bytes.ts';
import { parseChunkHead, TrackChain } from '../../../crypto/format/chunk.ts';
import { parseGrant, verifyGrant } from '../../../crypto/format/grant.ts';
import {
  checkSuccessor,
  parseHead,
  verifyHead,
  type EpochStart,
  type HeadRecord,
} from '../../../crypto/format/head.ts';
import { decodeEncryptionKey, decodeIdentity, formatId, parseId } from '../../../crypto/format/ids.ts';
import { parseKeyDocument, verifyKeyDocument } from '../../../crypto/format/keydoc.ts';
import { checkSingleOpen, parseOpen, verifyOpen } from '../../../crypto/format/open.ts';
import { parsePolicy } from '../../../crypto/format/policy.ts';
import { parseReceipt, verifyReceipt } from '../../../crypto/format/receipt.ts';
import { verifyTicketAttestation } from '../../../crypto/format/ticket.ts';
import { parseRole, parseScope } from '../../../crypto/format/wrap.ts';
import { openWholeChunk } from '../../../crypto/seal/chunk.ts';
import { openKeyFile, readKeyFileHeader } from '../../../crypto/seal/keyfile.ts';
import { NOTE_REVIEW, NOTE_NAME, openNote } from '../../../crypto/seal/note.ts';
import { openEpochKeys } from '../../../crypto/seal/schedule.ts';
import { openObject } from '../../../crypto/seal/stream.ts';
import { openWrap } from '../../../crypto/seal/wrap.ts';
import { resolve, type HostileBases, type HostileInput } from './cases.ts';

/** How an object reaches the decryptor: at once, or in pieces of so many bytes. */
export type Delivery = 'whole' | number;

async function* inPieces(bytes: Bytes, size: number): AsyncGenerator<Bytes> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Resolves when the input is accepted; rejects with the refusal. */
export async function check(input: HostileInput, given: HostileBases, delivery: Delivery = 'whole'): Promise<void> {
  const { known, bases, openDigest } = given;
  switch (input.check) {
    case 'chunks': {
      const chain = new TrackChain(known.open, openDigest, input.track);
      const trackKey = await known.keys.trackKey(input.track);
      for (const object of input.objects) await openOne(resolve(object, bases), trackKey, chain, given, delivery);
      return;
    }
    case 'open':
      await verifyOpen(parseOpen(resolve(input.record, bases)));
      return;
    case 'opens': {
      const records = input.records.map((record) => parseOpen(resolve(record, bases)));
      for (const record of records) await verifyOpen(record);
      checkSingleOpen(records[0]!, records[1]!);
      return;
    }
    case 'wrap': {
      const cek = await openWrap(resolve(input.wrap, bases), known[input.key], {
        coreHash: fromHex(input.coreHash),
        minSuite: input.minSuite,
        role: parseRole(input.role),
        ...parseScope(input.scope, input.track),
      });
      await openEpochKeys({ cek, shred: known.shred }, known.open);
      return;
    }
    case 'shred':
      await openEpochKeys({ cek: known.cek, shred: fromHex(input.shred) }, known.open);
      return;
    case 'heads': {
      let previous: HeadRecord | EpochStart = { ...known.open, openHash: openDigest };
      for (const record of input.records) {
        const head = parseHead(resolve(record, bases));
        await verifyHead(head, known.open.recorderKey);
        await checkSuccessor(previous, head);
        previous = head;
      }
      return;
    }
    case 'policy':
      await parsePolicy(resolve(input.record, bases), {
        examId: input.examId,
        ownerHash: fromBase64Url(input.ownerHash),
        minSeq: input.minSeq,
        nowMs: input.at,
      });
      return;
    case 'grant':
      await verifyGrant(parseGrant(resolve(input.record, bases)), resolve(input.wrap, bases), {
        examId: known.open.examId,
        sessionId: known.open.sessionId,
        epoch: known.open.epoch,
        coreHash: known.coreHash,
        minSuite: input.minSuite,
        policy: await parsePolicy(resolve(input.policy, bases)),
        nowMs: input.at,
      });
      return;
    case 'ticket':
      await verifyTicketAttestation(resolve(input.attest, bases), {
        examId: input.examId,
        owner: fromHex(input.owner),
        coreHash: fromHex(input.coreHash),
        nowMs: input.at,
      });
      return;
    case 'receipt':
      await verifyReceipt(parseReceipt(resolve(input.record, bases)), fromHex(input.logKey));
      return;
    case 'note':
      await openNote(known.keys.metadataKey, resolve(input.note, bases), {
        sessionId: known.open.sessionId,
        epoch: input.epoch,
        purpose: input.purpose === NOTE_NAME ? NOTE_NAME : NOTE_REVIEW,
      });
      return;
    case 'keydoc': {
      const previous = input.previousIdentity === null ? undefined : fromHex(input.previousIdentity);
      await verifyKeyDocument(parseKeyDocument(resolve(input.record, bases)), previous);
      return;
    }
    case 'keyfile':
      await openKeyFile(resolve(input.file, bases), input.passphrase);
      return;
    case 'armor':
      readKeyFileHeader(input.text);
      return;
    case 'encryption-key':
      decodeEncryptionKey(input.text);
      return;
    case 'identity-key':
      decodeIdentity(input.text);
      return;
    case 'id':
      formatId(parseId(input.text));
      return;
  }
}

async function openOne(
  object: Bytes,
  trackKey: CryptoKey,
  chain: TrackChain,
  { known }: HostileBases,
  delivery: Delivery,
): Promise<void> {
  if (delivery !== 'whole') {
    let received = 0;
    for await (const media of openObject(trackKey, chain, inPieces(object, delivery))) received += media.length;
    if (received > object.length) throw new Error('more came out than went in');
    return;
  }
  const head = parseChunkHead(object, object.length);
  await chain.accept(head);
  await openWholeChunk(trackKey, object, known.open.recorderKey, head);
}
