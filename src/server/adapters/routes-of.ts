/** Which route a request is for, as the table writes it: no id of a request is ever a metric's label or a span's name. */
import { routeRows } from '../http/routes.ts';

/** What is in no table: pages, and paths that do not exist. */
export const OTHER_ROUTE = 'other';

interface Branch {
  route?: string;
  fixed: Map<string, Branch>;
  any?: Branch;
  /** The route that takes whatever follows. */
  rest?: string;
}

const tree: Branch = { fixed: new Map() };
for (const [name] of routeRows) {
  const [method, path] = name.split(' ') as [string, string];
  let at = tree;
  for (const part of [method, ...path.slice(1).split('/')]) {
    if (part === '*') {
      at.rest = path;
      continue;
    }
    let next = part.startsWith(':') ? at.any : at.fixed.get(part);
    if (!next) {
      next = { fixed: new Map() };
      if (part.startsWith(':')) at.any = next;
      else at.fixed.set(part, next);
    }
    at = next;
  }
  at.route ??= path;
}

/** The template of a request's route, such as `/v1/recordings/:id/heads`; `url` begins with the path and may have a query. */
export function routeOf(method: string, url: string): string {
  const end = url.indexOf('?');
  const path = end < 0 ? url : url.slice(0, end);
  let at: Branch | undefined = tree.fixed.get(method === 'HEAD' ? 'GET' : method);
  let rest: string | undefined;
  for (const part of path.slice(1).split('/')) {
    rest = at?.rest ?? rest;
    at = at?.fixed.get(part) ?? at?.any;
    if (!at) break;
  }
  return at?.route ?? rest ?? OTHER_ROUTE;
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** The method as a label: what a client invents is not one. */
export function methodOf(method: string | undefined): string {
  return method !== undefined && METHODS.has(method) ? method : OTHER_ROUTE;
}
