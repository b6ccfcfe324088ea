/** Every bit of what the log hands out matters: one of them changed, and it does not verify any more. */
import { expect, test } from 'vitest';
import { fromUtf8, utf8, type Bytes } from '../../../crypto/format/bytes.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { makeCertificate, verifyCertificate } from '../../../crypto/log/certificate.ts';
import { openCheckpoint } from '../../../crypto/log/checkpoint.ts';
import { encodeProof, verifyProof } from '../../../crypto/log/proof.ts';
import { decodeBundle, encodeBundle } from '../../../crypto/log/tiles.ts';
import { Frontier, leafHash, proveInclusion } from '../../../crypto/log/tree.ts';
import { flipBit } from '../knownanswers.ts';
import { healthyHistory, itemsOf, RECORDING } from './histories.ts';
import { checkpointOver, ORIGIN, VKEY } from './keys.ts';
import { memoryHashes } from './trees.ts';

const SLOW = process.env['SLOW'] === '1';
const items = itemsOf(healthyHistory());
const leaves = items.map(({ bytes }) => leafHash(bytes));
const checkpoint = await checkpointOver(leaves);
const INDEX = 1;
const entry = items[INDEX]!.bytes as Bytes;
const hashes = await proveInclusion(INDEX, leaves.length, memoryHashes(leaves));
const proof = utf8(encodeProof({ index: INDEX, hashes, checkpoint }));
const story = items.filter(({ bytes }) => fromUtf8(bytes).includes(RECORDING));
const certificate = utf8(await makeCertificate(story, checkpoint, VKEY, memoryHashes(leaves)));
const bundle = encodeBundle(items.map(({ bytes }) => bytes));

function rootOf(entries: readonly Bytes[]): string {
  const frontier = new Frontier();
  for (const bytes of entries) frontier.append(leafHash(bytes));
  return Buffer.from(frontier.root()).toString('hex');
}
const root = rootOf(items.map(({ bytes }) => bytes as Bytes));

/** A record, how it is verified, and how many bits are passed over between two that are tried: odd, so that every place in a byte is met. */
const RECORDS: [string, Bytes, (bytes: Bytes) => Promise<unknown>, number][] = [
  ['checkpoint', utf8(checkpoint), async (bytes) => openCheckpoint(fromUtf8(bytes), VKEY, ORIGIN), 1],
  ['log entry', entry, async (bytes) => verifyProof(bytes, fromUtf8(proof), VKEY), 1],
  ['proof', proof, async (bytes) => verifyProof(entry, fromUtf8(bytes), VKEY), 1],
  ['certificate', certificate, async (bytes) => verifyCertificate(fromUtf8(bytes), VKEY), SLOW ? 1 : 61],
  [
    'entry bundle',
    bundle,
    async (bytes) => {
      if (rootOf(decodeBundle(bytes, items.length)) !== root) throw new ProtocolError('log', 'another root');
    },
    SLOW ? 1 : 43,
  ],
];

test.each(RECORDS)('every bit of a %s matters', { timeout: 1_800_000 }, async (name, record, verify, stride) => {
  await verify(record);
  let refused = 0;
  for (let bit = 0; bit < 8 * record.length; bit += stride) {
    const outcome = await verify(flipBit(record, bit)).catch((error: unknown) => error);
    if (!(outcome instanceof ProtocolError)) expect.fail(`bit ${bit} of the ${name}: ${String(outcome)}`);
    refused++;
  }
  process.stderr.write(`single-bit changes of a ${name} refused: ${refused} of ${8 * record.length}\n`);
});
