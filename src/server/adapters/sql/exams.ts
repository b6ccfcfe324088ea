import { and, asc, desc, eq, gt, sql } from 'drizzle-orm';
import { policies } from '../../../../schema/tables.ts';
import type { Store } from '../../store.ts';
import type { SqlDriver } from './driver.ts';
import { appendEntry, guard, insertInto, limited, type Reads } from './statements.ts';

export type ExamStore = Pick<Store, 'publishPolicy' | 'latestPolicy' | 'policyByHash' | 'exams'>;

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
  const newestOfEach = db
    .select()
    .from(policies)
    .where(
      and(
        gt(policies.examId, sql.placeholder('cursor')),
        sql`${policies.seq} = (SELECT MAX(seq) FROM policies AS later WHERE later.exam_id = ${policies.examId})`,
      ),
    )
    .orderBy(asc(policies.examId))
    .limit(limited())
    .prepare();

  return {
    async publishPolicy(policy, entry) {
      const done = await driver.batch([
        guard(
          'NOT EXISTS (SELECT 1 FROM policies WHERE exam_id = ? AND (seq >= ? OR owner_hash <> ?))',
          policy.examId,
          policy.seq,
          policy.ownerHash,
        ),
        insertPolicy(policy),
        // Found again under the policy's hash: a recording's certificate begins with it.
        appendEntry(entry, policy.policyHash),
      ]);
      return done !== undefined;
    },
    latestPolicy: (examId) => latest.get({ examId }),
    policyByHash: (examId, policyHash) => byHash.get({ examId, policyHash }),
    // No text sorts before the empty one.
    exams: (limit, cursor = '') => newestOfEach.all({ limit, cursor }),
  };
}
