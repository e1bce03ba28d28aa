-- name: configure
-- Limits are none when statistics are gathered and many when they are counted, so the planner must not be asked: the
-- primary key is for everything. What a crash loses is lost with its table anyway, so no commit waits for the disk.
SELECT
    set_config('enable_seqscan', 'off', false),
    set_config('enable_bitmapscan', 'off', false),
    set_config('enable_hashjoin', 'off', false),
    set_config('enable_mergejoin', 'off', false),
    set_config('plan_cache_mode', 'force_generic_plan', false),
    set_config('jit', 'off', false),
    set_config('synchronous_commit', 'off', false),
    set_config('statement_timeout', $1, false)

-- name: take
SELECT granted, remaining, retry_after, reset_after, added
FROM roadworthy.take_rate_limits($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: tell_time
SELECT extract(epoch FROM clock_timestamp())::float8

-- name: sweep
-- A stretch of pages, whoever writes to it meanwhile. No index on the expiry: it would have to change with each write.
WITH swept AS (
    DELETE FROM roadworthy.rate_limits
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM roadworthy.rate_limits
        WHERE ctid >= $1::tid AND ctid < $2::tid AND expires_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*), pg_relation_size('roadworthy.rate_limits') / current_setting('block_size')::bigint FROM swept
