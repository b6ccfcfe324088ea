-- Reviewers' notes on a recording, sealed by them under its metadata key: the server keeps bytes that it cannot read, and they
-- die with the recording's keys. Shielded as wraps are ([Note: shielded blobs] in the first migration).
CREATE TABLE notes (
  recording_id TEXT NOT NULL REFERENCES recordings (id),
  note_hash TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  shield BLOB NOT NULL,
  note BLOB NOT NULL,
  PRIMARY KEY (recording_id, note_hash),
  CONSTRAINT notes_are_shielded CHECK (length(shield) = 4096)
) STRICT;

CREATE TRIGGER notes_come_before_a_deletion BEFORE INSERT ON notes
WHEN (SELECT state FROM recordings WHERE id = NEW.recording_id) NOT IN ('open', 'closed', 'abandoned')
BEGIN SELECT RAISE(ABORT, 'a note comes before a deletion'); END;
CREATE TRIGGER notes_go_with_a_deletion BEFORE DELETE ON notes
WHEN (SELECT state FROM recordings WHERE id = OLD.recording_id) IS NOT 'purging'
BEGIN SELECT RAISE(ABORT, 'notes go only with a deletion'); END;
CREATE TRIGGER notes_never_change BEFORE UPDATE ON notes
BEGIN SELECT RAISE(ABORT, 'a note never changes'); END;
CREATE TRIGGER recordings_take_their_notes BEFORE UPDATE ON recordings
WHEN OLD.state = 'purging' AND NEW.state = 'deleted' AND EXISTS (SELECT 1 FROM notes WHERE recording_id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'notes are destroyed before a recording is deleted'); END;
