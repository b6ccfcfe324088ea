/** Makes one script of the test files, their vectors and the code under test, which needs nothing of Node. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { havePublicVectors, publicVectorsFolder } from '../publicvectors.ts';

const HERE = new URL('.', import.meta.url).pathname;
const VECTORS = new URL('../../vectors/', import.meta.url).pathname;

/** `node:fs` that holds the vectors and nothing else, by their names. */
function frozenFiles(): string {
  const folders = [VECTORS, ...(havePublicVectors ? [publicVectorsFolder] : [])];
  const paths = folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  const files = paths
    .filter((path) => path.endsWith('.json'))
    .map((path) => [basename(path), readFileSync(path, 'utf8')]);
  return `
    const files = new Map(${JSON.stringify(files)});
    const nameOf = (path) => String(path).split('/').pop();
    export const existsSync = () => ${havePublicVectors};
    export function readFileSync(path) {
      const text = files.get(nameOf(path));
      if (text === undefined) throw new Error('not in the bundle: ' + nameOf(path));
      return text;
    }`;
}

const standIns: Plugin = {
  name: 'stand-ins for Node',
  setup: (bundle) => {
    bundle.onResolve({ filter: /^vitest$/ }, () => ({ path: join(HERE, 'frame.ts') }));
    bundle.onResolve({ filter: /^node:(fs|path)$/ }, ({ path }) => ({ path, namespace: 'stand-in' }));
    bundle.onLoad({ filter: /fs$/, namespace: 'stand-in' }, () => ({ contents: frozenFiles() }));
    bundle.onLoad({ filter: /path$/, namespace: 'stand-in' }, () => ({
      contents: `export const resolve = (...parts) => parts.join('/');`,
    }));
  },
};

/** `entry` calls `runAll` of `plan.ts` and is an ES module. */
export async function bundleFor(entry: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: entry, resolveDir: HERE, loader: 'ts' },
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2023',
    platform: 'browser',
    conditions: ['browser'],
    // Files find their vectors beside themselves; here every path leads to the same shelf.
    define: { 'import.meta.url': '"file:///bundle/at/some/depth/script.js"' },
    plugins: [standIns],
    logLevel: 'error',
  });
  return outputFiles[0]!.text;
}
