/** Zeroreel on Cloudflare Workers; `wrangler.toml` binds it. */
import { createWorker } from './server/edge.ts';

export default createWorker();
