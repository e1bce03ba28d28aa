-- name: configure
-- A cache is empty when statistics are gathered and full when they are used, so the planner must not be asked: the
-- primary keys are for everything. What is lost in a crash is lost with its table anyway, so no commit waits for the
-- disk, and the lock that NOTIFY takes at commit is held for microseconds.
SELECT
    set_config('enable_seqscan', 'off', false),
    set_config('enable_bitmapscan', 'off', false),
    set_config('plan_cache_mode', 'force_generic_plan', false),
    set_config('jit', 'off', false),
    set_config('synchronous_commit', 'off', false),
    set_config('statement_timeout', $1, false)

-- name: note_epoch
-- Of a table that a crash emptied, the first to connect says since when it remembers.
INSERT INTO roadworthy.cache_epoch AS epoch (stamp)
VALUES (floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint << 12 | 4095)
ON CONFLICT (sole) DO UPDATE SET stamp = epoch.stamp
RETURNING stamp

-- name: read_entries
SELECT name, record
FROM roadworthy.cache_entries
WHERE name = ANY ($1::bytea[]) AND expires_at > clock_timestamp()

-- name: write_entries
-- In the order of their names, so that two writers never wait for each other. Whoever listens is told of what was kept,
-- several in one payload: the caller parts them so that none is too long. What was loaded before the epoch may have been
-- invalidated before it, too; deletions are told whenever they were made.
WITH new AS MATERIALIZED (
    SELECT *
    FROM unnest($3::bytea[], $4::bytea[], $5::bigint[], $6::float8[], $7::boolean[], $8::text[], $9::int[])
        AS new (name, record, stamp, lifetime, deletion, line, part)
), kept AS (
    INSERT INTO roadworthy.cache_entries AS entry (name, record, stamp, expires_at)
    SELECT name, record, stamp, clock_timestamp() + make_interval(secs => lifetime)
    FROM new
    WHERE deletion OR stamp > (SELECT epoch.stamp FROM roadworthy.cache_epoch AS epoch)
    ORDER BY name
    ON CONFLICT (name) DO UPDATE
    SET record = excluded.record, stamp = excluded.stamp, expires_at = excluded.expires_at
    WHERE entry.stamp <= excluded.stamp OR entry.expires_at <= clock_timestamp()
    RETURNING entry.name
), told AS (
    SELECT pg_notify($1, '[' || $2::bigint || ',[' || string_agg(new.line, ',') || ']]')
    FROM new JOIN kept USING (name)
    GROUP BY new.part
)
SELECT array_agg(name), (SELECT count(*) FROM told), EXISTS (SELECT FROM roadworthy.cache_epoch) FROM kept

-- name: drop_entries
-- What could not be written must not leave behind what it was to replace.
WITH new AS MATERIALIZED (
    SELECT * FROM unnest($3::bytea[], $4::bigint[], $5::text[], $6::int[]) AS new (name, stamp, line, part)
), dropped AS (
    DELETE FROM roadworthy.cache_entries
    WHERE name = ANY (ARRAY(
        SELECT entry.name
        FROM roadworthy.cache_entries AS entry JOIN new ON entry.name = new.name AND entry.stamp <= new.stamp
        ORDER BY entry.name
        FOR UPDATE OF entry
    ))
), told AS (
    SELECT pg_notify($1, '[' || $2::bigint || ',[' || string_agg(line, ',') || ']]') FROM new GROUP BY part
)
SELECT count(*) FROM told

-- name: read_tags
SELECT tag, stamp
FROM roadworthy.cache_tags
WHERE tag = ANY ($1::bytea[]) AND expires_at > clock_timestamp()

-- name: invalidate_tags
WITH moment AS MATERIALIZED (
    SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint << 12 | $2::bigint AS stamp
), new AS MATERIALIZED (
    SELECT *
    FROM unnest($3::bytea[], $4::bigint[], $5::float8[], $6::text[], $7::int[])
        AS new (tag, stamp, lifetime, quoted, part)
), raised AS (
    INSERT INTO roadworthy.cache_tags AS known (tag, stamp, expires_at)
    SELECT new.tag, coalesce(new.stamp, moment.stamp), clock_timestamp() + make_interval(secs => new.lifetime)
    FROM new CROSS JOIN moment
    ORDER BY new.tag
    ON CONFLICT (tag) DO UPDATE
    SET stamp = greatest(known.stamp, excluded.stamp), expires_at = greatest(known.expires_at, excluded.expires_at)
    RETURNING known.tag, known.stamp
), told AS (
    SELECT pg_notify(
        $1,
        '[' || $2::bigint || ',['
        || string_agg('["tag",' || raised.stamp || ',' || new.quoted || ']', ',') || ']]'
    )
    FROM new JOIN raised USING (tag)
    GROUP BY new.part
)
SELECT stamp, (SELECT count(*) FROM told) FROM moment

-- name: list_names
SELECT name
FROM roadworthy.cache_entries
WHERE name >= $1 AND name < $2 AND expires_at > clock_timestamp()
ORDER BY name
LIMIT $3

-- name: acquire_locks
INSERT INTO roadworthy.cache_locks AS held (name, token, expires_at)
SELECT name, token, clock_timestamp() + make_interval(secs => lease)
FROM unnest($1::bytea[], $2::text[], $3::float8[]) AS wanted (name, token, lease)
ORDER BY name
ON CONFLICT (name) DO UPDATE
SET token = excluded.token, expires_at = excluded.expires_at
WHERE held.token = excluded.token OR held.expires_at <= clock_timestamp()
RETURNING held.name

-- name: release_locks
-- One whose lease had ended is removed as well, but was not the caller's any more. Sorted, as all who lock several are.
DELETE FROM roadworthy.cache_locks AS held
USING (
    SELECT name, token FROM unnest($1::bytea[], $2::text[]) AS given (name, token) ORDER BY name
) AS given
WHERE held.name = given.name AND held.token = given.token
RETURNING held.name, held.expires_at > clock_timestamp()

-- name: tell_time
SELECT extract(epoch FROM clock_timestamp())::float8

-- name: sweep_entries
-- A stretch of pages, whoever writes to it meanwhile. No index on the expiry: it would have to change with each write.
WITH swept AS (
    DELETE FROM roadworthy.cache_entries
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM roadworthy.cache_entries
        WHERE ctid >= $1::tid AND ctid < $2::tid AND expires_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*), pg_relation_size('roadworthy.cache_entries') / current_setting('block_size')::bigint FROM swept

-- name: sweep_tags
WITH swept AS (
    DELETE FROM roadworthy.cache_tags
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM roadworthy.cache_tags
        WHERE ctid >= $1::tid AND ctid < $2::tid AND expires_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*), pg_relation_size('roadworthy.cache_tags') / current_setting('block_size')::bigint FROM swept

-- name: sweep_locks
WITH swept AS (
    DELETE FROM roadworthy.cache_locks
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM roadworthy.cache_locks
        WHERE ctid >= $1::tid AND ctid < $2::tid AND expires_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT count(*), pg_relation_size('roadworthy.cache_locks') / current_setting('block_size')::bigint FROM swept
