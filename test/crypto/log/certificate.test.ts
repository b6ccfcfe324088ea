import { describe, expect, it } from 'vitest';
import {
  describeStatement,
  encodeCertificate,
  makeCertificate,
  verifyCertificate,
} from '../../../crypto/log/certificate.ts';
import type { AuditItem } from '../../../crypto/log/audit.ts';
import { decodeEntry, encodeEntry, type LogEntry } from '../../../crypto/log/entry.ts';
import { encodeVkey, verifierKey } from '../../../crypto/log/note.ts';
import { leafHash } from '../../../crypto/log/tree.ts';
import { DAY, entryOf, healthyHistory, HOUR, idOf, itemsOf, MINUTE, POLICY, RECORDING, START } from './histories.ts';
import { checkpointOver, ORIGIN, signerOf, VKEY } from './keys.ts';
import { memoryHashes } from './trees.ts';

const STORY = new Set([
  'policy.published',
  'recording.opened',
  'recording.reopened',
  'recording.closed',
  'access.released',
  'grant.added',
  'export.declared',
  'erasure.requested',
  'deletion.intended',
  'deletion.completed',
  'deletion.verified',
]);

const typeOf = ({ bytes }: AuditItem): string => decodeEntry(bytes).type;

/** The certificate that a log with this history gives of its recording. */
async function certificateOf(
  entries: readonly LogEntry[],
  isWanted = (item: AuditItem): boolean => STORY.has(typeOf(item)),
): Promise<string> {
  const items = itemsOf(entries);
  const leaves = items.map(({ bytes }) => leafHash(bytes));
  return makeCertificate(items.filter(isWanted), await checkpointOver(leaves), VKEY, memoryHashes(leaves));
}

const certificate = await certificateOf(healthyHistory());
const isRefused = { code: 'log', name: 'ProtocolError' };

interface Parsed {
  format: string;
  vkey: string;
  entries: { entry: string; proof: string }[];
}

/** The certificate with something changed in it. */
function spoil(change: (parsed: Parsed) => void): string {
  const parsed = JSON.parse(certificate) as Parsed;
  change(parsed);
  return JSON.stringify(parsed);
}

describe('a certificate', () => {
  it('says, from itself and the vkey alone, when and how the recording died', async () => {
    const statement = await verifyCertificate(certificate, VKEY);
    expect(statement).toMatchObject({
      recording: RECORDING,
      state: 'verified',
      opened: START,
      deleteBy: START + 30 * DAY,
      deleted: START + 30 * DAY + 2 * MINUTE,
      objects: 40,
      bytes: 4000,
      verified: START + 31 * DAY + 30 * MINUTE,
      finalFrom: START + 31 * DAY + 2 * MINUTE,
      releases: 1,
      findings: [],
    });
    expect(statement.proven).toContain('That is the 30 days of its policy.');
    expect(statement.notProven).toHaveLength(4);
  });

  it('always tells people what it does not prove', async () => {
    const statement = await verifyCertificate(certificate, VKEY);
    const text = describeStatement(statement);
    for (const sentence of [...statement.proven, ...statement.notProven]) expect(text).toContain(sentence);
  });

  it('without a pinned key says that anybody could have made it', async () => {
    const { notProven } = await verifyCertificate(certificate, undefined);
    expect(notProven.at(-1)).toMatch(/its key was taken from the certificate itself/);
  });

  it('before the deletion is a receipt that claims no deletion', async () => {
    const statement = await verifyCertificate(await certificateOf(healthyHistory().slice(0, 30)), VKEY);
    expect(statement).toMatchObject({ state: 'ended', deleted: null, finalFrom: null });
    expect(statement.notProven[0]).toMatch(/^That it was destroyed/);
  });

  it('without the second look says that something could have come back', async () => {
    const isBefore = ({ type }: LogEntry): boolean => type !== 'deletion.verified';
    const statement = await verifyCertificate(await certificateOf(healthyHistory().filter(isBefore)), VKEY);
    expect(statement).toMatchObject({ state: 'deleted', verified: null });
    expect(statement.notProven[0]).toMatch(/^That nothing came back/);
  });

  it('of a late deletion verifies, and says that it was late', async () => {
    const late = healthyHistory().map((entry) =>
      entry.type === 'deletion.completed' ? { ...entry, at: START + 31 * DAY } : entry,
    );
    const statement = await verifyCertificate(await certificateOf(late), VKEY);
    expect(statement.findings.map(({ code }) => code)).toEqual(['late']);
    expect(describeStatement(statement)).toContain('was deleted 24 h after its time');
  });

  it('of an erasure names the delete_by that stands', async () => {
    const asked = START + 2 * HOUR;
    const erased = [
      entryOf('policy.published', START - 1),
      entryOf('recording.opened', START),
      entryOf('erasure.requested', asked, { delete_by: asked }),
      entryOf('deletion.intended', asked, { delete_by: asked, reason: 'erasure' }),
      entryOf('deletion.completed', asked + 1, { vault_horizon: asked + DAY }),
    ];
    const statement = await verifyCertificate(await certificateOf(erased), VKEY);
    expect(statement).toMatchObject({ deleteBy: asked, findings: [] });
    expect(statement.proven).toContain('That is the 30 days of its policy, brought forward by an erasure.');
  });

  it('shows an anomaly of the recording until it is closed', async () => {
    const found = entryOf('anomaly.found', START + HOUR, { recording: RECORDING });
    const closed = entryOf('anomaly.closed', START + 2 * HOUR);
    const story = [entryOf('recording.opened', START), found];
    const codesOf = async (entries: readonly LogEntry[]): Promise<string[]> =>
      (await verifyCertificate(await certificateOf(entries, () => true), VKEY)).findings.map(({ code }) => code);
    expect(await codesOf(story)).toEqual(['anomaly-open']);
    expect(await codesOf([...story, closed])).toEqual([]);
  });
});

describe('a certificate is refused', () => {
  it('with any bit of an entry or a proof flipped', async () => {
    const { entries } = JSON.parse(certificate) as Parsed;
    for (const [number, { entry, proof }] of entries.entries()) {
      for (const [field, text] of [
        ['entry', entry],
        ['proof', proof],
      ] as const) {
        for (let at = number; at < text.length; at += 23) {
          const flipped = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);
          const spoiled = spoil((parsed) => {
            parsed.entries[number]![field] = flipped;
          });
          await expect(verifyCertificate(spoiled, VKEY), `${field} ${number} at ${at}`).rejects.toMatchObject(
            isRefused,
          );
        }
      }
    }
  });

  it.each<[string, (parsed: Parsed) => void]>([
    ['of another format', (parsed) => (parsed.format = 'zeroreel-certificate/v2')],
    ['with a field too many', (parsed) => Object.assign(parsed, { note: 'trust me' })],
    ['without entries', (parsed) => (parsed.entries = [])],
    ['without the opening', (parsed) => parsed.entries.splice(1, 1)],
    ['with an entry twice', (parsed) => parsed.entries.splice(3, 0, parsed.entries[2]!)],
    ['out of order', (parsed) => parsed.entries.reverse()],
    [
      'with two proofs exchanged',
      ({ entries: [, first, second] }) => ([first!.proof, second!.proof] = [second!.proof, first!.proof]),
    ],
    [
      'with the key of another log',
      (parsed) => (parsed.vkey = encodeVkey(verifierKey(ORIGIN, signerOf(0x55).publicKey))),
    ],
  ])('%s', async (_name, change) => {
    await expect(verifyCertificate(spoil(change), VKEY)).rejects.toMatchObject(isRefused);
  });

  it('under another pinned key', async () => {
    const other = encodeVkey(verifierKey(ORIGIN, signerOf(0x55).publicKey));
    await expect(verifyCertificate(certificate, other)).rejects.toMatchObject(isRefused);
  });

  it('with proofs against two checkpoints, though both are the log’s', async () => {
    const older = JSON.parse(await certificateOf(healthyHistory().slice(0, 30))) as Parsed;
    const mixed = spoil(({ entries }) => entries.splice(0, 2, ...older.entries.slice(0, 2)));
    await expect(verifyCertificate(mixed, VKEY)).rejects.toThrow('the proofs lead to several checkpoints');
  });

  it('with an entry about another recording, or about none', async () => {
    const foreign = entryOf('access.released', START + 1, { recording: idOf(99) });
    await expect(certificateOf([entryOf('recording.opened', START), foreign])).rejects.toMatchObject(isRefused);
    await expect(certificateOf(healthyHistory(), () => true)).rejects.toMatchObject(isRefused);
  });

  it('with a policy that it was not opened under', async () => {
    const entries = [
      entryOf('policy.published', START - 1, { policy_hash: POLICY.replace('A', 'B') }),
      entryOf('recording.opened', START),
    ];
    await expect(certificateOf(entries)).rejects.toMatchObject(isRefused);
  });

  it.each(['', 'null', '[]', '{}', '{', 'x'.repeat(17_000_000)])('when it is no certificate', async (text) => {
    await expect(verifyCertificate(text, VKEY)).rejects.toMatchObject(isRefused);
  });

  it('before it is handed out, when the entries are not in the log', async () => {
    const { proof } = (JSON.parse(certificate) as Parsed).entries[1]!;
    const other = encodeEntry(entryOf('recording.opened', START, { opened: START + 1 }));
    await expect(encodeCertificate([{ bytes: other, proof }], VKEY)).rejects.toMatchObject(isRefused);
  });
});
