import Database from 'better-sqlite3';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What stands in an embedded bucket's folder, read with no code of its own: the files, and the files that the index names. */
export function viewFolder(dir: string): { incoming: string[]; files: string[]; indexed: string[]; doomed: number } {
  const files = readdirSync(join(dir, 'objects')).flatMap((folder) =>
    readdirSync(join(dir, 'objects', folder)).map((name) => `${folder}/${name}`),
  );
  const database = new Database(join(dir, 'index.sqlite'), { readonly: true });
  try {
    const rows = database.prepare<[], { path: string }>(`SELECT folder || '/' || name AS path FROM file`).all();
    const doomed = database.prepare<[], { count: number }>('SELECT count(*) AS count FROM doomed').get()!.count;
    return {
      incoming: readdirSync(join(dir, 'incoming')),
      files: files.sort(),
      indexed: rows.map(({ path }) => path).sort(),
      doomed,
    };
  } finally {
    database.close();
  }
}

/** Whether any file of the folder, the index and its log included, holds these bytes. */
export function isAnywhere(dir: string, bytes: Buffer, read: (path: string) => Buffer): boolean {
  if (!existsSync(dir)) return false;
  return readdirSync(dir, { recursive: true, withFileTypes: true }).some(
    (entry) => entry.isFile() && read(join(entry.parentPath, entry.name)).includes(bytes),
  );
}
