import { describe, expect, test } from 'vitest';
import { ASSUMPTIONS, valuesWith } from '../../scripts/capacity/assumptions.ts';
import {
  ceilingsOf,
  costOnR2,
  costOnS3,
  costOnWorkers,
  growthOf,
  loadOf,
  USUAL,
} from '../../scripts/capacity/model.ts';

const VALUES = valuesWith();
/** 3 tracks, 10 s, 3 h, 600 kbit/s, 30 days, one exam a month. */
const exam = { ...USUAL, students: 10_000, examsPerMonth: 1 };

describe('capacity, against figures worked by hand', () => {
  test('the load of 10,000 students', () => {
    expect(loadOf(exam, VALUES)).toEqual({
      putsPerSecond: 3000, // 10,000 x 3 / 10
      callsPerSecond: 1000,
      headsPerSecond: 10_000 / 30,
      opensPerSecond: 10_000 / 600,
      commitsPerSecond: 1000 + 10_000 / 30 + 10_000 / 600,
      bytesPerSecond: 750e6, // 10,000 x 75,000 B
    });
  });

  test('what they leave', () => {
    const growth = growthOf(exam, VALUES);
    expect(growth.objectsPerExam).toBe(32_400_000); // 1,080 chunks x 3 tracks x 10,000
    expect(growth.bytesPerExam).toBe(8.1e12); // 750 MB/s x 10,800 s
    expect(growth.bytesKept).toBe(8.1e12); // an exam a month, kept for a month
    expect(growth.databaseBytes).toBe(79_680_000); // 7,968 B each
    expect(growth.purgeSecondsPerExam).toBe(8100); // 32.4 million / 4,000 a second
    expect(growth.logEntriesPerYear).toBeCloseTo((10_000 * 5.1 * 365) / 30, 6);
  });

  test('what is deleted sooner is kept less, what comes more often more', () => {
    expect(growthOf({ ...exam, retentionDays: 15, examsPerMonth: 4 }, VALUES).bytesKept).toBe(2 * 8.1e12);
  });

  test('the month on R2', () => {
    const { storage, requests, total } = costOnR2(exam, VALUES);
    expect(storage).toBeCloseTo(113.16, 2); // 7,543.7 GiB x 0.015
    // PUT 32.4 M; LIST 10,000 x (360 heads x 3 tracks + 7 x 4 pages) = 11.08 M; GET 3.24 M: 43.48 x 4.5 + 3.24 x 0.36
    expect(requests).toBeCloseTo(196.8264, 6);
    expect(total).toBeCloseTo(storage + requests, 9);
  });

  test('the month on S3, through its tiers', () => {
    const { storage, requests, egress } = costOnS3(exam, VALUES);
    expect(storage).toBeCloseTo(173.51, 2); // 7,543.7 GiB x 0.023
    expect(requests).toBeCloseTo(218.696, 6); // 43.48 x 5 + 3.24 x 0.4
    expect(egress).toBeCloseTo(67.89, 2); // a tenth of it, x 0.09
    // 100 times as much: 50 TiB, 450 TiB and the rest.
    const gigabytes = 8.1e14 / 2 ** 30;
    const worked = 51_200 * 0.023 + 460_800 * 0.022 + (gigabytes - 512_000) * 0.021;
    expect(costOnS3({ ...exam, students: 1_000_000 }, VALUES).storage).toBeCloseTo(worked, 6);
  });

  test('the month on Workers and D1', () => {
    // Calls and heads: 10,000 x (1,080 + 360) = 14.4 M, 10 M free. Rows: 10,000 x (3,240 x 4 + 1,080 x 3 + 360 x 7) = 187.2 M, 50 M free.
    expect(costOnWorkers(exam, VALUES).total).toBeCloseTo(4.4 * 0.3 + 137.2, 6);
    expect(costOnWorkers({ ...exam, students: 100 }, VALUES).total).toBe(0);
  });

  test('which ceiling breaks first', () => {
    const first = (students: number) =>
      ceilingsOf({ ...exam, students }, VALUES).map(({ ceilings: [worst] }) => [worst!.name, worst!.share > 1]);
    expect(first(100)).toEqual([
      ['bytes a second to one disk', false],
      ['PUTs a second into one partition of an S3 bucket', false],
      ['commits a second of one PostgreSQL', false],
      ['statements a second of one D1 database', false],
    ]);
    expect(first(10_000)).toEqual([
      ['bytes a second to one disk', true],
      ['PUTs a second into one partition of an S3 bucket', false],
      ['commits a second of one PostgreSQL', true], // 1,350 of 1,200
      ['statements a second of one D1 database', true],
    ]);
    expect(first(1_000_000).every(([, isOver]) => isOver)).toBe(true);
  });

  test('another value takes the place of an assumption', () => {
    expect(costOnR2(exam, valuesWith({ r2Storage: 0.03 })).storage).toBeCloseTo(226.31, 2);
  });

  test('every assumption says where it is from', () => {
    for (const [name, { value, source }] of Object.entries(ASSUMPTIONS)) {
      expect(value, name).toBeGreaterThan(0);
      expect(source, name).toMatch(/\w{4,}/);
    }
  });
});
