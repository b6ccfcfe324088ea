/**
 * The pages out of Workers' static assets (developers.cloudflare.com/workers/static-assets). The Worker is asked first (wrangler.toml) and
 * gives each file its headers: the policy names the bucket, which is a setting of the deployment and not of the build.
 */
import { type Context, Hono } from 'hono';
import { assetHeaders, pageHeaders, PAGES } from '../../../schema/pages.ts';
import { ServerError } from '../errors.ts';

/** What this adapter uses of an assets binding. */
export interface AssetsBinding {
  fetch(request: Request): Promise<Response>;
}

/** Routes of every page and its files. `bucketOrigin`: where presigned URLs point. */
export function openAssets(assets: AssetsBinding, bucketOrigin: string): Hono {
  const routes = new Hono();
  const serve = async (c: Context, headers: Record<string, string>): Promise<Response> => {
    const found = await assets.fetch(c.req.raw);
    if (found.status === 404) throw new ServerError('not-found', 'there is no such file');
    const response = new Response(found.body, found);
    for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
    return response;
  };
  for (const page of PAGES) routes.get(page.path, (c) => serve(c, pageHeaders(page, bucketOrigin)));
  routes.get('/assets/*', (c) => serve(c, assetHeaders(bucketOrigin)));
  return routes;
}
