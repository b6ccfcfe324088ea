-- How large and how long a recording may become: fixed at its opening, as its deletion is. NULL: no limit.
ALTER TABLE recordings ADD COLUMN quota_bytes INTEGER;
ALTER TABLE recordings ADD COLUMN quota_until_ms INTEGER;
ALTER TABLE recordings ADD COLUMN quota_exam_bytes INTEGER;
-- Which of them it came up against first: 'bytes', 'time' or 'exam-bytes'.
ALTER TABLE recordings ADD COLUMN quota_reached TEXT;

CREATE TRIGGER recordings_keep_their_quota BEFORE UPDATE OF quota_bytes, quota_until_ms, quota_exam_bytes ON recordings
WHEN NEW.quota_bytes IS NOT OLD.quota_bytes OR NEW.quota_until_ms IS NOT OLD.quota_until_ms
  OR NEW.quota_exam_bytes IS NOT OLD.quota_exam_bytes
BEGIN SELECT RAISE(ABORT, 'how large a recording may become never changes'); END;
