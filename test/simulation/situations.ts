/**
 * What happened in histories, counted: the figures that a README may state, and the proof that what the simulation claims to
 * model truly occurs. A run in which one of these never came up has not tested what its name says.
 */
export const SITUATIONS = {
  opened: 'recordings opened',
  resumed: 'recordings that went on as a new epoch',
  closed: 'recordings closed by their recorder',
  abandoned: 'recordings abandoned',
  erased: 'erasures on request',
  created: 'objects stored',
  acknowledged: 'objects that a receipt counted',
  slow: 'uploads that ended after their URL had expired',
  expired: 'uploads that began after their URL had expired, and were refused',
  returned: 'objects stored after the intent to delete them',
  multiparts: 'multipart uploads left unfinished',
  versioned: 'histories with a versioned bucket',
  refused: 'keys whose delete was refused inside a 200',
  lies: 'deletes that were claimed and not done',
  failed: 'calls to store, vault or bucket that failed',
  unanswered: 'calls that were done and whose answer was lost',
  lostRequests: 'requests that never arrived',
  lostAnswers: 'answers that never arrived',
  deaths: 'deaths of a server before a call was done',
  lateDeaths: 'deaths of a server after a call was done',
  restarts: 'restarts of a server',
  pairs: 'histories of two servers on one store',
  races: 'writes that lost a race and were taken back',
  doubles: 'cron runs that came twice at once',
  ahead: 'servers whose clock was ten minutes ahead',
  behind: 'servers whose clock was ten minutes behind',
  back: 'clocks that stepped back',
  forward: 'clocks that stepped forward',
  leapDays: 'recordings kept over a leap day',
  leapDeadlines: 'recordings due on a leap day',
  handedOut: 'times that keys or URLs were handed to a reader',
  turnedAway: 'times that a reader was told that a recording is deleted',
  anomalies: 'anomalies found and closed',
  verified: 'deletions verified',
  entries: 'log entries',
} as const;

export type Situation = keyof typeof SITUATIONS;
export type Counts = Record<Situation, number>;

export const ALL_SITUATIONS = Object.keys(SITUATIONS) as Situation[];

export function noCounts(): Counts {
  return Object.fromEntries(ALL_SITUATIONS.map((situation) => [situation, 0])) as Counts;
}
