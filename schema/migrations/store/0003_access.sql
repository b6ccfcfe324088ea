-- Who may ask: how far a token reaches, sessions of the pages, values that hold once.

-- `exam_ids` is a JSON array; NULL bounds nothing. `last_used_ms` is written once an hour at most.
ALTER TABLE tokens ADD COLUMN exam_ids TEXT;
ALTER TABLE tokens ADD COLUMN last_used_ms INTEGER;

-- A session of somebody who proved an identity, or who showed a token: then it ends with that token.
CREATE TABLE sessions (
  session_hash TEXT PRIMARY KEY NOT NULL,
  role TEXT NOT NULL,
  identity TEXT,
  token_hash TEXT,
  exam_ids TEXT,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  revoked_ms INTEGER,
  last_used_ms INTEGER,
  CONSTRAINT sessions_know_their_roles CHECK (role IN ('admin', 'instructor', 'compliance'))
) STRICT;
CREATE INDEX sessions_by_identity ON sessions (identity) WHERE identity IS NOT NULL;
CREATE INDEX sessions_by_token ON sessions (token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX sessions_expired ON sessions (expires_ms);

-- Challenges and setup links, by their hashes: used once, then gone.
CREATE TABLE single_use (
  hash TEXT PRIMARY KEY NOT NULL,
  purpose TEXT NOT NULL,
  expires_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX single_use_expired ON single_use (expires_ms);

-- Whom each exam's newest policy names, as owner or reader, by the text of their identity keys (`zrid1...`): what somebody who
-- signed in by identity may ask about. Derived from the policies, which stay the truth.
CREATE TABLE exam_people (
  exam_id TEXT NOT NULL,
  identity TEXT NOT NULL,
  PRIMARY KEY (exam_id, identity)
) STRICT;
CREATE INDEX exam_people_by_identity ON exam_people (identity, exam_id);

-- Those of the policies that are here already. A policy's record is "ZRPL", a version byte, the length of its JSON as 4 bytes, the JSON.
INSERT INTO exam_people (exam_id, identity)
WITH
  newest AS (
    SELECT exam_id, bytes, hex(substr(bytes, 6, 4)) AS digits FROM policies AS p
    WHERE seq = (SELECT MAX(seq) FROM policies WHERE exam_id = p.exam_id)
  ),
  places (place, weight) AS (VALUES (4, 65536), (5, 4096), (6, 256), (7, 16), (8, 1), (3, 1048576)),
  bodies AS (
    SELECT exam_id, CAST(substr(bytes, 10, (
      SELECT SUM((instr('0123456789ABCDEF', substr(digits, place, 1)) - 1) * weight) FROM places
    )) AS TEXT) AS body
    FROM newest
  )
SELECT exam_id, json_extract(body, '$.owner') FROM bodies
UNION
SELECT exam_id, json_extract(reader.value, '$.identity') FROM bodies, json_each(body, '$.recipients') AS reader;
