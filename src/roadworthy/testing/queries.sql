-- name: advance_jobs
UPDATE roadworthy.jobs SET run_at = run_at - $1::interval WHERE state IN (0, 5)

-- name: hasten_jobs
UPDATE roadworthy.jobs SET run_at = clock_timestamp() WHERE state = 0 AND run_at > clock_timestamp()
