-- The metadata store, for SQLite and for D1. Migrations go forward only: a file that was released is never edited.
-- Ids, hashes and public keys are base64url text, records are their exact bytes, times are ms since 1970.

-- Compare-and-swap without an interactive transaction: the first statement of a batch tries to insert a 0 here when its
-- condition does not hold, which violates this check by name and takes the whole batch back. It never holds a row.
CREATE TABLE must (
  held INTEGER NOT NULL,
  CONSTRAINT must_hold CHECK (held = 1)
) STRICT;

-- The retention log. `position` is the leaf's index in the tree: gapless from 0, assigned inside the batch that appends.
-- No foreign key leads in or out: nothing that is deleted elsewhere may reach the log.
CREATE TABLE log_entries (
  position INTEGER PRIMARY KEY NOT NULL,
  recording_id TEXT,
  bytes BLOB NOT NULL
) STRICT;
CREATE INDEX log_entries_by_recording ON log_entries (recording_id) WHERE recording_id IS NOT NULL;

CREATE TABLE checkpoints (
  size INTEGER PRIMARY KEY NOT NULL,
  note TEXT NOT NULL,
  published_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE tiles (
  level INTEGER NOT NULL,
  position INTEGER NOT NULL,
  hashes BLOB NOT NULL,
  PRIMARY KEY (level, position),
  CONSTRAINT tiles_hold_1_to_256_hashes CHECK (length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 8192)
) STRICT;

CREATE TABLE policies (
  exam_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  policy_hash TEXT NOT NULL UNIQUE,
  owner_hash TEXT NOT NULL,
  bytes BLOB NOT NULL,
  published_ms INTEGER NOT NULL,
  PRIMARY KEY (exam_id, seq)
) STRICT;

-- One row per recording, for ever: after the deletion it is the tombstone.
CREATE TABLE recordings (
  id TEXT PRIMARY KEY NOT NULL,
  exam_id TEXT NOT NULL,
  state TEXT NOT NULL,
  practice INTEGER NOT NULL,
  opened_ms INTEGER NOT NULL,
  delete_by_ms INTEGER NOT NULL,
  uploads_until_ms INTEGER NOT NULL,
  opened_position INTEGER NOT NULL,
  ticket TEXT UNIQUE,
  last_epoch INTEGER NOT NULL,
  seen_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  releases INTEGER NOT NULL,
  last_url_ms INTEGER NOT NULL,
  objects INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  deleted_ms INTEGER,
  CONSTRAINT recordings_practice_is_a_question CHECK (practice IN (0, 1)),
  CONSTRAINT recordings_know_their_states CHECK (
    state IN ('open', 'closed', 'abandoned', 'purging', 'deleted', 'verified')
  ),
  CONSTRAINT recordings_date_their_deletion CHECK ((deleted_ms IS NOT NULL) = (state IN ('deleted', 'verified')))
) STRICT;
CREATE INDEX recordings_by_exam ON recordings (exam_id, id);
CREATE INDEX recordings_due ON recordings (delete_by_ms, id) WHERE deleted_ms IS NULL;
CREATE INDEX recordings_idle ON recordings (seen_ms, id) WHERE state = 'open';
CREATE INDEX recordings_overrun ON recordings (uploads_until_ms) WHERE state = 'open';
CREATE INDEX recordings_unverified ON recordings (id, last_url_ms, deleted_ms) WHERE state = 'deleted';

CREATE TABLE epochs (
  recording_id TEXT NOT NULL REFERENCES recordings (id),
  epoch INTEGER NOT NULL,
  open_hash TEXT NOT NULL,
  open BLOB NOT NULL,
  policy_hash TEXT NOT NULL,
  recorder_pk TEXT NOT NULL,
  token_hash TEXT NOT NULL,
  opened_ms INTEGER NOT NULL,
  head BLOB,
  head_hash TEXT,
  head_seq INTEGER,
  PRIMARY KEY (recording_id, epoch)
) STRICT;

CREATE TABLE tracks (
  recording_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  track INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  codec TEXT NOT NULL,
  count INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (recording_id, epoch, track),
  FOREIGN KEY (recording_id, epoch) REFERENCES epochs (recording_id, epoch)
) STRICT;

-- [Note: shielded blobs] `secure_delete` zeroes a row where it lies, but when SQLite balances a b-tree it moves neighbours
-- to other pages, and the copy left behind in a page's unused gap is never zeroed: after deleting 10,000 wraps, one to
-- three were still in the file. Overflow pages are never moved, and are zeroed when they are freed. At most U - 35 bytes
-- of a row lie in the b-tree itself (sqlite.org/fileformat2.html, 1.6; U <= 4096 here), so 4,096 zeros in front keep
-- everything behind them in overflow pages. That is why these tables waste a page a row, and why `shield` comes first.

-- All wraps of an epoch in one row. `directory` is a JSON array of {keyId, role, bytes} in the order of OPEN's hashes,
-- `wraps` their bytes one after another.
CREATE TABLE wraps (
  recording_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  directory TEXT NOT NULL,
  shield BLOB NOT NULL,
  wraps BLOB NOT NULL,
  PRIMARY KEY (recording_id, epoch),
  FOREIGN KEY (recording_id, epoch) REFERENCES epochs (recording_id, epoch),
  CONSTRAINT wraps_are_shielded CHECK (length(shield) = 4096)
) STRICT;

CREATE TABLE grants (
  recording_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  grant_hash TEXT NOT NULL,
  to_key_id TEXT NOT NULL,
  shield BLOB NOT NULL,
  "grant" BLOB NOT NULL,
  wrap BLOB NOT NULL,
  PRIMARY KEY (recording_id, grant_hash),
  FOREIGN KEY (recording_id, epoch) REFERENCES epochs (recording_id, epoch),
  CONSTRAINT grants_are_shielded CHECK (length(shield) = 4096)
) STRICT;

-- Uploads that were signed and that no head covers yet.
CREATE TABLE pending (
  recording_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  track INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  PRIMARY KEY (recording_id, epoch, track, seq),
  FOREIGN KEY (recording_id, epoch, track) REFERENCES tracks (recording_id, epoch, track)
) STRICT;

-- `position` keeps the order of enrolment.
CREATE TABLE key_documents (
  position INTEGER PRIMARY KEY NOT NULL,
  identity TEXT NOT NULL,
  key_id TEXT NOT NULL,
  op INTEGER NOT NULL,
  document BLOB NOT NULL,
  enrolled_ms INTEGER NOT NULL,
  UNIQUE (identity, document)
) STRICT;

CREATE TABLE tokens (
  token_hash TEXT PRIMARY KEY NOT NULL,
  prefix TEXT NOT NULL,
  role TEXT NOT NULL,
  label TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  revoked_ms INTEGER,
  CONSTRAINT tokens_know_their_roles CHECK (role IN ('admin', 'instructor', 'compliance'))
) STRICT;
CREATE INDEX tokens_by_prefix ON tokens (prefix);

CREATE TABLE leases (
  name TEXT PRIMARY KEY NOT NULL,
  holder TEXT NOT NULL,
  until_ms INTEGER NOT NULL
) STRICT;
