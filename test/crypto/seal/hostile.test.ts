import { afterAll, describe, expect, test } from 'vitest';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { baseHashes, hostileBases, readHostileFile, type HostileCase } from '../hostile/cases.ts';
import { check, type Delivery } from '../hostile/checks.ts';

const file = readHostileFile();
const given = await hostileBases();

/** How each kind of input is delivered: objects also arrive in pieces, as from a network. */
const DELIVERIES: Delivery[] = ['whole', 65_536, 1000, 1];
const refused = new Set<string>();

async function outcome(hostile: HostileCase, delivery: Delivery): Promise<string> {
  try {
    await check(hostile, given, delivery);
    return 'accepted';
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

test('the bases are those that the cases were made from', async () => {
  expect(await baseHashes(given.bases)).toEqual(file.bases);
});

const hostileCases = file.cases.filter(({ code }) => code !== 'accepted');
const honestCases = file.cases.filter(({ code }) => code === 'accepted');

async function expectOutcome(hostile: HostileCase): Promise<void> {
  const deliveries = hostile.check === 'chunks' ? DELIVERIES : DELIVERIES.slice(0, 1);
  for (const delivery of deliveries) expect(await outcome(hostile, delivery), String(delivery)).toBe(hostile.code);
}

describe('every hostile input is refused, for the right reason', () => {
  test.each(hostileCases)('$number $id: $why', async (hostile) => {
    await expectOutcome(hostile);
    refused.add(hostile.id);
  });
});

describe('the honest sibling of every kind is accepted by the same check', () => {
  test.each(honestCases)('$id: $why', expectOutcome);
});

test('every kind of check has an honest sibling', () => {
  const kinds = (cases: HostileCase[]) => [...new Set(cases.map((hostile) => hostile.check))].sort();
  expect(kinds(honestCases)).toEqual(kinds(hostileCases));
});

test('section 14 is covered without a gap, and 25 items beyond its first 25', () => {
  const numbers = new Set(hostileCases.map(({ number }) => number));
  expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
});

afterAll(() => {
  process.stderr.write(`hostile inputs refused with the right class: ${refused.size} of ${hostileCases.length}\n`);
});
