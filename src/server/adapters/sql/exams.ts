import { and, asc, desc, eq, gt, type SQL, sql } from 'drizzle-orm';
import { examPeople, policies } from '../../../../schema/tables.ts';
import type { Store } from '../../store.ts';
import type { SqlDriver } from './driver.ts';
import { appendEntry, guard, insertInto, limited, type Reads, statement } from './statements.ts';

export type ExamStore = Pick<Store, 'publishPolicy' | 'latestPolicy' | 'policyByHash' | 'exams' | 'isNamed'>;

export function examStore(driver: SqlDriver, db: Reads): ExamStore {
  const insertPolicy = insertInto(db, policies);
  const latest = db
    .select()
    .from(policies)
    .where(eq(policies.examId, sql.placeholder('examId')))
    .orderBy(desc(policies.seq))
    .limit(limited(1))
    .prepare();
  const byHash = db
    .select()
    .from(policies)
    .where(and(eq(policies.policyHash, sql.placeholder('policyHash')), eq(policies.examId, sql.placeholder('examId'))))
    .prepare();
  const newestOfEach = (within?: SQL) =>
    db
      .select()
      .from(policies)
      .where(
        and(
          gt(policies.examId, sql.placeholder('cursor')),
          sql`${policies.seq} = (SELECT MAX(seq) FROM policies AS later WHERE later.exam_id = ${policies.examId})`,
          within,
        ),
      )
      .orderBy(asc(policies.examId))
      .limit(limited())
      .prepare();
  const all = newestOfEach();
  const naming = newestOfEach(
    sql`${policies.examId} IN (SELECT exam_id FROM exam_people WHERE identity = ${sql.placeholder('identity')})`,
  );
  const listed = newestOfEach(sql`${policies.examId} IN (SELECT value FROM json_each(${sql.placeholder('examIds')}))`);
  const named = db
    .select()
    .from(examPeople)
    .where(and(eq(examPeople.examId, sql.placeholder('examId')), eq(examPeople.identity, sql.placeholder('identity'))))
    .prepare();

  return {
    async publishPolicy(policy, people, entry) {
      const done = await driver.batch([
        guard(
          'NOT EXISTS (SELECT 1 FROM policies WHERE exam_id = ? AND (seq >= ? OR owner_hash <> ?))',
          policy.examId,
          policy.seq,
          policy.ownerHash,
        ),
        insertPolicy(policy),
        statement('DELETE FROM exam_people WHERE exam_id = ?', policy.examId),
        statement(
          'INSERT INTO exam_people (exam_id, identity) SELECT DISTINCT ?, value FROM json_each(?)',
          policy.examId,
          JSON.stringify(people),
        ),
        // Found again under the policy's hash: a recording's certificate begins with it.
        appendEntry(entry, policy.policyHash),
      ]);
      return done !== undefined;
    },
    latestPolicy: (examId) => latest.get({ examId }),
    policyByHash: (examId, policyHash) => byHash.get({ examId, policyHash }),
    // No text sorts before the empty one.
    exams: (limit, cursor = '', reach) => {
      if (!reach) return all.all({ limit, cursor });
      if ('identity' in reach) return naming.all({ limit, cursor, identity: reach.identity });
      return listed.all({ limit, cursor, examIds: JSON.stringify(reach.examIds) });
    },
    isNamed: async (examId, identity) => (await named.get({ examId, identity })) !== undefined,
  };
}
