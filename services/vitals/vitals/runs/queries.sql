-- name: begin_run
-- Nothing comes back while another run of its kind is on.
INSERT INTO runs (kind) VALUES ($1)
ON CONFLICT (kind) WHERE state = 'running' DO NOTHING
RETURNING id

-- name: lock_run
SELECT kind, state, total FROM runs WHERE id = $1 FOR NO KEY UPDATE

-- name: cut_recalculate
WITH numbered AS (
    SELECT id, (row_number() OVER (ORDER BY id) - 1) / $2::int AS chunk FROM users
)
INSERT INTO run_chunks (run_id, first_id, last_id, items)
SELECT $1, min(id), max(id), count(*) FROM numbered GROUP BY chunk
ON CONFLICT (run_id, first_id) DO NOTHING
RETURNING first_id, items

-- name: cut_backfill
WITH numbered AS (
    SELECT id, (row_number() OVER (ORDER BY id) - 1) / $2::int AS chunk FROM webhook_events
)
INSERT INTO run_chunks (run_id, first_id, last_id, items)
SELECT $1, min(id), max(id), count(*) FROM numbered GROUP BY chunk
ON CONFLICT (run_id, first_id) DO NOTHING
RETURNING first_id, items

-- name: set_total
UPDATE runs SET total = $2 WHERE id = $1

-- name: take_chunk
-- Nothing comes back for a chunk that is done, or whose run is over. Who runs it a second time waits here for the first.
SELECT chunk.last_id
FROM run_chunks AS chunk
JOIN runs AS run ON run.id = chunk.run_id
WHERE chunk.run_id = $1 AND chunk.first_id = $2 AND chunk.done_at IS NULL AND run.state = 'running'
FOR NO KEY UPDATE OF chunk

-- name: users_between
SELECT id FROM users WHERE id BETWEEN $1 AND $2 ORDER BY id

-- name: events_between
SELECT id FROM webhook_events WHERE id BETWEEN $1 AND $2 ORDER BY id

-- name: finish_chunk
UPDATE run_chunks SET done_at = now() WHERE run_id = $1 AND first_id = $2

-- name: finish_run
UPDATE runs SET state = 'finished', finished_at = now() WHERE id = $1 AND state = 'running'

-- name: cancel_run
UPDATE runs SET state = 'cancelled', finished_at = now() WHERE id = $1 AND state = 'running' RETURNING id

-- name: progress
SELECT
    run.id, run.kind, run.state, run.total, run.started_at, run.finished_at,
    coalesce(sum(chunk.items) FILTER (WHERE chunk.done_at IS NOT NULL), 0)::bigint AS done
FROM runs AS run
LEFT JOIN run_chunks AS chunk ON chunk.run_id = run.id
WHERE $1::bigint IS NULL OR run.id = $1
GROUP BY run.id
ORDER BY run.id DESC
LIMIT $2

-- name: forget_runs
DELETE FROM runs WHERE state <> 'running' AND finished_at < now() - interval '30 days'
