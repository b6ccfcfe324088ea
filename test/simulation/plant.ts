import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import type { PlantedFault } from './faults.ts';
import type { Simulator } from './history.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Inside node_modules, so that what is not ours resolves from there. */
const FOLDER = `${ROOT}node_modules/.cache/zeroreel-planted/`;

/** The simulator, and the whole application below it, built from sources into which `fault` was planted. */
export async function simulatorWith(fault: PlantedFault, tapesEach: number): Promise<Simulator> {
  const planted = new Set<string>();
  const plugin: Plugin = {
    name: 'plant',
    setup: (builder) => {
      builder.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        let source = readFileSync(path, 'utf8').replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href));
        for (const { file, find, replace } of fault.edits) {
          if (file !== relative(ROOT, path)) continue;
          if (source.split(find).length !== 2) throw new Error(`expected "${find}" once in ${file}`);
          source = source.replace(find, () => replace);
          planted.add(file + find);
        }
        return { contents: source, loader: 'ts' };
      });
    },
  };
  const { outputFiles } = await build({
    entryPoints: [`${ROOT}test/simulation/history.ts`],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    logLevel: 'silent',
    plugins: [plugin],
  });
  if (planted.size !== fault.edits.length)
    throw new Error(`expected to plant ${fault.edits.length} edits, planted ${planted.size}`);
  mkdirSync(FOLDER, { recursive: true });
  const path = `${FOLDER}${fault.name.replaceAll(/\W+/g, '-')}-${process.pid}.mjs`;
  writeFileSync(path, outputFiles[0]!.contents);
  try {
    const module = (await import(/* @vite-ignore */ pathToFileURL(path).href)) as { Simulator: typeof Simulator };
    return await module.Simulator.create(tapesEach);
  } finally {
    rmSync(path);
  }
}
