-- name: list_jobs
SELECT
    id, state, queue, job, arguments::text AS arguments, attempt, attempts, priority, unique_key, enqueued_at, run_at,
    worker, NULL::text AS error_class, NULL::text AS message, NULL::text AS traceback,
    coalesce((SELECT jsonb_agg(to_jsonb(failure) - '{job_id,lease}'::text[] ORDER BY lease)
              FROM roadworthy.job_failures AS failure WHERE job_id = jobs.id), '[]')::text AS failures
FROM roadworthy.jobs
WHERE ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR job = $2) AND ($3::smallint IS NULL OR state = $3)
    AND id < $4
ORDER BY id DESC
LIMIT $5

-- name: list_dead_jobs
SELECT
    id, 3 AS state, queue, job, arguments::text AS arguments, attempt, attempts, priority, unique_key, enqueued_at,
    died_at AS run_at, worker, error_class, message, traceback, failures::text AS failures
FROM roadworthy.dead_jobs
WHERE ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR job = $2) AND id < $3
ORDER BY id DESC
LIMIT $4

-- name: retry_dead_jobs
WITH revived AS (
    INSERT INTO roadworthy.jobs
        (id, lease, state, queue, job, arguments, context, options, leads, attempts, priority, unique_key, enqueued_at,
         run_at)
    SELECT
        id, lease + 1, 1, queue, job, arguments, context, options, leads, attempts, priority, unique_key, enqueued_at,
        clock_timestamp()
    FROM (
        SELECT * FROM roadworthy.dead_jobs WHERE id = ANY ($1::bigint[]) ORDER BY job, unique_key, id FOR UPDATE
    ) AS dead
    ON CONFLICT (job, unique_key) WHERE unique_key IS NOT NULL DO NOTHING
    RETURNING id, queue
), gone AS (
    DELETE FROM roadworthy.dead_jobs WHERE id = ANY (ARRAY(SELECT id FROM revived))
)
SELECT count(*), array_agg(DISTINCT queue) FROM revived

-- name: discard_jobs
WITH gone AS (
    DELETE FROM roadworthy.jobs WHERE id = ANY ($1::bigint[]) AND state <> 2 RETURNING id, attempt
), forgotten AS (
    DELETE FROM roadworthy.job_failures WHERE job_id = ANY (ARRAY(SELECT id FROM gone WHERE attempt > 0))
), buried AS (
    DELETE FROM roadworthy.dead_jobs WHERE id = ANY ($1::bigint[]) RETURNING id
)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM buried)
