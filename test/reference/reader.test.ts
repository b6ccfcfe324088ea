import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openCaseFile } from '../../src/client/casefile.ts';
import { NodeCaseFolder } from '../../src/client/casefile-node.ts';
import { hostileBases, readHostileFile, resolve, type HostileCase } from '../crypto/hostile/cases.ts';
import { flipBit } from '../crypto/knownanswers.ts';
import {
  box,
  GRANTED_TRACK,
  hybrid,
  later,
  makeCaseFile,
  MEDIA,
  mediaOf,
  NOW,
  pinnedOwner,
  writeCaseFile,
} from './casefile.ts';
import { Track } from './chunks.ts';
import { h, must, Refused, same } from './fields.ts';
import {
  checkKeyDocument,
  checkReceipt,
  openKeyFile,
  openNote,
  readArmor,
  readEncryptionKey,
  readId,
  readKeyFile,
} from './others.ts';
import { readIdentity, readPolicy } from './policy.ts';
import { CaseFile } from './reader.ts';
import { checkGrant, checkTicket, openWrap, readHead, readOpen, unlock, type Head } from './records.ts';

const given = await hostileBases();
const cases = readHostileFile().cases;
const { known, bases } = given;
const bytes = (blob: Parameters<typeof resolve>[0]): Buffer => Buffer.from(resolve(blob, bases));
const open = readOpen(Buffer.from(known.openBytes));
const cek = Buffer.from(known.cek);
const keys = unlock(open, cek, known.shred);
const secretOf = ({ suite, seed }: { suite: number; seed: Uint8Array }) => ({ suite, seed: Buffer.from(seed) });

let agreed = 0;

async function checkByReference(input: HostileCase): Promise<void> {
  switch (input.check) {
    case 'chunks': {
      const track = new Track(open, input.track, keys.trackKey(input.track));
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
      unlock(open, openWrap(bytes(input.wrap), secretOf(input.key === 'box' ? box : hybrid), view), known.shred);
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
    case 'grant': {
      const policy = bytes(input.policy);
      const { owner } = JSON.parse(policy.subarray(9, 9 + policy.readUInt32BE(5)).toString()) as { owner: string };
      const named = readPolicy(policy, { ownerHash: h('fingerprint', Buffer.of(0, 255), readIdentity(owner)) });
      checkGrant(bytes(input.record), bytes(input.wrap), open, { ...named, ...input, policy: named.policy });
      return;
    }
    case 'ticket': {
      const [owner, coreHash] = [Buffer.from(input.owner, 'hex'), Buffer.from(input.coreHash, 'hex')];
      checkTicket(bytes(input.attest), { ...input, owner, coreHash });
      return;
    }
    case 'receipt':
      checkReceipt(bytes(input.record), Buffer.from(input.logKey, 'hex'));
      return;
    case 'note':
      openNote(bytes(input.note), keys.metadataKey, { ...input, session: open.session });
      return;
    case 'keydoc':
      checkKeyDocument(
        bytes(input.record),
        input.previousIdentity === null ? undefined : Buffer.from(input.previousIdentity, 'hex'),
      );
      return;
    case 'keyfile':
      await openKeyFile(bytes(input.file), input.passphrase);
      return;
    case 'armor':
      readKeyFile(readArmor(input.text));
      return;
    case 'encryption-key':
      readEncryptionKey(input.text);
      return;
    case 'identity-key':
      readIdentity(input.text);
      return;
    case 'id':
      readId(input.text);
      return;
  }
}

describe('both implementations judge every vector alike', () => {
  test.each(cases)('$id: $why', async (hostile) => {
    let code = 'accepted';
    try {
      await checkByReference(hostile);
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

  const read = (key?: typeof box): CaseFile =>
    new CaseFile({ folder, ownerHash: pinnedOwner, nowMs: NOW, ...(key && { key: secretOf(key) }) });

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

  test('opens to a reader who came later by grants: one epoch as a whole, and one track of the other', async () => {
    const report = read(later);
    expect(report).toMatchObject({ verdict: 'COMPLETE', refusals: [] });
    for (const { epoch, track, media } of report.tracks) {
      const isGranted = epoch === 0 || track === GRANTED_TRACK;
      const expected = createHash('sha256').update(mediaOf(epoch, track)).digest('hex');
      expect(media, `${epoch}/${track}`).toBe(isGranted ? expected : null);
    }
    expect(report.tracks.filter(({ media }) => media !== null)).toHaveLength(4);
    expect(await readByClient(later)).toMatchObject({ verdict: 'COMPLETE' });
  });

  test('refuses a grant that is altered, has expired, or names a policy that is not here', async () => {
    const grant = `epochs/0/grants/${Buffer.from(later.keyId).toString('base64url')}-0.bin`;
    flip(grant, 8 * 120)();
    expect(read(later).refusals).toEqual(['grant']);
    flip(grant, 8 * 120)();
    flip(grant, 8 * 250)();
    expect(read(later).refusals).toEqual(['signature']);
    flip(grant, 8 * 250)();
    const late = new CaseFile({ folder, ownerHash: pinnedOwner, nowMs: NOW + 1e9, key: secretOf(later) });
    expect(late.refusals).toEqual(['grant']);
    rmSync(join(folder, 'policies'), { recursive: true });
    expect(read(later).refusals).toEqual(['grant']);
    expect(read(box)).toMatchObject({ verdict: 'COMPLETE' });
  });

  test('is refused where the exam wants a ticket and the recording was opened without, by both readers', async () => {
    writeCaseFile(folder, await makeCaseFile({ seats: [0, 0] }));
    expect(read(box)).toMatchObject({ verdict: 'INVALID', refusals: ['attestation'] });
    expect((await readByClient(box)).verdict).toBe('INVALID');
  });

  test('is refused where somebody else went on in the student’s place, with an honest ticket of their own', async () => {
    writeCaseFile(folder, await makeCaseFile({ seats: [7, 8] }));
    expect(read(box)).toMatchObject({ verdict: 'INVALID', refusals: ['attestation'] });
    expect((await readByClient(box)).verdict).toBe('INVALID');
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
