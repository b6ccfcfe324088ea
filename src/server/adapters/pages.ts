/** The pages as the build left them in a folder: read once, served as bytes. Nothing here knows what is in them. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Hono } from 'hono';
import { assetHeaders, pageFile, pageHeaders, PAGES } from '../../../schema/pages.ts';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};

/** By what a client accepts, best first; the build wrote a file beside each that it made smaller. */
const ENCODINGS = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const;

interface Asset {
  etag: string;
  headers: Record<string, string>;
  /** By content coding; `identity` is always there. */
  bodies: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

export interface PagesOptions {
  /** What `npm run build` made. */
  dir: string;
  /** Where presigned URLs point. */
  bucketOrigin: string;
}

/** Routes of every page and its files; undefined where the pages were not built. */
export function openPages({ dir, bucketOrigin }: PagesOptions): Hono | undefined {
  if (!PAGES.every((page) => existsSync(join(dir, pageFile(page))))) return undefined;
  const routes = new Hono();
  const serve = (path: string, asset: Asset) => routes.get(path, (c) => answer(asset, c.req.raw.headers));
  for (const page of PAGES) serve(page.path, readAsset(dir, pageFile(page), pageHeaders(page, bucketOrigin)));
  for (const name of readdirSync(join(dir, 'assets'))) {
    if (/\.(?:br|gz)$/.test(name)) continue;
    serve(`/assets/${name}`, readAsset(dir, `assets/${name}`, assetHeaders(bucketOrigin)));
  }
  return routes;
}

function readAsset(dir: string, name: string, headers: Record<string, string>): Asset {
  const path = join(dir, name);
  const plain = readFileSync(path);
  const bodies = new Map<string, Uint8Array<ArrayBuffer>>([['identity', plain]]);
  for (const [coding, suffix] of ENCODINGS)
    if (existsSync(path + suffix)) bodies.set(coding, readFileSync(path + suffix));
  const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
  const contentType = CONTENT_TYPES[name.slice(name.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
  return { etag, bodies, headers: { ...headers, etag, 'content-type': contentType, vary: 'accept-encoding' } };
}

function answer({ etag, headers, bodies }: Asset, request: Headers): Response {
  if (request.get('if-none-match') === etag) return new Response(null, { status: 304, headers });
  const accepted = (request.get('accept-encoding') ?? '').split(',').map((coding) => coding.trim());
  const [coding] = ENCODINGS.find(([name]) => accepted.includes(name) && bodies.has(name)) ?? ['identity'];
  const body = bodies.get(coding)!;
  const length = { 'content-length': String(body.length) };
  return new Response(body, {
    headers: { ...headers, ...length, ...(coding !== 'identity' && { 'content-encoding': coding }) },
  });
}
