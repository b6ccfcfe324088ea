/**
 * Programs as one file each, for whoever starts them a hundred times or with a change planted in them: tsx compiles every
 * source anew in every process, five times the work of the start itself.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Inside node_modules, so that what stays outside a bundle resolves from there. */
const CACHE = join(ROOT, 'node_modules', '.cache');

export interface Bundle {
  path: string;
  remove(): void;
}

export interface BundleOptions {
  /** Answers the source to take for a file, by its path from the root; default the file's own. */
  edit?: (path: string, source: string) => string;
}

/** `entry`: a path from the root, such as `src/node.ts`. */
export async function bundle(entry: string, { edit = (_, source) => source }: BundleOptions = {}): Promise<Bundle> {
  const sources: Plugin = {
    name: 'sources',
    setup: (builder) => {
      builder.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const url = JSON.stringify(pathToFileURL(path).href);
        const source = readFileSync(path, 'utf8').replaceAll('import.meta.url', url);
        return { contents: edit(relative(ROOT, path), source), loader: 'ts' };
      });
    },
  };
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, 'bundle-'));
  const path = join(folder, 'program.mjs');
  await build({
    entryPoints: [join(ROOT, entry)],
    outfile: path,
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['better-sqlite3', 'esbuild'],
    // CommonJS packages ask for Node's own modules by `require`, which a module has not.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    logLevel: 'silent',
    plugins: [sources],
  });
  return {
    path,
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
