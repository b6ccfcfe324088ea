/** Builds the pages into dist/ where they are missing or older than their source; in well under a second where they are not. */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');
/** Everything that a page is made of. */
const SOURCES = ['src/web', 'src/client', 'crypto', 'schema', 'package-lock.json', 'tsconfig.json'];

/** SHA-256 over names and contents, 32 bytes: also what a recorder names as its build. */
function sourceHash(): Buffer {
  const hash = createHash('sha256');
  const add = (name: string, bytes: Uint8Array): void => {
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  };
  for (const source of SOURCES) {
    const path = join(ROOT, source);
    if (/\.\w+$/.test(source)) {
      add(source, readFileSync(path));
      continue;
    }
    const names = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort();
    for (const name of names.filter((file) => /\.\w+$/.test(file)))
      add(join(source, name), readFileSync(join(path, name)));
  }
  return hash.digest();
}

/** Answers whether anything had to be built. Safe to call from several processes at once. */
export async function ensurePages(): Promise<boolean> {
  const build = sourceHash().toString('base64url');
  const stamp = `${build}\n`;
  const isFresh = (): boolean =>
    existsSync(join(DIST, '.built')) && readFileSync(join(DIST, '.built'), 'utf8') === stamp;
  if (isFresh()) return false;
  const { build: bundle } = await import('vite');
  const outDir = join(ROOT, 'node_modules', `.pages-${randomUUID()}`);
  try {
    await bundle({
      configFile: join(ROOT, 'src/web/vite.config.ts'),
      define: { 'import.meta.env.ZEROREEL_BUILD': JSON.stringify(build) },
      build: { outDir },
    });
    writeFileSync(join(outDir, '.built'), stamp);
    swap(outDir, isFresh);
  } finally {
    rmSync(outDir, { recursive: true, force: true });
  }
  return true;
}

/** One rename each way, so that nobody sees half a folder; where another process was quicker with the same build, its folder stays. */
function swap(outDir: string, isFresh: () => boolean): void {
  const old = `${outDir}.old`;
  try {
    if (existsSync(DIST)) renameSync(DIST, old);
    renameSync(outDir, DIST);
  } catch (error) {
    if (!isFresh()) throw error;
  } finally {
    rmSync(old, { recursive: true, force: true });
  }
}

if (process.argv[1] === import.meta.filename) {
  if (await ensurePages()) process.stderr.write('zeroreel: the pages are built, in dist/\n');
}
