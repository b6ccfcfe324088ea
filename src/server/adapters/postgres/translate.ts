/**
 * The migrations under `schema/migrations` are written once, for SQLite and D1, and read here as PostgreSQL: other names of types,
 * triggers as functions. What cannot be read throws, so that a migration in an unknown style is a failing test and not a missing rule.
 */

/**
 * Functions of SQLite that PostgreSQL is taught, so that the statements under `../sql` are the same text for every database. A name
 * with other parameters than the built-in ones is another function (postgresql.org/docs/15/typeconv-func.html).
 */
export const SQLITE_FUNCTIONS = `
CREATE FUNCTION max(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT GREATEST(a, b)';
CREATE FUNCTION min(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT LEAST(a, b)';
CREATE FUNCTION zeroblob(size integer) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT decode(repeat('00', size), 'hex') $$;
CREATE FUNCTION unhex(digits text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT decode(digits, 'hex') $$;
CREATE FUNCTION json_array_length(list text) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT jsonb_array_length(list::jsonb)';
CREATE FUNCTION json_each(list text) RETURNS TABLE (key bigint, value text) LANGUAGE sql IMMUTABLE AS $$
  SELECT place - 1, element #>> '{}' FROM jsonb_array_elements(list::jsonb) WITH ORDINALITY AS elements (element, place)
$$;
CREATE FUNCTION json_member(object text, name text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT object::jsonb ->> name';
CREATE FUNCTION group_concat_step(state text, item text, separator text) RETURNS text LANGUAGE sql IMMUTABLE
  AS $$ SELECT COALESCE(state || separator, '') || item $$;
CREATE AGGREGATE group_concat(text, text) (SFUNC = group_concat_step, STYPE = text);
CREATE OPERATOR ->> (LEFTARG = text, RIGHTARG = text, FUNCTION = json_member);
`;

export class TranslationError extends Error {}

/** Statements of one migration file; only a trigger has semicolons inside. */
export function statementsOf(sql: string): string[] {
  const text = sql.replaceAll(/--.*$/gm, '').trim();
  const parts = text.match(/\s*(?:CREATE TRIGGER[^]*?\bEND\s*;|[^;]+;)/g) ?? [];
  if (parts.join('').replaceAll(/\s/g, '') !== text.replaceAll(/\s/g, '')) {
    throw new TranslationError('expected every statement to end with a semicolon');
  }
  return parts.map((part) => part.trim().slice(0, -1));
}

/** The newest migration when PostgreSQL came: no database there is older, so what the rows before it needed is not done there. */
const FIRST = '0004_cosignatures.sql';
const IS_ABOUT_ROWS = /^(?:INSERT INTO|UPDATE|DELETE FROM)\b/;

/** One migration file for PostgreSQL. Throws `TranslationError`. */
export function toPostgres(sql: string, name: string): string {
  return statementsOf(sql)
    .filter((statement) => name > FIRST || !IS_ABOUT_ROWS.test(statement))
    .map((statement) => `${translated(statement)};\n`)
    .join('\n');
}

function translated(statement: string): string {
  if (statement.startsWith('CREATE TRIGGER')) return triggerOf(statement);
  // The function's trigger goes with it.
  const dropped = /^DROP TRIGGER (\w+)$/.exec(statement);
  if (dropped) return `DROP FUNCTION ${dropped[1]!}() CASCADE`;
  if (/^CREATE TABLE/.test(statement)) return tableOf(statement);
  if (/^ALTER TABLE \w+ (?:ADD|DROP|RENAME) COLUMN/.test(statement)) return typed(statement);
  if (/^(?:CREATE (?:UNIQUE )?INDEX|DROP INDEX|DROP TABLE)\b/.test(statement) || IS_ABOUT_ROWS.test(statement)) {
    return comparable(statement);
  }
  throw new TranslationError(`expected a statement in the style of the migrations, found: ${statement.slice(0, 60)}`);
}

/** Times and sizes need 64 bits; text sorts by its bytes, as in SQLite, whatever the cluster's locale. */
function typed(sql: string): string {
  return sql
    .replaceAll(/\bINTEGER\b/g, 'BIGINT')
    .replaceAll(/\bTEXT\b/g, 'TEXT COLLATE "C"')
    .replaceAll(/\bBLOB\b/g, 'BYTEA');
}

function tableOf(statement: string): string {
  const strict = /\)\s*STRICT(?:,\s*WITHOUT ROWID)?$/;
  if (!strict.test(statement)) throw new TranslationError('expected a table to be STRICT: PostgreSQL knows no other');
  const table = typed(statement.replace(strict, ')'));
  return [table, ...unsampled(table)].join(';\n');
}

/**
 * ANALYZE copies values of columns into its statistics (`pg_statistic`), where nobody would look for a key: no statistics of bytes.
 */
function unsampled(table: string): string[] {
  const [, name] = /^CREATE TABLE (\w+)/.exec(table)!;
  return [...table.matchAll(/^\s*("?\w+"?) BYTEA\b/gm)].map(
    ([, column]) => `ALTER TABLE ${name!} ALTER COLUMN ${column!} SET STATISTICS 0`,
  );
}

/** `IS` and `IS NOT` between two values, which compare nulls too. */
function comparable(condition: string): string {
  return condition
    .replaceAll(/\bIS NOT (?!NULL\b|DISTINCT\b)/g, 'IS DISTINCT FROM ')
    .replaceAll(/\bIS (?!NOT\b|NULL\b|DISTINCT\b)/g, 'IS NOT DISTINCT FROM ');
}

/** PostgreSQL's WHEN takes no sub-select, so the condition goes into the function. */
function triggerOf(statement: string): string {
  const shape =
    /^CREATE TRIGGER (\w+) BEFORE (INSERT|UPDATE|DELETE)( OF [\w, ]+)? ON (\w+)(?:\s+WHEN ([^]+?))?\s+BEGIN SELECT RAISE\(ABORT, ('[^']+')\);\s*END$/;
  const match = shape.exec(statement);
  if (!match) throw new TranslationError(`expected a trigger that only refuses, found: ${statement.slice(0, 60)}`);
  const [, name, event, columns = '', table, condition = 'true', message] = match;
  const isDelete = event === 'DELETE';
  const body = `BEGIN
  IF ${comparable(condition)} THEN
    RAISE EXCEPTION USING MESSAGE = ${message!}, ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN ${isDelete ? 'OLD' : 'NEW'};
END`;
  const made = [
    `CREATE FUNCTION ${name!}() RETURNS trigger LANGUAGE plpgsql AS $$ ${body} $$`,
    `CREATE TRIGGER ${name!} BEFORE ${event!}${columns} ON ${table!} FOR EACH ROW EXECUTE FUNCTION ${name!}()`,
  ];
  // SQLite has no TRUNCATE; here it would go past the row's triggers.
  if (isDelete) {
    const truncated = `${name!}_at_once`;
    made.push(
      `CREATE FUNCTION ${truncated}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION USING MESSAGE = ${message!}, ERRCODE = 'integrity_constraint_violation';
END $$`,
      `CREATE TRIGGER ${truncated} BEFORE TRUNCATE ON ${table!} FOR EACH STATEMENT EXECUTE FUNCTION ${truncated}()`,
    );
  }
  return made.join(';\n');
}
