/** What an operator or an instructor does now and then, as the real commands beside a real server on a real store. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../crypto/format/ids.ts';
import { decodeEntry } from '../../crypto/log/entry.ts';
import { withSecretFiles } from '../../src/server/adapters/keyring.ts';
import { readConfig } from '../../src/server/config.ts';
import { start, type RunningServer } from '../../src/node.ts';
import { gateway, gatewayAbsence } from '../ceph.ts';
import { read } from '../server/reader.ts';
import { media } from '../server/recorder.ts';
import { expectStatus, put, Stage } from '../server/stage.ts';
import { CommandLine, MEDIA, prepareExam, startService } from './command-line.ts';

const logOf = async (server: RunningServer) =>
  (await server.ports.store.entries(0, 1000)).map(({ bytes }) => decodeEntry(bytes));

describe('beside a server with recordings of three seats', () => {
  const cli = new CommandLine();
  let server: RunningServer;
  const recorded: string[] = [];
  beforeAll(async () => {
    server = await startService(cli);
    await prepareExam(cli);
    for (const seat of ['0001', '0002', '0003']) {
      const words = ['record', '--ticket', `seats/${seat}.link`, '--outbox', `outbox-${seat}`, '--json'];
      const output = await cli.must([...words, join(MEDIA, 'events.ndjson')]);
      recorded.push((JSON.parse(output.split('\n')[0]!) as { recording_id: string }).recording_id);
    }
    const { port } = new URL(server.ports.bucket.presignGet('x', 0, 1));
    Object.assign(cli.environment, { ZEROREEL_DATA: cli.path('server'), ZEROREEL_BUCKET_PORT: port });
  });
  afterAll(async () => {
    await server.close();
    cli.remove();
  });

  it('exam copy: everything of an exam but its keys, which anybody can verify, and goes on where it was stopped', async () => {
    const told = await cli.must(['exam', 'copy', '--out', 'physics', '--dry-run', '--json']);
    expect(JSON.parse(told)).toMatchObject({ dry_run: true, recordings: 3 });
    expect(existsSync(cli.path('physics'))).toBe(false);
    expect(await cli.must(['exam', 'copy', '--out', 'physics'])).toBe('3 recordings: 3 COMPLETE');
    const copied = cli.path('physics', 'recordings');
    expect(readdirSync(copied).sort()).toEqual([...recorded].sort());
    const files = readdirSync(cli.path('physics'), { recursive: true, encoding: 'utf8' });
    expect(files.filter((name) => /shred/.test(name))).toEqual([]);
    expect(files.filter((name) => /tlog-proof$/.test(name)).length).toBeGreaterThan(6);
    expect(await cli.must(['verify', join(copied, recorded[0]!)])).toBe('COMPLETE');
    // With the right key, too, it opens for nobody: half of the content key's input is not in it.
    const opening = await cli.run(['verify', '--key', 'first.key', join(copied, recorded[0]!)]);
    expect(opening.exit).not.toBe(0);

    // A run that died in the third: its folder is there and is no case file.
    rmSync(join(copied, recorded[2]!, 'recording.json'));
    rmSync(cli.path('physics', 'exam.json'));
    expect(await cli.must(['exam', 'copy', '--out', 'physics'])).toBe('3 recordings: 3 COMPLETE');
    const declared = (await logOf(server)).filter((entry) => entry.type === 'export.declared');
    expect(declared).toHaveLength(4);
    expect(declared).toMatchObject([{ key_id: 'AAAAAAAAAAAAAAAAAAAAAA', kind: 'sealed' }, {}, {}, {}]);
  });

  it('key rotate and regrant: the new key opens what the old one did, and the old one may be revoked', async () => {
    const passphrase = { environment: { ZEROREEL_NEW_PASSPHRASE: cli.environment['ZEROREEL_PASSPHRASE']! } };
    await cli.must(['key', 'enrol', '--key', 'first.key']);
    await cli.must(['key', 'rotate', '--key', 'first.key', 'next.key'], passphrase);
    const regrant = ['key', 'regrant', '--key', 'first.key', '--to', 'next.key.pub', '--json'];
    const told = JSON.parse(await cli.must([...regrant, '--dry-run'])) as Record<string, unknown>;
    expect(told).toMatchObject({ dry_run: true, granted: 3, before: 0 });
    expect((await logOf(server)).some(({ type }) => type === 'grant.added')).toBe(false);
    const done = JSON.parse(await cli.must(regrant)) as { link: string };
    expect(done).toMatchObject({ granted: 3, before: 0, others: 0, failed: 0 });
    cli.environment['ZEROREEL_EXAM'] = done.link;
    expect(JSON.parse(await cli.must(regrant))).toMatchObject({ granted: 0, before: 3 });
    await cli.must(['key', 'revoke', '--key', 'first.key']);
    const fetchWith = (key: string) =>
      cli.run(['fetch', '--key', key, '--out', '-', '--track', 'events', recorded[0]!]);
    expect((await fetchWith('first.key')).error).toMatch(/\(key-revoked\)/);
    expect((await fetchWith('next.key')).exit).toBe(0);
  });

  it('erase: one seat’s recording and no other, by the seat or by its ticket, as on request', async () => {
    const dry = await cli.must(['erase', '--seat', '0001', '--dry-run']);
    expect(dry).toBe(`${recorded[0]!}  would be erased`);
    expect(await cli.must(['erase', '--seat', '0001'])).toBe(`${recorded[0]!}  erased`);
    expect(await cli.must(['erase', '--ticket', 'seats/0002.link', '--reason', 'owner', '--json'])).toBe(
      JSON.stringify({ dry_run: false, recordings: [recorded[1]] }),
    );
    const entries = (await logOf(server)).filter((entry) => entry.type === 'erasure.requested');
    expect(entries).toMatchObject([
      { recording: recorded[0], reason: 'student' },
      { recording: recorded[1], reason: 'owner' },
    ]);
    const states = await Promise.all(recorded.map(async (id) => (await server.ports.store.recording(id))?.state));
    expect(states).toEqual(['deleted', 'deleted', 'closed']);
    expect((await cli.run(['erase', '--seat', '0044'])).exit).toBe(1);
  });
});

const second = { accessKeyId: 'AKTEST2', secretAccessKey: 'SKTEST2' };

describe('bucket credentials, on Ceph Object Gateway', () => {
  it.skipIf(gatewayAbsence())(
    'replaces them while a recorder uploads: no upload fails, URLs of either set are good',
    async () => {
      const cli = new CommandLine();
      const { endpoint, region, credentials } = gateway()!;
      const name = `turn-${newId()
        .toLowerCase()
        .replaceAll(/[^a-z0-9]/g, '0')}`;
      const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
      await client.send(new CreateBucketCommand({ Bucket: name }));
      client.destroy();
      const write = (file: string, text: string) => {
        writeFileSync(cli.path(file), `${text}\n`, { mode: 0o600 });
        return cli.path(file);
      };
      const environment = {
        ZEROREEL_DATA: cli.path('server'),
        ZEROREEL_ADMIN_TOKEN_FILE: cli.path('admin.token'),
        ZEROREEL_PORT: '0',
        ZEROREEL_S3_ENDPOINT: endpoint,
        ZEROREEL_S3_BUCKET: name,
        ZEROREEL_S3_ACCESS_KEY_ID_FILE: write('id', second.accessKeyId),
        ZEROREEL_S3_SECRET_ACCESS_KEY_FILE: write('secret', second.secretAccessKey),
      };
      Object.assign(cli.environment, environment);
      const readAgain = () => readConfig(withSecretFiles(environment));
      const server = await start({ config: readAgain(), readAgain, isScheduled: false });
      try {
        const stage = Stage.beside(server.url, readFileSync(cli.path('admin.token'), 'utf8').trim());
        const exam = await stage.exam();
        const recorder = await stage.recorder(exam);
        const signedBefore = await recorder.chunk(1, media(4000, 0));
        const before = await stage.sign(recorder, signedBefore);
        expect(before.url).toContain(`X-Amz-Credential=${second.accessKeyId}%2F`);

        const words = [
          'bucket',
          'credentials',
          '--access-key-id-file',
          'new.id',
          '--secret-access-key-file',
          'new.secret',
        ];
        write('new.id', credentials.accessKeyId);
        write('new.secret', 'a secret that is not the one');
        const refused = await cli.run(words);
        expect({ exit: refused.exit, code: /\((\S+)\)$/m.exec(refused.error)?.[1] }).toEqual({
          exit: 77,
          code: 'credentials-refused',
        });
        expect(readAgain().storage).toMatchObject({ credentials: second });

        write('new.secret', credentials.secretAccessKey);
        expect(await cli.must([...words, '--dry-run'])).toBe('the store accepts the new set');
        expect(readAgain().storage).toMatchObject({ credentials: second });
        const turning = cli.must([...words, '--json']);
        for (let count = 1; count < 20; count++)
          await stage.upload(recorder, await recorder.chunk(1, media(4000, count)));
        expect(JSON.parse(await turning)).toMatchObject({ dry_run: false, changed: true });
        expect(await server.jobs.renew()).toBe(true);
        expect(await server.jobs.renew()).toBe(false);

        const last = await recorder.chunk(1, media(4000, 20));
        const after = await stage.sign(recorder, last);
        expect(after.url).toContain(`X-Amz-Credential=${credentials.accessKeyId}%2F`);
        expect([await put(before, signedBefore.object), await put(after, last.object)]).toEqual([200, 200]);
        expectStatus(await stage.sendHead(recorder, await recorder.close()), 200);
        expect((await read(stage, recorder.sessionId, exam.readers[0]!)).get('0/1')).toHaveLength(21);

        // A pair that is half written, or wrong, is not signed with.
        write('secret', 'half of a pair');
        await expect(server.jobs.renew()).rejects.toThrow(/SignatureDoesNotMatch/);
        expect(server.ports.bucket.presignGet('x', 0, 1)).toContain(`X-Amz-Credential=${credentials.accessKeyId}%2F`);
      } finally {
        await server.close();
        cli.remove();
      }
    },
  );
});
