/**
 * The hostile corpus over HTTP: every input of it at every door that takes a record. Each is refused with a code that its route
 * documents, nothing of it is kept, and the server goes on.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Bytes, toBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import { parseKeyDocument, verifyKeyDocument } from '../../../crypto/format/keydoc.ts';
import { type HostileCase, hostileBases, readHostileFile, resolve } from '../../crypto/hostile/cases.ts';
import { media, type TestExam, TestRecorder } from '../recorder.ts';
import { HASH } from '../samples.ts';
import { type Answer, expectStatus, Stage } from '../stage.ts';

const { cases } = readHostileFile();
const { bases } = await hostileBases();
const hostile = cases.filter(({ code }) => code !== 'accepted');

let stage: Stage;
let exam: TestExam;
let recorder: TestRecorder;

beforeAll(async () => {
  stage = await Stage.start();
  exam = await stage.exam();
  recorder = await stage.recorder(exam);
  await stage.upload(recorder, await recorder.chunk(1, media(500)));
});
afterAll(() => stage.stop());

/** Everything of a case that could be sent as a record. */
function recordsOf(input: HostileCase): Bytes[] {
  switch (input.check) {
    case 'chunks':
      return input.objects.map((blob) => resolve(blob, bases));
    case 'opens':
    case 'heads':
      return input.records.map((blob) => resolve(blob, bases));
    case 'open':
    case 'policy':
    case 'receipt':
    case 'keydoc':
      return [resolve(input.record, bases)];
    case 'wrap':
      return [resolve(input.wrap, bases)];
    case 'grant':
      return [resolve(input.record, bases), resolve(input.wrap, bases)];
    case 'ticket':
      return [resolve(input.attest, bases)];
    case 'note':
      return [resolve(input.note, bases)];
    case 'keyfile':
      return [resolve(input.file, bases)];
    case 'shred':
    case 'armor':
    case 'encryption-key':
    case 'identity-key':
    case 'id':
      return [utf8('text' in input ? input.text : input.shred)];
  }
}

/** By name: sends a record where the server takes one. Everything else in the request is as it should be. */
const DOORS: Record<string, (record: string, other: string) => Promise<Answer>> = {
  policy: (policy) => stage.call('POST', '/v1/exams', { token: stage.admin, body: { policy } }),
  'key document': (document) => stage.call('POST', '/v1/keys', { token: stage.admin, body: { document } }),
  OPEN: async (open) => openWith({ open }),
  wrap: async (wrap) => openWith({ wraps: [wrap] }),
  head: (head) => stage.sendHead(recorder, head),
  'head beside chunks': (head) => stage.askUploads(recorder, [{ track: 1, seq: 1, bytes: 1000, sha256: HASH }], head),
  grant: (grant, wrap) => staff('grants', { grant, wrap }),
  note: (note) => staff('notes', { note }),
};

async function openWith(changes: Record<string, unknown>): Promise<Answer> {
  return stage.open(await TestRecorder.begin(exam, { now: stage.clock.now() }), changes);
}

function staff(what: string, body: Record<string, unknown>): Promise<Answer> {
  return stage.call('POST', `/v1/recordings/${recorder.sessionId}/${what}`, { token: stage.admin, body });
}

/** A key document that is hostile only beside another one, which the server does not hold, is a good one by itself. */
async function isGoodAlone(record: Bytes): Promise<boolean> {
  try {
    const document = parseKeyDocument(record);
    await verifyKeyDocument(document, document.identity);
    return true;
  } catch {
    return false;
  }
}

describe('every hostile input is refused at every door, with a code that is documented, and nothing is kept', () => {
  test.each(Object.keys(DOORS))('%s', async (name) => {
    const before = await stage.holdings();
    const sent: { id: string; record: Bytes; other: Bytes }[] = [];
    for (const input of hostile) {
      const records = recordsOf(input);
      for (const record of records) {
        const isSound = name === 'key document' && (await isGoodAlone(record));
        if (!isSound) sent.push({ id: input.id, record, other: records.at(-1)! });
      }
    }
    expect(sent.length).toBeGreaterThan(hostile.length - 10);
    const queue = sent.values();
    const taken: unknown[] = [];
    const worker = async () => {
      for (const { id, record, other } of queue) {
        const { status, body } = await DOORS[name]!(toBase64Url(record), toBase64Url(other));
        if (status < 400 || status >= 500) taken.push({ id, status, body });
      }
    };
    await Promise.all([1, 2, 3, 4].map(worker));
    expect(taken).toEqual([]);
    expect(await stage.holdings()).toEqual(before);
  });
});

test('after all of it an honest head is countersigned, and none of this was a failure of the server', async () => {
  expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
  expect(stage.reported).toEqual([]);
});
