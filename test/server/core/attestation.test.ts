import { describe, expect, it } from 'vitest';
import { encodeEntry } from '../../../crypto/log/entry.ts';
import {
  attestationOf,
  isNews,
  judge,
  type Probe,
  REFUSALS,
  weaknesses,
} from '../../../src/server/core/attestation.ts';

const WELL: Probe = {
  put: 200,
  refusals: { signature: 403, expiry: 403, key: 403, length: 403, sha256: 400, 'create-only': 412 },
  isReadable: true,
  isRangeServed: true,
  isListed: true,
  isCorsOpen: true,
  left: 0,
  clockSkewMs: 400,
  settings: { versioning: 'off', objectLock: false, lifecycle: [{ id: 'backstop', prefix: '', days: 31 }] },
};
const settings = (changes: Partial<Probe['settings']>): Probe => ({
  ...WELL,
  settings: { ...WELL.settings, ...changes },
});
const refusing = (changes: Partial<Probe['refusals']>): Probe => ({
  ...WELL,
  refusals: { ...WELL.refusals, ...changes },
});
const rule = (prefix: string, days: number) => settings({ lifecycle: [{ id: 'x', prefix, days }] });
/** What is not `ok`, as `check state`. */
const unwell = (probe: Probe): string[] =>
  judge(probe).flatMap(({ check, state }) => (state === 'ok' ? [] : [`${check} ${state}`]));

describe('a bucket is judged', () => {
  it('well when everything is as it should be', () => {
    expect(unwell(WELL)).toEqual([]);
  });

  it.each([
    ['takes a forged signature', refusing({ signature: 200 }), 'bucket.signature bad'],
    ['takes an expired URL', refusing({ expiry: 200 }), 'bucket.expiry bad'],
    ['takes a URL for another key', refusing({ key: 200 }), 'bucket.key bad'],
    ['takes another length', refusing({ length: 200 }), 'bucket.length weak'],
    ['takes another body', refusing({ sha256: 200 }), 'bucket.sha256 weak'],
    ['overwrites', refusing({ 'create-only': 200 }), 'bucket.create-only weak'],
    ['fails where it should refuse', refusing({ 'create-only': 501 }), 'bucket.create-only unknown'],
    ['cuts the connection', refusing({ length: 0 }), 'bucket.length unknown'],
    ['refuses what was signed', { ...WELL, put: 403 }, 'bucket.write bad'],
    ['gives other bytes back', { ...WELL, isReadable: false }, 'bucket.read bad'],
    ['does not list what it took', { ...WELL, isListed: false }, 'bucket.list bad'],
    ['keeps what it deleted', { ...WELL, left: 1 }, 'bucket.delete bad'],
    ['has no CORS', { ...WELL, isCorsOpen: false }, 'bucket.cors weak'],
    ['has suspended versioning', settings({ versioning: 'suspended' }), 'bucket.versioning bad'],
    ['keeps versions', settings({ versioning: 'enabled' }), 'bucket.versioning weak'],
    ['does not tell its versioning', settings({ versioning: 'unknown' }), 'bucket.versioning unknown'],
    ['has object lock', settings({ objectLock: true }), 'bucket.lock bad'],
    ['has no lifecycle rule', settings({ lifecycle: 'none' }), 'bucket.lifecycle weak'],
    ['ends objects after 30 days', rule('', 30), 'bucket.lifecycle bad'],
    ['ends objects of some recordings early', rule('A', 1), 'bucket.lifecycle bad'],
    ['ends some objects of one recording early', rule(`${'A'.repeat(22)}/0000`, 1), 'bucket.lifecycle bad'],
    ['has a rule for other things only', rule('logs/', 1), 'bucket.lifecycle weak'],
    ['is 59 s ahead', { ...WELL, clockSkewMs: 59_999 }, undefined],
    ['is a minute behind', { ...WELL, clockSkewMs: -60_000 }, 'bucket.clock weak'],
    ['is more than ten minutes ahead', { ...WELL, clockSkewMs: 600_001 }, 'bucket.clock bad'],
    ['tells no time', { ...WELL, clockSkewMs: null }, 'bucket.clock unknown'],
  ] as [string, Probe, string | undefined][])('that %s', (_, probe, expected) => {
    expect(unwell(probe)).toEqual(expected === undefined ? [] : [expected]);
  });

  it('with what to do about everything that keeps the server from starting', () => {
    const refusals = Object.fromEntries(REFUSALS.map((refusal) => [refusal, 200])) as Probe['refusals'];
    const worst = { ...settings({ versioning: 'suspended', objectLock: true }), refusals, left: 1, isListed: false };
    const bad = judge(worst).filter(({ state }) => state === 'bad');
    expect(bad).toHaveLength(7);
    for (const finding of bad) expect(finding.hint).toBeTruthy();
  });
});

describe('the attestation', () => {
  it('is an entry that the log takes, whatever was probed', () => {
    const silent = settings({ versioning: 'unknown', objectLock: 'unknown', lifecycle: 'unknown' });
    for (const probe of [WELL, silent, refusing({ sha256: 0 }), { ...WELL, clockSkewMs: null }])
      expect(() => encodeEntry(attestationOf(probe, 1))).not.toThrow();
    expect(attestationOf(refusing({ sha256: 0, length: 200 }), 1).enforces).toMatchObject({
      sha256: null,
      length: false,
    });
  });

  it('is logged when something changed or a day has passed, and not for a jitter of the clock', () => {
    const last = attestationOf(WELL, 1000);
    expect(isNews(last, undefined)).toBe(true);
    expect(isNews(attestationOf({ ...WELL, clockSkewMs: -900 }, 3_600_000), last)).toBe(false);
    expect(isNews(attestationOf(WELL, 1000 + 86_400_000), last)).toBe(true);
    expect(isNews(attestationOf(refusing({ sha256: 200 }), 2000), last)).toBe(true);
    expect(isNews(attestationOf({ ...WELL, clockSkewMs: 400_000 }, 2000), last)).toBe(true);
  });

  it('counts what is known not to be enforced, and not what nobody could tell', () => {
    expect(weaknesses(attestationOf(WELL, 1))).toBe(0);
    expect(weaknesses(attestationOf(refusing({ sha256: 200, 'create-only': 501 }), 1))).toBe(1);
  });
});
