/** The tables of schema/API.md, in the words of the server itself. */
import { ERRORS } from '../errors.ts';
import { whoMay } from './reference.ts';
import { routeRows } from './routes.ts';

const AGAIN = { safe: 'reads', same: 'same answer', once: 'refused', key: 'Idempotency-Key', anew: 'does it again' };

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

const TABLES: Record<string, () => string> = {
  routes: () =>
    table(
      ['route', 'what', 'who', 'the same call again'],
      routeRows.map(([name, row]) => [`\`${name}\``, row.summary, whoMay(row), AGAIN[row.again]]),
    ),
  codes: () =>
    table(
      ['code', 'status', 'meaning'],
      Object.entries(ERRORS).map(([code, [status, meaning]]) => [`\`${code}\``, String(status), meaning]),
    ),
};

/** The document with each table between its markers, `<!-- NAME -->` and `<!-- end -->`, as it is now. */
export function withTables(document: string): string {
  return document.replaceAll(
    /(<!-- (\w+) -->\n)[^]*?(<!-- end -->)/g,
    (whole, begin: string, name: string, end: string) => {
      const make = TABLES[name];
      return make ? `${begin}\n${make()}\n\n${end}` : whole;
    },
  );
}
