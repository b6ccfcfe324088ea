/** Arithmetic from an exam's size to load, growth and cost. Pure; every figure can be worked by hand (test/scripts/capacity). */
import type { Values } from './assumptions.ts';

export interface Exam {
  /** Students who record at once. */
  students: number;
  tracks: number;
  chunkSeconds: number;
  hours: number;
  /** All tracks of one student together. */
  kilobitsPerSecond: number;
  retentionDays: number;
  /** How many exams of this size there are in 30 days. */
  examsPerMonth: number;
  /** Share of the recordings that somebody watches in full, 0 to 1. */
  reviewed: number;
  /** All students open within this time. */
  openingMinutes: number;
}

export const USUAL: Omit<Exam, 'students'> = {
  tracks: 3,
  chunkSeconds: 10,
  hours: 3,
  kilobitsPerSecond: 600,
  retentionDays: 30,
  examsPerMonth: 4,
  reviewed: 0.1,
  openingMinutes: 10,
};

export interface Load {
  putsPerSecond: number;
  /** One call of each recorder per chunk interval, which carries every track. */
  callsPerSecond: number;
  headsPerSecond: number;
  opensPerSecond: number;
  /** Transactions of the store: each upload call and each head is one; while all open, each opening is one more. */
  commitsPerSecond: number;
  bytesPerSecond: number;
}

export interface Growth {
  objectsPerExam: number;
  bytesPerExam: number;
  /** What is there at once, in the steady state. */
  bytesKept: number;
  objectsKept: number;
  recordingsKept: number;
  databaseBytes: number;
  /** Never shrinks: tombstones and the log. */
  databaseBytesPerYear: number;
  logEntriesPerYear: number;
  purgeSecondsPerExam: number;
}

export interface Cost {
  storage: number;
  requests: number;
  egress: number;
  total: number;
}

/** One ceiling: `share` of it is used; above 1 it breaks. */
export interface Ceiling {
  name: string;
  share: number;
  then: string;
}

const GIB = 2 ** 30;
const MONTH_DAYS = 30;
const MONTHS_A_YEAR = 365 / MONTH_DAYS;
const MILLION = 1e6;

const secondsOf = ({ hours }: Exam): number => hours * 3600;
const chunksOf = (exam: Exam): number => Math.ceil(secondsOf(exam) / exam.chunkSeconds) * exam.tracks;
const callsOf = (exam: Exam): number => Math.ceil(secondsOf(exam) / exam.chunkSeconds);
const headsOf = (exam: Exam, { headSeconds }: Values): number => Math.ceil(secondsOf(exam) / headSeconds);
/** Several exams are kept at once where they come faster than they are deleted. */
const examsKept = ({ examsPerMonth, retentionDays }: Exam): number => (examsPerMonth * retentionDays) / MONTH_DAYS;

export function loadOf(exam: Exam, values: Values): Load {
  const { students, tracks, chunkSeconds, kilobitsPerSecond, openingMinutes } = exam;
  const callsPerSecond = students / chunkSeconds;
  const headsPerSecond = students / values.headSeconds;
  const opensPerSecond = students / (openingMinutes * 60);
  return {
    putsPerSecond: (students * tracks) / chunkSeconds,
    callsPerSecond,
    headsPerSecond,
    opensPerSecond,
    commitsPerSecond: callsPerSecond + headsPerSecond + opensPerSecond,
    bytesPerSecond: (students * kilobitsPerSecond * 1000) / 8,
  };
}

export function growthOf(exam: Exam, values: Values): Growth {
  const { students, examsPerMonth } = exam;
  const objectsPerExam = students * chunksOf(exam);
  const bytesPerExam = loadOf(exam, values).bytesPerSecond * secondsOf(exam);
  const kept = examsKept(exam);
  const recordingsAYear = students * examsPerMonth * MONTHS_A_YEAR;
  return {
    objectsPerExam,
    bytesPerExam,
    bytesKept: bytesPerExam * kept,
    objectsKept: objectsPerExam * kept,
    recordingsKept: students * kept,
    databaseBytes: students * kept * values.liveRowBytes,
    databaseBytesPerYear: recordingsAYear * values.tombstoneBytes,
    logEntriesPerYear: recordingsAYear * (values.entriesPerRecording + exam.reviewed),
    purgeSecondsPerExam: objectsPerExam / (values.deletesPerConnection * values.purgeConnections),
  };
}

interface Requests {
  puts: number;
  lists: number;
  gets: number;
}

/** A month's: PUT of every chunk, a listing of each track at each head, the purge's listings, GET of what is watched. */
function requestsOf(exam: Exam, values: Values): Requests {
  const recordings = exam.students * exam.examsPerMonth;
  const chunks = chunksOf(exam);
  const pages = Math.max(1, Math.ceil(chunks / values.keysPerList));
  return {
    puts: recordings * chunks,
    lists: recordings * (headsOf(exam, values) * exam.tracks + values.listsPerPurge * pages),
    gets: recordings * exam.reviewed * chunks,
  };
}

/** By the month, in the steady state. Deletions cost nothing in either store. */
export function costOnS3(exam: Exam, values: Values): Cost {
  const { puts, lists, gets } = requestsOf(exam, values);
  const gigabytes = growthOf(exam, values).bytesKept / GIB;
  const tiers: [upTo: number, price: number][] = [
    [50 * 1024, values.s3Storage50],
    [500 * 1024, values.s3Storage500],
    [Infinity, values.s3StorageRest],
  ];
  let storage = 0;
  let from = 0;
  for (const [upTo, price] of tiers) {
    storage += Math.max(0, Math.min(gigabytes, upTo) - from) * price;
    from = upTo;
  }
  const requests = ((puts + lists) * values.s3Put + gets * values.s3Get) / MILLION;
  const egress = (reviewedBytes(exam, values) / GIB) * values.s3Egress;
  return { storage, requests, egress, total: storage + requests + egress };
}

export function costOnR2(exam: Exam, values: Values): Cost {
  const { puts, lists, gets } = requestsOf(exam, values);
  const storage = (growthOf(exam, values).bytesKept / GIB) * values.r2Storage;
  const requests = ((puts + lists) * values.r2ClassA + gets * values.r2ClassB) / MILLION;
  return { storage, requests, egress: 0, total: storage + requests };
}

function reviewedBytes(exam: Exam, values: Values): number {
  return growthOf(exam, values).bytesPerExam * exam.examsPerMonth * exam.reviewed;
}

/** A month of the API on Workers and D1, without CPU time: requests, and rows written, indexes counted. */
export function costOnWorkers(exam: Exam, values: Values): Cost {
  const recordings = exam.students * exam.examsPerMonth;
  const calls = callsOf(exam);
  const heads = headsOf(exam, values);
  // Per chunk a pending row comes and goes, with its key's index; per call the recording and two of its indexes; per head the epoch,
  // each track and the recording again.
  const rows = recordings * (chunksOf(exam) * 4 + calls * 3 + heads * (1 + exam.tracks + 3));
  const requests =
    (Math.max(0, recordings * (calls + heads) - 10 * MILLION) * values.workersRequests) / MILLION +
    (Math.max(0, rows - 50 * MILLION) * values.d1Writes) / MILLION;
  return { storage: 0, requests, egress: 0, total: requests };
}

/** Each way to run it, with its ceilings; the first of each list is the one that breaks first. */
export function ceilingsOf(exam: Exam, values: Values): { deployment: string; ceilings: Ceiling[] }[] {
  const load = loadOf(exam, values);
  const growth = growthOf(exam, values);
  const afterAYear = growth.databaseBytes + growth.databaseBytesPerYear;
  const byShare = (ceilings: Ceiling[]): Ceiling[] => ceilings.toSorted((a, b) => b.share - a.share);
  const puts: Ceiling = {
    name: 'PUTs a second into one partition of an S3 bucket',
    share: load.putsPerSecond / values.s3Puts,
    then: 'object names begin with random characters, so partitions split by themselves, within an hour; ask for it before the exam',
  };
  const commits = (name: string, perSecond: number): Ceiling => ({
    name: `commits a second of one ${name}`,
    share: load.commitsPerSecond / perSecond,
    then: 'a service of its own for each group of exams, each with its own log; or longer chunks',
  });
  const sqlite = commits('SQLite file', values.sqliteCommits);
  return [
    {
      deployment: 'one machine, embedded bucket',
      ceilings: byShare([
        sqlite,
        {
          name: 'bytes a second to one disk',
          share: load.bytesPerSecond / values.diskBytes,
          then: 'an S3 store (ZEROREEL_S3_*): the bytes no longer pass through the server',
        },
      ]),
    },
    { deployment: 'Node, SQLite, an S3 store', ceilings: byShare([sqlite, puts]) },
    {
      deployment: 'many Nodes, PostgreSQL, an S3 store',
      ceilings: byShare([commits('PostgreSQL', values.postgresCommits), puts]),
    },
    {
      deployment: 'Workers, one D1, R2',
      ceilings: byShare([
        {
          name: 'statements a second of one D1 database',
          share: (load.commitsPerSecond * values.d1StatementsPerCommit) / values.d1Statements,
          then: 'one database for each exam or group of exams, a log in each, its checkpoints anchored in one',
        },
        {
          name: 'size of one D1 database after a year',
          share: afterAYear / values.d1Bytes,
          then: 'a new database for each term: tombstones and log stay where they are, and are still served',
        },
      ]),
    },
  ];
}
