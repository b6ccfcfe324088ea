import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openCaseFile } from '../../src/client/casefile.ts';
import { NodeCaseFolder } from '../../src/client/casefile-node.ts';
import { hostileBases, readHostileFile, resolve, type HostileCase } from '../crypto/hostile/cases.ts';
import { flipBit } from '../crypto/knownanswers.ts';
import { box, hybrid, makeCaseFile, MEDIA, mediaOf, NOW, pinnedOwner, writeCaseFile } from './casefile.ts';
import { readPolicy } from './policy.ts';
import { must, Refused, same } from './primitives.ts';
import { readCaseFile, type Report } from './reader.ts';
import { readHead, readOpen, readWrap, Track, unlock, type Head } from './records.ts';

const given = await hostileBases();
const cases = readHostileFile().cases;
const { known, bases } = given;
const bytes = (blob: Parameters<typeof resolve>[0]): Buffer => Buffer.from(resolve(blob, bases));
const open = readOpen(Buffer.from(known.openBytes));
const cek = Buffer.from(known.cek);
const trackKey = unlock(open, cek, known.shred);

/** What a reader of case files meets; tickets, notes, key files and the like are not its business. */
const KINDS = ['chunks', 'open', 'opens', 'wrap', 'shred', 'heads', 'policy'] as const;
let agreed = 0;

type CoveredCase = Extract<HostileCase, { check: (typeof KINDS)[number] }>;
const isCovered = (hostile: HostileCase): hostile is CoveredCase =>
  (KINDS as readonly string[]).includes(hostile.check);

function checkByReference(input: CoveredCase): void {
  switch (input.check) {
    case 'chunks': {
      const track = new Track(open, input.track, trackKey(input.track));
      for (const object of input.objects) track.add(bytes(object));
      return;
    }
    case 'open':
      readOpen(bytes(input.record));
      return;
    case 'opens': {
      const [one, other] = input.records.map((record) => readOpen(bytes(record)));
      must(same(one!.hash, other!.hash), 'equivocation');
      return;
    }
    case 'wrap': {
      const view = { ...input, coreHash: Buffer.from(input.coreHash, 'hex') };
      const key =
        input.key === 'box' ? { suite: 1, seed: Buffer.from(box.seed) } : { suite: 2, seed: Buffer.from(hybrid.seed) };
      unlock(open, readWrap(bytes(input.wrap), key, view), known.shred);
      return;
    }
    case 'shred':
      unlock(open, cek, Buffer.from(input.shred, 'hex'));
      return;
    case 'heads': {
      let previous: Head | undefined;
      for (const record of input.records) previous = readHead(bytes(record), open, previous);
      return;
    }
    case 'policy':
      readPolicy(bytes(input.record), { ...input, ownerHash: Buffer.from(input.ownerHash, 'base64url') });
      return;
  }
}

describe('both implementations judge every vector of a case file alike', () => {
  test.each(cases.filter(isCovered))('$id: $why', (hostile) => {
    let code = 'accepted';
    try {
      checkByReference(hostile);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      code = error.code;
    }
    expect(code).toBe(hostile.code);
    agreed++;
  });
});

describe('a case file', () => {
  let folder: string;
  const files = makeCaseFile();

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'zeroreel-reference-'));
    writeCaseFile(folder, await files);
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  const read = (key?: typeof box): Report =>
    readCaseFile({
      folder,
      ownerHash: pinnedOwner,
      ...(key && { key: { suite: key.suite, seed: Buffer.from(key.seed) } }),
    });

  async function readByClient(key: typeof box) {
    const reader = await openCaseFile({ folder: new NodeCaseFolder(folder), ownerHash: pinnedOwner, key, nowMs: NOW });
    return reader.verify('plaintext');
  }

  test.each([
    ['suite 1', box],
    ['suite 2', hybrid],
  ])('opens under %s to what was recorded, with the verdict that the client gives', async (_, key) => {
    const report = read(key);
    expect(report).toMatchObject({ verdict: 'COMPLETE', refusals: [] });
    for (const { epoch, track, chunks, media } of report.tracks) {
      expect(chunks).toBe(MEDIA[epoch]![track]!.length);
      expect(media).toBe(createHash('sha256').update(mediaOf(epoch, track)).digest('hex'));
    }
    expect(report.tracks).toHaveLength(6);
    const findings = await readByClient(key);
    expect(findings).toMatchObject({ verdict: 'COMPLETE', problems: [] });
  });

  test('verifies without any key', () => {
    const report = read();
    expect(report).toMatchObject({ verdict: 'COMPLETE', refusals: [] });
    expect(report.tracks.every(({ media }) => media === null)).toBe(true);
  });

  const remove = (path: string) => () => {
    rmSync(join(folder, path));
  };
  const flip = (path: string, bit: number) => () => {
    writeCaseFile(folder, new Map([[path, flipBit(readFileSync(join(folder, path)), bit)]]));
  };
  const boxWrap = `epochs/1/wraps/${Buffer.from(box.keyId).toString('base64url')}.bin`;

  test.each<[string, string, () => void]>([
    ['a chunk in the middle is gone', 'GAPS', remove('epochs/0/tracks/1/0.bin')],
    ['the last chunk is gone', 'GAPS', remove('epochs/1/tracks/3/0.bin')],
    ['the closing head is gone', 'OPEN-ENDED', remove('epochs/1/heads/1.bin')],
    ['the last head of epoch 0 is gone', 'GAPS', remove('epochs/0/heads/1.bin')],
    ['a bit of ciphertext', 'INVALID', flip('epochs/0/tracks/1/0.bin', 8 * 60_000)],
    ['a bit of a head', 'INVALID', flip('epochs/1/heads/1.bin', 8 * 70)],
    ['a bit of the open record', 'INVALID', flip('epochs/1/open.bin', 8 * 200)],
    ['a bit of the shred share', 'INVALID', flip('epochs/1/shred.bin', 3)],
    ['a bit of the wrap', 'INVALID', flip(boxWrap, 8 * 150)],
    ['a bit of the logged entry', 'INVALID', flip('log/proofs/2.json', 8 * 40)],
  ])('%s: both readers say %s or refuse it', async (_, verdict, harm) => {
    harm();
    const report = read(box);
    expect(report.verdict).toBe(verdict);
    const findings = await readByClient(box).catch(() => ({ verdict: 'INVALID' }));
    expect(findings.verdict).toBe(verdict);
  });
});

afterAll(() => {
  process.stderr.write(`vectors on which the second implementation agrees: ${agreed}\n`);
});
