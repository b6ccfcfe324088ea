/**
 * The index of the embedded bucket: what exists is what stands here. Files are named by chance and mean nothing without
 * their row, so that one SQLite transaction decides create-only, overwrite and delete, with no race between requests and
 * no state between the two that a crash could show. Listing walks a B-tree in key order and never a directory.
 */
import Database from 'better-sqlite3';

export interface StoredHeaders {
  [name: string]: string;
}

/** One object. Its body is the ordered list of the files with the same `body`: one, or one per part of a multipart upload. */
export interface ObjectRow {
  bucket: string;
  key: string;
  body: string;
  bytes: number;
  /** Without its quotes. */
  etag: string;
  /** Milliseconds since the epoch. */
  modifiedAt: number;
  /** JSON of `StoredHeaders`. */
  headers: string;
}

export interface FileRow {
  body: string;
  /** Order in the body: the part number of a multipart upload, else 1. */
  number: number;
  /** Folder and file name under `objects/`. */
  folder: string;
  name: string;
  bytes: number;
  etag: string;
  modifiedAt: number;
}

export interface UploadRow {
  bucket: string;
  key: string;
  /** Also the `body` of its parts, and of the object that it may become. */
  id: string;
  initiatedAt: number;
  headers: string;
}

export interface BucketRow {
  name: string;
  createdAt: number;
  cors: string | null;
  lifecycle: string | null;
}

// Keys are compared as SQLite compares TEXT: byte by byte of their UTF-8, which is S3's order.
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS bucket (
    name TEXT PRIMARY KEY, createdAt INTEGER NOT NULL, cors TEXT, lifecycle TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS object (
    bucket TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, bytes INTEGER NOT NULL, etag TEXT NOT NULL,
    modifiedAt INTEGER NOT NULL, headers TEXT NOT NULL, PRIMARY KEY (bucket, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS upload (
    bucket TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL, initiatedAt INTEGER NOT NULL, headers TEXT NOT NULL,
    PRIMARY KEY (bucket, key, id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS file (
    body TEXT NOT NULL, number INTEGER NOT NULL, folder TEXT NOT NULL, name TEXT NOT NULL, bytes INTEGER NOT NULL,
    etag TEXT NOT NULL, modifiedAt INTEGER NOT NULL, PRIMARY KEY (body, number)
  ) STRICT, WITHOUT ROWID;
  -- Files whose rows are gone and which are still to be unlinked.
  CREATE TABLE IF NOT EXISTS doomed (folder TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (folder, name)) STRICT, WITHOUT ROWID;
`;

/** Appended to a prefix, it is above every key with that prefix; keys that hold it are refused. */
export const AFTER_EVERYTHING = '\u{10ffff}';

export type Catalogue = ReturnType<typeof openCatalogue>;

export function openCatalogue(path: string) {
  const database = new Database(path);
  database.pragma('journal_mode = WAL');
  // An acknowledged PUT survives a power cut, not only a crash of this process.
  database.pragma('synchronous = FULL');
  // A deleted key is overwritten, not only unlinked from its page.
  database.pragma('secure_delete = ON');
  database.pragma('busy_timeout = 5000');
  database.exec(SCHEMA);

  const one = <T>(sql: string) => database.prepare<unknown[], T>(sql);
  const statements = {
    bucket: one<BucketRow>('SELECT * FROM bucket WHERE name = ?'),
    buckets: one<BucketRow>('SELECT * FROM bucket ORDER BY name'),
    addBucket: one('INSERT INTO bucket (name, createdAt) VALUES (?, ?) ON CONFLICT DO NOTHING'),
    dropBucket: one('DELETE FROM bucket WHERE name = ?'),
    setCors: one('UPDATE bucket SET cors = ? WHERE name = ?'),
    setLifecycle: one('UPDATE bucket SET lifecycle = ? WHERE name = ?'),
    anyObject: one<{ key: string }>('SELECT key FROM object WHERE bucket = ? LIMIT 1'),
    anyUpload: one<{ key: string }>('SELECT key FROM upload WHERE bucket = ? LIMIT 1'),
    object: one<ObjectRow>('SELECT * FROM object WHERE bucket = ? AND key = ?'),
    objectsAfter: one<ObjectRow>(
      'SELECT * FROM object WHERE bucket = ? AND key >= ? AND key > ? AND key < ? ORDER BY key LIMIT ?',
    ),
    putObject: one(
      `INSERT OR REPLACE INTO object (bucket, key, body, bytes, etag, modifiedAt, headers)
       VALUES (@bucket, @key, @body, @bytes, @etag, @modifiedAt, @headers)`,
    ),
    deleteObject: one('DELETE FROM object WHERE bucket = ? AND key = ?'),
    files: one<FileRow>('SELECT * FROM file WHERE body = ? ORDER BY number'),
    filesAfter: one<FileRow>('SELECT * FROM file WHERE body = ? AND number > ? ORDER BY number LIMIT ?'),
    file: one<FileRow>('SELECT * FROM file WHERE body = ? AND number = ?'),
    putFile: one(
      `INSERT OR REPLACE INTO file (body, number, folder, name, bytes, etag, modifiedAt)
       VALUES (@body, @number, @folder, @name, @bytes, @etag, @modifiedAt)`,
    ),
    deleteFile: one('DELETE FROM file WHERE body = ? AND number = ?'),
    deleteFiles: one('DELETE FROM file WHERE body = ?'),
    doomFiles: one('INSERT OR IGNORE INTO doomed (folder, name) SELECT folder, name FROM file WHERE body = ?'),
    doomFile: one(
      'INSERT OR IGNORE INTO doomed (folder, name) SELECT folder, name FROM file WHERE body = ? AND number = ?',
    ),
    doomed: one<{ folder: string; name: string }>('SELECT folder, name FROM doomed LIMIT ?'),
    forgetDoomed: one('DELETE FROM doomed WHERE folder = ? AND name = ?'),
    upload: one<UploadRow>('SELECT * FROM upload WHERE bucket = ? AND key = ? AND id = ?'),
    uploadsAfter: one<UploadRow>(
      `SELECT * FROM upload WHERE bucket = ? AND key >= ? AND key < ? AND (key, id) > (?, ?) ORDER BY key, id LIMIT ?`,
    ),
    addUpload: one(
      'INSERT INTO upload (bucket, key, id, initiatedAt, headers) VALUES (@bucket, @key, @id, @initiatedAt, @headers)',
    ),
    deleteUpload: one('DELETE FROM upload WHERE bucket = ? AND key = ? AND id = ?'),
  };

  return {
    ...statements,

    /** Runs `work` in a transaction, or in a savepoint of the one that is running; an exception undoes it. */
    transaction<T>(work: () => T): T {
      return database.transaction(work).immediate();
    },

    isInTransaction(): boolean {
      return database.inTransaction;
    },

    /** Removes an object's rows and dooms its files. False where there was none. Only inside a transaction. */
    removeObject(bucket: string, key: string): boolean {
      const found = statements.object.get(bucket, key);
      if (!found) return false;
      statements.deleteObject.run(bucket, key);
      this.removeBody(found.body);
      return true;
    },

    removeBody(body: string): void {
      statements.doomFiles.run(body);
      statements.deleteFiles.run(body);
    },

    /** Empties the write-ahead log into the file: what was deleted is then in neither. */
    checkpoint(): void {
      database.pragma('wal_checkpoint(TRUNCATE)');
    },

    close(): void {
      database.close();
    },
  };
}
