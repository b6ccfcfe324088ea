/** The auditor's command against a real server and its bucket: exit codes, the listing both ways, and the page. */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256 } from '../../crypto/format/hash.ts';
import { signCheckpoint } from '../../crypto/log/checkpoint.ts';
import { vkeyOf } from '../../src/server/signing.ts';
import { media, type TestRecorder } from '../server/recorder.ts';
import { expectStatus, put, Stage } from '../server/stage.ts';
import { TestWitness } from '../server/witness.ts';
import { CommandLine } from './command-line.ts';

describe('log verify with a listing', () => {
  const cli = new CommandLine();
  let stage: Stage;
  let recorder: TestRecorder;
  let objects: { key: string; bytes: number }[];
  let witness: TestWitness;

  beforeAll(async () => {
    witness = await new TestWitness({ path: cli.path('witness.json') }).start();
    stage = await Stage.start({ witnesses: [witness.address] });
    witness.logs.push(vkeyOf(stage.server.ports.signer));
    recorder = await stage.recorder(await stage.exam());
    for (const seed of [1, 2]) await stage.upload(recorder, await recorder.chunk(1, media(2000, seed)));
    expectStatus(await stage.sendHead(recorder, await recorder.close()), 200);
    stage.clock.advance(60_000);
    await stage.server.jobs.publish();
    objects = Object.entries((await stage.holdings()).objects).map(([key, bytes]) => ({ key, bytes }));
  });
  afterAll(async () => {
    await stage.stop();
    await witness.close();
    cli.remove();
  });

  const verify = (lines: readonly string[]) => {
    writeFileSync(cli.path('listing.txt'), `${lines.join('\n')}\n`);
    const listedAt = new Date(stage.clock.now()).toISOString();
    return cli.run(
      ['log', 'verify', '--server', stage.server.url, '--listing', 'listing.txt', '--listed-at', listedAt].concat([
        '--html',
        'report.html',
      ]),
    );
  };
  const lines = () => objects.map(({ key, bytes }) => `${bytes} ${key}`);

  it('is well where the bucket holds what is owed, and the page says so without a script', async () => {
    const { exit, output, error } = await verify(lines());
    expect(exit, error).toBe(0);
    expect(output).toContain('2 objects listed of 1 recordings: 0 nobody owes, 0 kept after deletion, 0 lost');
    const page = readFileSync(cli.path('report.html'), 'utf8');
    expect(page).toContain('Every recording that was due was destroyed');
    expect(page).not.toMatch(/<script|<img|<link|src=|url\(|href=/);
  });

  it('is a violation where an object is lost, and where one is there that nobody owes', async () => {
    const stranger = `7 ${'B'.repeat(21)}A/0000/00001/0000000000`;
    const { exit, output } = await verify([lines()[0]!, stranger, '9 <script>alert(1)</script>']);
    expect(exit).toBe(2);
    expect(output).toMatch(/1 of the 2 objects counted at its end are not there/);
    expect(output).toMatch(/the log never opened it/);
    const page = readFileSync(cli.path('report.html'), 'utf8');
    expect(page).toContain('A promise was broken');
    expect(page).not.toContain('<script>');
    expect(page).toContain('&lt;script&gt;');
  });

  /** Against the live log and the bucket itself, listed by the command with the server's own settings. */
  const verifyBucket = (...more: readonly string[]) => {
    const { port } = new URL(stage.server.ports.bucket.presignGet('x', 0, 1));
    const at = new Date(stage.clock.now()).toISOString();
    const live = ['log', 'verify', '--server', stage.server.url, '--at', at, '--bucket', '--data', stage.dataDir];
    return cli.run([...live, '--bucket-port', port, ...more]);
  };

  it('lists the bucket itself: well as it is, a violation for a stranger in it, and for an object that is gone', async () => {
    const well = await verifyBucket();
    expect(well.exit, well.error).toBe(0);
    expect(well.output).toContain('2 objects listed of 1 recordings: 0 nobody owes, 0 kept after deletion, 0 lost');

    const { bucket, clock } = stage.server.ports;
    const key = `${'C'.repeat(21)}A/0000/00001/0000000000`;
    const body = media(9);
    const upload = bucket.presignPut({ key, bytes: body.length, sha256: await sha256(body) }, clock.now(), 300);
    expect(await put({ state: 'signed', track: 1, seq: 0, expires_ms: 0, ...upload }, body)).toBe(200);
    const stranger = await verifyBucket();
    expect(stranger.exit).toBe(2);
    expect(stranger.output).toMatch(/1 nobody owes[^]*the log never opened it/);

    await bucket.deleteVersions([{ key }, { key: objects[0]!.key }]);
    const lost = await verifyBucket();
    expect(lost.exit).toBe(2);
    expect(lost.output).toMatch(/0 nobody owes, 0 kept after deletion, 1 lost/);
  });

  it('says which witness has cosigned what, and that another one has not', async () => {
    const stranger = new TestWitness({ path: cli.path('nobody.json'), name: 'nobody.example.org', seed: 9 });
    await stage.server.jobs.witness();
    const listed = cli.path('listing.txt');
    writeFileSync(listed, `${lines().join('\n')}\n`);
    const listing = ['--listing', listed, '--listed-at', new Date(stage.clock.now()).toISOString()];
    const base = ['log', 'verify', '--server', stage.server.url, ...listing];
    const one = await cli.run([...base, '--witness', witness.vkey]);
    expect(one.exit, one.error + one.output).toBe(0);
    expect(one.output).toMatch(/cosigned by witness.example.org\/w1: \d+ entries/);
    const two = await cli.run([...base, '--witness', witness.vkey, '--witness', stranger.vkey, '--json']);
    expect(two.exit).toBe(1);
    const { witnesses, findings } = JSON.parse(two.output) as {
      witnesses: { name: string; cosigned: { size: number } | null }[];
      findings: { code: string }[];
    };
    expect(witnesses.map(({ name, cosigned }) => [name, cosigned !== null])).toEqual([
      ['witness.example.org/w1', true],
      ['nobody.example.org', false],
    ]);
    expect(findings.map(({ code }) => code)).toEqual(['unwitnessed']);
  });

  it('holds the log against every checkpoint that was kept, and one that it contradicts is a violation', async () => {
    const { store, signer, clock } = stage.server.ports;
    const kept = await store.checkpoints(0, 1000);
    kept.forEach(({ note }, index) => {
      writeFileSync(cli.path(`kept-${index}`), note);
    });
    const flags = kept.flatMap((_, index) => ['--checkpoint', `kept-${index}`]);
    const at = new Date(clock.now()).toISOString();
    const base = ['log', 'verify', '--server', stage.server.url, '--at', at, '--json'];
    const well = await cli.run([...base, ...flags]);
    expect(well.exit, well.error).toBe(0);
    expect(JSON.parse(well.output)).toMatchObject({ consistentCheckpoints: kept.length });
    const forged = { origin: signer.origin, size: 1, root: new Uint8Array(32) };
    writeFileSync(cli.path('forged'), await signCheckpoint(forged, signer.publicKey, (bytes) => signer.sign(bytes)));
    const bad = await cli.run([...base, ...flags, '--checkpoint', 'forged']);
    expect(bad.exit).toBe(2);
    expect(bad.output).toContain('equivocation');
  });

  it('cannot be said where the listing is none', async () => {
    expect((await verify(['what is this'])).exit).toBe(3);
  });
});
