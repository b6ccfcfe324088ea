/**
 * What the capacity model takes as given, each with where it is from and when it was read. Prices and limits change: `zeroreel
 * capacity --set NAME=VALUE` puts another value in the place of one.
 */

export interface Assumption {
  value: number;
  unit: string;
  /** A page and the day on which it was read, or the command that measured it. */
  source: string;
}

const AWS =
  'aws.amazon.com/s3/pricing, S3 Standard, us-east-1, tiers as quoted 2022-07-07, unchanged by 2026-09-20 as far as readable';
const R2 = 'developers.cloudflare.com/r2/pricing, stored copy read 2026-11-25';
const WORKERS = 'developers.cloudflare.com/workers/platform/pricing, as quoted 2026-08-03';
const D1_PRICES = 'developers.cloudflare.com/d1/platform/pricing, as quoted 2026-08-03';
const D1_LIMITS = 'developers.cloudflare.com/d1/platform/limits, stored copy of 2026-04-21';
const OWN = 'measured on two loaded cores, loopback; README.md';

const assume = (value: number, unit: string, source: string): Assumption => ({ value, unit, source });

export const ASSUMPTIONS = {
  // ---- the protocol
  headSeconds: assume(30, 's between heads', 'schema/PROTOCOL.md section 9'),
  keysPerDelete: assume(1000, 'keys a DeleteObjects call', 'S3 API reference, DeleteObjects'),
  keysPerList: assume(1000, 'keys a ListObjectsV2 page', 'S3 API reference, ListObjectsV2'),
  entriesPerRecording: assume(5, 'log entries', 'opened, closed, deletion.intended, completed, verified'),
  listsPerPurge: assume(
    7,
    'listings of a prefix at least',
    'src/server/jobs/purge.ts: objects, versions and multiparts, until empty, and twice more',
  ),
  // ---- measured
  liveRowBytes: assume(7968, 'B of SQLite a recording', '3,000 recordings with two wraps each, file size, 2026-11-25'),
  tombstoneBytes: assume(
    1278,
    'B of SQLite a deleted recording and its log entries',
    'the same file after all were deleted, free pages left out',
  ),
  sqliteCommits: assume(11_430, 'requests/s with group commit', `${OWN}, fsync 0.15 ms`),
  postgresCommits: assume(
    1200,
    'commits/s of one node, 64 at once',
    'src/server/adapters/postgres over a socket, on two cores so loaded that SQLite made 7,000, 2026-11-25',
  ),
  deletesPerConnection: assume(1000, 'keys/s', `${OWN}: a Ceph Object Gateway deletes 670 to 1,670`),
  purgeConnections: assume(4, 'recordings deleted at once', 'src/server/jobs/batch.ts'),
  // ---- limits
  d1Statements: assume(
    1000,
    'statements/s',
    'D1 limits: one database works through statements one at a time, 1,000/s where each takes 1 ms; an estimate, not a measurement',
  ),
  d1StatementsPerCommit: assume(5, 'statements a commit', 'src/server/adapters/sql/life.ts'),
  d1Bytes: assume(10e9, 'B a database', D1_LIMITS),
  s3Puts: assume(
    3500,
    'PUTs/s a partition',
    'docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html; a bucket begins with one, and splits within 30 to 60 minutes',
  ),
  diskBytes: assume(200e6, 'B/s', 'a disk for the embedded bucket; an estimate: measure yours'),
  // ---- prices in US dollars
  s3Storage50: assume(0.023, '$/GB-month, first 50 TB', AWS),
  s3Storage500: assume(0.022, '$/GB-month, next 450 TB', AWS),
  s3StorageRest: assume(0.021, '$/GB-month beyond', AWS),
  s3Put: assume(5, '$/million PUT and LIST', AWS),
  s3Get: assume(0.4, '$/million GET', AWS),
  s3Egress: assume(0.09, '$/GB to the internet, the first tier for all of it', AWS),
  r2Storage: assume(0.015, '$/GB-month', R2),
  r2ClassA: assume(4.5, '$/million PUT and LIST', R2),
  r2ClassB: assume(0.36, '$/million GET', R2),
  workersRequests: assume(0.3, '$/million requests beyond 10 million, CPU time not included', WORKERS),
  d1Writes: assume(1, '$/million rows written beyond 50 million', D1_PRICES),
} satisfies Record<string, Assumption>;

export type AssumptionName = keyof typeof ASSUMPTIONS;
export type Values = Readonly<Record<AssumptionName, number>>;

export function isAssumption(name: string): name is AssumptionName {
  return Object.hasOwn(ASSUMPTIONS, name);
}

export function valuesWith(changes: Partial<Values> = {}): Values {
  const entries = Object.entries(ASSUMPTIONS).map(([name, { value }]) => [name, value]);
  return { ...(Object.fromEntries(entries) as Values), ...changes };
}
