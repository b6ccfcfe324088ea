import { afterAll, beforeAll, expect, it } from 'vitest';
import { vkeyOf } from '../../src/server/signing.ts';
import { makeExam, makeReader } from '../server/recorder.ts';
import { live, type Script, writeScript } from './life.ts';
import { type Fault, FORMS, Machine, Site } from './machine.ts';

/**
 * SLOW=1: every call in every form; with SHARD=i/n every nth of those from the ith on, for many hands or evenings. STRIDE=n: in each
 * form every nth, another one in each. Default: a few dozen of all kinds.
 */
const STRIDE = Number(process.env['STRIDE'] ?? (process.env['SLOW'] === '1' ? 1 : 0));
const [SHARD, SHARDS] = (process.env['SHARD'] ?? '1/1').split('/').map(Number) as [number, number];

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

async function lifeWith(fault: Fault): Promise<Machine> {
  site.clock.nowMs = beginMs;
  const machine = new Machine(site, fault);
  try {
    await live(site, machine, script);
  } catch (error) {
    throw new Error(`${fault.form} at call ${fault.at}, ${machine.struckAt ?? 'not reached'}`, { cause: error });
  } finally {
    await machine.close();
  }
  return machine;
}

function chosen(calls: readonly string[]): Fault[] {
  if (STRIDE > 0) {
    const all = FORMS.flatMap((form, turn) => calls.map((_, at) => ({ at, form, turn })));
    return all.filter(({ at, turn }) => (at + turn) % STRIDE === 0);
  }
  // Every kind of call once, the forms in turn.
  const kinds = [...new Set(calls)];
  return kinds.map((name, index) => ({ at: calls.lastIndexOf(name), form: FORMS[index % FORMS.length]! }));
}

it(
  'survives death and failure at every await on store, vault, bucket and signer, before and after the call was done',
  { timeout: 4 * 3_600_000 },
  async () => {
    const { calls } = await lifeWith({ at: -1, form: 'fails' });
    const faults = chosen(calls).filter((_, index) => index % SHARDS === SHARD - 1);
    const survived = new Set<string>();
    let done = 0;
    for (const fault of faults) {
      const { struckAt } = await lifeWith(fault);
      expect(struckAt).toBeDefined();
      survived.add(struckAt!);
      if (faults.length > 100 && ++done % 50 === 0) process.stderr.write(`${done} of ${faults.length}\n`);
    }
    process.stderr.write(
      `${faults.length} of ${FORMS.length * calls.length} points survived, at ${survived.size} different calls\n`,
    );
    expect(survived.size).toBeGreaterThanOrEqual(SHARDS === 1 ? new Set(calls).size - 2 : 1);
    // What the life must have gone through for its points to be worth counting.
    for (const call of MUST_BE_CALLED) expect(calls).toContain(call);
  },
);

const MUST_BE_CALLED = [
  ...['publishPolicy', 'openRecording', 'openEpoch', 'rememberUploads', 'acceptHead', 'abandon', 'release'],
  ...['bringForward', 'intendDeletion', 'destroyWraps', 'completeDeletion', 'verifyDeletion', 'publish', 'append'],
].map((call) => `store.${call}`);
MUST_BE_CALLED.push('vault.put', 'vault.get', 'vault.destroy', 'vault.list', 'signer.sign');
MUST_BE_CALLED.push('bucket.list', 'bucket.listVersions', 'bucket.deleteVersions', 'bucket.abortMultiparts');
