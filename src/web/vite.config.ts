/** Builds the pages: one HTML file each, hashed assets, compressed once and for all. `scripts/pages.ts` runs it. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';
import { pageFile, PAGES, type PageRules } from '../../schema/pages.ts';

const ROOT = import.meta.dirname;

/** Every page's document: nothing differs but its title and its script, `NAME/main.tsx`. */
function documentOf({ path, title }: PageRules): string {
  const name = path === '/' ? 'start' : path.slice(1);
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>${title}</title>
    <link rel="icon" href="/icon.svg" type="image/svg+xml" />
    <link rel="stylesheet" href="/style.css" />
  </head>
  <body>
    <div id="root"></div>
    <noscript>This page needs JavaScript: it encrypts and decrypts on this device, and nowhere else.</noscript>
    <script type="module" src="/${name}/main.tsx"></script>
  </body>
</html>
`;
}

/** Gives Vite the pages' documents, which are no files. */
function documents(): Plugin {
  const byFile = new Map(PAGES.map((page) => [join(ROOT, pageFile(page)), page]));
  return {
    name: 'zeroreel: documents of the pages',
    enforce: 'pre',
    resolveId: (id) => (byFile.has(id) ? id : null),
    load: (id) => {
      const page = byFile.get(id);
      return page ? documentOf(page) : null;
    },
  };
}

const COMPRESSED = /\.(?:html|js|css|svg)$/;

/** Beside each file, what a browser that takes Brotli or gzip is sent. A file that does not get smaller gets none. */
function compress(dir: string): void {
  for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
    if (!COMPRESSED.test(name)) continue;
    const plain = readFileSync(join(dir, name));
    const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
    const forms = { br: brotliCompressSync(plain, { params: quality }), gz: gzipSync(plain, { level: 9 }) };
    for (const [suffix, bytes] of Object.entries(forms)) {
      if (bytes.length < plain.length) writeFileSync(join(dir, `${name}.${suffix}`), bytes);
    }
  }
}

/** For wrangler: Cloudflare compresses by itself. */
const NOT_UPLOADED = '*.br\n*.gz\n.built\n';

function finish(): Plugin {
  let outDir = '';
  return {
    name: 'zeroreel: compress',
    configResolved: (config) => {
      outDir = config.build.outDir;
    },
    closeBundle: {
      order: 'post',
      sequential: true,
      handler: () => {
        writeFileSync(join(outDir, '.assetsignore'), NOT_UPLOADED);
        compress(outDir);
      },
    },
  };
}

export default defineConfig({
  root: ROOT,
  base: '/',
  publicDir: false,
  appType: 'mpa',
  logLevel: 'warn',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es' },
  build: {
    target: 'es2023',
    emptyOutDir: true,
    // No inline anything: the policy allows none, data: URLs neither.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    sourcemap: false,
    rolldownOptions: {
      checks: { bundlerTimings: false },
      input: PAGES.map((page) => join(ROOT, pageFile(page))),
      output: { hashCharacters: 'hex' },
    },
  },
  plugins: [documents(), finish()],
});
