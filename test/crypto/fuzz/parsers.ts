/** Every parser of `crypto/` that meets bytes of strangers, each with records to begin from: honest ones, and the hostile vectors. */
import { fromUtf8, toHex, utf8, type Bytes } from '../../../crypto/format/bytes.ts';
import { parseChunkHead } from '../../../crypto/format/chunk.ts';
import { parseGrant } from '../../../crypto/format/grant.ts';
import { parseHead } from '../../../crypto/format/head.ts';
import { decodeEncryptionKey, decodeIdentity } from '../../../crypto/format/ids.ts';
import { parseStrictJson } from '../../../crypto/format/json.ts';
import { parseKeyDocument } from '../../../crypto/format/keydoc.ts';
import { parseOpen } from '../../../crypto/format/open.ts';
import { parseReceipt } from '../../../crypto/format/receipt.ts';
import { parseTicket } from '../../../crypto/format/ticket.ts';
import { parseWrap } from '../../../crypto/format/wrap.ts';
import { parseCheckpoint } from '../../../crypto/log/checkpoint.ts';
import { decodeEntry, encodeEntry } from '../../../crypto/log/entry.ts';
import { addSignatures, parseVkey } from '../../../crypto/log/note.ts';
import { encodeProof, parseProof } from '../../../crypto/log/proof.ts';
import { decodeBundle, encodeBundle } from '../../../crypto/log/tiles.ts';
import { leafHash } from '../../../crypto/log/tree.ts';
import { decodeArmor, encodeArmor } from '../../../crypto/seal/armor.ts';
import { readKeyFileHeader } from '../../../crypto/seal/keyfile.ts';
import { hostileBases, readHostileFile, resolve, type HostileCase } from '../hostile/cases.ts';
import { checkpointOver, VKEY } from '../log/keys.ts';

export interface Target {
  name: string;
  parse: (bytes: Bytes) => unknown;
  /** Where mutation begins. */
  seeds: Bytes[];
}

const given = await hostileBases();
const cases = readHostileFile().cases;

/** What is under `field` of every case of a kind, hostile ones too: they lead into the corners. */
function vectors(kind: HostileCase['check'], field: string): Bytes[] {
  const found = cases
    .filter((hostile) => hostile.check === kind)
    .flatMap((hostile) => {
      const value = (hostile as unknown as Record<string, unknown>)[field];
      if (typeof value === 'string') return [utf8(value)];
      const blobs = kind === 'heads' || kind === 'chunks' ? (value as never[]) : [value as never];
      return blobs.map((blob) => resolve(blob, given.bases));
    });
  return [...new Map(found.map((bytes) => [toHex(bytes), bytes])).values()];
}

const ARMOR = 'ZEROREEL KEY FILE';
/** Heads of objects: the segments behind them are no parser's business. */
const chunkHeads = vectors('chunks', 'objects').map((object) => object.slice(0, 400));
const keyFiles = vectors('keyfile', 'file');

const entries = [
  encodeEntry({ v: 1, type: 'heartbeat', at: 1, entries: 2 }),
  encodeEntry({
    v: 1,
    type: 'access.released',
    at: 1,
    recording: 'AAAAAAAAAAAAAAAAAAAAAA',
    key_id: 'BAAAAAAAAAAAAAAAAAAAAA',
    role: 1,
    purpose: 'review',
  }),
];
const leaves = entries.map(leafHash);
const checkpoint = await checkpointOver(leaves);
const [, signatureLine = ''] = checkpoint.split('\n\n');
const proof = encodeProof({ index: 0, hashes: [leaves[1]!], extra: utf8('extra'), checkpoint });

export const TARGETS: readonly Target[] = [
  { name: 'open', parse: parseOpen, seeds: vectors('open', 'record') },
  { name: 'wrap', parse: parseWrap, seeds: vectors('wrap', 'wrap') },
  { name: 'chunk head', parse: (bytes) => parseChunkHead(bytes), seeds: chunkHeads },
  { name: 'head', parse: parseHead, seeds: vectors('heads', 'records') },
  { name: 'receipt', parse: parseReceipt, seeds: vectors('receipt', 'record') },
  { name: 'ticket', parse: parseTicket, seeds: vectors('ticket', 'attest').map((attest) => attest.slice(0, -64)) },
  { name: 'grant', parse: parseGrant, seeds: vectors('grant', 'record') },
  { name: 'key document', parse: parseKeyDocument, seeds: vectors('keydoc', 'record') },
  {
    name: 'policy JSON',
    parse: parseStrictJson,
    seeds: vectors('policy', 'record').map((record) => record.slice(9, -97)),
  },
  { name: 'key file', parse: (bytes) => readKeyFileHeader(bytes), seeds: keyFiles },
  {
    name: 'armor',
    parse: (bytes) => decodeArmor(ARMOR, fromUtf8(bytes)),
    seeds: keyFiles.map((file) => utf8(encodeArmor(ARMOR, file))),
  },
  {
    name: 'encryption key text',
    parse: (bytes) => decodeEncryptionKey(fromUtf8(bytes)),
    seeds: vectors('encryption-key', 'text'),
  },
  { name: 'identity text', parse: (bytes) => decodeIdentity(fromUtf8(bytes)), seeds: vectors('identity-key', 'text') },
  { name: 'log entry', parse: decodeEntry, seeds: entries },
  { name: 'log proof', parse: (bytes) => parseProof(fromUtf8(bytes)), seeds: [utf8(proof)] },
  {
    name: 'signed note',
    parse: (bytes) => addSignatures(fromUtf8(bytes), signatureLine),
    seeds: [utf8(checkpoint)],
  },
  {
    name: 'checkpoint',
    parse: (bytes) => parseCheckpoint(fromUtf8(bytes)),
    seeds: [utf8(checkpoint.slice(0, checkpoint.indexOf('\n\n') + 1))],
  },
  { name: 'verifier key', parse: (bytes) => parseVkey(fromUtf8(bytes)), seeds: [utf8(VKEY)] },
  { name: 'entry bundle', parse: (bytes) => decodeBundle(bytes, 2), seeds: [encodeBundle(entries)] },
];
