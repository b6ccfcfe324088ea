/** Witnesses over real HTTP, and a whole server that has its checkpoints cosigned. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../crypto/log/checkpoint.ts';
import { vkeyOf } from '../../../src/server/signing.ts';
import { HOUR_MS, MINUTE_MS, Stage } from '../stage.ts';
import { forkedHead, TestWitness, type WitnessOptions } from '../witness.ts';

const folder = mkdtempSync(join(tmpdir(), 'zeroreel-witness-'));
const open: { close(): Promise<void> }[] = [];
let count = 0;

afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close();
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function witness(options: Partial<WitnessOptions> = {}): Promise<TestWitness> {
  const started = await new TestWitness({ path: join(folder, `head-${count++}`), ...options }).start();
  open.push(started);
  return started;
}

async function stageWith(...witnesses: TestWitness[]): Promise<Stage> {
  const stage = await Stage.start({ witnesses: witnesses.map(({ address }) => address) });
  open.push({ close: () => stage.stop() });
  for (const one of witnesses) one.logs.push(vkeyOf(stage.server.ports.signer));
  return stage;
}

async function grow(stage: Stage): Promise<number> {
  const { store, clock } = stage.server.ports;
  await store.append([{ v: 1, type: 'heartbeat', at: clock.now(), entries: await store.logSize() }]);
  return (await stage.server.jobs.publish()) as number;
}

/** Names of those of `witnesses` whose line under the served checkpoint holds. */
async function cosigners(stage: Stage, ...witnesses: TestWitness[]): Promise<string[]> {
  const { body } = await stage.call('GET', '/log/checkpoint');
  const { signer } = stage.server.ports;
  const vkeys = witnesses.map(({ vkey }) => vkey);
  const { cosignatures } = await openCheckpoint(body as string, vkeyOf(signer), signer.origin, vkeys);
  return cosignatures.map(({ key }) => key.name);
}

describe('a witness', () => {
  let one: TestWitness;
  let stage: Stage;
  beforeEach(async () => {
    one = await witness();
    stage = await stageWith(one);
  });

  it('cosigns each checkpoint that grew from the one before, under the checkpoint that is served', async () => {
    for (let round = 0; round < 3; round++) {
      const size = await grow(stage);
      expect(await cosigners(stage, one)).toEqual([]);
      expect(await stage.server.jobs.witness()).toBe(1);
      expect(await cosigners(stage, one)).toEqual(['witness.example.org/w1']);
      expect(one.head.size).toBe(size);
    }
    expect(await stage.server.jobs.witness()).toBe(0); // nothing new to sign
    expect(one.answers).toEqual([200, 200, 200]);
    const { body } = await stage.call('GET', `/log/checkpoints/${one.head.size}`);
    expect(body).toContain('witness.example.org/w1');
    expect(body).not.toContain('other.example.org');
    expect(stage.reported).toEqual([]);
  });

  it('is caught up with by a server that forgot where it stands', async () => {
    await grow(stage);
    await stage.server.jobs.witness();
    const { dataDir } = stage;
    await stage.server.close();
    const again = await Stage.start({ dataDir, witnesses: [one.address], clock: stage.clock });
    open.push({ close: () => again.stop() });
    await grow(again);
    expect(await again.server.jobs.witness()).toBe(1);
    expect(one.answers).toEqual([200, 409, 200]);
    expect(await cosigners(again, one)).toEqual(['witness.example.org/w1']);
  });

  it('refuses another history, which the operator is told of once, and publication goes on', async () => {
    await grow(stage);
    await stage.server.jobs.witness();
    writeFileSync(join(folder, `head-${count - 1}`), forkedHead(one.head.size));
    for (let round = 0; round < 3; round++) {
      const size = await grow(stage);
      stage.clock.advance(MINUTE_MS);
      expect(await stage.server.jobs.witness()).toBe(0);
      expect((await stage.server.ports.store.newestCheckpoint())?.size).toBe(size);
    }
    expect(one.answers).toEqual([200, 422, 422, 422]);
    expect(stage.reported.map(String)).toEqual(['WitnessError: witness witness.example.org/w1: it answered with 422']);
    expect(await cosigners(stage, one)).toEqual([]);
  });

  it('says of a log that lost entries that it has seen more of them', async () => {
    await grow(stage);
    writeFileSync(join(folder, `head-${count - 1}`), forkedHead(10_000));
    expect(await stage.server.jobs.witness()).toBe(0);
    expect(stage.reported.map(String)).toEqual([expect.stringContaining('it has seen 10000 entries')]);
  });

  it('that has cosigned this size for another tree proves two histories', async () => {
    const size = await grow(stage);
    writeFileSync(join(folder, `head-${count - 1}`), forkedHead(size));
    expect(await stage.server.jobs.witness()).toBe(0);
    expect(stage.reported.map(String)).toEqual([expect.stringContaining('two histories of this log may exist')]);
  });

  it('that signs with another key, or rubbish, is not believed', async () => {
    await grow(stage);
    const answers = ['', 'no line\n', '— witness.example.org/w1 AAAAAAAA\n', 'x'.repeat(100_000)];
    for (const text of answers) {
      one.mischief = (_request, response) => {
        response.end(text);
        return 'handled';
      };
      expect(await stage.server.jobs.witness()).toBe(0);
      stage.clock.advance(HOUR_MS);
    }
    const impostor = await witness({ name: 'witness.example.org/w1', seed: 0x20 });
    impostor.logs.push(vkeyOf(stage.server.ports.signer));
    one.mischief = (_request, response) => {
      response.writeHead(307, { location: `${impostor.address.url}/add-checkpoint` }).end();
      return 'handled';
    };
    expect(await stage.server.jobs.witness()).toBe(0);
    expect(await cosigners(stage, one)).toEqual([]);
    expect(stage.reported).not.toHaveLength(0);
    one.mischief = undefined;
    stage.clock.advance(HOUR_MS);
    expect(await stage.server.jobs.witness()).toBe(1);
  });
});

it('that is silent keeps neither the log from being published nor another witness from signing', async () => {
  const [silent, gone, well] = [
    await witness({ name: 'silent.example.org', seed: 1 }),
    await witness({ name: 'gone.example.org', seed: 2 }),
    await witness({ name: 'well.example.org', seed: 3 }),
  ];
  const stage = await stageWith(silent, gone, well);
  silent.mischief = () => 'handled';
  await gone.close();
  open.splice(open.indexOf(gone), 1);
  await grow(stage);
  const asking = stage.server.jobs.witness(); // waits for the silent one
  await expect.poll(() => cosigners(stage, silent, gone, well)).toEqual(['well.example.org']);
  const size = await grow(stage);
  expect((await stage.call('GET', '/log/checkpoint')).body).toContain(`\n${size}\n`);
  await silent.close();
  open.splice(open.indexOf(silent), 1);
  expect(await asking).toBe(1);
  expect(stage.reported.map(String).sort()).toEqual([
    'WitnessError: witness gone.example.org: no answer',
    'WitnessError: witness silent.example.org: no answer',
  ]);
});
