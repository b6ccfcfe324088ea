/** What the table of routes promises of an answer, held against each one that any test of the server gets. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { problemSchema } from '../../schema/api.ts';
import { ERRORS, isErrorCode } from '../../src/server/errors.ts';
import { refusalsOf, type Route, type RouteName, routeRows } from '../../src/server/http/routes.ts';
import type { Answer } from './stage.ts';

const PATTERNS = routeRows.map(([name, row]) => {
  const [method, path] = name.split(' ') as [string, string];
  const pattern = path.replaceAll(/:\w+/g, '[^/]+').replace('*', '.+').replaceAll('.json', '\\.json');
  return { name, row, method, pattern: new RegExp(`^${pattern}$`) };
});

/** `ROUTE STATUS` of every answer so far in this file's process. */
export const reached = new Set<string>();

/** `ROUTE STATUS` that a learning platform brings about. */
export const BY_PLATFORMS: readonly string[] = [
  'POST /v1/lti/platforms 201',
  'DELETE /v1/lti/platforms/:platform 200',
  'POST /v1/lti/logins 201',
  'POST /v1/lti/logins 422',
  'POST /lti/launch 200',
  'POST /lti/launch 403',
  'POST /lti/launch 502',
  'POST /lti/select 200',
  'POST /lti/select 401',
  'POST /lti/select 403',
  'POST /v1/lti/registrations 201',
  'POST /v1/lti/registrations 502',
];

/** `ROUTE STATUS` that an OpenID provider brings about. */
export const BY_PROVIDERS: readonly string[] = [
  'GET /v1/oidc/login 303',
  'GET /v1/oidc/login 502',
  'GET /v1/oidc/callback 303',
  'GET /v1/oidc/callback 403',
  'GET /v1/oidc/callback 500',
  'GET /v1/oidc/callback 502',
];

/** Throws unless the table has this answer: status, content type, code and every member. */
export function expectDocumented(method: string, path: string, answer: Answer): void {
  const { pathname } = new URL(path, 'http://x');
  const found = PATTERNS.find((route) => route.method === method && route.pattern.test(pathname));
  if (!found) return;
  const wrong = faultOf(found.name, found.row, answer);
  reached.add(`${found.name} ${answer.status}`);
  if (wrong !== undefined) throw new Error(`${found.name} answered what its row does not say: ${wrong}`);
}

function faultOf(name: RouteName, { answers, isTagged }: Route, { status, headers, body }: Answer): string | undefined {
  const type = headers.get('content-type') ?? '';
  if (status === 304) return isTagged ? undefined : '304, though it is not tagged';
  if (type === 'application/problem+json') {
    const { code } = problemSchema.parse(body);
    if (!isErrorCode(code) || ERRORS[code][0] !== status) return `${code} with status ${status}`;
    return refusalsOf(name).has(code) ? undefined : `${status} ${code}`;
  }
  const expected = answers[status];
  if (expected === undefined) return `${status} ${type}`;
  if (typeof expected === 'string') return type.startsWith(expected) ? undefined : `${status} as ${type}`;
  const parsed = expected.safeParse(body);
  if (!parsed.success) return `${status} with ${z.prettifyError(parsed.error)}`;
  return isDeepStrictEqual(parsed.data, body) ? undefined : `${status} with members that the schema does not have`;
}
