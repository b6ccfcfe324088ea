-- The vault: shred shares and nothing else. Its file is apart from the metadata because a database's history
-- (backups, WAL archives, D1's Time Travel) brings rows back.

-- Shares lie in slots that are never deleted and never change size, but are zeroed where they lie and used again. When
-- rows of a b-tree go, SQLite moves their neighbours, and `secure_delete` does not zero the copies that are left behind
-- in a page's unused gap ([Note: shielded blobs] in the store's first migration). Rows that stay are not moved.
CREATE TABLE slots (
  slot INTEGER PRIMARY KEY NOT NULL,
  is_free INTEGER NOT NULL,
  share BLOB NOT NULL,
  CONSTRAINT slots_are_free_or_not CHECK (is_free IN (0, 1)),
  CONSTRAINT slots_have_32_bytes CHECK (length(share) = 32)
) STRICT;
CREATE INDEX slots_free ON slots (slot) WHERE is_free = 1;
CREATE TRIGGER slots_never_move BEFORE UPDATE ON slots WHEN NEW.slot IS NOT OLD.slot
BEGIN SELECT RAISE(ABORT, 'a slot never moves'); END;
CREATE TRIGGER slots_never_go BEFORE DELETE ON slots
BEGIN SELECT RAISE(ABORT, 'a slot is zeroed and used again'); END;
CREATE TRIGGER slots_are_not_overwritten BEFORE UPDATE ON slots
WHEN OLD.is_free = 0 AND NEW.is_free = 0 AND NEW.share IS NOT OLD.share
BEGIN SELECT RAISE(ABORT, 'a share never changes'); END;
CREATE TRIGGER slots_are_freed_empty BEFORE UPDATE ON slots
WHEN NEW.is_free = 1 AND NEW.share IS NOT zeroblob(32)
BEGIN SELECT RAISE(ABORT, 'a free slot holds zeros'); END;

-- Which share lies where.
CREATE TABLE shares (
  recording_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  slot INTEGER NOT NULL UNIQUE REFERENCES slots (slot),
  written_ms INTEGER NOT NULL,
  PRIMARY KEY (recording_id, epoch)
) STRICT, WITHOUT ROWID;

-- As in the store: a batch whose condition does not hold is taken back.
CREATE TABLE must (
  held INTEGER NOT NULL,
  CONSTRAINT must_hold CHECK (held = 1)
) STRICT;
