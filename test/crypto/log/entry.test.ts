import { describe, expect, it } from 'vitest';
import { fromUtf8, utf8 } from '../../../crypto/format/bytes.ts';
import {
  decodeEntry,
  deleteByOf,
  encodeEntry,
  type LogEntry,
  logEntrySchema,
  MAX_ENTRY_BYTES,
} from '../../../crypto/log/entry.ts';
import { DAY, entryOf, hashOf, healthyHistory, idOf, RECORDING, START } from './histories.ts';

const opened = entryOf('recording.opened', START);
const text = fromUtf8(encodeEntry(opened));

describe('an entry', () => {
  it('is compact JSON in the order of the schema, whatever order it was given in', () => {
    const shuffled = Object.fromEntries(Object.entries(opened).reverse()) as unknown as LogEntry;
    expect(fromUtf8(encodeEntry(shuffled))).toBe(text);
    expect(
      text.startsWith(
        '{"v":1,"type":"recording.opened","at":1788249600000,"recording":"AgICAgICAgICAgICAgICAg","exam":',
      ),
    ).toBe(true);
  });

  it('of every type is read back as it was written, and each type has an example here', () => {
    const examples = [
      ...healthyHistory(),
      ...(
        [
          'key.revoked',
          'recording.abandoned',
          'erasure.requested',
          'run.started',
          'anomaly.found',
          'anomaly.closed',
          'log.rotated',
          'log.retired',
        ] as const
      ).map((type) => entryOf(type, START)),
    ];
    for (const entry of examples) expect(decodeEntry(encodeEntry(entry))).toEqual(entry);
    const types = logEntrySchema.options.map((option) => option.shape.type.value);
    expect(new Set(examples.map(({ type }) => type))).toEqual(new Set(types));
  });

  it('holds no free text: every string field of every type refuses a sentence', () => {
    const examples = [
      ...healthyHistory(),
      entryOf('anomaly.found', START, { recording: RECORDING }),
      entryOf('recording.abandoned', START),
    ];
    for (const entry of examples) {
      for (const [field, value] of Object.entries(entry)) {
        if (typeof value !== 'string') continue;
        const changed = { ...entry, [field]: 'Jane Doe, jane@example.org' };
        expect(() => encodeEntry(changed), `${entry.type} ${field}`).toThrow(expect.objectContaining({ code: 'log' }));
      }
    }
  });

  it('is refused without telling the value: it may be what must never be written down', () => {
    const secret = 'jane@example.org';
    let message = '';
    try {
      encodeEntry({ ...opened, recording: secret } as LogEntry);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toBe('not a log entry: recording: invalid format');
    expect(() => encodeEntry({ ...opened, [secret]: 1 } as unknown as LogEntry)).toThrow(
      /^not a log entry: entry: unrecognized keys$/,
    );
  });
});

describe('bytes that are refused', () => {
  it.each([
    ['a field too many', text.replace('{', '{"name":"x",')],
    ['a field too few', text.replace(/,"notice_hash":"[^"]*"/, '')],
    ['an unknown type', text.replace('recording.opened', 'recording.hidden')],
    ['another version', text.replace('"v":1', '"v":2')],
    ['white space', text.replace(',', ', ')],
    ['a final newline', `${text}\n`],
    ['a duplicate key, the first one true', text.replace('"at":', '"at":1788249600000,"at":')],
    ['a number in another spelling', text.replace('"epoch":0', '"epoch":0.0')],
    ['an escaped letter', text.replace('recording.opened', 'recording\\u002eopened')],
    ['an epoch that is not 0', text.replace('"epoch":0', '"epoch":1')],
    ['a negative time', text.replace('"at":', '"at":-')],
    ['a time with a fraction', text.replace('"at":1788249600000', '"at":1788249600000.5')],
    ['an id with bits left over', text.replace(RECORDING, `${RECORDING.slice(0, -1)}B`)],
    ['a hash with bits left over', text.replace(hashOf(4), `${hashOf(4).slice(0, -1)}B`)],
    ['an array', '[]'],
    ['null', 'null'],
    ['nothing', ''],
    ['half an entry', text.slice(0, 40)],
    ['a prototype', text.replace('{', '{"__proto__":{},')],
  ])('%s', (_name, bytes) => {
    expect(bytes).not.toBe(text);
    expect(() => decodeEntry(utf8(bytes))).toThrow(expect.objectContaining({ code: 'log' }));
  });

  it('bytes that are no UTF-8', () => {
    expect(() => decodeEntry(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(expect.objectContaining({ code: 'format' }));
  });

  it('one byte more than a tile can hold, before it is parsed', () => {
    expect(() => decodeEntry(new Uint8Array(MAX_ENTRY_BYTES + 1))).toThrow(/at most 65535 bytes, found 65536/);
  });
});

describe('delete_by', () => {
  it.each([
    ['30 days', { retention_days: 30, practice: false }, 30 * DAY],
    ['one day', { retention_days: 1, practice: false }, DAY],
    ['24 hours for practice, whatever the days', { retention_days: 30, practice: true }, DAY],
  ])('is %s after the opening', (_name, policy, expected) => {
    expect(deleteByOf(START, policy)).toBe(START + expected);
  });

  it('is not moved by a leap day: days have 86,400 seconds', () => {
    const opening = Date.UTC(2028, 1, 10);
    expect(new Date(deleteByOf(opening, { retention_days: 30, practice: false })).toISOString()).toBe(
      '2028-03-11T00:00:00.000Z',
    );
  });

  it('cannot be promised later than 30 days', () => {
    expect(() => encodeEntry(entryOf('policy.published', START, { retention_days: 31 }))).toThrow(
      expect.objectContaining({ code: 'log' }),
    );
    expect(() => encodeEntry(entryOf('policy.published', START, { retention_days: 0 }))).toThrow(
      expect.objectContaining({ code: 'log' }),
    );
  });
});

it('deletion.verified cannot be written with anything listed', () => {
  expect(() => encodeEntry(entryOf('deletion.verified', START, { recording: idOf(2), listed: 1 as 0 }))).toThrow(
    expect.objectContaining({ code: 'log' }),
  );
});
