/**
 * Parsers on hostile bytes: valid records, changed. Whatever comes in, a parser answers or throws a ProtocolError, and it
 * does not take long. SLOW=1 runs a million executions each, EXECUTIONS=n as many as asked; SEED repeats a run.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { concat, type Bytes } from '../../../crypto/format/bytes.ts';
import { parseChunkHead } from '../../../crypto/format/chunk.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { parseGrant } from '../../../crypto/format/grant.ts';
import { parseHead } from '../../../crypto/format/head.ts';
import { parseStrictJson } from '../../../crypto/format/json.ts';
import { parseKeyDocument } from '../../../crypto/format/keydoc.ts';
import { parseOpen } from '../../../crypto/format/open.ts';
import { parseReceipt } from '../../../crypto/format/receipt.ts';
import { parseTicket } from '../../../crypto/format/ticket.ts';
import { parseWrap } from '../../../crypto/format/wrap.ts';
import { decodeArmor, encodeArmor } from '../../../crypto/seal/armor.ts';
import { readKeyFileHeader } from '../../../crypto/seal/keyfile.ts';
import { fromUtf8, utf8 } from '../../../crypto/format/bytes.ts';
import { hostileBases, readHostileFile, resolve, type HostileCase } from '../hostile/cases.ts';

const EXECUTIONS = Number(process.env['EXECUTIONS'] ?? (process.env['SLOW'] === '1' ? 1_000_000 : 4000));
const SEED = Number(process.env['SEED'] ?? 1);
/** Processor time: a parser that needs more for one input of a few KiB has found a quadratic path. */
const LONGEST_MS = 1000;

/** By the processor's time and not the wall's, which on a busy machine says nothing about the parser. */
function processorMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  return process.cpuUsage(before).user / 1000;
}

const given = await hostileBases();
const cases = readHostileFile().cases;

/** The bytes under `field` of every case of a kind, hostile ones too: they lead into the corners. */
function corpus(kind: HostileCase['check'], field: string): Bytes[] {
  return cases
    .filter((hostile) => hostile.check === kind)
    .flatMap((hostile) => {
      const value = (hostile as unknown as Record<string, unknown>)[field] as never;
      const blobs = kind === 'heads' || kind === 'chunks' ? (value as never[]) : [value];
      return blobs.map((blob) => resolve(blob, given.bases));
    });
}

/** mulberry32: enough to vary inputs, and the same on every machine. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const INTERESTING = [0, 1, 2, 0x20, 0x22, 0x5b, 0x7b, 0x7f, 0x80, 0xfe, 0xff];

function mutate(seeds: readonly Bytes[], random: (below: number) => number): Bytes {
  let bytes = concat(seeds[random(seeds.length)]!);
  for (let changes = 1 + random(4); changes > 0; changes--) {
    const at = random(bytes.length + 1);
    switch (random(6)) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << random(8);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = INTERESTING[random(INTERESTING.length)]!;
        break;
      case 2:
        bytes.fill(INTERESTING[random(INTERESTING.length)]!, at, at + 1 + random(8));
        break;
      case 3:
        bytes = bytes.slice(0, at);
        break;
      case 4: {
        const other = seeds[random(seeds.length)]!;
        bytes = concat(bytes.subarray(0, at), other.subarray(random(other.length + 1)));
        break;
      }
      default:
        bytes = concat(bytes.subarray(0, at), new Uint8Array(1 + random(40)).fill(random(256)), bytes.subarray(at));
    }
  }
  return bytes;
}

/** Heads of objects: the segments behind them are no parser's business. */
const heads = corpus('chunks', 'objects').map((object) => object.slice(0, 400));
const keyFiles = corpus('keyfile', 'file');

const PARSERS: [string, (bytes: Bytes) => unknown, Bytes[]][] = [
  ['open', parseOpen, corpus('open', 'record')],
  ['wrap', parseWrap, corpus('wrap', 'wrap')],
  ['chunk head', (bytes) => parseChunkHead(bytes), heads],
  ['head', parseHead, corpus('heads', 'records')],
  ['receipt', parseReceipt, corpus('receipt', 'record')],
  ['ticket', parseTicket, corpus('ticket', 'attest').map((attest) => attest.slice(0, -64))],
  ['grant', parseGrant, corpus('grant', 'record')],
  ['key document', parseKeyDocument, corpus('keydoc', 'record')],
  ['policy JSON', parseStrictJson, corpus('policy', 'record').map((record) => record.slice(9, -97))],
  ['key file', (bytes) => readKeyFileHeader(bytes), keyFiles],
  [
    'armor',
    (bytes) => decodeArmor('ZEROREEL KEY FILE', fromUtf8(bytes)),
    keyFiles.map((file) => utf8(encodeArmor('ZEROREEL KEY FILE', file))),
  ],
];

const figures: Record<string, string> = {};

describe('a parser answers or throws a ProtocolError, soon', () => {
  test.each(PARSERS)('%s', { timeout: 3_600_000 }, (name, parse, seeds) => {
    const random = generator(SEED);
    let accepted = 0;
    for (let i = 0; i < EXECUTIONS; i++) {
      const input = mutate(seeds, random);
      const run = () => {
        try {
          parse(input);
          accepted++;
        } catch (error) {
          if (!(error instanceof ProtocolError))
            throw new Error(`${name}, SEED=${SEED}, execution ${i}`, { cause: error });
        }
      };
      if (processorMs(run) > LONGEST_MS) expect.fail(`${name}, SEED=${SEED}, execution ${i} took too long`);
    }
    figures[name] = `${EXECUTIONS} executions, ${accepted} accepted`;
    expect(accepted, 'the mutations reach the end of the parser').toBeGreaterThan(0);
  });
});

afterAll(() => {
  process.stderr.write(`fuzzed parsers: ${JSON.stringify(figures)}\n`);
});
