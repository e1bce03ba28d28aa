-- name: claim_limited_jobs
SELECT * FROM roadworthy.claim_limited_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)

-- name: mend_limits
SELECT roadworthy.mend_limits($1, $2, $3, $4, $5, $6)

-- name: any_kind_paused
SELECT EXISTS (SELECT FROM roadworthy.job_pauses WHERE queue = $1 AND job IS NOT NULL)

-- name: pause
INSERT INTO roadworthy.job_pauses (queue, job, since, by, reason) VALUES ($1, $2, clock_timestamp(), $3, $4)
ON CONFLICT (queue, job) DO NOTHING
RETURNING true

-- name: end_pause
DELETE FROM roadworthy.job_pauses WHERE queue = $1 AND job IS NOT DISTINCT FROM $2 RETURNING true

-- name: unblock_paused
SELECT count(*) FROM roadworthy.unblock_jobs(ARRAY['pause:' || $1], ARRAY[$2::integer])

-- name: list_pauses
SELECT queue, job, since, by, reason FROM roadworthy.job_pauses ORDER BY queue, job NULLS FIRST
