-- Learning platforms (LTI 1.3): which ones may launch, the tool's own keys, and launches that were verified.

-- `deployments` is a JSON array. Nothing here is a person's.
CREATE TABLE platforms (
  id TEXT PRIMARY KEY NOT NULL,
  label TEXT NOT NULL,
  issuer TEXT NOT NULL,
  client_id TEXT NOT NULL,
  auth_url TEXT NOT NULL,
  jwks_url TEXT NOT NULL,
  deployments TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  UNIQUE (issuer, client_id)
) STRICT;

-- Private keys (JWK) with which deep links are signed: the newest signs, older ones are published for a while.
CREATE TABLE platform_keys (
  kid TEXT PRIMARY KEY NOT NULL,
  private_jwk TEXT NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT;

-- One verified launch by the nonce that stands for the key of its browser; forgotten when it expires. `person` is a hash of issuer, subject and exam. No
-- id_token, no name, no address.
CREATE TABLE launches (
  nonce TEXT PRIMARY KEY NOT NULL,
  platform_id TEXT NOT NULL,
  deployment_id TEXT NOT NULL,
  purpose TEXT NOT NULL,
  role TEXT,
  exam_id TEXT,
  person TEXT,
  token_hash TEXT NOT NULL,
  return_url TEXT,
  return_data TEXT,
  expires_ms INTEGER NOT NULL,
  CONSTRAINT launches_know_their_purposes CHECK (purpose IN ('record', 'review', 'select'))
) STRICT;
CREATE INDEX launches_expired ON launches (expires_ms);

-- A ticket is a key and says nothing of anybody; the hash of a launch's person stands in its place, and goes with the recording.
DROP TRIGGER recordings_keep_their_origin;
CREATE TRIGGER recordings_keep_their_origin BEFORE UPDATE ON recordings
WHEN NEW.id IS NOT OLD.id OR NEW.exam_id IS NOT OLD.exam_id OR NEW.practice IS NOT OLD.practice
  OR NEW.opened_ms IS NOT OLD.opened_ms OR NEW.opened_position IS NOT OLD.opened_position
  OR (NEW.ticket IS NOT OLD.ticket AND NOT (NEW.state = 'deleted' AND NEW.ticket IS NULL AND OLD.ticket LIKE 'launch %'))
BEGIN SELECT RAISE(ABORT, 'what a recording was opened with never changes'); END;
