/** The table of routes as OpenAPI 3.1, made from the very schemas that parse the requests. */
import { z } from 'zod';
import * as api from '../../../schema/api.ts';
import { ERRORS, type ErrorCode } from '../errors.ts';
import { CSRF_HEADER, SESSION_COOKIE } from './access.ts';
import { type QueryParameter, refusalsOf, type Route, routeRows } from './routes.ts';

const DESCRIPTION = `Zero-knowledge storage for exam recordings. Binary records travel as base64url without padding, times are milliseconds since the Unix epoch.
Members may be added to answers: programs ignore what they do not know. Everything else that would break a program comes under a new version in the path;
a route that is to go says so with Deprecation and Sunset headers half a year before.`;

type Json = Record<string, unknown>;

/** What each `again` promises, in one line. */
export const AGAIN: Record<Route['again'], string> = {
  safe: 'Reads only.',
  same: 'The same request again gets the same answer and changes nothing more.',
  once: 'The second call is refused, and says why.',
  key: 'With an Idempotency-Key the same request again gets the same answer; without one it makes another.',
  anew: 'The same request again does its work again.',
};

/** `/v1/exams/:exam/policy` as OpenAPI writes it. */
export function templateOf(path: string): string {
  return path.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{path}');
}

/** The whole document. The same table, the same bytes. */
export function openapiDocument(): z.infer<typeof api.openapiResponse> {
  const paths: Record<string, Record<string, Json>> = {};
  for (const [name, row] of routeRows) {
    const [method, path] = name.split(' ') as [string, string];
    (paths[templateOf(path)] ??= {})[method.toLowerCase()] = operation(name, path, row, refusalsOf(name));
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Zeroreel',
      version: '1',
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: {
      schemas: schemas(),
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'A token of the staff, or the upload token of an epoch.',
        },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: SESSION_COOKIE,
          description: `From POST /v1/sessions. What changes anything sends ${CSRF_HEADER} too.`,
        },
      },
    },
  };
}

function operation(name: string, path: string, row: Route, refusals: ReadonlySet<ErrorCode>): Json {
  const { access, request, query = [], answers, again, isTagged, deprecated } = row;
  const isStaff = typeof access !== 'string';
  return {
    operationId: name
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replace(/-$/, ''),
    summary: row.summary,
    description: AGAIN[again],
    ...(deprecated && { deprecated: true }),
    security: access === 'anybody' ? [] : [{ bearer: [] }, ...(isStaff ? [{ session: [] }] : [])],
    ...(isStaff && { 'x-roles': ['admin', ...access] }),
    'x-again': again,
    parameters: [...pathParameters(path), ...query.map(queryParameter), ...(again === 'key' ? [IDEMPOTENCY_KEY] : [])],
    ...(request && { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(request) } } } }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, response(answer)])),
      ...(isTagged && { 304: { description: 'What the caller has is the newest.' } }),
      ...problems(refusals, new Set(Object.keys(answers))),
    },
  };
}

const IDEMPOTENCY_KEY = {
  name: 'idempotency-key',
  in: 'header',
  required: false,
  schema: { type: 'string', pattern: '^[A-Za-z0-9_-]{16,64}$' },
  description: 'Random, one for each thing that is to be made; a request that is sent again carries the same.',
};

function pathParameters(path: string): Json[] {
  return [...templateOf(path).matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    ...{ name, in: 'path', required: true, schema: { type: 'string' } },
  }));
}

function queryParameter({ name, pattern, description }: QueryParameter): Json {
  return { name, in: 'query', required: false, description, schema: { type: 'string', pattern } };
}

function response(answer: Route['answers'][number]): Json {
  const content = typeof answer === 'string' ? { [answer]: {} } : { 'application/json': { schema: schemaOf(answer) } };
  return { description: 'As asked.', content };
}

/** One answer by status; its description names the codes. A status that also answers well has both. */
function problems(refusals: ReadonlySet<ErrorCode>, taken: ReadonlySet<string>): Json {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of refusals) byStatus.set(ERRORS[code][0], [...(byStatus.get(ERRORS[code][0]) ?? []), code]);
  const schema = { $ref: '#/components/schemas/problemSchema' };
  return Object.fromEntries(
    [...byStatus]
      .filter(([status]) => !taken.has(String(status)))
      .map(([status, codes]) => [
        String(status),
        {
          description: codes.map((code) => `${code}: ${ERRORS[code][1]}`).join('\n\n'),
          content: { 'application/problem+json': { schema: { ...schema, properties: { code: { enum: codes } } } } },
        },
      ]),
  );
}

// ---- schemas by name ------------------------------------------------------------------------------------------------------
function schemas(): Json {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of named()) registry.add(schema, { id });
  // As input: what may be left out, and answers that may grow.
  const { schemas: made } = z.toJSONSchema(registry, { io: 'input', uri: (id) => `#/components/schemas/${id}` });
  // Where they stand now, the document says what they are and where.
  return Object.fromEntries(Object.entries(made).map(([id, { $schema: _, $id: __, ...schema }]) => [id, schema]));
}

function named(): [id: string, schema: z.ZodType][] {
  return Object.entries<unknown>(api).filter((pair): pair is [string, z.ZodType] => pair[1] instanceof z.ZodType);
}

function schemaOf(schema: z.ZodType): Json {
  const [id] = named().find(([, known]) => known === schema) ?? [];
  if (id === undefined) throw new Error('expected a schema that schema/api.ts exports');
  return { $ref: `#/components/schemas/${id}` };
}
