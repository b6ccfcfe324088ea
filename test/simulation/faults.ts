/** Faults that somebody might commit one day, each as an edit of the real source. A simulation that misses one proves nothing. */

export interface Edit {
  file: string;
  /** Occurs exactly once in the file: a planted fault that no longer fits the source fails its test. */
  find: string;
  replace: string;
}

export interface PlantedFault {
  name: string;
  edits: Edit[];
}

const PURGE = 'src/server/jobs/purge.ts';
const INTEND_AND_SHRED = `await intend(ports, recording, await reasonOf(ports, recording));
      await shred(ports, recording.id);`;
const RETENTION = 'src/server/core/retention.ts';
const UPLOADING = 'src/server/core/uploading.ts';
const RECORDINGS = 'src/server/http/recordings.ts';
const LEASE: Edit = {
  file: 'src/server/jobs/lease.ts',
  find: 'if (!(await take())) return false;',
  replace: 'await take();',
};

export const FAULTS: readonly PlantedFault[] = [
  // purge
  fault('purge trusts the answer of the delete', PURGE, 'if (found === 0) return;', 'return;'),
  fault(
    'purge marks as done what the store refused',
    PURGE,
    "await reportAnomaly(ports, recordingId, 'delete-failed', found, endOf);",
    'return;',
  ),
  fault(
    'purge lists objects and no versions',
    PURGE,
    'batches(bucket.listVersions(prefix), KEYS_PER_DELETE)',
    'batches(bucket.list(prefix), KEYS_PER_DELETE)',
  ),
  fault(
    'purge begins a day early',
    PURGE,
    'store.due(clock.now(), PAGE, cursor)',
    'store.due(clock.now() + 86_400_000, PAGE, cursor)',
  ),
  fault('purge never shreds', PURGE, 'await shred(ports, recording.id);', ''),
  fault(
    'purge shreds before the intent is in the log',
    PURGE,
    INTEND_AND_SHRED,
    `await ports.vault.destroy(recording.id); ${INTEND_AND_SHRED}`,
  ),
  fault(
    'purge deletes objects before the intent is in the log',
    PURGE,
    INTEND_AND_SHRED,
    `await emptyPrefix(ports, recording.id, renew); ${INTEND_AND_SHRED}`,
  ),
  fault(
    'purge deletes under too short a prefix',
    'src/server/core/names.ts',
    'return `${recordingId}/`;',
    'return recordingId.slice(0, 0);',
  ),
  {
    name: 'purge forgets unfinished multiparts',
    edits: [
      { file: PURGE, find: 'found = await bucket.abortMultiparts(prefix);', replace: 'found = 0;' },
      {
        file: PURGE,
        find: 'let returned = await bucket.abortMultiparts(recordingPrefix(id));',
        replace: 'let returned = 0;',
      },
    ],
  },
  fault('erasure answers before the share is gone', PURGE, 'await shred(ports, recordingId);', ''),
  // the second look
  fault('no second listing', PURGE, 'if (returned === 0) return true;', 'return true;'),
  fault(
    'no time between the looks',
    RETENTION,
    'return areUploadsOver && deletedMs !== null && deletedMs < now - VERIFY_AFTER_MS;',
    'return true;',
  ),
  fault(
    'no margin for slow uploads',
    RETENTION,
    'lastUrlMs < now - CLOCK_SKEW_MS - LONGEST_UPLOAD_MS',
    'lastUrlMs < now - CLOCK_SKEW_MS',
  ),
  fault(
    'no margin for clocks that differ',
    RETENTION,
    'lastUrlMs < now - CLOCK_SKEW_MS - LONGEST_UPLOAD_MS',
    'lastUrlMs < now - LONGEST_UPLOAD_MS',
  ),
  fault('verified while an anomaly is open', PURGE, '...closings(open, at, endOf),', ''),
  // presign
  fault(
    'uploads go on up to delete_by',
    RETENTION,
    'const lastMomentMs = deleteByMs - URL_LIFE_SECONDS * 1000 - CLOCK_SKEW_MS;',
    'const lastMomentMs = deleteByMs;',
  ),
  fault(
    'signed before it is remembered',
    RECORDINGS,
    '!(await store.rememberUploads(id, body.epoch, wanted, expiresMs, now))',
    'wanted.length > 1_000',
  ),
  fault(
    'the tombstone forgets the last URL',
    'src/server/adapters/sql/life.ts',
    'last_url_ms = MAX(last_url_ms, ?)',
    'last_url_ms = MAX(last_url_ms, 0 * ?)',
  ),
  // open
  {
    name: 'row before share',
    edits: [
      {
        file: RECORDINGS,
        find: `await keepShare(opening, now);
      if (!(await store.openRecording(recording, rows.epoch, rows.tracks, rows.wraps, rows.entry))) {`,
        replace: `const isNew = await store.openRecording(recording, rows.epoch, rows.tracks, rows.wraps, rows.entry);
      await keepShare(opening, now);
      if (!isNew) {`,
      },
    ],
  },
  fault(
    'delete_by a day later than the policy says',
    RETENTION,
    'const deleteByMs = deleteByOf(now, policy);',
    'const deleteByMs = deleteByOf(now, policy) + 86_400_000;',
  ),
  fault(
    'sweep does not ask whose share it is',
    'src/server/jobs/sweep.ts',
    'if (owned.has(nameOf(share))) continue;',
    '',
  ),
  // head
  fault(
    'a head is believed without a listing',
    RECORDINGS,
    'if (missing.length > 0) {',
    'if (missing.length > 1_000) {',
  ),
  // reading and uploading after the end
  fault(
    'readable until the purge comes round',
    UPLOADING,
    'if (isDying || now >= recording.deleteByMs) {',
    'if (isDying) {',
  ),
  fault(
    'readable while it is deleted',
    UPLOADING,
    'if (isDying || now >= recording.deleteByMs) {',
    'if (recording.deleteByMs < 0) {',
  ),
  {
    name: 'uploads after the end',
    edits: [
      { file: UPLOADING, find: 'requireExisting(recording, now);', replace: '' },
      {
        file: UPLOADING,
        find: "if (recording.state !== 'open') throw",
        replace: "if (recording.state === 'verified') throw",
      },
      {
        file: 'src/server/adapters/sql/life.ts',
        find: `async rememberUploads(recordingId, epoch, rows, urlExpiresMs, now) {
      const done = await driver.batch([
        guard(IS_OPEN, recordingId),`,
        replace: `async rememberUploads(recordingId, epoch, rows, urlExpiresMs, now) {
      const done = await driver.batch([`,
      },
    ],
  },
  // commit and log
  {
    name: 'the intent is committed without its entry',
    edits: [
      {
        file: 'src/server/adapters/sql/deletion.ts',
        find: `          found.objects,
          found.bytes,
          recordingId,
        ),
        appendEntry(entry),`,
        replace: `          found.objects,
          found.bytes,
          recordingId,
        ),`,
      },
    ],
  },
  {
    name: 'an anomaly is logged by whoever sees it',
    edits: [
      LEASE,
      {
        file: 'src/server/adapters/sql/log.ts',
        find: '(SELECT COUNT(*) FROM log_entries WHERE recording_id = ?) = ?',
        replace: '(SELECT COUNT(*) FROM log_entries WHERE recording_id = ?) >= ? - 100000',
      },
    ],
  },
  fault(
    'a checkpoint signs another order',
    'src/server/jobs/publish.ts',
    'entries.map(({ bytes }) => leafHash(bytes))',
    'entries.toReversed().map(({ bytes }) => leafHash(bytes))',
  ),
];

/** The lease only saves doing things twice; without it every promise must still hold. */
export const HARMLESS: readonly PlantedFault[] = [{ name: 'the lease is ignored', edits: [LEASE] }];

function fault(name: string, file: string, find: string, replace: string): PlantedFault {
  return { name, edits: [{ file, find, replace }] };
}
