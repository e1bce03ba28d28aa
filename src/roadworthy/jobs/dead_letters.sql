-- name: choose_dead
SELECT matched, chosen_at, snapshot::text AS snapshot, last_died_at, last_id FROM roadworthy.choose_dead($1::jsonb)

-- name: begin_dead
SELECT roadworthy.begin_dead($1, $2::jsonb, $3, $4, $5::text::pg_snapshot, $6, $7, $8, $9, $10)

-- name: continue_dead
SELECT id, at, who, action, filter, reason, per_second, asked, changed, conflicts, finished_at
FROM roadworthy.continue_dead($1, $2)

-- name: unfinished_dead
SELECT id, at, who, action, filter, reason, per_second, asked, changed, conflicts, finished_at
FROM roadworthy.job_audit
WHERE finished_at IS NULL AND action = $1 AND filter = $2::jsonb
ORDER BY id DESC
LIMIT 1

-- name: abandon_dead
UPDATE roadworthy.job_audit SET finished_at = clock_timestamp() WHERE id = $1 AND finished_at IS NULL

-- name: note
INSERT INTO roadworthy.job_audit (action, filter, asked, changed, who, reason, finished_at)
VALUES ($1, $2::jsonb, $3, $4, $5, $6, clock_timestamp())

-- name: audit
SELECT id, at, who, action, filter, reason, per_second, asked, changed, conflicts, finished_at
FROM roadworthy.job_audit
WHERE id < $1
ORDER BY id DESC
LIMIT $2

-- name: dead_groups
SELECT queue, job, error_class, count, first_died_at, last_died_at, example, message
FROM roadworthy.dead_groups($1::jsonb)

-- name: dead_jobs
SELECT
    dead.id, 3 AS state, dead.queue, dead.job, dead.arguments::text AS arguments, dead.attempt, dead.attempts,
    dead.priority, dead.unique_key, dead.enqueued_at, dead.died_at AS run_at, dead.worker, dead.error_class,
    dead.message, dead.traceback, dead.failures::text AS failures, dead.options::text AS options,
    dead.progress::text AS progress, NULL::timestamptz AS cancel_requested_at, NULL::text AS result
FROM roadworthy.dead_jobs AS dead
WHERE dead.id < $2 AND roadworthy.dead_matches(dead, $1::jsonb, statement_timestamp())
ORDER BY dead.id DESC
LIMIT $3
