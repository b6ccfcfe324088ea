import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { getTableConfig, SQLiteSyncDialect, type SQLiteTable } from 'drizzle-orm/sqlite-core';
import { is, SQL, Table } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as schema from '../../schema/tables.ts';
import { openSqliteStore } from '../../src/server/adapters/sqlite.ts';

const tables = Object.values(schema).filter((value): value is (typeof schema)[keyof typeof schema] => is(value, Table));
const dialect = new SQLiteSyncDialect();
const words = (text: string): string => text.replaceAll(/\s+/g, ' ').replaceAll(/\( | \)/g, (match) => match.trim());

/** What a column is, as far as both sides can say. */
interface Column {
  name: string;
  type: string;
  isNullable: boolean;
  isPrimary: boolean;
}

function declared(table: SQLiteTable) {
  const config = getTableConfig(table);
  const primary = new Set([
    ...config.columns.filter((column) => column.primary).map((column) => column.name),
    ...config.primaryKeys.flatMap((key) => key.columns.map((column) => column.name)),
  ]);
  return {
    columns: config.columns.map((column): Column => ({
      name: column.name,
      type: column.getSQLType().toUpperCase(),
      isNullable: !column.notNull && !column.primary,
      isPrimary: primary.has(column.name),
    })),
    uniques: [
      ...config.columns.filter((column) => column.isUnique).map((column) => column.name),
      ...config.uniqueConstraints.map((unique) => unique.columns.map((column) => column.name).join()),
    ].sort(),
    indexes: config.indexes
      .map(({ config: { name, columns, where } }) => {
        const on = columns.map((column) => (is(column, SQL) ? dialect.sqlToQuery(column).sql : column.name)).join();
        return `${name}(${on})${where ? ` WHERE ${dialect.sqlToQuery(where).sql}` : ''}`;
      })
      .sort(),
    foreignKeys: config.foreignKeys
      .map((key) => {
        const { columns, foreignTable, foreignColumns } = key.reference();
        const names = (list: typeof columns): string => list.map((column) => column.name).join();
        return `${names(columns)} -> ${getTableConfig(foreignTable).name}(${names(foreignColumns)})`;
      })
      .sort(),
    checks: config.checks.map(
      ({ name, value }) => `CONSTRAINT ${name} CHECK (${words(dialect.sqlToQuery(value).sql)})`,
    ),
  };
}

describe('the tables in SQL and in drizzle', () => {
  const folder = mkdtempSync(join(tmpdir(), 'zeroreel-schema-'));
  let database: Database.Database;

  beforeAll(async () => {
    const path = join(folder, 'store.db');
    await openSqliteStore({ path }).close();
    database = new Database(path, { readonly: true });
  });

  afterAll(() => {
    database.close();
    rmSync(folder, { recursive: true });
  });

  const rows = <Row>(sql: string, ...params: string[]): Row[] => database.prepare<string[], Row>(sql).all(...params);

  function actual(name: string) {
    interface Info {
      name: string;
      type: string;
      notnull: number;
      pk: number;
    }
    interface Index {
      name: string;
      origin: 'c' | 'u' | 'pk';
    }
    interface Reference {
      id: number;
      from: string;
      table: string;
      to: string;
    }
    const indexed = (index: string): string =>
      rows<{ name: string }>('SELECT name FROM pragma_index_info(?) ORDER BY seqno', index)
        .map((column) => column.name)
        .join();
    const indexes = rows<Index>('SELECT name, origin FROM pragma_index_list(?)', name);
    const definition = (index: string): string =>
      rows<{ sql: string }>('SELECT sql FROM sqlite_schema WHERE name = ?', index)[0]!.sql;
    const references = new Map<number, Reference[]>();
    for (const row of rows<Reference>(
      'SELECT id, "from", "table", "to" FROM pragma_foreign_key_list(?) ORDER BY seq',
      name,
    )) {
      references.set(row.id, [...(references.get(row.id) ?? []), row]);
    }
    const sql = words(rows<{ sql: string }>('SELECT sql FROM sqlite_schema WHERE name = ?', name)[0]!.sql);
    return {
      columns: rows<Info>('SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?)', name).map((info): Column => ({
        name: info.name,
        type: info.type,
        isNullable: info.notnull === 0,
        isPrimary: info.pk > 0,
      })),
      uniques: indexes
        .filter(({ origin }) => origin === 'u')
        .map((index) => indexed(index.name))
        .sort(),
      indexes: indexes
        .filter(({ origin }) => origin === 'c')
        .map((index) => {
          const where = /WHERE .*$/.exec(definition(index.name));
          return `${index.name}(${indexed(index.name)})${where ? ` ${where[0]}` : ''}`;
        })
        .sort(),
      foreignKeys: [...references.values()]
        .map(
          (list) => `${list.map((row) => row.from).join()} -> ${list[0]!.table}(${list.map((row) => row.to).join()})`,
        )
        .sort(),
      checks: [...sql.matchAll(/CONSTRAINT \w+ CHECK \((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)/g)].map(
        ([check]) => check,
      ),
      isStrict: sql.endsWith('STRICT'),
    };
  }

  it('are the same tables', () => {
    const inDatabase = rows<{ name: string }>(
      `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'migrations'`,
    ).map(({ name }) => name);
    expect(tables.map((table) => getTableConfig(table).name).sort()).toEqual(inDatabase.sort());
  });

  it.each(tables.map((table) => [getTableConfig(table).name, table] as const))(
    '%s: columns, keys, indexes and checks agree, and the table is strict',
    (name, table) => {
      expect({ ...declared(table), isStrict: true }).toEqual(actual(name));
    },
  );
});
