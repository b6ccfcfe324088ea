import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { encodeEvent, EVENT_TYPES, parseAccommodations, parseEvents, type ExamEvent } from '../../schema/events.ts';

const TEXT = readFileSync(new URL('../../schema/EVENTS.md', import.meta.url), 'utf8');

describe('what a recorder writes a reviewer reads', () => {
  test('line by line, and what is unknown or broken is told by its place', () => {
    const events: ExamEvent[] = [
      { v: 1, t: 0, type: 'focus_lost' },
      { v: 1, t: 1500, type: 'focus_gained', away_ms: 1500 },
      { v: 1, t: 1600, type: 'pasted', characters: 12 },
    ];
    const strange = [
      '{"v":1,"t":1700,"type":"of_tomorrow","x":1}',
      '{"v":1,"t":1800,"type":"pasted"}',
      'no json',
      '{"v":1,"t":1900,"type":"constructor"}',
    ];
    const text = [...events.map(encodeEvent), ...strange.map((line) => `${line}\n`)].join('');
    expect(parseEvents(text)).toEqual({
      events,
      unreadable: [
        { line: 3, t: 1700, type: 'of_tomorrow' },
        { line: 4, t: 1800, type: 'pasted' },
        { line: 5, t: null, type: null },
        { line: 6, t: 1900, type: 'constructor' },
      ],
    });
  });

  test('what is not as its type says is not written', () => {
    expect(() => encodeEvent({ v: 1, t: -1, type: 'paused' })).toThrow();
    expect(() => encodeEvent({ v: 1, t: 0, type: 'pasted', characters: 1.5 })).toThrow();
  });
});

describe('EVENTS.md says what the code does', () => {
  test('every type stands in its table with its class and weight, and no other', () => {
    const told = new Map<string, string>();
    for (const [, names, classes] of TEXT.matchAll(/^\| ((?:`\w+`(?:, | \/ )?)+) \| ([^|]+) \|/gm)) {
      const types = [...names!.matchAll(/`(\w+)`/g)].map(([, name]) => name!);
      const parts = classes!.trim().split(' / ');
      types.forEach((type, i) => {
        const weights = parts[0]!.startsWith('flag') && parts.length === 1 ? parts[0]!.slice(5).split(', ') : [];
        told.set(type, weights.length > 1 ? `flag ${weights[i]!}` : (parts[i] ?? parts[0]!));
      });
    }
    for (const [type, { class: kind, weight }] of Object.entries(EVENT_TYPES)) {
      expect(told.get(type), type).toBe(kind === 'flag' ? `flag ${weight}` : kind);
      told.delete(type);
    }
    const rules = [
      'chunk_bytes',
      'chunk_seconds',
      'head_seconds',
      'pause',
      'full_screen',
      'no_clipboard',
      'no_context_menu',
    ];
    const settings = [
      'most_bytes',
      'most_exam_bytes',
      'most_minutes',
      'one_screen',
      'location',
      'video_height',
      'screen_height',
      'frame_rate',
      'address',
    ];
    expect([...told.keys()].sort()).toEqual([...rules, ...settings].sort());
  });

  test('its example of accommodations is read as it says', () => {
    const [, json] = /flat JSON: `(\{[^`]+\})`/.exec(TEXT)!;
    expect(parseAccommodations(json!)).toEqual({
      tracksOff: ['webcam', 'photo'],
      rulesOff: ['full_screen'],
      flagsIgnored: ['focus_lost', 'page_hidden'],
      others: { extra_minutes: 30 },
    });
    expect(parseAccommodations('')).toEqual({ tracksOff: [], rulesOff: [], flagsIgnored: [], others: {} });
  });
});
