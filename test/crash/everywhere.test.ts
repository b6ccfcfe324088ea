import { afterAll, beforeAll, expect, it } from 'vitest';
import { vkeyOf } from '../../src/server/signing.ts';
import { makeExam, makeReader } from '../server/recorder.ts';
import { live, type Script, writeScript } from './life.ts';
import { Machine, Site } from './machine.ts';

const SLOW = process.env['SLOW'] === '1';
/** Every call is a kill point; without SLOW=1 every so manyeth is tried, others in each form. */
const STRIDE = SLOW ? 1 : 20;

let site: Site;
let script: Script;
let beginMs: number;

beforeAll(async () => {
  site = await Site.open();
  beginMs = site.clock.nowMs;
  const { signer } = site;
  const exam = await makeExam({
    now: beginMs,
    log: { origin: signer.origin, vkey: vkeyOf(signer) },
    readers: [await makeReader(1)],
  });
  script = await writeScript(exam, beginMs);
});

afterAll(() => site.close());

async function lifeWith(kill: { at: number; isDone: boolean }): Promise<Machine> {
  site.clock.nowMs = beginMs;
  const machine = new Machine(site, kill);
  try {
    await live(site, machine, script);
  } finally {
    await machine.close();
  }
  return machine;
}

it(
  'survives its death at every await on store, vault and bucket, before and after the call was done',
  { timeout: 3_600_000 },
  async () => {
    const { calls } = await lifeWith({ at: -1, isDone: false });
    const survived = new Map<string, number>();
    for (const isDone of [false, true]) {
      for (let at = isDone ? 0 : STRIDE >> 1; at < calls; at += STRIDE) {
        const { diedAt } = await lifeWith({ at, isDone });
        survived.set(diedAt!, (survived.get(diedAt!) ?? 0) + 1);
      }
    }
    const total = [...survived.values()].reduce((sum, count) => sum + count, 0);
    process.stderr.write(`${total} of ${2 * calls} kill points survived, at ${survived.size} different calls\n`);
    expect(total).toBe(2 * Math.ceil(calls / STRIDE) - (calls % STRIDE > 0 && calls % STRIDE <= STRIDE >> 1 ? 1 : 0));
  },
);
