import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromBase64Url } from '../../../crypto/format/bytes.ts';
import { encodeCertificate, type CertificateStatement, verifyCertificate } from '../../../crypto/log/certificate.ts';
import { decodeEntry } from '../../../crypto/log/entry.ts';
import { closeAnomalies, reportAnomaly } from '../../../src/server/jobs/anomaly.ts';
import type { TestExam, TestRecorder } from '../recorder.ts';
import { DAY_MS, expectStatus, Stage } from '../stage.ts';

interface Status {
  entries: { index: number; entry: string; proof: string | null }[];
}

describe('the receipt of a recording', () => {
  let stage: Stage;
  let exam: TestExam;
  let recorder: TestRecorder;

  beforeAll(async () => {
    stage = await Stage.start();
    exam = await stage.exam();
    await stage.exam(); // a policy of another exam between this one and its recording
    recorder = await stage.recorder(exam);
    expectStatus(await stage.sendHead(recorder, await recorder.close()), 200);
  });
  afterAll(() => stage.stop());

  async function ask(): Promise<{ types: string[]; statement: CertificateStatement }> {
    await stage.server.jobs.publish();
    const { entries } = expectStatus<Status>(await stage.call('GET', `/v1/receipts/${recorder.sessionId}`), 200);
    const proven = entries.map(({ entry, proof }) => ({ bytes: fromBase64Url(entry), proof: proof! }));
    const { vkey } = exam.policy.log;
    const statement = await verifyCertificate(await encodeCertificate(proven, vkey), vkey);
    return { types: proven.map(({ bytes }) => decodeEntry(bytes).type), statement };
  }

  it('begins with its policy, so that anybody recomputes when it has to be gone', async () => {
    const { types, statement } = await ask();
    expect(types).toEqual(['policy.published', 'recording.opened', 'recording.closed']);
    expect(statement.proven.join(' ')).toMatch(/That is the 30 days of its policy/);
    expect(statement.deleteBy).toBe(statement.opened + 30 * DAY_MS);
  });

  it('tells of an anomaly, and of its end', async () => {
    await reportAnomaly(stage.server.ports, recorder.sessionId, 'object-returned', 1);
    expect((await ask()).statement.findings).toMatchObject([{ code: 'anomaly-open' }]);
    await closeAnomalies(stage.server.ports, recorder.sessionId, () => 'deleted');
    const { types, statement } = await ask();
    expect(types.slice(-2)).toEqual(['anomaly.found', 'anomaly.closed']);
    expect(statement.findings).toEqual([]);
  });
});
