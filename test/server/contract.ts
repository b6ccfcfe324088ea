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
