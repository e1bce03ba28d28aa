-- name: add_jobs
-- As enqueue_jobs, for jobs with more: an id drawn before, others to wait for, a unique key that outlasts the job. Such
-- keys are all taken before the first job's row, and both in order, so that two bulk inserts never wait for each other.
WITH new AS MATERIALIZED (
    SELECT
        coalesce(new.number, nextval('roadworthy.jobs_id_seq')) AS id,
        statement_timestamp() AS now,
        coalesce(new.run_at, statement_timestamp() + new.delay, statement_timestamp()) AS due,
        CASE
            WHEN unique_key IS NULL THEN NULL
            WHEN options::jsonb ->> 'unique_while' = 'unresolved' THEN 'infinity'
            ELSE statement_timestamp() + (options::jsonb ->> 'unique_for')::float8 * interval '1 second'
        END AS taken_until,
        new.*
    FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::text[], $7::text[], $8::text[],
        $9::interval[], $10::timestamptz[], $11::bigint[], $12::int[], $13::boolean[]
    ) AS new (
        queue, job, arguments, attempts, priority, unique_key, context, options, delay, run_at, number, waits_for, leads
    )
), taken AS (
    INSERT INTO roadworthy.unique_keys AS held (job, unique_key, job_id, until)
    SELECT DISTINCT ON (job, unique_key) job, unique_key, id, taken_until
    FROM new
    WHERE taken_until IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM roadworthy.jobs AS other WHERE other.job = new.job AND other.unique_key = new.unique_key
        )
        -- Looked at first, because a conflict locks the row, and whoever ends its job would wait for this transaction.
        AND NOT EXISTS (
            SELECT FROM roadworthy.unique_keys AS other
            WHERE other.job = new.job AND other.unique_key = new.unique_key AND other.until > new.now
        )
    ORDER BY job, unique_key, id
    ON CONFLICT (job, unique_key) DO UPDATE SET job_id = excluded.job_id, until = excluded.until
        WHERE held.until <= statement_timestamp()
    RETURNING job_id
)
INSERT INTO roadworthy.jobs
    (id, state, queue, job, arguments, attempts, priority, unique_key, context, options, enqueued_at, run_at,
     waits_for, leads)
SELECT
    id, CASE WHEN waits_for > 0 THEN 5 WHEN due <= now THEN 1 ELSE 0 END, queue, job, arguments::json, attempts,
    priority, unique_key, context::json, options::jsonb, now, greatest(due, now), waits_for, leads
FROM new
WHERE taken_until IS NULL OR id = ANY (ARRAY(SELECT job_id FROM taken))
ORDER BY job, unique_key, id
ON CONFLICT (job, unique_key) WHERE unique_key IS NOT NULL DO NOTHING
RETURNING id, job, unique_key

-- name: finish_jobs
-- The success of jobs that ask for more than to be deleted: results are kept, and jobs that waited for them let go.
-- Whoever ends jobs locks their rows first, then those of jobs that wait for them, in the order of ids.
WITH done AS (
    DELETE FROM roadworthy.jobs AS job
    USING unnest($1::bigint[], $2::bigint[], $3::text[]) AS outcome (id, lease, result)
    WHERE job.id = outcome.id AND job.lease = outcome.lease
    RETURNING job.*, outcome.result
), forgotten AS (
    DELETE FROM roadworthy.job_failures WHERE job_id = ANY (ARRAY(SELECT id FROM done WHERE attempt > 1))
), kept AS (
    INSERT INTO roadworthy.finished_jobs
        (id, queue, job, arguments, context, options, priority, unique_key, attempt, attempts, enqueued_at, finished_at,
         keep_until, worker, cancelled, progress, result)
    SELECT
        id, queue, job, arguments, context, options, priority, unique_key, attempt, attempts, enqueued_at,
        clock_timestamp(), clock_timestamp() + (options ->> 'keep')::float8 * interval '1 second', worker, false,
        progress, result::json
    FROM done
    WHERE options ? 'keep'
), freed AS (
    UPDATE roadworthy.unique_keys AS held
    SET until = done.enqueued_at + coalesce((done.options ->> 'unique_for')::float8, 0) * interval '1 second'
    FROM done
    WHERE done.options ->> 'unique_while' = 'unresolved' AND held.job = done.job
        AND held.unique_key = done.unique_key AND held.job_id = done.id
), used AS (
    DELETE FROM roadworthy.job_edges
    WHERE met AND successor = ANY (ARRAY(SELECT id FROM done WHERE options ? 'workflow'))
), marked AS (
    UPDATE roadworthy.job_edges SET met = true
    WHERE NOT met AND predecessor = ANY (ARRAY(SELECT id FROM done WHERE leads AND options ? 'keep'))
    RETURNING successor
), removed AS (
    DELETE FROM roadworthy.job_edges
    WHERE NOT met AND predecessor = ANY (ARRAY(SELECT id FROM done WHERE leads AND NOT options ? 'keep'))
    RETURNING successor
), waiting AS (
    SELECT successor AS id, count(*)::int AS met
    FROM (SELECT successor FROM marked UNION ALL SELECT successor FROM removed) AS edge
    GROUP BY successor
    ORDER BY successor
), released AS (
    UPDATE roadworthy.jobs AS job
    SET waits_for = job.waits_for - waiting.met,
        state = CASE WHEN job.waits_for > waiting.met THEN 5 WHEN job.run_at > clock_timestamp() THEN 0 ELSE 1 END,
        run_at = CASE WHEN job.waits_for > waiting.met THEN job.run_at ELSE greatest(job.run_at, clock_timestamp()) END
    FROM waiting
    WHERE job.id = waiting.id AND job.state = 5
    RETURNING job.queue, job.state
)
SELECT
    array_agg(id),
    (SELECT array_agg(DISTINCT queue) FROM released WHERE state = 1) ||
    CASE WHEN count(holds) > 0 THEN roadworthy.free_slots(jsonb_agg(holds) FILTER (WHERE holds IS NOT NULL)) END
FROM done

-- name: postpone_jobs
WITH postponed AS (
    UPDATE roadworthy.jobs AS job
    SET state = CASE WHEN outcome.delay > interval '0' THEN 0 ELSE 1 END, lease = job.lease + 1,
        attempt = job.attempt - 1, run_at = clock_timestamp() + outcome.delay, lease_expires_at = NULL,
        holds = NULL,
        options = coalesce(job.options, '{}')
            || jsonb_build_object('snoozes', coalesce((job.options ->> 'snoozes')::int, 0) + 1)
    FROM unnest($1::bigint[], $2::bigint[], $3::interval[]) AS outcome (id, lease, delay)
    WHERE job.id = outcome.id AND job.lease = outcome.lease
    RETURNING job.id, job.queue, old.holds
)
SELECT
    array_agg(id),
    array_agg(DISTINCT queue) ||
    CASE WHEN count(holds) > 0 THEN roadworthy.free_slots(jsonb_agg(holds) FILTER (WHERE holds IS NOT NULL)) END
FROM postponed

-- name: drop_jobs
SELECT ended, woken, total FROM roadworthy.drop_jobs($1, $2, $3, $4)

-- name: request_cancellation
WITH asked AS (
    SELECT id FROM roadworthy.jobs WHERE id = ANY ($1::bigint[]) AND state = 2 ORDER BY id FOR UPDATE
), requested AS (
    UPDATE roadworthy.jobs
    SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
    WHERE id = ANY (ARRAY(SELECT id FROM asked))
    RETURNING id
)
SELECT array_agg(id) FROM requested

-- name: find_cancellations
-- The running jobs of a worker, and every job that came back although it is to be cancelled.
SELECT id, CASE WHEN state = 2 THEN lease END
FROM roadworthy.jobs
WHERE cancel_requested_at IS NOT NULL AND (state <> 2 OR worker = $1)
ORDER BY id
LIMIT 1000

-- name: write_progress
WITH held AS (
    UPDATE roadworthy.jobs AS job SET progress = $3::text::jsonb WHERE job.id = $1 AND job.lease = $2 RETURNING job.id
)
SELECT count(*) FROM held

-- name: find_outcome
SELECT
    job, state, NULL::boolean AS cancelled, NULL::text AS result, NULL::text AS error_class, NULL::text AS message,
    options::text AS options
FROM roadworthy.jobs WHERE id = $1
UNION ALL
SELECT job, 3, NULL, NULL, error_class, message, options::text FROM roadworthy.dead_jobs WHERE id = $1
UNION ALL
SELECT job, NULL, cancelled, result::text, NULL, NULL, options::text FROM roadworthy.finished_jobs WHERE id = $1

-- name: list_predecessors
SELECT ended.id, ended.job, ended.result::text, ended.options::text
FROM roadworthy.job_edges AS edge
JOIN roadworthy.finished_jobs AS ended ON ended.id = edge.predecessor
WHERE edge.met AND edge.successor = $1
ORDER BY ended.id

-- name: add_workflow
INSERT INTO roadworthy.workflows (name, added_at, keep_until, total, skipped, first_job, last_job)
VALUES ($1, statement_timestamp(), statement_timestamp() + $2::interval, $3, 0, 0, 0)
RETURNING id

-- name: draw_ids
SELECT array_agg(nextval('roadworthy.jobs_id_seq')) FROM generate_series(1, $1::int)

-- name: add_edges
INSERT INTO roadworthy.job_edges (workflow, predecessor, successor, on_success)
SELECT $1, predecessor, successor, on_success
FROM unnest($2::bigint[], $3::bigint[], $4::boolean[]) AS edge (predecessor, successor, on_success)

-- name: settle_workflow
WITH spared AS (
    UPDATE roadworthy.jobs AS job
    SET waits_for = job.waits_for - fewer.count,
        state = CASE WHEN job.waits_for > fewer.count THEN 5 WHEN job.run_at > statement_timestamp() THEN 0 ELSE 1 END
    FROM unnest($2::bigint[], $3::int[]) AS fewer (id, count)
    WHERE job.id = fewer.id
)
UPDATE roadworthy.workflows SET skipped = $4, total = total - $4, first_job = $5, last_job = $6 WHERE id = $1

-- name: count_workflow
-- What is neither there nor dead has finished: no counter must be kept while members succeed.
SELECT
    flow.id, flow.name, flow.added_at, flow.total, flow.skipped, flow.cancelled, live.scheduled, live.ready,
    live.running, live.blocked, live.held, dead.count
FROM roadworthy.workflows AS flow
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE state = 0) AS scheduled, count(*) FILTER (WHERE state = 1) AS ready,
        count(*) FILTER (WHERE state = 2) AS running, count(*) FILTER (WHERE state = 4) AS blocked,
        count(*) FILTER (WHERE state = 5) AS held
    FROM roadworthy.jobs
    WHERE options ? 'workflow' AND (options ->> 'workflow')::bigint = flow.id
) AS live
CROSS JOIN LATERAL (
    SELECT count(*) AS count
    FROM roadworthy.dead_jobs
    WHERE options ? 'workflow' AND (options ->> 'workflow')::bigint = flow.id
) AS dead
WHERE flow.id = $1

-- name: list_members
-- The members that have not ended, for those who want to cancel them.
SELECT array_agg(id)
FROM (
    SELECT id FROM roadworthy.jobs WHERE options ? 'workflow' AND (options ->> 'workflow')::bigint = $1
    UNION ALL
    SELECT id FROM roadworthy.dead_jobs WHERE options ? 'workflow' AND (options ->> 'workflow')::bigint = $1
) AS member

-- name: prune_finished_jobs
WITH gone AS (
    DELETE FROM roadworthy.finished_jobs WHERE id = ANY (ARRAY(
        SELECT id FROM roadworthy.finished_jobs
        WHERE keep_until < statement_timestamp() ORDER BY keep_until LIMIT $1 FOR UPDATE SKIP LOCKED
    ))
    RETURNING id
)
SELECT count(*) FROM gone

-- name: prune_unique_keys
WITH gone AS (
    DELETE FROM roadworthy.unique_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM roadworthy.unique_keys
        WHERE until < statement_timestamp() AND until < 'infinity' ORDER BY until LIMIT $1 FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id
)
SELECT count(*) FROM gone

-- name: prune_workflows
-- One with members left is put off by a day.
WITH due AS MATERIALIZED (
    SELECT
        id, first_job, last_job,
        EXISTS (
            SELECT FROM roadworthy.jobs WHERE options ? 'workflow' AND (options ->> 'workflow')::bigint = flow.id
        ) OR EXISTS (
            SELECT FROM roadworthy.dead_jobs WHERE options ? 'workflow' AND (options ->> 'workflow')::bigint = flow.id
        ) AS unfinished
    FROM roadworthy.workflows AS flow
    WHERE keep_until < statement_timestamp() ORDER BY keep_until LIMIT $1 FOR UPDATE SKIP LOCKED
), put_off AS (
    UPDATE roadworthy.workflows SET keep_until = statement_timestamp() + interval '1 day'
    WHERE id = ANY (ARRAY(SELECT id FROM due WHERE unfinished))
), edges AS (
    DELETE FROM roadworthy.job_edges AS edge
    USING due
    WHERE NOT due.unfinished AND edge.predecessor BETWEEN due.first_job AND due.last_job AND edge.workflow = due.id
), gone AS (
    DELETE FROM roadworthy.workflows WHERE id = ANY (ARRAY(SELECT id FROM due WHERE NOT unfinished)) RETURNING id
)
SELECT count(*) FROM gone

-- name: list_old_dead_jobs
SELECT array_agg(id)
FROM (
    SELECT id FROM roadworthy.dead_jobs
    WHERE queue = $1 AND died_at < statement_timestamp() - $2::interval ORDER BY died_at LIMIT $3
) AS old
