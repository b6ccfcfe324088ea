import { readdirSync, readFileSync } from 'node:fs';

const MIGRATIONS = new URL('../../schema/migrations/store/', import.meta.url);

/** The store's migrations statement by statement, as a D1 binding takes them; only a trigger has semicolons inside. */
export const migrationStatements = readdirSync(MIGRATIONS)
  .sort()
  .flatMap((name) => {
    const sql = readFileSync(new URL(name, MIGRATIONS), 'utf8').replaceAll(/^--.*$/gm, '');
    return [...sql.matchAll(/(?:CREATE TRIGGER[^]*?\bEND|(?:CREATE|ALTER|INSERT|DROP)[^;]+);/g)].map(
      ([statement]) => statement,
    );
  });
