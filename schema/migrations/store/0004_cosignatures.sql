-- Witnesses' lines under checkpoints (C2SP tlog-cosignature). A table of their own: a checkpoint itself never changes.
CREATE TABLE cosignatures (
  size INTEGER NOT NULL REFERENCES checkpoints (size),
  witness TEXT NOT NULL,
  line TEXT NOT NULL,
  PRIMARY KEY (size, witness)
) STRICT;

CREATE TRIGGER cosignatures_come_once BEFORE INSERT ON cosignatures
WHEN EXISTS (SELECT 1 FROM cosignatures WHERE size = NEW.size AND witness = NEW.witness)
BEGIN SELECT RAISE(ABORT, 'a witness cosigns a checkpoint once'); END;
CREATE TRIGGER cosignatures_never_change BEFORE UPDATE ON cosignatures
BEGIN SELECT RAISE(ABORT, 'a cosignature never changes'); END;
CREATE TRIGGER cosignatures_never_go BEFORE DELETE ON cosignatures
BEGIN SELECT RAISE(ABORT, 'a cosignature is never deleted'); END;
