/** Exams are their signed policies. The server stores the bytes as they are: it can refuse a policy but never make one. */
import { Hono } from 'hono';
import type { z } from 'zod';
import { fromBase64Url, toBase64Url } from '../../../crypto/format/bytes.ts';
import { decodeIdentity } from '../../../crypto/format/ids.ts';
import { ownerHash, parsePolicy, type Policy } from '../../../crypto/format/policy.ts';
import * as api from '../../../schema/api.ts';
import { tenantName } from '../core/launch.ts';
import { ServerError } from '../errors.ts';
import type { Ports } from '../ports.ts';
import type { PolicyRow } from '../store.ts';
import { vkeyOf } from '../signing.ts';
import { type Caller, requireReach, requireStaff } from './access.ts';
import { createLogKeys } from './log-keys.ts';
import { readersOf, requireStanding, revocations } from './revocation.ts';
import { idParameter, pageParameters, parse, readJson } from './request.ts';

export function examRoutes(ports: Ports): Hono {
  const { store, clock, signer } = ports;
  const keys = createLogKeys(ports);
  const routes = new Hono();

  routes.post('/exams', async (c) => {
    const caller = await requireStaff(c, ports);
    const { policy: policyB64 } = await readJson(c, api.publishPolicyRequest);
    const bytes = fromBase64Url(policyB64);
    const { policy, policyHash } = await parsePolicy(bytes);
    const vkeys = [signer, ...(signer.former ? [signer.former] : [])].map(vkeyOf);
    // A new exam pins the current key; one that is here already keeps the one that it began with.
    const isPinned = vkeys.includes(policy.log.vkey) && policy.log.vkey === (await keys.pinnedBy(policy.exam_id));
    if (!isPinned || policy.log.origin !== signer.origin) {
      throw new ServerError('policy-refused', 'the policy pins another retention log than the one of this server', {
        hint: 'take origin and vkey from GET /v1/service',
      });
    }
    await requireOwn(caller, policy);
    const now = clock.now();
    const row: PolicyRow = {
      examId: policy.exam_id,
      seq: policy.seq,
      policyHash: toBase64Url(policyHash),
      ownerHash: toBase64Url(await ownerHash(decodeIdentity(policy.owner))),
      bytes,
      publishedMs: now,
    };
    const answer: z.infer<typeof api.publishPolicyResponse> = {
      exam_id: row.examId,
      seq: row.seq,
      policy_hash: row.policyHash,
    };

    const newest = await store.latestPolicy(row.examId);
    if (newest?.policyHash === row.policyHash) return c.json(answer);
    await requireStanding(store, readersOf(row));
    const follows = newest
      ? policy.seq === newest.seq + 1 && policy.prev_policy_hash === newest.policyHash
      : policy.seq === 0;
    if (!follows || (newest && newest.ownerHash !== row.ownerHash)) throw conflict(newest);
    const { exam_id, seq, retention_days, practice } = policy;
    const entry = {
      v: 1,
      type: 'policy.published',
      at: now,
      exam: exam_id,
      seq,
      policy_hash: row.policyHash,
      retention_days,
      practice,
    } as const;
    const people = peopleOf(policy);
    if (!(await store.publishPolicy(row, people, entry))) {
      // Somebody else was quicker, perhaps this very request's first try.
      const winner = await store.latestPolicy(row.examId);
      if (winner?.policyHash !== row.policyHash) throw conflict(winner);
    }
    return c.json(answer, 201);
  });

  /** Who signed in by an identity publishes what that identity owns; a token that is bound to exams, those. */
  async function requireOwn(caller: Caller, policy: Policy): Promise<void> {
    if (caller.identity === null) await requireReach(ports, caller, policy.exam_id);
    else if (toBase64Url(decodeIdentity(policy.owner)) !== caller.identity) {
      throw new ServerError('forbidden', 'the policy is owned by another identity than the one that signed in');
    }
  }

  function conflict(newest: PolicyRow | undefined): ServerError {
    return new ServerError('policy-conflict', 'the policy does not follow the newest one of this exam and its owner', {
      extra: { seq: newest?.seq ?? null, policy_hash: newest?.policyHash ?? null },
    });
  }

  routes.get('/exams', async (c) => {
    const { reach } = await requireStaff(c, ports);
    const { limit, cursor } = pageParameters(c);
    const rows = await store.exams(limit, cursor, reach);
    const answer: z.infer<typeof api.examsResponse> = {
      exams: rows.map(policyAnswer),
      ...(rows.length === limit && { cursor: rows.at(-1)!.examId }),
    };
    return c.json(answer);
  });

  /** Public: every recorder reads it before anybody is known, and nothing in it is a student's. */
  routes.get('/exams/:exam/policy', async (c) => {
    const examId = idParameter(c, 'exam');
    const wanted = c.req.query('hash');
    const row =
      wanted === undefined
        ? await store.latestPolicy(examId)
        : await store.policyByHash(examId, parse(api.hashSchema, wanted));
    if (!row) throw new ServerError('exam-unknown', 'there is no such exam');
    const revoked = await revocations(store, readersOf(row));
    const answer: z.infer<typeof api.policyResponse> = {
      ...policyAnswer(row),
      revocations: revoked.map(({ document }) => toBase64Url(document)),
    };
    return c.json(answer);
  });

  return routes;
}

/** Whom the policy names: its owner and readers, and the tenant of a learning platform that may launch it. */
function peopleOf({ owner, recipients, platform }: Policy): string[] {
  const tenant =
    platform && tenantName({ ...platform, clientId: platform.client_id, deploymentId: platform.deployment_id });
  return [owner, ...recipients.map(({ identity }) => identity), ...(tenant === undefined ? [] : [tenant])];
}

function policyAnswer(row: PolicyRow): z.infer<typeof api.policySummary> {
  return { exam_id: row.examId, seq: row.seq, policy_hash: row.policyHash, policy: toBase64Url(row.bytes) };
}
