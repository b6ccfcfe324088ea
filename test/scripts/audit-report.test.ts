/** The auditor's command against a real server and its bucket: exit codes, the listing both ways, and the page. */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { media, type TestRecorder } from '../server/recorder.ts';
import { expectStatus, Stage } from '../server/stage.ts';
import { CommandLine } from './command-line.ts';

describe('log verify with a listing', () => {
  const cli = new CommandLine();
  let stage: Stage;
  let recorder: TestRecorder;
  let objects: { key: string; bytes: number }[];

  beforeAll(async () => {
    stage = await Stage.start();
    recorder = await stage.recorder(await stage.exam());
    for (const seed of [1, 2]) await stage.upload(recorder, await recorder.chunk(1, media(2000, seed)));
    expectStatus(await stage.sendHead(recorder, await recorder.close()), 200);
    stage.clock.advance(60_000);
    await stage.server.jobs.publish();
    objects = Object.entries((await stage.holdings()).objects).map(([key, bytes]) => ({ key, bytes }));
  });
  afterAll(async () => {
    await stage.stop();
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

  it('cannot be said where the listing is none', async () => {
    expect((await verify(['what is this'])).exit).toBe(3);
  });
});
