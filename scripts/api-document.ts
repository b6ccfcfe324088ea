/** Writes the tables of schema/API.md anew, from the routes and codes that the server has: `npx tsx scripts/api-document.ts`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { withTables } from '../src/server/http/api-tables.ts';

const path = new URL('../schema/API.md', import.meta.url);
writeFileSync(path, withTables(readFileSync(path, 'utf8')));
