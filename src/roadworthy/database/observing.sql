-- name: state
-- Whoever may not see what others do finds their connections all the same, without what they do.
WITH clients AS (
    SELECT pid, state, xact_start, wait_event_type
    FROM pg_stat_activity
    WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL)
)
SELECT
    count(*) FILTER (WHERE state = 'active') AS active,
    count(*) FILTER (WHERE state = 'idle') AS idle,
    count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction,
    count(*) FILTER (
        WHERE state IS NULL OR (state NOT IN ('active', 'idle') AND state NOT LIKE 'idle in transaction%')
    ) AS other,
    count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting,
    coalesce(
        extract(
            epoch FROM clock_timestamp() - min(xact_start) FILTER (WHERE pid <> pg_backend_pid())
        ), 0
    )::float8 AS longest,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true)::int, 0) AS most,
    (SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()) AS deadlocks
FROM clients

-- name: size
SELECT pg_database_size(current_database()) AS bytes

-- name: replication
-- A standby that has replayed all that it received is not behind, however long ago that was, while it still receives.
SELECT
    'self' AS standby,
    CASE
        WHEN
            EXISTS (SELECT 1 FROM pg_stat_wal_receiver)
            AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
        ELSE coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0)
    END::float8 AS seconds,
    coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)::float8 AS bytes
WHERE pg_is_in_recovery()
UNION ALL
SELECT
    application_name,
    max(coalesce(extract(epoch FROM replay_lag), 0))::float8,
    max(
        coalesce(
            pg_wal_lsn_diff(
                CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, replay_lsn
            ), 0
        )
    )::float8
FROM pg_stat_replication
WHERE state IN ('streaming', 'catchup')
GROUP BY application_name
