-- name: create_history
-- One row for each migration, of the library's own set and of the service's; applied_at stays null while a migration
-- outside a transaction runs.
CREATE SCHEMA IF NOT EXISTS roadworthy;
CREATE TABLE IF NOT EXISTS roadworthy.migrations (
    set text NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_at timestamptz,
    duration interval,
    PRIMARY KEY (set, version)
);

-- name: history_exists
SELECT to_regclass('roadworthy.migrations') IS NOT NULL;

-- name: read_history
SELECT set, version, name, checksum, applied_at
FROM roadworthy.migrations
ORDER BY set, version;

-- name: begin_migration
INSERT INTO roadworthy.migrations (set, version, name, checksum)
VALUES ($1, $2, $3, $4);

-- name: finish_migration
UPDATE roadworthy.migrations
SET applied_at = clock_timestamp(), duration = clock_timestamp() - started_at
WHERE set = $1 AND version = $2;

-- name: forget_migration
DELETE FROM roadworthy.migrations
WHERE set = $1 AND version = $2 AND applied_at IS NULL;

-- name: try_lock
-- Never the waiting form: a session that waits holds a snapshot, for which CREATE INDEX CONCURRENTLY would wait in turn.
SELECT pg_try_advisory_lock($1);

-- name: lock_holder
SELECT format('process %s (%s)', activity.pid, coalesce(nullif(activity.application_name, ''), 'unnamed'))
FROM pg_locks AS locks
JOIN pg_stat_activity AS activity USING (pid)
WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1
  AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (locks.classid::bigint << 32) | locks.objid::bigint = $1;

-- name: lock_blockers
-- Who else has held a transaction open the longest: they are what a migration waits for.
SELECT string_agg(format('process %s (%s, %s)', pid, coalesce(nullif(application_name, ''), 'unnamed'), state), ', ')
FROM (
    SELECT pid, application_name, state
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    ORDER BY xact_start
    LIMIT 3
) AS oldest;

-- name: invalid_indexes
SELECT string_agg(index.indexrelid::regclass::text, ', ')
FROM pg_index AS index
WHERE NOT index.indisvalid;

-- name: configure_transaction
SELECT set_config('lock_timeout', $1, true), set_config('search_path', 'public', true);

-- name: configure_session
SELECT set_config('lock_timeout', $1, false), set_config('search_path', 'public', false);

-- name: unconfigure_session
RESET ALL;
