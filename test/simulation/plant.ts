import { type Bundle, bundle } from '../bundle.ts';
import type { PlantedFault } from './faults.ts';

/** The player, and the whole application below it, built from sources into which `fault` was planted. */
export async function playerWith(fault: PlantedFault): Promise<Bundle> {
  const planted = new Set<string>();
  const edit = (path: string, original: string) => {
    let source = original;
    for (const { file, find, replace } of fault.edits) {
      if (file !== path) continue;
      if (source.split(find).length !== 2) throw new Error(`expected "${find}" once in ${file}`);
      source = source.replace(find, () => replace);
      planted.add(file + find);
    }
    return source;
  };
  const built = await bundle('test/simulation/player.ts', { edit });
  if (planted.size !== fault.edits.length)
    throw new Error(`expected to plant ${fault.edits.length} edits, planted ${planted.size}`);
  return built;
}
