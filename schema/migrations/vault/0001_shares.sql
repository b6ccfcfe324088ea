-- The vault: shred shares and nothing else. Its file is apart from the metadata because a database's history
-- (backups, WAL archives, D1's Time Travel) brings rows back.
CREATE TABLE shares (
  recording_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  share BLOB NOT NULL,
  written_ms INTEGER NOT NULL,
  PRIMARY KEY (recording_id, epoch),
  CONSTRAINT shares_have_32_bytes CHECK (length(share) = 32)
) STRICT, WITHOUT ROWID;

CREATE TABLE must (
  held INTEGER NOT NULL,
  CONSTRAINT must_hold CHECK (held = 1)
) STRICT;

CREATE TRIGGER shares_never_change BEFORE UPDATE ON shares
BEGIN SELECT RAISE(ABORT, 'a share never changes'); END;
CREATE TRIGGER shares_come_once BEFORE INSERT ON shares
WHEN EXISTS (
  SELECT 1 FROM shares WHERE recording_id = NEW.recording_id AND epoch = NEW.epoch AND share IS NOT NEW.share
)
BEGIN SELECT RAISE(ABORT, 'another share stands'); END;
