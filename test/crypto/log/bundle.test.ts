import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, utf8 } from '../../../crypto/format/bytes.ts';
import {
  type BundleReport,
  BundleVerifier,
  CSV_HEADER,
  csvRow,
  entryLine,
  readEntryLines,
  verdictOf,
} from '../../../crypto/log/bundle.ts';
import { audit } from '../../../crypto/log/audit.ts';
import { encodeEntry, type LogEntry } from '../../../crypto/log/entry.ts';
import { addSignatures, cosignLine, encodeVkey, verifierKey } from '../../../crypto/log/note.ts';
import { leafHash } from '../../../crypto/log/tree.ts';
import { AUDITED, DAY, entryOf, healthyHistory, idOf, itemsOf, RECORDING, START } from './histories.ts';
import { checkpointOver, ORIGIN, signerOf, VKEY } from './keys.ts';

const isRefused = { code: 'log', name: 'ProtocolError' };
const signed = (entries: readonly LogEntry[]): Promise<string> =>
  checkpointOver(entries.map((entry) => leafHash(encodeEntry(entry))));

interface Given {
  /** The entries that the checkpoint is over; by default those that are read. */
  readonly under?: readonly LogEntry[];
  readonly earlier?: readonly string[];
  readonly csv?: string;
  readonly vkey?: string;
  readonly witnesses?: readonly string[];
}

async function verify(
  entries: readonly LogEntry[],
  { under = entries, earlier, csv, vkey = VKEY, witnesses = [] }: Given = {},
): Promise<BundleReport> {
  const verifier = await BundleVerifier.open(await signed(under), vkey, earlier, { witnesses });
  for (const entry of entries) verifier.accept(encodeEntry(entry));
  return verifier.finish(AUDITED, csv === undefined ? undefined : createHash('sha256').update(csv).digest());
}

function witnessOf(name: string, seed: number) {
  const { publicKey, sign } = signerOf(seed);
  const key = verifierKey(name, publicKey, 4);
  const cosign = async (note: string, ms: number): Promise<string> =>
    addSignatures(note, await cosignLine(note.slice(0, note.lastIndexOf('\n\n') + 1), key, ms / 1000, sign));
  return { vkey: encodeVkey(key), cosign };
}

function csvOf(entries: readonly LogEntry[]): string {
  const rows = [CSV_HEADER];
  audit(itemsOf(entries), AUDITED, { onObligation: (obligation) => rows.push(csvRow(obligation)) });
  return rows.join('');
}

describe('an exported log', () => {
  it('in which everything went right is well, and says over what', async () => {
    const report = await verify(healthyHistory());
    expect(verdictOf(report)).toBe('well');
    expect(report).toMatchObject({ entries: 84, opened: 1, verified: 1, consistentCheckpoints: 0 });
    expect(report.checkpoint.size).toBe(84);
  });

  it('bears out every earlier checkpoint, the empty and its own included, in any order', async () => {
    const entries = healthyHistory();
    const sizes = [84, 0, 1, 64, 63, 64];
    const earlier = await Promise.all(sizes.map((size) => signed(entries.slice(0, size))));
    expect(await verify(entries, { earlier })).toMatchObject({ consistentCheckpoints: 6, violations: 0 });
  });

  it('says what its witnesses have cosigned, and that one of them lately has not', async () => {
    const entries = healthyHistory();
    const [one, two] = ['one', 'two'].map((name, index) => witnessOf(name, 0x40 + index));
    const witnesses = [one!.vkey, two!.vkey];
    const recent = await one!.cosign(await signed(entries.slice(0, 80)), AUDITED - 1000);
    const old = await two!.cosign(await signed(entries.slice(0, 50)), AUDITED - 2 * DAY);
    const report = await verify(entries, { earlier: [recent, old], witnesses });
    expect(report.witnesses).toEqual([
      { name: 'one', cosigned: { size: 80, at: AUDITED - 1000 } },
      { name: 'two', cosigned: { size: 50, at: AUDITED - 2 * DAY } },
    ]);
    expect(report.findings.map(({ code, message }) => [code, message.split(' ')[1]])).toEqual([['unwitnessed', 'two']]);
    expect(verdictOf(report)).toBe('exceptions');
  });

  it('whose entries are dated after a witness had seen them is a violation: its clock ran ahead', async () => {
    const entries = healthyHistory();
    const witness = witnessOf('one', 0x40);
    const newest = entries[49]!.at;
    const at = (ms: number) => Math.floor((newest + ms) / 1000) * 1000;
    for (const [ms, codes] of [
      [-9 * 60_000, []],
      [-12 * 60_000, ['clock']],
    ] as const) {
      const early = await witness.cosign(await signed(entries.slice(0, 50)), at(ms));
      const report = await verify(entries, { earlier: [early], witnesses: [witness.vkey] });
      expect(report.findings.map(({ code }) => code).filter((code) => code !== 'unwitnessed')).toEqual(codes);
    }
  });

  it('with a line of an asked witness that does not hold is refused', async () => {
    const entries = healthyHistory();
    const [one, impostor] = [witnessOf('one', 0x40), witnessOf('one', 0x41)];
    const note = await one.cosign(await signed(entries), AUDITED);
    const line = note.split('\n').at(-2)!;
    const forged = note.replace(line, `${line.slice(0, -6)}AAAA==`.slice(0, line.length));
    await expect(verify(entries, { earlier: [forged], witnesses: [one.vkey] })).rejects.toMatchObject(isRefused);
    // Another key by the same name is a stranger's: passed over, and told as absent.
    const strange = await impostor.cosign(await signed(entries), AUDITED);
    const report = await verify(entries, { earlier: [strange], witnesses: [one.vkey] });
    expect(report.witnesses).toEqual([{ name: 'one', cosigned: null }]);
  });

  it('that contradicts a checkpoint which the log signed is a violation, whatever else is well', async () => {
    const entries = healthyHistory();
    const rewritten = entries.map((entry) =>
      entry.type === 'access.released' ? entryOf('heartbeat', entry.at) : entry,
    );
    const report = await verify(rewritten, { earlier: [await signed(entries.slice(0, 30))] });
    expect(report.findings.map(({ code }) => code)).toEqual(['equivocation']);
    expect(verdictOf(report)).toBe('violation');
  });

  it('that is shorter than a checkpoint which the log signed is a violation', async () => {
    const entries = healthyHistory();
    const report = await verify(entries.slice(0, -1), { earlier: [await signed(entries)] });
    expect(report.findings[0]?.message).toBe(
      'the log signed a checkpoint of 84 entries and now has 83: history was changed',
    );
    expect(verdictOf(report)).toBe('violation');
  });

  it('with exceptions is neither well nor a violation', async () => {
    expect(verdictOf(await verify(healthyHistory().filter(({ type }) => type !== 'deletion.verified')))).toBe(
      'exceptions',
    );
  });

  it.each<[string, (entries: LogEntry[]) => readonly LogEntry[]]>([
    ['an entry is missing at its end', (entries) => entries.slice(0, -1)],
    ['an entry is missing inside', (entries) => entries.filter((_, i) => i !== 40)],
    ['an entry is too many', (entries) => [...entries, entryOf('heartbeat', AUDITED)]],
    ['an entry was changed', (entries) => entries.with(40, entryOf('heartbeat', START))],
    ['two entries were exchanged', (entries) => entries.with(40, entries[41]!).with(41, entries[40]!)],
    ['nothing is there', () => []],
  ])('cannot be verified when %s', async (_name, change) => {
    await expect(verify(change(healthyHistory()), { under: healthyHistory() })).rejects.toMatchObject(isRefused);
  });

  it('cannot be verified under another key, nor with a foreign earlier checkpoint', async () => {
    const other = encodeVkey(verifierKey(ORIGIN, signerOf(0x66).publicKey));
    await expect(verify(healthyHistory(), { vkey: other })).rejects.toMatchObject(isRefused);
    await expect(verify(healthyHistory(), { earlier: ['not a note'] })).rejects.toMatchObject(isRefused);
  });
});

describe('export.csv', () => {
  const second = idOf(60);
  const entries = [
    ...healthyHistory(),
    entryOf('recording.opened', AUDITED, { recording: second, opened: AUDITED, delete_by: AUDITED + 30 * DAY }),
  ];

  it('has a line per recording, finished ones first, with empty cells for what has not happened', () => {
    expect(csvOf(entries).split('\n')).toEqual([
      'recording,exam,opened,delete_by,erasure,state,ended,objects,bytes,missing,releases,deleted,objects_destroyed,bytes_destroyed,vault_horizon,verified',
      `recording:${RECORDING},exam:AQEBAQEBAQEBAQEBAQEBAQ,2026-09-01T08:00:00.000Z,2026-10-01T08:00:00.000Z,no,verified,normal,40,4000,0,1,2026-10-01T08:02:00.000Z,40,4000,2026-10-02T08:02:00.000Z,2026-10-02T08:30:00.000Z`,
      `recording:${second},exam:AQEBAQEBAQEBAQEBAQEBAQ,2026-10-06T20:00:00.000Z,2026-11-05T20:00:00.000Z,no,open,,,,,0,,,,,`,
      '',
    ]);
  });

  it('is re-derived from the entries when it is verified', async () => {
    expect(verdictOf(await verify(entries, { csv: csvOf(entries) }))).toBe('well');
    await expect(verify(entries, { csv: csvOf(entries).replace('4000', '4001') })).rejects.toMatchObject(isRefused);
    await expect(verify(entries, { csv: '' })).rejects.toMatchObject(isRefused);
  });
});

describe('entries.jsonl', () => {
  async function read(pieces: Iterable<Uint8Array>): Promise<Uint8Array[]> {
    const lines: Uint8Array[] = [];
    for await (const line of readEntryLines(pieces)) lines.push(line);
    return lines;
  }

  it('gives every entry back, in whatever pieces the file is read', async () => {
    const lines = [utf8('{"a":1}'), utf8('{}'), utf8('{"text":"é"}')];
    const file = concat(...lines.map(entryLine));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(file.length)), async (cuts) => {
        const bounds = [0, ...cuts.sort((a, b) => a - b), file.length];
        const pieces = bounds.slice(1).map((end, i) => file.subarray(bounds[i], end));
        expect((await read(pieces)).map((line) => Buffer.from(line).toString())).toEqual(
          lines.map((line) => Buffer.from(line).toString()),
        );
      }),
    );
  });

  it('survives a stream that uses its buffer again', async () => {
    const buffer = new Uint8Array(2);
    function* pieces(): Generator<Uint8Array> {
      for (const text of ['ab', 'c\n', 'd\n', '\ne', 'f\n']) {
        buffer.set(utf8(text));
        yield buffer;
      }
    }
    expect((await read(pieces())).map((line) => Buffer.from(line).toString())).toEqual(['abc', 'd', '', 'ef']);
  });

  it('without its last newline, or with an endless line, is refused', async () => {
    await expect(read([utf8('{}\n{}')])).rejects.toMatchObject(isRefused);
    await expect(read(Array.from({ length: 20 }, () => new Uint8Array(8192).fill(0x20)))).rejects.toMatchObject(
      isRefused,
    );
  });
});
