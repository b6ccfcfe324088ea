/** What the recorder computes from picture, sound and clocks, without a browser. */
import { describe, expect, test } from 'vitest';
import { ClockWatch } from '../../src/web/record/clock-watch.ts';
import { framesLost } from '../../src/web/record/picture-track.ts';
import { PictureWatch } from '../../src/web/record/picture-watch.ts';
import { SoundWatch } from '../../src/web/record/sound-watch.ts';

const grey = (value: number) => new Uint8Array(100).fill(value);
/** Alive: one sample changes from picture to picture. */
const alive = (value: number, step: number) => grey(value).fill(value + 1 + (step % 2), 0, 1);

describe('a picture', () => {
  test('is dark after five seconds of darkness and not before, and light at once', () => {
    const watch = new PictureWatch();
    const told = Array.from({ length: 9 }, (_, second) => watch.see(second * 1000, alive(5, second)));
    expect(told.flat()).toEqual([{ type: 'picture_dark', source: 'webcam', luma: 5 }]);
    expect(told.findIndex((events) => events.length > 0)).toBe(5);
    expect(watch.state).toBe('dark');
    expect(watch.see(9000, alive(90, 9))).toEqual([{ type: 'picture_lit', source: 'webcam', away_ms: 9000 }]);
    expect(watch.state).toBe('well');
  });

  test('a dim room is not dark, and one dark moment is none', () => {
    const watch = new PictureWatch();
    for (let second = 0; second < 30; second++) {
      const luma = second % 5 === 4 ? 3 : 30;
      expect(watch.see(second * 1000, alive(luma, second))).toEqual([]);
    }
  });

  test('stands still after ten seconds without any change, also where no picture comes at all', () => {
    const watch = new PictureWatch();
    const told = Array.from({ length: 12 }, (_, second) => watch.see(second * 1000, grey(80)));
    expect(told.flat()).toEqual([{ type: 'picture_frozen', source: 'webcam' }]);
    expect(watch.see(12_000, grey(81))).toEqual([{ type: 'picture_moving', source: 'webcam', away_ms: 12_000 }]);
    for (let second = 13; second < 22; second++) expect(watch.standStill(second * 1000)).toEqual([]);
    expect(watch.standStill(22_000)).toEqual([{ type: 'picture_frozen', source: 'webcam' }]);
  });

  test('what lies in a pause is nobody’s', () => {
    const watch = new PictureWatch();
    watch.see(0, grey(5));
    watch.forget();
    expect(watch.see(600_000, grey(5))).toEqual([]);
  });
});

test('frames that are missing in an even series are counted as lost, and a slower series as what it is', () => {
  expect(framesLost([0, 67, 133, 200, 400, 467, 533, 867])).toBe(2 + 4);
  expect(framesLost([0, 134, 266, 400])).toBe(0);
  expect(framesLost([])).toBe(0);
  expect(framesLost([5])).toBe(0);
});

describe('sound', () => {
  const tone = (amplitude: number) => Float32Array.from({ length: 480 }, (_, i) => amplitude * (i % 2 === 0 ? 1 : -1));
  /** Ten milliseconds at a time. */
  const hear = (watch: SoundWatch, fromMs: number, toMs: number, samples: Float32Array) => {
    const told = [];
    for (let ms = fromMs; ms < toMs; ms += 10) told.push(...watch.hear(ms, samples));
    return told;
  };

  test('its level is told every second, in decibels of full scale', () => {
    const told = hear(new SoundWatch(), 0, 3_005, tone(0.01));
    expect(told).toHaveLength(3);
    expect(told[0]).toEqual({ type: 'sound_level', for_ms: 1000, rms_db: -40, peak_db: -40 });
  });

  test('two loud seconds are loud, told once in ten seconds; a quiet voice never is', () => {
    const loud = hear(new SoundWatch(), 0, 14_000, tone(0.5)).filter(({ type }) => type === 'sound_loud');
    expect(loud).toEqual([
      { type: 'sound_loud', peak_db: -6 },
      { type: 'sound_loud', peak_db: -6 },
    ]);
    expect(hear(new SoundWatch(), 0, 14_000, tone(0.05)).some(({ type }) => type === 'sound_loud')).toBe(false);
  });

  test('ten seconds of nothing but zeros are silent, and the faintest noise is not', () => {
    const watch = new SoundWatch();
    const told = hear(watch, 0, 12_000, tone(0)).filter(({ type }) => type !== 'sound_level');
    expect(told).toEqual([{ type: 'sound_silent' }]);
    expect(watch.hear(12_000, tone(0.0001))[0]).toEqual({ type: 'sound_back', away_ms: 12_000 });
    expect(hear(new SoundWatch(), 0, 12_000, tone(0.0001)).every(({ type }) => type === 'sound_level')).toBe(true);
  });
});

test('clocks: sleep and jumps are told apart, and ticking is neither', () => {
  const watch = new ClockWatch();
  expect(watch.look(0, 1_000_000)).toEqual([]);
  expect(watch.look(1_004, 1_001_003)).toEqual([]);
  expect(watch.look(601_004, 1_601_003)).toEqual([{ type: 'slept', for_ms: 600_000 }]);
  expect(watch.look(602_004, 5_202_003)).toEqual([{ type: 'clock_jumped', by_ms: 3_600_000 }]);
  expect(watch.look(603_004, 1_603_003)).toEqual([{ type: 'clock_jumped', by_ms: -3_600_000 }]);
});
