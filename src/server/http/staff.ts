/** What the institution's staff manage: tokens, and the readers' enrolled keys. No password exists anywhere. */
import { Hono } from 'hono';
import type { z } from 'zod';
import { fromBase64Url, isZero, toBase64Url } from '../../../crypto/format/bytes.ts';
import { keyId } from '../../../crypto/format/ids.ts';
import { KEY_REVOKE, parseKeyDocument, verifyKeyDocument } from '../../../crypto/format/keydoc.ts';
import * as api from '../../../schema/api.ts';
import { ServerError } from '../errors.ts';
import type { Ports, Store } from '../ports.ts';
import { purge } from '../jobs/purge.ts';
import type { Role, TokenRow } from '../store.ts';
import { requireStaff, tokenHash } from './access.ts';
import { parse, readJson, SECRET } from './request.ts';

const DAY_MS = 86_400_000;
/** Enough to tell tokens apart, too little to guess one. */
const PREFIX_LENGTH = 12;

/** A token that nobody knows yet: 32 random bytes behind a prefix that secret scanners can look for. */
export function newToken(role: Role): string {
  return `zr${role[0]}_${toBase64Url(crypto.getRandomValues(new Uint8Array(32)))}`;
}

/** Lets a token in: its hash is stored, the token itself is not. One that is there already stays as it is. */
export async function keepToken(
  store: Store,
  token: string,
  request: z.infer<typeof api.tokenRequest>,
  now: number,
): Promise<z.infer<typeof api.tokenResponse>> {
  const row = await tokenRow(token, request, now);
  await store.addToken(row).catch(async (error: unknown) => {
    if (!(await store.tokenByHash(row.tokenHash))) throw error;
  });
  return tokenAnswer(token, row);
}

async function tokenRow(
  token: string,
  { role, label, days, exam_ids: examIds }: z.infer<typeof api.tokenRequest>,
  now: number,
): Promise<TokenRow> {
  return {
    tokenHash: await tokenHash(token),
    prefix: token.slice(0, PREFIX_LENGTH),
    ...{ role, label },
    examIds: examIds ?? null,
    createdMs: now,
    expiresMs: now + days * DAY_MS,
    revokedMs: null,
    lastUsedMs: null,
  };
}

function tokenAnswer(token: string, { prefix, role, examIds, expiresMs }: TokenRow) {
  const answer: z.infer<typeof api.tokenResponse> = {
    ...{ token, prefix, role },
    exam_ids: examIds && [...examIds],
    expires_ms: expiresMs,
  };
  return answer;
}

export function staffRoutes(ports: Ports): Hono {
  const { store, clock } = ports;
  const routes = new Hono();

  routes.post('/tokens', async (c) => {
    await requireStaff(c, ports);
    const request = await readJson(c, api.tokenRequest);
    const answer = await keepToken(store, newToken(request.role), request, clock.now());
    return c.json(answer, 201, SECRET);
  });

  routes.get('/tokens', async (c) => {
    await requireStaff(c, ports);
    const answer: z.infer<typeof api.tokensResponse> = {
      tokens: (await store.tokens()).map((row) => ({
        prefix: row.prefix,
        role: row.role,
        label: row.label,
        exam_ids: row.examIds && [...row.examIds],
        created_ms: row.createdMs,
        expires_ms: row.expiresMs,
        revoked_ms: row.revokedMs,
        last_used_ms: row.lastUsedMs,
      })),
    };
    return c.json(answer);
  });

  routes.delete('/tokens/:prefix', async (c) => {
    await requireStaff(c, ports);
    if (!(await store.revokeToken(c.req.param('prefix'), clock.now()))) {
      throw new ServerError('not-found', 'there is no live token with this prefix');
    }
    return c.json({ recorded: true });
  });

  routes.post('/keys', async (c) => {
    const caller = await requireStaff(c, ports, 'instructor');
    const { document: documentB64 } = await readJson(c, api.enrolKeyRequest);
    const bytes = fromBase64Url(documentB64);
    const document = parseKeyDocument(bytes);
    const identity = toBase64Url(document.identity);
    if (caller.identity !== null && caller.identity !== identity) {
      throw new ServerError('forbidden', 'the key document is of another identity than the one that signed in');
    }
    const previous = isZero(document.prevKeyId) ? undefined : toBase64Url(document.prevKeyId);
    if (previous !== undefined && !(await store.keys(identity)).some((row) => row.keyId === previous)) {
      throw new ServerError('key-refused', 'the rotation replaces a key that this identity never enrolled');
    }
    await verifyKeyDocument(document, document.identity);
    const now = clock.now();
    if (document.expiresMs <= now) throw new ServerError('key-refused', 'the key has expired');
    const id = toBase64Url(await keyId(document.suite, document.publicKey));
    const type = document.operation === KEY_REVOKE ? 'key.revoked' : 'key.enrolled';
    const row = { identity, keyId: id, op: document.operation, document: bytes, enrolledMs: now };
    const isNew = await store.enrolKey(row, { v: 1, type, at: now, identity, key_id: id });
    return c.json({ recorded: true }, isNew ? 201 : 200);
  });

  routes.get('/keys/:identity', async (c) => {
    await requireStaff(c, ports, 'instructor', 'compliance');
    const rows = await store.keys(parse(api.hashSchema, c.req.param('identity')));
    const answer: z.infer<typeof api.keysResponse> = {
      keys: rows.map((row) => ({ key_id: row.keyId, op: row.op, document: toBase64Url(row.document) })),
    };
    return c.json(answer);
  });

  /** The purge that cron runs anyway, now. */
  routes.post('/jobs/purge', async (c) => {
    await requireStaff(c, ports);
    const { failed, ...counts } = await purge(ports);
    const answer: z.infer<typeof api.purgeResponse> = {
      ...counts,
      failed: failed.map(({ recordingId, reason }) => ({ recording_id: recordingId, reason })),
    };
    return c.json(answer);
  });

  return routes;
}
