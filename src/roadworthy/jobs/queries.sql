-- name: pin_plans
-- A queue is empty when statistics are gathered and full when they are used, so the planner must not be asked. What
-- these leave is the ordered partial index for a claim and the primary key for everything else.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SET plan_cache_mode = force_generic_plan;
SET jit = off

-- name: enqueue_jobs
-- Ids are drawn in the caller's order; rows go in by key, so that two bulk inserts cannot wait for each other's keys.
INSERT INTO roadworthy.jobs
    (id, state, queue, job, arguments, attempts, priority, unique_key, context, options, enqueued_at, run_at)
SELECT
    id, CASE WHEN due <= now THEN 1 ELSE 0 END, queue, job, arguments::json, attempts, priority, unique_key,
    context::json, options::jsonb, now, greatest(due, now)
FROM (
    SELECT
        nextval('roadworthy.jobs_id_seq') AS id,
        statement_timestamp() AS now,
        coalesce(new.run_at, statement_timestamp() + new.delay, statement_timestamp()) AS due,
        new.*
    FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::text[], $7::text[], $8::text[],
        $9::interval[], $10::timestamptz[]
    ) AS new (queue, job, arguments, attempts, priority, unique_key, context, options, delay, run_at)
) AS new
ORDER BY job, unique_key, id
ON CONFLICT (job, unique_key) WHERE unique_key IS NOT NULL DO NOTHING
RETURNING id, job, unique_key

-- name: claim_jobs
-- An array, because the planner may run a subquery once per row, and its limit with it. Nothing is claimed from a queue of
-- which any kind is paused: claim_limited_jobs claims around those.
UPDATE roadworthy.jobs AS job
SET state = 2, lease = job.lease + 1, attempt = job.attempt + 1, worker = $4,
    lease_expires_at = clock_timestamp() + $3::interval,
    unique_key = CASE WHEN job.options ->> 'unique_while' = 'waiting' THEN NULL ELSE job.unique_key END
WHERE job.id = ANY (ARRAY(
    SELECT ready.id
    FROM roadworthy.jobs AS ready
    WHERE ready.queue = $1 AND ready.state = 1
        AND NOT EXISTS (SELECT FROM roadworthy.job_pauses WHERE queue = $1)
    ORDER BY ready.priority, ready.run_at, ready.id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
))
RETURNING
    job.id, job.lease, job.job, job.arguments::text, job.attempt, job.attempts, job.context::text,
    extract(epoch FROM clock_timestamp() - job.run_at)::float8, job.priority, job.run_at, job.options::text

-- name: claim_jobs_after
-- As claim_jobs, from stretches of the queue: each begins after a place and ends before a priority.
UPDATE roadworthy.jobs AS job
SET state = 2, lease = job.lease + 1, attempt = job.attempt + 1, worker = $4,
    lease_expires_at = clock_timestamp() + $3::interval,
    unique_key = CASE WHEN job.options ->> 'unique_while' = 'waiting' THEN NULL ELSE job.unique_key END
WHERE job.id = ANY (ARRAY(
    SELECT found.id
    FROM unnest($5::int[], $6::timestamptz[], $7::bigint[], $8::int[]) AS span (priority, run_at, id, below)
    CROSS JOIN LATERAL (
        SELECT ready.id
        FROM roadworthy.jobs AS ready
        WHERE ready.queue = $1 AND ready.state = 1
            AND (ready.priority, ready.run_at, ready.id) > (span.priority, span.run_at, span.id)
            AND ready.priority < span.below
        ORDER BY ready.priority, ready.run_at, ready.id
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ) AS found
    WHERE NOT EXISTS (SELECT FROM roadworthy.job_pauses WHERE queue = $1)
    LIMIT $2
))
RETURNING
    job.id, job.lease, job.job, job.arguments::text, job.attempt, job.attempts, job.context::text,
    extract(epoch FROM clock_timestamp() - job.run_at)::float8, job.priority, job.run_at, job.options::text

-- name: complete_done
WITH done AS (
    DELETE FROM roadworthy.jobs AS job
    USING unnest($1::bigint[], $2::bigint[]) AS outcome (id, lease)
    WHERE job.id = outcome.id AND job.lease = outcome.lease
    RETURNING job.id, job.attempt, job.holds
), forgotten AS (
    DELETE FROM roadworthy.job_failures WHERE job_id = ANY (ARRAY(SELECT id FROM done WHERE attempt > 1))
)
SELECT array_agg(id),
    CASE WHEN count(holds) > 0 THEN roadworthy.free_slots(jsonb_agg(holds) FILTER (WHERE holds IS NOT NULL)) END
FROM done

-- name: complete_released
WITH released AS (
    UPDATE roadworthy.jobs AS job
    SET state = 1, lease = job.lease + 1, attempt = job.attempt - 1, lease_expires_at = NULL, holds = NULL
    FROM unnest($1::bigint[], $2::bigint[]) AS outcome (id, lease)
    WHERE job.id = outcome.id AND job.lease = outcome.lease
    RETURNING job.id, job.queue, old.holds
)
SELECT array_agg(id), array_agg(DISTINCT queue) ||
    CASE WHEN count(holds) > 0 THEN roadworthy.free_slots(jsonb_agg(holds) FILTER (WHERE holds IS NOT NULL)) END
FROM released

-- name: complete_retried
WITH retried AS (
    UPDATE roadworthy.jobs AS job
    SET state = CASE WHEN outcome.delay > interval '0' THEN 0 ELSE 1 END, lease = job.lease + 1,
        run_at = clock_timestamp() + outcome.delay, lease_expires_at = NULL, holds = NULL
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::interval[])
        AS outcome (id, lease, error_class, message, traceback, delay)
    WHERE job.id = outcome.id AND job.lease = outcome.lease
    RETURNING job.id, job.queue, job.attempt, job.worker, outcome.lease, error_class, message, traceback, old.holds
), kept AS (
    INSERT INTO roadworthy.job_failures (job_id, attempt, lease, at, worker, error_class, message, traceback)
    SELECT id, attempt, lease, clock_timestamp(), worker, error_class, message, traceback FROM retried
)
SELECT array_agg(id), array_agg(DISTINCT queue) ||
    CASE WHEN count(holds) > 0 THEN roadworthy.free_slots(jsonb_agg(holds) FILTER (WHERE holds IS NOT NULL)) END
FROM retried

-- name: complete_buried
WITH buried AS (
    DELETE FROM roadworthy.jobs AS job
    USING unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[])
        AS outcome (id, lease, error_class, message, traceback)
    WHERE job.id = outcome.id AND job.lease = outcome.lease
    RETURNING job.*, outcome.error_class, outcome.message, outcome.traceback
), earlier AS (
    DELETE FROM roadworthy.job_failures WHERE job_id = ANY (ARRAY(SELECT id FROM buried)) RETURNING *
), dead AS (
    INSERT INTO roadworthy.dead_jobs
        (id, lease, queue, job, arguments, context, options, leads, progress, priority, unique_key, attempt, attempts,
         enqueued_at, died_at, worker, error_class, message, traceback, failures)
    SELECT
        id, lease, queue, job, arguments, context, options, leads, progress, priority, unique_key, attempt, attempts,
        enqueued_at, clock_timestamp(), worker, error_class, message, traceback,
        coalesce((SELECT jsonb_agg(to_jsonb(earlier) - '{job_id,lease}'::text[] ORDER BY lease)
                  FROM earlier WHERE job_id = buried.id), '[]')
    FROM buried
), removed AS (
    DELETE FROM roadworthy.job_edges
    WHERE NOT met AND NOT on_success AND predecessor = ANY (ARRAY(SELECT id FROM buried WHERE leads))
    RETURNING successor
), waiting AS (
    SELECT successor AS id, count(*)::int AS met FROM removed GROUP BY successor ORDER BY successor
), released AS (
    UPDATE roadworthy.jobs AS job
    SET waits_for = job.waits_for - waiting.met,
        state = CASE WHEN job.waits_for > waiting.met THEN 5 WHEN job.run_at > clock_timestamp() THEN 0 ELSE 1 END,
        run_at = CASE WHEN job.waits_for > waiting.met THEN job.run_at ELSE greatest(job.run_at, clock_timestamp()) END
    FROM waiting
    WHERE job.id = waiting.id AND job.state = 5
    RETURNING job.queue, job.state
)
SELECT array_agg(id), (SELECT array_agg(DISTINCT queue) FROM released WHERE state = 1) ||
    CASE WHEN count(holds) > 0 THEN roadworthy.free_slots(jsonb_agg(holds) FILTER (WHERE holds IS NOT NULL)) END
FROM buried

-- name: fence_job
-- Whoever would end this holding waits for the caller's transaction.
SELECT true FROM roadworthy.jobs WHERE id = $1 AND lease = $2 AND state = 2 FOR UPDATE

-- name: idle_briefly
-- What follows has counters of limits locked until the commit: a process that stops in between must not keep them.
SET LOCAL idle_in_transaction_session_timeout = '5s'

-- name: extend_leases
WITH held AS (
    UPDATE roadworthy.jobs AS job
    SET lease_expires_at = clock_timestamp() + $3::interval
    FROM unnest($1::bigint[], $2::bigint[]) AS holding (id, lease)
    WHERE job.id = holding.id AND job.lease = holding.lease
    RETURNING job.id
)
SELECT array_agg(id) FROM held

-- name: promote_jobs
WITH promoted AS (
    UPDATE roadworthy.jobs AS job
    SET state = 1
    WHERE job.id = ANY (ARRAY(
        SELECT due.id
        FROM roadworthy.jobs AS due
        WHERE due.state = 0 AND due.run_at <= statement_timestamp()
        ORDER BY due.run_at
        LIMIT $1
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job.queue
)
SELECT count(*), array_agg(DISTINCT queue) || roadworthy.open_limits($1::integer) FROM promoted

-- name: next_due
-- An hour at most: the distance of a time at the end of the calendar is more than a client can hold.
SELECT least(min(next.at), clock_timestamp() + interval '1 hour') - clock_timestamp()
FROM (
    (SELECT run_at AS at FROM roadworthy.jobs WHERE state = 0 ORDER BY run_at LIMIT 1)
    UNION ALL
    (SELECT opens_at FROM roadworthy.job_limits WHERE opens_at IS NOT NULL ORDER BY opens_at LIMIT 1)
) AS next
HAVING count(*) > 0

-- name: rescue_jobs
WITH expired AS MATERIALIZED (
    SELECT job.id, job.attempt >= job.attempts AS last, job.lease, job.lease_expires_at, job.holds
    FROM roadworthy.jobs AS job
    WHERE job.state = 2 AND job.lease_expires_at < clock_timestamp()
    ORDER BY job.id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), rescued AS (
    UPDATE roadworthy.jobs AS job
    SET state = 1, lease = job.lease + 1, run_at = clock_timestamp(), lease_expires_at = NULL, holds = NULL
    WHERE job.id = ANY (ARRAY(SELECT id FROM expired WHERE NOT last))
    RETURNING job.id, job.queue, job.job, job.attempt, job.worker, job.lease - 1 AS lease
), kept AS (
    INSERT INTO roadworthy.job_failures (job_id, attempt, lease, at, worker, error_class, message, traceback)
    SELECT id, attempt, lease, clock_timestamp(), worker, $2, $3, '' FROM rescued
), buried AS (
    DELETE FROM roadworthy.jobs AS job
    WHERE job.id = ANY (ARRAY(SELECT id FROM expired WHERE last))
    RETURNING job.*
), earlier AS (
    DELETE FROM roadworthy.job_failures WHERE job_id = ANY (ARRAY(SELECT id FROM buried)) RETURNING *
), dead AS (
    INSERT INTO roadworthy.dead_jobs
        (id, lease, queue, job, arguments, context, options, leads, progress, priority, unique_key, attempt, attempts,
         enqueued_at, died_at, worker, error_class, message, traceback, failures)
    SELECT
        id, lease, queue, job, arguments, context, options, leads, progress, priority, unique_key, attempt, attempts,
        enqueued_at, clock_timestamp(), worker, $2, $3, '',
        coalesce((SELECT jsonb_agg(to_jsonb(earlier) - '{job_id,lease}'::text[] ORDER BY lease)
                  FROM earlier WHERE job_id = buried.id), '[]')
    FROM buried
), removed AS (
    DELETE FROM roadworthy.job_edges
    WHERE NOT met AND NOT on_success AND predecessor = ANY (ARRAY(SELECT id FROM buried WHERE leads))
    RETURNING successor
), waiting AS (
    SELECT successor AS id, count(*)::int AS met FROM removed GROUP BY successor ORDER BY successor
), released AS (
    UPDATE roadworthy.jobs AS job
    SET waits_for = job.waits_for - waiting.met,
        state = CASE WHEN job.waits_for > waiting.met THEN 5 WHEN job.run_at > clock_timestamp() THEN 0 ELSE 1 END,
        run_at = CASE WHEN job.waits_for > waiting.met THEN job.run_at ELSE greatest(job.run_at, clock_timestamp()) END
    FROM waiting
    WHERE job.id = waiting.id AND job.state = 5
    RETURNING job.queue, job.state
), freed AS MATERIALIZED (
    SELECT CASE WHEN count(holds) > 0 THEN roadworthy.free_slots(jsonb_agg(holds) FILTER (WHERE holds IS NOT NULL)) END
    FROM expired
)
SELECT id, queue, job, attempt, worker, false AS buried FROM freed CROSS JOIN rescued
UNION ALL
SELECT id, queue, job, attempt, worker, true FROM freed CROSS JOIN buried

-- name: note_schedule
-- While a new version replaces an old one, both definitions are seen, and neither has replaced the other yet.
WITH noted AS (
    INSERT INTO roadworthy.job_schedules AS known (schedule, definition, since, seen_at) VALUES ($1, $2, $3, $3)
    ON CONFLICT (schedule, definition) DO UPDATE SET
        since = CASE
            WHEN EXISTS (
                SELECT FROM roadworthy.job_schedules AS other
                WHERE other.schedule = $1 AND other.seen_at > known.seen_at + $4::interval
            ) THEN $3
            ELSE known.since
        END,
        seen_at = greatest(known.seen_at, $3)
    RETURNING since
)
SELECT greatest(since, (SELECT max(fire_time) FROM roadworthy.job_fires WHERE schedule = $1)) FROM noted

-- name: record_fire
-- Times only grow, so that a scheduler which slept cannot fire one whose row was forgotten meanwhile. One that stops
-- before the commit would have the others wait for its row, so its transaction has a few seconds.
INSERT INTO roadworthy.job_fires (schedule, fire_time)
SELECT $1, $2
WHERE NOT EXISTS (SELECT FROM roadworthy.job_fires WHERE schedule = $1 AND fire_time > $2)
ON CONFLICT DO NOTHING
RETURNING set_config('transaction_timeout', '5s', true)

-- name: forget_fires
DELETE FROM roadworthy.job_fires WHERE schedule = $1 AND fire_time < $2

-- name: list_schedules
SELECT
    schedule, definition, since, seen_at,
    (SELECT max(fire_time) FROM roadworthy.job_fires AS fire WHERE fire.schedule = known.schedule) AS last_fire
FROM roadworthy.job_schedules AS known
ORDER BY schedule, definition

-- name: forget_definitions
DELETE FROM roadworthy.job_schedules WHERE seen_at < $1

-- name: forget_schedules
DELETE FROM roadworthy.job_fires AS fire
WHERE fire_time < $1 AND NOT EXISTS (SELECT FROM roadworthy.job_schedules AS known WHERE known.schedule = fire.schedule)

-- name: notify
-- A hint may be lost in a crash, so its commit waits for no disk while it holds the lock that all notifiers share.
SELECT set_config('synchronous_commit', 'off', true), pg_notify('roadworthy_jobs', queue)
FROM unnest($1::text[]) AS queue

-- name: count_jobs
SELECT
    queue,
    sum(scheduled)::bigint AS scheduled,
    sum(ready)::bigint AS ready,
    sum(running)::bigint AS running,
    sum(dead)::bigint AS dead,
    sum(blocked)::bigint AS blocked,
    sum(held)::bigint AS held,
    min(oldest_ready_at) AS oldest_ready_at,
    sum(overdue)::bigint AS overdue
FROM (
    SELECT
        queue,
        count(*) FILTER (WHERE state = 0) AS scheduled,
        count(*) FILTER (WHERE state = 1) AS ready,
        count(*) FILTER (WHERE state = 2) AS running,
        0 AS dead,
        count(*) FILTER (WHERE state = 4) AS blocked,
        count(*) FILTER (WHERE state = 5) AS held,
        min(run_at) FILTER (WHERE state = 1) AS oldest_ready_at,
        count(*) FILTER (WHERE state = 2 AND lease_expires_at < clock_timestamp()) AS overdue
    FROM roadworthy.jobs
    GROUP BY queue
    UNION ALL
    SELECT queue, 0, 0, 0, count(*), 0, 0, NULL, 0 FROM roadworthy.dead_jobs GROUP BY queue
) AS counted
GROUP BY queue
ORDER BY queue

-- name: report_worker
WITH vanished AS (
    DELETE FROM roadworthy.job_workers WHERE seen_at < clock_timestamp() - $7::interval
)
INSERT INTO roadworthy.job_workers (name, host, pid, started_at, seen_at, consumes, report)
VALUES ($1, $2, $3, clock_timestamp() - $4::interval, clock_timestamp(), $5, $6::jsonb)
ON CONFLICT (name, host, pid) DO UPDATE
SET seen_at = excluded.seen_at, consumes = excluded.consumes, report = excluded.report

-- name: forget_worker
DELETE FROM roadworthy.job_workers WHERE name = $1 AND host = $2 AND pid = $3
