import { describe, expect, it } from 'vitest';
import { statementsOf, toPostgres, TranslationError } from '../../src/server/adapters/postgres/translate.ts';

const LATER = '9999_later.sql';
const lines = (sql: string): string => sql.replaceAll(/\s+/g, ' ').trim();

describe('a migration, read as PostgreSQL', () => {
  it('has wider numbers, text that sorts by its bytes, and no statistics of bytes', () => {
    const sql = toPostgres(
      `-- a TEXT of comment\nCREATE TABLE t (\n  id TEXT PRIMARY KEY NOT NULL,\n  at INTEGER,\n  key BLOB NOT NULL\n) STRICT;`,
      LATER,
    );
    expect(lines(sql)).toBe(
      'CREATE TABLE t ( id TEXT COLLATE "C" PRIMARY KEY NOT NULL, at BIGINT, key BYTEA NOT NULL ); ALTER TABLE t ALTER COLUMN key SET STATISTICS 0;',
    );
  });

  it('refuses by a function what a trigger refuses, nulls compared and TRUNCATE included', () => {
    const sql = toPostgres(
      `CREATE TRIGGER t_never_goes BEFORE DELETE ON t WHEN OLD.a IS NOT OLD.b AND OLD.c IS NOT NULL\nBEGIN SELECT RAISE(ABORT, 'never'); END;`,
      LATER,
    );
    expect(sql).toContain('IF OLD.a IS DISTINCT FROM OLD.b AND OLD.c IS NOT NULL THEN');
    expect(sql).toContain('RETURN OLD;');
    expect(sql).toContain('BEFORE TRUNCATE ON t');
  });

  it('drops a trigger with its function, and adds columns', () => {
    expect(toPostgres('DROP TRIGGER t_grows;', LATER)).toBe('DROP FUNCTION t_grows() CASCADE;\n');
    expect(toPostgres('ALTER TABLE t ADD COLUMN at INTEGER;', LATER)).toBe('ALTER TABLE t ADD COLUMN at BIGINT;\n');
  });

  it('carries rows over, but not from before there was a PostgreSQL to have any', () => {
    const sql = 'UPDATE t SET a = 1 WHERE b IS NOT c;';
    expect(toPostgres(sql, LATER)).toBe('UPDATE t SET a = 1 WHERE b IS DISTINCT FROM c;\n');
    expect(toPostgres(sql, '0003_access.sql')).toBe('');
  });

  it.each([
    'PRAGMA foreign_keys = ON;',
    'CREATE TABLE t (a INTEGER);',
    'CREATE VIEW v AS SELECT 1;',
    `CREATE TRIGGER t AFTER INSERT ON t BEGIN UPDATE t SET a = 1; END;`,
    'CREATE INDEX i ON t (a)',
  ])('says what it cannot read, and reads it as nothing else: %s', (sql) => {
    expect(() => toPostgres(sql, LATER)).toThrow(TranslationError);
  });

  it('knows where a statement ends', () => {
    expect(
      statementsOf(`CREATE INDEX i ON t (a);\n-- b;\nCREATE TRIGGER t BEFORE UPDATE ON t\nBEGIN SELECT 1; END;`),
    ).toHaveLength(2);
  });
});
