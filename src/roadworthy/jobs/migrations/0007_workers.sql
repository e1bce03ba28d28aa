-- Who works: a row for each worker process, written by itself every few seconds and removed when it ends. What it holds
-- and has counted is in `report`, so that looking at the workers never looks at the jobs.
CREATE TABLE roadworthy.job_workers (
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    consumes boolean NOT NULL,
    report jsonb NOT NULL,
    PRIMARY KEY (name, host, pid)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
