/** What the institution's staff manage: tokens, and the readers' enrolled keys. No password exists anywhere. */
import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { fromBase64Url, isZero, toBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import { hash } from '../../../crypto/format/hash.ts';
import { keyId } from '../../../crypto/format/ids.ts';
import { KEY_REVOKE, parseKeyDocument, verifyKeyDocument } from '../../../crypto/format/keydoc.ts';
import * as api from '../../../schema/api.ts';
import { ServerError } from '../errors.ts';
import type { Ports, Store } from '../ports.ts';
import type { Failure } from '../jobs/batch.ts';
import { purge } from '../jobs/purge.ts';
import { scrub, type ScrubSummary } from '../jobs/scrub.ts';
import { type Role, StoreError, type TokenRow } from '../store.ts';
import { requireStanding } from './revocation.ts';
import { requireStaff, secretOf, tokenHash } from './access.ts';
import { parse, readJson, SECRET } from './request.ts';

const DAY_MS = 86_400_000;
const FIRST_TOKEN = { role: 'admin', label: 'first administrator', days: 366 } as const;
/** How long a setup link waits for its administrator. */
export const SETUP_MS = DAY_MS;
/** Enough to tell tokens apart, too little to guess one. */
const PREFIX_LENGTH = 12;

/** A token that nobody knows yet: 32 random bytes behind a prefix that secret scanners can look for. */
function newToken(role: Role, bytes = crypto.getRandomValues(new Uint8Array(32))): string {
  return `zr${role[0]}_${toBase64Url(bytes)}`;
}

/**
 * The token of a request that is sent again: from the caller's own secret and the Idempotency-Key, so that nothing needs to be kept, and
 * nobody else could say what it is. Another key is another token.
 */
async function sameToken(c: Context, role: Role): Promise<string | undefined> {
  const key = c.req.header('idempotency-key');
  if (key === undefined) return undefined;
  if (!/^[A-Za-z0-9_-]{16,64}$/.test(key)) {
    throw new ServerError('malformed', 'idempotency-key: expected 16 to 64 letters and digits, chosen at random');
  }
  return newToken(role, await hash('token', utf8(secretOf(c)), utf8(`\0${key}`)));
}

/** Lets a token in: its hash is stored, the token itself is not. Answers the row that stands, which may have been there already. */
async function keepToken(store: Store, row: TokenRow): Promise<TokenRow> {
  try {
    await store.addToken(row);
    return row;
  } catch (error) {
    const before = await store.tokenByHash(row.tokenHash);
    if (!before) throw error;
    return before;
  }
}

/** Whether two requests ask for one thing; when they came does not matter. */
function isSame(a: TokenRow, b: TokenRow): boolean {
  const days = (row: TokenRow) => row.expiresMs - row.createdMs;
  const exams = (row: TokenRow) => row.examIds?.join();
  return a.role === b.role && a.label === b.label && days(a) === days(b) && exams(a) === exams(b);
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

/** The first administrator's token, where a script wants it in a file: one that is there already stays as it is. */
export async function keepFirstToken({ store, clock }: Ports, keep: (make: () => string) => string): Promise<void> {
  if ((await store.tokens()).length > 0) return;
  const token = keep(() => newToken('admin'));
  await keepToken(store, await tokenRow(token, FIRST_TOKEN, clock.now()));
}

/** A secret that stands for "you are the first administrator"; `undefined` once there is a token. */
export async function issueSetup(ports: Ports): Promise<string | undefined> {
  const secret = `zrsetup_${toBase64Url(crypto.getRandomValues(new Uint8Array(32)))}`;
  return (await letSetUp(ports, secret)) ? secret : undefined;
}

/** The same for a secret that the operator chose, where nobody could read one that was made here. Again within its day changes nothing. */
export async function letSetUp({ store, clock }: Ports, secret: string): Promise<boolean> {
  if ((await store.tokens()).length > 0) return false;
  const now = clock.now();
  try {
    await store.issue('setup', await tokenHash(secret), now + SETUP_MS, now);
  } catch (error) {
    // It stands already, since an earlier start.
    if (!(error instanceof StoreError && error.code === 'refused')) throw error;
  }
  return true;
}

const NOTHING_SEEN: ScrubSummary = {
  ...{ isRun: true, isFinished: false },
  ...{ recordings: 0, objects: 0, found: {}, failed: [] },
};

/** `report` is told of a failure that comes after the answer has begun. */
export function staffRoutes(ports: Ports, report: (error: unknown) => void): Hono {
  const { store, clock } = ports;
  const routes = new Hono();

  routes.post('/tokens', async (c) => {
    await requireStaff(c, ports);
    const request = await readJson(c, api.tokenRequest);
    const token = (await sameToken(c, request.role)) ?? newToken(request.role);
    const row = await tokenRow(token, request, clock.now());
    const kept = await keepToken(store, row);
    if (kept.revokedMs !== null || !isSame(kept, row)) {
      throw new ServerError('token-conflict', 'another token was made with this idempotency-key, or it was revoked');
    }
    return c.json(tokenAnswer(token, kept), 201, SECRET);
  });

  /** The first administrator's token, for whoever holds the setup link that the first start printed: once. */
  routes.post('/setup', async (c) => {
    const { secret } = await readJson(c, api.setupRequest);
    const token = newToken('admin');
    const now = clock.now();
    const row = await tokenRow(token, FIRST_TOKEN, now);
    if (!(await store.redeemSetup(await tokenHash(secret), row, now))) {
      throw new ServerError('sign-in-refused', 'the setup link was used, or has expired', {
        hint: 'a server that has no token yet prints a new one when it starts',
      });
    }
    return c.json(tokenAnswer(token, row), 201, SECRET);
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
    const caller = await requireStaff(c, ports);
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
    if (document.operation !== KEY_REVOKE) await requireStanding(store, [{ identity, keyId: id }]);
    const type = document.operation === KEY_REVOKE ? 'key.revoked' : 'key.enrolled';
    const row = { identity, keyId: id, op: document.operation, document: bytes, enrolledMs: now };
    const isNew = await store.enrolKey(row, { v: 1, type, at: now, identity, key_id: id });
    return c.json({ recorded: true }, isNew ? 201 : 200);
  });

  routes.get('/keys/:identity', async (c) => {
    await requireStaff(c, ports);
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
      failed: failed.map(failure),
    };
    return c.json(answer);
  });

  /** The blind audit of the bucket, now: a line of progress at a time, because it may walk millions of objects. */
  routes.post('/jobs/scrub', async (c) => {
    await requireStaff(c, ports);
    const { depth, sample } = await readJson(c, api.scrubRequest);
    const encoder = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      async start(stream) {
        const { signal } = c.req.raw;
        const tell = (state: z.infer<typeof api.scrubLine>['state'], summary: ScrubSummary) => {
          // The walk goes on for whoever hung up: it is in the log, and what it finds will be.
          if (!signal.aborted) stream.enqueue(encoder.encode(`${JSON.stringify(scrubLine(state, summary))}\n`));
        };
        let last: ScrubSummary | undefined;
        const onProgress = (summary: ScrubSummary) => {
          last = summary;
          tell('running', summary);
        };
        try {
          const summary = await scrub(ports, {
            isDeep: depth === 'whole',
            ...(sample !== undefined && { sample }),
            onProgress,
          });
          tell(summary.isFinished ? 'finished' : summary.isRun ? 'paused' : 'busy', summary);
        } catch (error) {
          report(error);
          tell('failed', last ?? NOTHING_SEEN);
        }
        if (!signal.aborted) stream.close();
      },
    });
    return c.body(body, 200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  });

  return routes;
}

function scrubLine(
  state: z.infer<typeof api.scrubLine>['state'],
  summary: ScrubSummary,
): z.infer<typeof api.scrubLine> {
  const { recordings, objects, found, failed } = summary;
  return { state, recordings, objects, found, failed: failed.map(failure) };
}

function failure({ recordingId, reason }: Failure) {
  return { recording_id: recordingId, reason };
}
