-- Where a job goes on that a run could not finish: a Worker's invocation has limits. It only saves doing things twice; a job that
-- loses its place begins at the beginning.
CREATE TABLE bookmarks (
  name TEXT PRIMARY KEY NOT NULL,
  place TEXT NOT NULL
) STRICT;
