/** Section 14, identifiers, key files, key documents, tickets and notes. */
import { toHex, utf8, type Bytes } from '../../../crypto/format/bytes.ts';
import { encodeIdentity, formatId } from '../../../crypto/format/ids.ts';
import { encodeKeyDocument } from '../../../crypto/format/keydoc.ts';
import { attestWithTicket, encodeTicket } from '../../../crypto/format/ticket.ts';
import { decodeArmor, encodeArmor } from '../../../crypto/seal/armor.ts';
import { sealKeyFile } from '../../../crypto/seal/keyfile.ts';
import { sealNote } from '../../../crypto/seal/note.ts';
import { answerBytes, sequence } from '../knownanswers.ts';
import { type HostileInput } from './cases.ts';
import {
  owner,
  colleague,
  outsider,
  seat,
  examId,
  NOW,
  item,
  add,
  blob,
  patch,
  flip,
  elsewhere,
  keyText,
  u32,
  known,
  coreHash,
  open,
  boxText,
} from './author.ts';

export async function keyCases(): Promise<void> {
  item(32);
  add('id-not-canonical', 'format', 'unused bits are set', { check: 'id', text: `${'A'.repeat(21)}B` });
  add('id-padded', 'format', 'padding', { check: 'id', text: `${'A'.repeat(22)}==` });
  add('id-base64', 'format', 'the other alphabet', { check: 'id', text: `${'A'.repeat(20)}+A` });
  item(33);
  add('key-upper-case', 'format', 'bech32m in upper case is another text for the same key', {
    check: 'encryption-key',
    text: boxText.toUpperCase(),
  });
  add('key-typo', 'format', 'one character is another', {
    check: 'encryption-key',
    text: boxText.replace(/.$/, (c) => (c === 'q' ? 'p' : 'q')),
  });
  add('key-wrong-prefix', 'format', 'an identity where a box key is expected', {
    check: 'encryption-key',
    text: encodeIdentity(owner.publicKey),
  });
  add('key-suite-confusion', 'key', '32 bytes under the prefix of suite 2', {
    check: 'encryption-key',
    text: keyText('zrpq', known.box.publicKey),
  });
  add('key-low-order', 'key', 'an X25519 key of order 4', {
    check: 'encryption-key',
    text: keyText('zrbox', Uint8Array.of(1, ...new Uint8Array(31))),
  });
  add('key-low-order-top-bit', 'key', 'of low order, hidden by the top bit that X25519 ignores', {
    check: 'encryption-key',
    text: keyText('zrbox', Uint8Array.of(...new Uint8Array(31), 0x80)),
  });
  add('identity-low-order', 'key', 'an identity of low order', {
    check: 'identity-key',
    text: keyText('zrid', Uint8Array.of(1, ...new Uint8Array(31))),
  });
  item(23);
  const passphrase = 'correct horse battery staple';
  const keyFile = answerBytes('keyfile_argon2id');
  const keyFileCase = (file: Bytes): HostileInput => ({ check: 'keyfile', file: blob(file), passphrase });
  add('keyfile-weak-memory', 'kdf-params', '8 MiB: a downgrade', keyFileCase(patch(keyFile, 8, u32(8192))));
  add(
    'keyfile-huge-memory',
    'kdf-params',
    '4 TiB: a denial of service',
    keyFileCase(patch(keyFile, 8, u32(0xffffffff))),
  );
  add('keyfile-one-pass', 'kdf-params', 't = 1', keyFileCase(patch(keyFile, 12, u32(1))));
  add('keyfile-many-passes', 'kdf-params', 't = 11', keyFileCase(patch(keyFile, 12, u32(11))));
  add('keyfile-no-lane', 'kdf-params', 'p = 0', keyFileCase(patch(keyFile, 16, u32(0))));
  add('keyfile-many-lanes', 'kdf-params', 'p = 5', keyFileCase(patch(keyFile, 16, u32(5))));
  {
    const swapped = await sealKeyFile({
      ...{ decryptionKey: known.box, identity: { ...owner, publicKey: outsider.publicKey }, passphrase },
      salt: sequence(32, 0x52),
    });
    add(
      'keyfile-swapped-key',
      'key',
      'a public key that is not the seed’s, sealed by who knows the passphrase',
      keyFileCase(decodeArmor('ZEROREEL KEY FILE', swapped)),
    );
    add(
      'keyfile-header',
      'passphrase',
      'the identity key replaced: the header is bound to the commitment',
      keyFileCase(patch(keyFile, 56, outsider.publicKey)),
    );
  }

  item(45);
  const ticketFields = { examId, seat: 'A-17', ticketKey: seat.publicKey, accommodations: '', expiresMs: NOW + 1000 };
  const ticket = await encodeTicket(ticketFields, owner.signer);
  const attest = (await attestWithTicket(ticket, coreHash, seat)).bytes;
  const ticketCase = (bytes: Bytes, change: object = {}): HostileInput => ({
    ...{
      check: 'ticket',
      attest: blob(bytes),
      examId,
      owner: toHex(owner.publicKey),
      coreHash: toHex(coreHash),
      at: NOW,
    },
    ...change,
  });
  add('ticket-expired', 'attestation', 'expired', ticketCase(attest, { at: NOW + 1000 }));
  add(
    'ticket-other-exam',
    'attestation',
    'for another exam',
    ticketCase(attest, { examId: formatId(sequence(16, 0x12)) }),
  );
  add(
    'ticket-replayed',
    'attestation',
    'seen by the server and used for another open record',
    ticketCase(attest, { coreHash: toHex(elsewhere) }),
  );
  add(
    'ticket-self-made',
    'attestation',
    'signed by its own holder',
    ticketCase((await attestWithTicket(await encodeTicket(ticketFields, seat), coreHash, seat)).bytes),
  );
  add(
    'ticket-other-holder',
    'attestation',
    'used by who does not hold its key',
    ticketCase((await attestWithTicket(ticket, coreHash, outsider.signer)).bytes),
  );
  add('ticket-cut', 'length', 'without its use', ticketCase(ticket));
  add('ticket-seat-moved', 'attestation', 'the seat rewritten', ticketCase(patch(attest, 22, utf8('A-18'))));

  item(46);
  const note = await sealNote(
    known.keys.metadataKey,
    { sessionId: open.sessionId, epoch: 0, purpose: 2 },
    utf8('look at 12:30'),
    sequence(32, 0xb1),
  );
  const noteCase = (bytes: Bytes, change: object = {}): HostileInput => ({
    check: 'note',
    note: blob(bytes),
    epoch: 0,
    purpose: 2,
    ...change,
  });
  add('note-other-epoch', 'identity', 'a note of another epoch', noteCase(note, { epoch: 1 }));
  add('note-other-purpose', 'identity', 'a review offered as the student’s name', noteCase(note, { purpose: 1 }));
  add('note-moved', 'commitment', 'its epoch rewritten', noteCase(patch(note, 24, [0, 0, 0, 1]), { epoch: 1 }));
  add('note-altered', 'aead', 'one bit of ciphertext', noteCase(flip(note, 95)));
  add('note-cut', 'length', 'shorter than a tag', noteCase(note.slice(0, 100)));

  item(47);
  const keyFields = { suite: 1, publicKey: known.box.publicKey, createdMs: NOW, expiresMs: NOW + 1 } as const;
  const enrolment = await encodeKeyDocument(
    { ...keyFields, identity: owner.publicKey, prevKeyId: new Uint8Array(16), operation: 1 },
    owner.signer,
  );
  const rotation = await encodeKeyDocument(
    { ...keyFields, identity: colleague.publicKey, prevKeyId: known.hybrid.keyId, operation: 2 },
    colleague.signer,
    owner.signer,
  );
  const keydocCase = (record: Bytes, previous: Bytes | null = null): HostileInput => ({
    ...{ check: 'keydoc', record: blob(record), previousIdentity: previous && toHex(previous) },
  });
  add(
    'keydoc-forged',
    'signature',
    'a key enrolled in somebody’s name',
    keydocCase(
      patch(
        enrolment,
        enrolment.length - 64,
        (
          await encodeKeyDocument(
            { ...keyFields, identity: owner.publicKey, prevKeyId: new Uint8Array(16), operation: 1 },
            outsider.signer,
          )
        ).slice(-64),
      ),
    ),
  );
  add(
    'keydoc-rotation-one-signature',
    'length',
    'a rotation that the old identity did not sign',
    keydocCase(rotation.slice(0, -64), owner.publicKey),
  );
  add(
    'keydoc-rotation-stranger',
    'signature',
    'a rotation signed by another old identity',
    keydocCase(rotation, outsider.publicKey),
  );
  add(
    'keydoc-add-with-prev',
    'format',
    'an enrolment that names a predecessor',
    keydocCase(patch(enrolment, 4 + 1 + 32 + 2 + 2 + 32 + 16, sequence(16, 1))),
  );
  add('keydoc-operation', 'format', 'operation 4', keydocCase(patch(enrolment, enrolment.length - 65, [4])));
  add('keydoc-low-order', 'key', 'enrols a key of low order', keydocCase(patch(enrolment, 41, new Uint8Array(32))));

  item(50);
  add('shred-other', 'commitment', 'the server hands out another shred share', {
    check: 'shred',
    shred: toHex(sequence(32, 0x51)),
  });
  add('shred-short', 'commitment', 'a shred share of 31 bytes', { check: 'shred', shred: toHex(sequence(31, 0x50)) });
  add('keyfile-passphrase', 'passphrase', 'another passphrase', {
    ...keyFileCase(keyFile),
    passphrase: 'correct horse battery stable',
  } as HostileInput);
  add('keyfile-ciphertext', 'aead', 'one bit of the sealed seeds', keyFileCase(flip(keyFile, 150)));
  add('keyfile-factor', 'format', 'an unknown factor', keyFileCase(patch(keyFile, 20, [2])));
  add('keyfile-cut', 'length', 'one byte short', keyFileCase(keyFile.slice(0, -1)));
  add('keyfile-argon2i', 'format', 'another key derivation', keyFileCase(patch(keyFile, 5, [2])));
  add('armor-label', 'format', 'another label', {
    check: 'armor',
    text: '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n',
  });
  add('armor-lines', 'format', 'lines of 60 characters', {
    check: 'armor',
    text: `-----BEGIN ZEROREEL KEY FILE-----\n${`${'A'.repeat(60)}\n`.repeat(5)}-----END ZEROREEL KEY FILE-----\n`,
  });

  item(0);
  add('honest-keyfile', 'accepted', 'the key file of the vectors', keyFileCase(keyFile));
  add('honest-ticket', 'accepted', 'used by its holder before it expires', ticketCase(attest));
  add('honest-note', 'accepted', 'in its place', noteCase(note));
  add('honest-keydoc', 'accepted', 'an enrolment', keydocCase(enrolment));
  add('honest-rotation', 'accepted', 'a rotation that both identities signed', keydocCase(rotation, owner.publicKey));
  add('honest-id', 'accepted', '16 zero bytes', { check: 'id', text: 'A'.repeat(22) });
  add('honest-key', 'accepted', 'a suite 1 key', { check: 'encryption-key', text: boxText });
  add('honest-shred', 'accepted', 'the shred share of the vectors', { check: 'shred', shred: toHex(known.shred) });
  add('honest-armor', 'accepted', 'the key file of the vectors in armor', {
    ...{ check: 'armor', text: encodeArmor('ZEROREEL KEY FILE', keyFile) },
  });
  add('honest-identity', 'accepted', 'an identity', { check: 'identity-key', text: encodeIdentity(owner.publicKey) });
}
