import { afterAll, expect, test } from 'vitest';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import type { Bytes } from '../../../crypto/format/bytes.ts';
import { flipBit } from '../knownanswers.ts';
import {
  hostileBases,
  readHostileFile,
  resolve,
  type Blob,
  type HostileCase,
  type HostileInput,
} from '../hostile/cases.ts';
import { check } from '../hostile/checks.ts';

const SLOW = process.env['SLOW'] === '1';
const given = await hostileBases();
const honest = new Map(
  readHostileFile()
    .cases.filter(({ code }) => code === 'accepted')
    .map((hostile) => [hostile.id, hostile]),
);

/** Where a case keeps the bytes that are stored somewhere, and a copy of the case with other ones. */
function stored(input: HostileInput): { blob: Blob; replaced: (bytes: Bytes) => HostileInput }[] {
  const hexBlob = (bytes: Bytes): Blob => [{ hex: Buffer.from(bytes).toString('hex') }];
  const inList = (list: Blob[], rebuild: (blobs: Blob[]) => HostileInput) =>
    list.map((blob, i) => ({ blob, replaced: (bytes: Bytes) => rebuild(list.with(i, hexBlob(bytes))) }));
  switch (input.check) {
    case 'chunks':
      return inList(input.objects, (objects) => ({ ...input, objects }));
    case 'opens':
    case 'heads':
      return inList(input.records, (records) => ({ ...input, records }));
    case 'open':
    case 'policy':
    case 'receipt':
    case 'keydoc':
      return [{ blob: input.record, replaced: (bytes) => ({ ...input, record: hexBlob(bytes) }) }];
    case 'grant':
      return [
        { blob: input.record, replaced: (bytes) => ({ ...input, record: hexBlob(bytes) }) },
        { blob: input.wrap, replaced: (bytes) => ({ ...input, wrap: hexBlob(bytes) }) },
      ];
    case 'wrap':
      return [{ blob: input.wrap, replaced: (bytes) => ({ ...input, wrap: hexBlob(bytes) }) }];
    case 'ticket':
      return [{ blob: input.attest, replaced: (bytes) => ({ ...input, attest: hexBlob(bytes) }) }];
    case 'note':
      return [{ blob: input.note, replaced: (bytes) => ({ ...input, note: hexBlob(bytes) }) }];
    case 'keyfile':
      return [{ blob: input.file, replaced: (bytes) => ({ ...input, file: hexBlob(bytes) }) }];
    case 'armor':
    case 'encryption-key':
    case 'identity-key':
    case 'id':
    case 'shred':
      throw new Error(`${input.check} is a text and not a stored record`);
  }
}

async function isRefused(input: HostileInput): Promise<boolean> {
  try {
    await check(input, given);
    return false;
  } catch (error) {
    if (error instanceof ProtocolError) return true;
    throw error;
  }
}

/**
 * How many bits are passed over between two that are tried: what costs a lattice operation or Argon2id for every bit is
 * sampled, and whole with SLOW=1 but for the key file, of which one bit takes most of a second. The strides are odd, so
 * that every bit position within a byte is met.
 */
const STRIDES: Record<string, number> = {
  'honest-small': SLOW ? 1 : 3,
  'honest-open': SLOW ? 1 : 3,
  'honest-box': SLOW ? 1 : 7,
  'honest-hybrid': SLOW ? 1 : 97,
  'honest-heads': SLOW ? 1 : 5,
  'honest-policy': SLOW ? 1 : 13,
  'honest-grant': SLOW ? 1 : 11,
  'honest-ticket': 1,
  'honest-receipt': 1,
  'honest-note': 1,
  'honest-keydoc': 1,
  'honest-rotation': 1,
  'honest-keyfile': SLOW ? 17 : 431,
};

let changes = 0;

test.each(Object.entries(STRIDES))(
  'every bit of %s matters (every %i. is tried)',
  { timeout: 1_800_000 },
  async (id, stride) => {
    const hostile: HostileCase = honest.get(id)!;
    for (const { blob, replaced } of stored(hostile)) {
      const bytes = resolve(blob, given.bases);
      for (let bit = 0; bit < 8 * bytes.length; bit += stride) {
        if (!(await isRefused(replaced(flipBit(bytes, bit)))))
          expect.fail(`bit ${bit} of ${id} changed and was accepted`);
        changes++;
      }
    }
  },
);

afterAll(() => {
  process.stderr.write(`single-bit changes refused: ${changes}\n`);
});
