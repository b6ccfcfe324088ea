-- What no code path may do, refused by the database itself: by the server, by a later version of it, by an operator's shell.
-- Every "before insert" below is there because INSERT OR REPLACE removes the older row without firing a delete trigger
-- unless recursive_triggers is on, and D1 lets nobody switch it on.

-- The log: append only, gapless.
CREATE TRIGGER log_entries_are_gapless BEFORE INSERT ON log_entries
WHEN NEW.position IS NOT (SELECT COALESCE(MAX(position) + 1, 0) FROM log_entries)
BEGIN SELECT RAISE(ABORT, 'a log entry goes to the next position'); END;
CREATE TRIGGER log_entries_never_change BEFORE UPDATE ON log_entries
BEGIN SELECT RAISE(ABORT, 'a log entry never changes'); END;
CREATE TRIGGER log_entries_never_go BEFORE DELETE ON log_entries
BEGIN SELECT RAISE(ABORT, 'a log entry is never deleted'); END;

-- Checkpoints: each larger than the one before, none covers an entry that is not there.
CREATE TRIGGER checkpoints_grow BEFORE INSERT ON checkpoints
WHEN NEW.size <= (SELECT COALESCE(MAX(size), -1) FROM checkpoints)
BEGIN SELECT RAISE(ABORT, 'a checkpoint is larger than the one before'); END;
CREATE TRIGGER checkpoints_cover_what_is_there BEFORE INSERT ON checkpoints
WHEN NEW.size > (SELECT COALESCE(MAX(position) + 1, 0) FROM log_entries)
BEGIN SELECT RAISE(ABORT, 'a checkpoint covers entries that exist'); END;
CREATE TRIGGER checkpoints_never_change BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'a checkpoint never changes'); END;
CREATE TRIGGER checkpoints_never_go BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'a checkpoint is never deleted'); END;

-- Tiles: a partial tile only ever gets longer.
CREATE TRIGGER tiles_only_grow BEFORE UPDATE ON tiles
WHEN NEW.level IS NOT OLD.level OR NEW.position IS NOT OLD.position
  OR substr(NEW.hashes, 1, length(OLD.hashes)) IS NOT OLD.hashes
BEGIN SELECT RAISE(ABORT, 'a tile only grows'); END;
CREATE TRIGGER tiles_never_go BEFORE DELETE ON tiles
BEGIN SELECT RAISE(ABORT, 'a tile is never deleted'); END;

-- Policies: what was accepted stays as it was signed, and sequences increase.
CREATE TRIGGER policies_increase BEFORE INSERT ON policies
WHEN NEW.seq <= (SELECT MAX(seq) FROM policies WHERE exam_id = NEW.exam_id)
  OR EXISTS (SELECT 1 FROM policies WHERE policy_hash = NEW.policy_hash)
BEGIN SELECT RAISE(ABORT, 'a policy has a higher seq than the one before'); END;
CREATE TRIGGER policies_never_change BEFORE UPDATE ON policies
BEGIN SELECT RAISE(ABORT, 'a policy never changes'); END;
CREATE TRIGGER policies_never_go BEFORE DELETE ON policies
BEGIN SELECT RAISE(ABORT, 'a policy is never deleted'); END;

-- Recordings: one row for ever, its obligation fixed at opening.
CREATE TRIGGER recordings_begin_open BEFORE INSERT ON recordings
WHEN NEW.state IS NOT 'open'
BEGIN SELECT RAISE(ABORT, 'a recording begins open'); END;
-- More than a foreign key could say: the obligation is in the log before the recording can be.
CREATE TRIGGER recordings_begin_in_the_log BEFORE INSERT ON recordings
WHEN NOT EXISTS (SELECT 1 FROM log_entries WHERE position = NEW.opened_position AND recording_id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'a recording begins with its entry in the log'); END;
CREATE TRIGGER recordings_begin_once BEFORE INSERT ON recordings
WHEN EXISTS (SELECT 1 FROM recordings WHERE id = NEW.id)
  OR EXISTS (SELECT 1 FROM recordings WHERE ticket = NEW.ticket)
BEGIN SELECT RAISE(ABORT, 'a recording begins once, and a ticket opens one'); END;
CREATE TRIGGER recordings_never_go BEFORE DELETE ON recordings
BEGIN SELECT RAISE(ABORT, 'a recording leaves a tombstone'); END;
CREATE TRIGGER recordings_keep_their_origin BEFORE UPDATE ON recordings
WHEN NEW.id IS NOT OLD.id OR NEW.exam_id IS NOT OLD.exam_id OR NEW.practice IS NOT OLD.practice
  OR NEW.opened_ms IS NOT OLD.opened_ms OR NEW.opened_position IS NOT OLD.opened_position
  OR NEW.ticket IS NOT OLD.ticket
BEGIN SELECT RAISE(ABORT, 'what a recording was opened with never changes'); END;
CREATE TRIGGER recordings_delete_by_comes_forward BEFORE UPDATE ON recordings
WHEN NEW.delete_by_ms > OLD.delete_by_ms
BEGIN SELECT RAISE(ABORT, 'delete_by is never put off'); END;
CREATE TRIGGER recordings_go_forward BEFORE UPDATE ON recordings
WHEN NEW.state IS NOT OLD.state AND NOT (
  (OLD.state = 'open' AND NEW.state IN ('closed', 'abandoned', 'purging'))
  OR (OLD.state IN ('closed', 'abandoned') AND NEW.state = 'purging')
  OR (OLD.state = 'purging' AND NEW.state = 'deleted')
  OR (OLD.state = 'deleted' AND NEW.state = 'verified')
)
BEGIN SELECT RAISE(ABORT, 'a state never goes back or skips one'); END;
-- The tombstone's time counts from the last URL's death: forgetting a URL would verify a deletion too early.
CREATE TRIGGER recordings_never_forget BEFORE UPDATE ON recordings
WHEN NEW.last_url_ms < OLD.last_url_ms OR NEW.releases < OLD.releases OR NEW.last_epoch < OLD.last_epoch
  OR (OLD.deleted_ms IS NOT NULL AND NEW.deleted_ms IS NOT OLD.deleted_ms)
BEGIN SELECT RAISE(ABORT, 'what happened to a recording is not taken back'); END;
CREATE TRIGGER recordings_delete_their_keys_first BEFORE UPDATE ON recordings
WHEN OLD.state = 'purging' AND NEW.state = 'deleted' AND (
  EXISTS (SELECT 1 FROM wraps WHERE recording_id = NEW.id) OR EXISTS (SELECT 1 FROM grants WHERE recording_id = NEW.id)
)
BEGIN SELECT RAISE(ABORT, 'wraps and grants are destroyed before a recording is deleted'); END;

-- Epochs: what the recorder signed stays, heads only advance, and all of it goes only with a deletion.
CREATE TRIGGER epochs_begin_while_open BEFORE INSERT ON epochs
WHEN (SELECT state FROM recordings WHERE id = NEW.recording_id) IS NOT 'open'
  OR EXISTS (SELECT 1 FROM epochs WHERE recording_id = NEW.recording_id AND epoch = NEW.epoch)
BEGIN SELECT RAISE(ABORT, 'an epoch begins once, in an open recording'); END;
CREATE TRIGGER epochs_begin_under_a_policy BEFORE INSERT ON epochs
WHEN NOT EXISTS (
  SELECT 1 FROM policies WHERE policy_hash = NEW.policy_hash
    AND exam_id = (SELECT exam_id FROM recordings WHERE id = NEW.recording_id)
)
BEGIN SELECT RAISE(ABORT, 'an epoch begins under a policy of its exam'); END;
CREATE TRIGGER epochs_keep_their_origin BEFORE UPDATE ON epochs
WHEN NEW.recording_id IS NOT OLD.recording_id OR NEW.epoch IS NOT OLD.epoch OR NEW.open_hash IS NOT OLD.open_hash
  OR NEW.open IS NOT OLD.open OR NEW.policy_hash IS NOT OLD.policy_hash OR NEW.recorder_pk IS NOT OLD.recorder_pk
  OR NEW.token_hash IS NOT OLD.token_hash OR NEW.opened_ms IS NOT OLD.opened_ms
BEGIN SELECT RAISE(ABORT, 'what an epoch was opened with never changes'); END;
CREATE TRIGGER epochs_heads_advance BEFORE UPDATE ON epochs
WHEN NEW.head_hash IS NOT OLD.head_hash AND NOT (NEW.head_seq > COALESCE(OLD.head_seq, -1))
BEGIN SELECT RAISE(ABORT, 'a head has a higher seq than the one before'); END;
CREATE TRIGGER epochs_go_with_a_deletion BEFORE DELETE ON epochs
WHEN (SELECT state FROM recordings WHERE id = OLD.recording_id) NOT IN ('purging', 'deleted')
BEGIN SELECT RAISE(ABORT, 'an epoch goes only with its recording'); END;
CREATE TRIGGER tracks_count_up BEFORE UPDATE ON tracks
WHEN NEW.count < OLD.count
BEGIN SELECT RAISE(ABORT, 'a track never loses a chunk'); END;

-- Keys: nothing that opens a recording is added once its deletion has begun, nor lost before.
CREATE TRIGGER wraps_come_while_open BEFORE INSERT ON wraps
WHEN (SELECT state FROM recordings WHERE id = NEW.recording_id) IS NOT 'open'
BEGIN SELECT RAISE(ABORT, 'wraps come with an epoch'); END;
CREATE TRIGGER wraps_go_with_a_deletion BEFORE DELETE ON wraps
WHEN (SELECT state FROM recordings WHERE id = OLD.recording_id) IS NOT 'purging'
BEGIN SELECT RAISE(ABORT, 'wraps go only with a deletion'); END;
CREATE TRIGGER wraps_never_change BEFORE UPDATE ON wraps
BEGIN SELECT RAISE(ABORT, 'a wrap never changes'); END;
CREATE TRIGGER grants_come_before_a_deletion BEFORE INSERT ON grants
WHEN (SELECT state FROM recordings WHERE id = NEW.recording_id) NOT IN ('open', 'closed', 'abandoned')
BEGIN SELECT RAISE(ABORT, 'a deletion has begun'); END;
CREATE TRIGGER grants_go_with_a_deletion BEFORE DELETE ON grants
WHEN (SELECT state FROM recordings WHERE id = OLD.recording_id) IS NOT 'purging'
BEGIN SELECT RAISE(ABORT, 'grants go only with a deletion'); END;
CREATE TRIGGER grants_never_change BEFORE UPDATE ON grants
BEGIN SELECT RAISE(ABORT, 'a grant never changes'); END;

CREATE TRIGGER key_documents_never_change BEFORE UPDATE ON key_documents
BEGIN SELECT RAISE(ABORT, 'a key document never changes'); END;
CREATE TRIGGER key_documents_never_go BEFORE DELETE ON key_documents
BEGIN SELECT RAISE(ABORT, 'a key document is never deleted'); END;
