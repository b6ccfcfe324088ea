/** What of a cluster's settings the promises rest upon; read once, when a node connects. */
import type pg from 'pg';
import { StoreError } from '../../store.ts';

/** A promise that this cluster, as it is set, does not keep. */
export interface Unsettled {
  /**
   * `durable`: an acknowledged write could be lost. `traceless`: destroyed bytes stay in the cluster's own files. `elsewhere`: they
   * are copied to where this server cannot look: an archive, a standby.
   */
  promise: 'durable' | 'traceless' | 'elsewhere';
  found: string;
  hint: string;
}

export interface Settled {
  cluster: string;
  /** Whether this role may switch the WAL and ask for a checkpoint. */
  canCheckpoint: boolean;
  unsettled: Unsettled[];
}

/** `pg_checkpoint` came with it. */
const OLDEST = 150_000;

const QUESTIONS = `SELECT
  (SELECT system_identifier::text FROM pg_control_system()) AS cluster,
  current_setting('server_version_num')::int AS version,
  current_setting('server_encoding') AS encoding,
  current_setting('fsync') AS fsync,
  current_setting('full_page_writes') AS full_pages,
  current_setting('synchronous_commit') AS commits,
  current_setting('wal_recycle') AS recycle,
  current_setting('wal_keep_size') AS keep_size,
  current_setting('archive_mode') AS archive,
  (SELECT count(*)::int FROM pg_replication_slots) AS slots,
  pg_has_role('pg_checkpoint', 'usage') AND has_function_privilege('pg_switch_wal()', 'execute') AS can_checkpoint,
  (current_setting('log_statement') <> 'none' OR current_setting('log_min_duration_statement') <> '-1'
    OR current_setting('log_duration') = 'on') AND current_setting('log_parameter_max_length') <> '0'
    OR current_setting('log_parameter_max_length_on_error') <> '0' AS logs_parameters`;

interface Answers {
  cluster: string;
  version: number;
  encoding: string;
  fsync: string;
  full_pages: string;
  commits: string;
  recycle: string;
  keep_size: string;
  archive: string;
  slots: number;
  can_checkpoint: boolean;
  logs_parameters: boolean;
}

const GRANTS = 'GRANT pg_checkpoint TO ROLE; GRANT EXECUTE ON FUNCTION pg_switch_wal() TO ROLE';

/** Throws `StoreError` where the database cannot be used at all. */
export async function settle(pool: pg.Pool): Promise<Settled> {
  const version = await pool.query("SELECT current_setting('server_version_num')::int AS version");
  const found = (version.rows[0] as { version: number }).version;
  if (found < OLDEST) throw new StoreError('version', `expected PostgreSQL 15 or later, found ${String(found)}`);
  const answers = (await pool.query(QUESTIONS)).rows[0] as Answers;
  if (answers.encoding !== 'UTF8') {
    throw new StoreError('version', `expected a database in UTF8, found ${answers.encoding}`);
  }
  const checks: (Unsettled & { isKept: boolean })[] = [
    { promise: 'durable', isKept: answers.fsync === 'on', found: 'fsync is off', hint: 'fsync = on' },
    {
      promise: 'durable',
      isKept: answers.full_pages === 'on',
      found: 'full_page_writes is off',
      hint: 'full_page_writes = on',
    },
    {
      promise: 'durable',
      isKept: answers.commits !== 'off',
      found: 'synchronous_commit is off',
      hint: 'synchronous_commit = on',
    },
    {
      promise: 'traceless',
      isKept: answers.can_checkpoint,
      found: 'this role may not remove old WAL segments',
      hint: GRANTS,
    },
    {
      promise: 'traceless',
      isKept: answers.recycle === 'off',
      found: 'WAL segments are used again with what they held',
      hint: 'wal_recycle = off',
    },
    {
      promise: 'traceless',
      isKept: answers.keep_size === '0',
      found: `${answers.keep_size} of WAL are kept`,
      hint: 'wal_keep_size = 0',
    },
    {
      promise: 'traceless',
      isKept: !answers.logs_parameters,
      found: 'the server log shows parameters of statements',
      hint: 'log_parameter_max_length = 0, log_parameter_max_length_on_error = 0',
    },
    {
      promise: 'elsewhere',
      isKept: answers.archive === 'off',
      found: 'the WAL is archived',
      hint: 'keep the archive of the vault no longer than ZEROREEL_VAULT_HORIZON_HOURS',
    },
    {
      promise: 'elsewhere',
      isKept: answers.slots === 0,
      found: 'a replication slot keeps WAL until its standby has it',
      hint: 'max_slot_wal_keep_size, and the same settings on the standby',
    },
  ];
  return {
    cluster: answers.cluster,
    canCheckpoint: answers.can_checkpoint,
    unsettled: checks
      .filter(({ isKept }) => !isKept)
      .map(({ promise, found: what, hint }) => ({ promise, found: what, hint })),
  };
}
