/** Cross-origin rules of a bucket: stored as S3's XML, applied as S3 does (Amazon S3 User Guide, "Using CORS"). */
import type { BucketRow } from './catalogue.ts';
import { S3Error } from './errors.ts';
import { header, type S3Request } from './request.ts';
import { children, childText, parseXml, type XmlNode } from './xml.ts';

interface CorsRule {
  origins: string[];
  methods: string[];
  headers: string[];
  exposed: string[];
  maxAgeSeconds: string | undefined;
}

/** Any page may use what it holds a signed URL for: the signature is the authority, and no cookie is ever read here. */
export const OPEN_CORS = `<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedMethod>HEAD</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedHeader>*</AllowedHeader><ExposeHeader>etag</ExposeHeader><ExposeHeader>content-range</ExposeHeader><ExposeHeader>content-length</ExposeHeader><MaxAgeSeconds>3600</MaxAgeSeconds></CORSRule></CORSConfiguration>`;

function texts(node: XmlNode, name: string): string[] {
  return children(node, name).map((child) => {
    if (typeof child !== 'string') throw new S3Error('MalformedXML', `expected text in ${name}`);
    return child;
  });
}

/** Throws `MalformedXML` on what is no CORS configuration. */
export function parseCors(document: string): CorsRule[] {
  const rules = children(parseXml(document, 'CORSConfiguration'), 'CORSRule').map((node) => ({
    origins: texts(node, 'AllowedOrigin'),
    methods: texts(node, 'AllowedMethod'),
    headers: texts(node, 'AllowedHeader').map((name) => name.toLowerCase()),
    exposed: texts(node, 'ExposeHeader'),
    maxAgeSeconds: childText(node, 'MaxAgeSeconds'),
  }));
  if (
    rules.length === 0 ||
    rules.length > 100 ||
    rules.some((rule) => rule.origins.length === 0 || rule.methods.length === 0)
  ) {
    throw new S3Error('MalformedXML', 'expected 1 to 100 rules, each with an origin and a method');
  }
  return rules;
}

/** Browsers send an Origin with every chunk: the rules of the bucket that is in use are parsed once. */
let parsed: { document: string; rules: CorsRule[] } | undefined;

function rulesOf(document: string): CorsRule[] {
  if (parsed?.document !== document) parsed = { document, rules: parseCors(document) };
  return parsed.rules;
}

/** A pattern with at most one `*`. */
function isMatch(pattern: string, text: string): boolean {
  const star = pattern.indexOf('*');
  if (star < 0) return pattern === text;
  const [head, tail] = [pattern.slice(0, star), pattern.slice(star + 1)];
  return text.length >= head.length + tail.length && text.startsWith(head) && text.endsWith(tail);
}

/** The headers that let the page at `Origin` read the answer; none where no rule allows it. */
export function corsHeaders(request: S3Request, bucket: BucketRow | undefined): Record<string, string> {
  const origin = header(request, 'origin');
  const stored = bucket?.cors ?? undefined;
  if (origin === undefined || stored === undefined) return {};
  const method = header(request, 'access-control-request-method') ?? request.method;
  const asked = (header(request, 'access-control-request-headers') ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
  const rule = rulesOf(stored).find(
    ({ origins, methods, headers }) =>
      origins.some((pattern) => isMatch(pattern, origin)) &&
      methods.includes(method) &&
      asked.every((name) => headers.some((pattern) => isMatch(pattern, name))),
  );
  if (!rule) return {};
  return {
    'access-control-allow-origin': rule.origins.includes('*') ? '*' : origin,
    'access-control-allow-methods': rule.methods.join(', '),
    ...(asked.length > 0 && { 'access-control-allow-headers': asked.join(', ') }),
    ...(rule.exposed.length > 0 && { 'access-control-expose-headers': rule.exposed.join(', ') }),
    ...(rule.maxAgeSeconds !== undefined && { 'access-control-max-age': rule.maxAgeSeconds }),
    vary: 'origin, access-control-request-headers, access-control-request-method',
  };
}

/** The answer to a preflight, which carries no signature. */
export function preflight(request: S3Request, bucket: BucketRow | undefined): Record<string, string> {
  if (header(request, 'origin') === undefined || header(request, 'access-control-request-method') === undefined) {
    throw new S3Error('InvalidRequest', 'expected an origin and access-control-request-method');
  }
  const headers = corsHeaders(request, bucket);
  if (Object.keys(headers).length === 0) throw new S3Error('AccessDenied', 'no rule allows this cross-origin request');
  return headers;
}
