-- name: list_jobs
SELECT
    id, state, queue, job, arguments::text AS arguments, attempt, attempts, priority, unique_key, enqueued_at, run_at,
    worker, NULL::text AS error_class, NULL::text AS message, NULL::text AS traceback,
    coalesce((SELECT jsonb_agg(to_jsonb(failure) - '{job_id,lease}'::text[] ORDER BY lease)
              FROM roadworthy.job_failures AS failure WHERE job_id = jobs.id), '[]')::text AS failures,
    options::text AS options, progress::text AS progress, cancel_requested_at, NULL::text AS result, blocked_by
FROM roadworthy.jobs
WHERE ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR job = $2) AND ($3::smallint IS NULL OR state = $3)
    AND id < $4
ORDER BY id DESC
LIMIT $5

-- name: list_dead_jobs
SELECT
    id, 3 AS state, queue, job, arguments::text AS arguments, attempt, attempts, priority, unique_key, enqueued_at,
    died_at AS run_at, worker, error_class, message, traceback, failures::text AS failures,
    options::text AS options, progress::text AS progress, NULL::timestamptz AS cancel_requested_at, NULL::text AS result
FROM roadworthy.dead_jobs
WHERE ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR job = $2) AND id < $3
ORDER BY id DESC
LIMIT $4

-- name: list_finished_jobs
SELECT
    id, CASE WHEN cancelled THEN 7 ELSE 6 END AS state, queue, job, arguments::text AS arguments, attempt, attempts,
    priority, unique_key, enqueued_at, finished_at AS run_at, worker, NULL::text AS error_class, NULL::text AS message,
    NULL::text AS traceback, '[]' AS failures, options::text AS options, progress::text AS progress,
    NULL::timestamptz AS cancel_requested_at, result::text AS result
FROM roadworthy.finished_jobs
WHERE ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR job = $2) AND ($3::boolean IS NULL OR cancelled = $3)
    AND id < $4
ORDER BY id DESC
LIMIT $5

-- name: list_workers
SELECT name, host, pid, started_at, seen_at, clock_timestamp() - seen_at AS silent, consumes, report
FROM roadworthy.job_workers
ORDER BY name, host, pid

-- name: overview
-- Only where it is asked for are jobs counted: the one-time filter leaves the tables unread.
SELECT
    clock_timestamp() AS at,
    (SELECT coalesce(jsonb_agg(to_jsonb(counted)), '[]') FROM (
        SELECT
            queue,
            sum(scheduled)::bigint AS scheduled,
            sum(ready)::bigint AS ready,
            sum(running)::bigint AS running,
            sum(dead)::bigint AS dead,
            sum(blocked)::bigint AS blocked,
            sum(held)::bigint AS held,
            min(oldest_ready_at) AS oldest_ready_at
        FROM (
            SELECT
                queue,
                count(*) FILTER (WHERE state = 0) AS scheduled,
                count(*) FILTER (WHERE state = 1) AS ready,
                count(*) FILTER (WHERE state = 2) AS running,
                0 AS dead,
                count(*) FILTER (WHERE state = 4) AS blocked,
                count(*) FILTER (WHERE state = 5) AS held,
                min(run_at) FILTER (WHERE state = 1) AS oldest_ready_at
            FROM roadworthy.jobs WHERE $1::boolean
            GROUP BY queue
            UNION ALL
            SELECT queue, 0, 0, 0, count(*), 0, 0, NULL FROM roadworthy.dead_jobs WHERE $1::boolean GROUP BY queue
        ) AS counted
        GROUP BY queue
        ORDER BY queue
    ) AS counted) AS counts,
    (SELECT coalesce(jsonb_agg(to_jsonb(worker) || jsonb_build_object(
            'silent', format('PT%sS', greatest(extract(epoch FROM clock_timestamp() - seen_at), 0)::numeric(20, 6))
        ) ORDER BY name, host, pid), '[]') FROM roadworthy.job_workers AS worker) AS workers,
    (SELECT coalesce(jsonb_agg(to_jsonb(pause) ORDER BY queue, job NULLS FIRST), '[]')
     FROM roadworthy.job_pauses AS pause) AS pauses
