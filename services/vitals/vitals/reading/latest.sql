-- name: freshness
SELECT
    clock_timestamp() AS now, r.refreshed_at, r.took,
    (SELECT min(changed_at) FROM internal.latest_changes) AS changed_at,
    r.failures, r.failed_at, r.failure
FROM internal.latest_refresh AS r;

-- name: lock
SELECT pg_try_advisory_xact_lock(hashtextextended('internal.latest_unified_metrics', 0));

-- name: steer
-- The planner, without statistics of the day, may think that a whole scan is cheaper than the next probe.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true);

-- name: take_changes
DELETE FROM internal.latest_changes;

-- name: refresh
REFRESH MATERIALIZED VIEW CONCURRENTLY internal.latest_unified_metrics;

-- name: note_refresh
UPDATE internal.latest_refresh
SET refreshed_at = now(), took = clock_timestamp() - now(), failures = 0, failed_at = NULL, failure = NULL;

-- name: note_failure
UPDATE internal.latest_refresh SET failures = failures + 1, failed_at = clock_timestamp(), failure = $1;
