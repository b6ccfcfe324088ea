/** What every route does first: read the body with a cap, and parse it. Who is asking is `access.ts`. */
import type { Context } from 'hono';
import type { z } from 'zod';
import { toBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { idSchema } from '../../../schema/api.ts';
import { ServerError } from '../errors.ts';

/** The largest legitimate body is an OPEN with 64 wraps of 1,232 bytes, or a policy of 256 KiB; both in base64. */
export const MAX_BODY_BYTES = 512 * 1024;

const DEFAULT_PAGE = 100;
const LARGEST_PAGE = 1000;

/** For answers with keys, tokens or presigned URLs: no cache on the way or in the browser keeps them. */
export const SECRET = { 'cache-control': 'no-store' } as const;

/** Longest detail that repeats something of the request, such as the name of an unknown member. */
const LONGEST_ECHO = 200;

/** Reads at most `MAX_BODY_BYTES`, whatever the request's headers claim. Hono's own body limit costs three quarters of the speed. */
async function readBody(request: Request): Promise<string> {
  const tooLarge = () => new ServerError('too-large', `expected a body of at most ${MAX_BODY_BYTES} bytes`);
  if (Number(request.headers.get('content-length') ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  if (!request.body) return '';
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  let length = 0;
  for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw tooLarge();
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** The body as `schema` wants it; `malformed` names the first member that is wrong, never its value. */
export async function readJson<Schema extends z.ZodType>(c: Context, schema: Schema): Promise<z.infer<Schema>> {
  if (!/^application\/json\s*(?:;|$)/i.test(c.req.header('content-type') ?? '')) {
    throw new ServerError('not-json', 'expected content-type: application/json');
  }
  let value: unknown;
  try {
    value = JSON.parse(await readBody(c.req.raw));
  } catch (error) {
    if (error instanceof ServerError) throw error;
    throw new ServerError('malformed', 'expected a JSON body');
  }
  return parse(schema, value);
}

/** The fields of a form that a browser sends; `malformed` for another kind of body. */
export async function readForm(c: Context): Promise<URLSearchParams> {
  if (!/^application\/x-www-form-urlencoded\s*(?:;|$)/i.test(c.req.header('content-type') ?? '')) {
    throw new ServerError('malformed', 'expected content-type: application/x-www-form-urlencoded');
  }
  return new URLSearchParams(await readBody(c.req.raw));
}

export function parse<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = issue?.path.join('.') ?? '';
  const message = issue ? issue.message.charAt(0).toLowerCase() + issue.message.slice(1) : 'invalid';
  throw new ServerError('malformed', `${path === '' ? 'the request' : path}: ${message}`.slice(0, LONGEST_ECHO));
}

/** A path parameter that is an id; anything else cannot exist. */
export function idParameter(c: Context, name: string): string {
  const value = c.req.param(name) ?? '';
  if (!idSchema.safeParse(value).success) throw new ServerError('not-found', 'expected an id of 22 characters');
  return value;
}

/**
 * An answer that is polled: with an entity tag over its content, and `304` to whoever has it already (RFC 9110, 13.1.2). Browsers ask
 * again each time (`no-cache`) and keep what they have.
 */
export async function tagged(
  c: Context,
  content: string,
  type: string,
  scope: 'private' | 'public',
): Promise<Response> {
  const etag = `"${toBase64Url(await sha256(utf8(content))).slice(0, 22)}"`;
  const headers = { etag, 'cache-control': `${scope}, no-cache` };
  const known = (c.req.header('if-none-match') ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  if (known.includes(etag)) return c.body(null, 304, headers);
  return c.body(content, 200, { ...headers, 'content-type': type });
}

export const taggedJson = (c: Context, answer: unknown, scope: 'private' | 'public') =>
  tagged(c, JSON.stringify(answer), 'application/json', scope);

const WHOLE_NUMBER = /^(?:0|[1-9]\d{0,14})$/;

/** The one decimal text of a whole number; undefined for every other text, so that no two paths mean one thing. */
export function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && WHOLE_NUMBER.test(text) ? Number(text) : undefined;
}

/** A path parameter that counts; anything else cannot exist. */
export function numberParameter(c: Context, name: string): number {
  const value = wholeNumber(c.req.param(name));
  if (value === undefined) throw new ServerError('not-found', 'expected a whole number in the path');
  return value;
}

/** Seconds, whole, and no more than a recorder can have waited before it was given up. */
const OUTBOX_AGE = /^(?:0|[1-9]\d{0,6})$/;

/** `zeroreel-outbox-age`: for how long the recorder's oldest chunk has waited, ms; undefined where it does not say, or says what it cannot be. */
export function outboxAgeOf(c: Context): number | undefined {
  const told = c.req.header('zeroreel-outbox-age');
  return told !== undefined && OUTBOX_AGE.test(told) ? Number(told) * 1000 : undefined;
}

/** `?limit=` and `?cursor=`: how many rows, after which id. */
export function pageParameters(c: Context): { limit: number; cursor?: string } {
  const { limit: limitText, cursor } = c.req.query();
  const limit = limitText === undefined ? DEFAULT_PAGE : wholeNumber(limitText);
  if (limit === undefined || limit < 1 || limit > LARGEST_PAGE) {
    throw new ServerError('malformed', `limit: expected a whole number from 1 to ${LARGEST_PAGE}`);
  }
  if (cursor === undefined) return { limit };
  if (!idSchema.safeParse(cursor).success) throw new ServerError('malformed', 'cursor: expected one from an answer');
  return { limit, cursor };
}
