-- Dead letters in bulk: what an operation is to touch is settled when it is asked for, and it goes through that set in
-- batches, each a transaction of its own that also notes how far it has come.
--
-- The set is what its filter matches among the rows that its snapshot sees, up to a place in the order of deaths. A job
-- that was revived and dies again is a new row in a later transaction, so it never comes back into the set.
ALTER TABLE roadworthy.dead_jobs ADD COLUMN buried_in xid8 NOT NULL DEFAULT pg_current_xact_id();

CREATE INDEX dead_jobs_in_order ON roadworthy.dead_jobs (died_at, id);

-- Who did what to jobs, and why. One whose finished_at is NULL was interrupted, and goes on where it was. asked is how
-- many were confirmed, changed how many were touched, conflicts how many were left because their unique key was taken.
CREATE TABLE roadworthy.job_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,
    action text NOT NULL,
    filter jsonb NOT NULL,
    reason text,
    per_second float8,
    asked bigint NOT NULL,
    changed bigint NOT NULL DEFAULT 0,
    conflicts bigint NOT NULL DEFAULT 0,
    finished_at timestamptz,
    -- The set, and how far into it the operation is.
    chosen_at timestamptz,
    snapshot pg_snapshot,
    last_died_at timestamptz,
    last_id bigint,
    done_died_at timestamptz NOT NULL DEFAULT '-infinity',
    done_id bigint NOT NULL DEFAULT 0,
    -- With a rate, when the next revived job may run.
    next_run_at timestamptz
);

CREATE INDEX job_audit_unfinished ON roadworthy.job_audit (action) WHERE finished_at IS NULL;

-- A filter as the operations keep it, without what was not asked for.
CREATE FUNCTION roadworthy.dead_filter(
    queue text, job text, error_class text, message text, died_after timestamptz, died_before timestamptz,
    arguments jsonb, arguments_path jsonpath, ids bigint[], at_most bigint
) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'queue', queue, 'job', job, 'error_class', error_class, 'message', message, 'died_after', died_after,
        'died_before', died_before, 'arguments_path', arguments_path::text, 'ids', ids, 'at_most', at_most
    )) || CASE WHEN arguments IS NULL THEN '{}' ELSE jsonb_build_object('arguments', arguments) END
$$;

-- Whether a dead job is one that the filter asks for; ages count back from chosen_at. jsonb takes no NUL character.
CREATE FUNCTION roadworthy.dead_matches(dead roadworthy.dead_jobs, filter jsonb, chosen_at timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT
        (NOT filter ? 'ids' OR filter -> 'ids' @> to_jsonb(dead.id))
        AND (NOT filter ? 'queue' OR dead.queue = filter ->> 'queue')
        AND (NOT filter ? 'job' OR dead.job = filter ->> 'job')
        AND (NOT filter ? 'error_class' OR '.' || dead.error_class LIKE '%.' || replace(replace(replace(
            filter ->> 'error_class', '\', '\\'), '%', '\%'), '_', '\_'))
        AND (NOT filter ? 'message' OR strpos(dead.message, filter ->> 'message') > 0)
        AND (NOT filter ? 'died_after' OR dead.died_at >= (filter ->> 'died_after')::timestamptz)
        AND (NOT filter ? 'died_before' OR dead.died_at < (filter ->> 'died_before')::timestamptz)
        AND (NOT filter ? 'younger_than'
            OR dead.died_at >= chosen_at - make_interval(secs => (filter ->> 'younger_than')::float8))
        AND (NOT filter ? 'older_than'
            OR dead.died_at < chosen_at - make_interval(secs => (filter ->> 'older_than')::float8))
        AND (NOT filter ? 'arguments'
            OR replace(dead.arguments::text, '\u0000', '\ufffd')::jsonb @> (filter -> 'arguments'))
        AND (NOT filter ? 'arguments_path'
            OR coalesce(replace(dead.arguments::text, '\u0000', '\ufffd')::jsonb
                @@ (filter ->> 'arguments_path')::jsonpath, false))
$$;

-- The ids that a filter names, NULL where it names none.
CREATE FUNCTION roadworthy.dead_ids(filter jsonb) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN filter ? 'ids' THEN ARRAY(SELECT jsonb_array_elements_text(filter -> 'ids')::bigint) END
$$;

-- Settle a set: how many it has, and the marks by which it is found again. One statement, so one snapshot. Planned with
-- the filter at hand, nothing is left of dead_matches but the conditions that it has.
CREATE FUNCTION roadworthy.choose_dead(
    filter jsonb, OUT matched bigint, OUT chosen_at timestamptz, OUT snapshot pg_snapshot,
    OUT last_died_at timestamptz, OUT last_id bigint
) LANGUAGE plpgsql SET enable_sort = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    named bigint[] := roadworthy.dead_ids(filter);
BEGIN
    chosen_at := clock_timestamp();
    IF named IS NULL AND NOT filter ? 'at_most' THEN
        -- The snapshot is bound enough.
        SELECT count(*), pg_current_snapshot(), timestamptz 'infinity', 9223372036854775807
        INTO matched, snapshot, last_died_at, last_id
        FROM roadworthy.dead_jobs AS dead
        WHERE roadworthy.dead_matches(dead, filter, choose_dead.chosen_at);
    ELSIF named IS NOT NULL THEN
        WITH found AS MATERIALIZED (
            SELECT dead.died_at, dead.id FROM roadworthy.dead_jobs AS dead
            WHERE dead.id = ANY (named) AND roadworthy.dead_matches(dead, filter, choose_dead.chosen_at)
        ), chosen AS MATERIALIZED (
            SELECT died_at, id FROM found ORDER BY died_at, id LIMIT (filter ->> 'at_most')::bigint
        ), latest AS (
            SELECT died_at, id FROM chosen ORDER BY died_at DESC, id DESC LIMIT 1
        )
        SELECT (SELECT count(*) FROM chosen), pg_current_snapshot(), (SELECT died_at FROM latest),
            (SELECT id FROM latest)
        INTO matched, snapshot, last_died_at, last_id;
    ELSE
        WITH chosen AS MATERIALIZED (
            SELECT dead.died_at, dead.id FROM roadworthy.dead_jobs AS dead
            WHERE roadworthy.dead_matches(dead, filter, choose_dead.chosen_at)
            ORDER BY dead.died_at, dead.id
            LIMIT (filter ->> 'at_most')::bigint
        ), latest AS (
            SELECT died_at, id FROM chosen ORDER BY died_at DESC, id DESC LIMIT 1
        )
        SELECT (SELECT count(*) FROM chosen), pg_current_snapshot(), (SELECT died_at FROM latest),
            (SELECT id FROM latest)
        INTO matched, snapshot, last_died_at, last_id;
    END IF;
END
$$;

-- Do the next batch of an operation that was begun; it is finished once finished_at is there. Two at once take turns.
--
-- Plans are pinned: whatever the statistics say of a table that was just filled, it goes along the order of deaths.
CREATE FUNCTION roadworthy.continue_dead(operation bigint, batch integer DEFAULT 500)
RETURNS roadworthy.job_audit LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_sort = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    begun roadworthy.job_audit;
    named bigint[];
    chosen bigint[];
    touched bigint := 0;
    woken text[];
    starts timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO STRICT begun FROM roadworthy.job_audit AS audit WHERE audit.id = operation FOR UPDATE;
    IF begun.finished_at IS NOT NULL THEN
        RETURN begun;
    END IF;
    named := roadworthy.dead_ids(begun.filter);
    IF named IS NOT NULL THEN
        WITH found AS MATERIALIZED (
            SELECT dead.died_at, dead.id FROM roadworthy.dead_jobs AS dead
            WHERE dead.id = ANY (named)
                AND (dead.died_at, dead.id) > (begun.done_died_at, begun.done_id)
                AND (dead.died_at, dead.id) <= (begun.last_died_at, begun.last_id)
                AND pg_visible_in_snapshot(dead.buried_in, begun.snapshot)
                AND roadworthy.dead_matches(dead, begun.filter, begun.chosen_at)
            FOR UPDATE
        )
        SELECT coalesce(array_agg(one.id ORDER BY one.died_at, one.id), '{}') INTO chosen
        FROM (SELECT found.* FROM found ORDER BY found.died_at, found.id LIMIT batch) AS one;
    ELSE
        chosen := ARRAY(
            SELECT dead.id FROM roadworthy.dead_jobs AS dead
            WHERE (dead.died_at, dead.id) > (begun.done_died_at, begun.done_id)
                AND (dead.died_at, dead.id) <= (begun.last_died_at, begun.last_id)
                AND pg_visible_in_snapshot(dead.buried_in, begun.snapshot)
                AND roadworthy.dead_matches(dead, begun.filter, begun.chosen_at)
            ORDER BY dead.died_at, dead.id
            LIMIT batch
            FOR UPDATE
        );
    END IF;
    IF cardinality(chosen) > 0 THEN
        SELECT dead.died_at, dead.id INTO begun.done_died_at, begun.done_id
        FROM roadworthy.dead_jobs AS dead WHERE dead.id = chosen[cardinality(chosen)];
    END IF;
    starts := greatest(starts, begun.next_run_at);
    IF begun.action = 'retry' THEN
        WITH revived AS (
            INSERT INTO roadworthy.jobs
                (id, lease, state, queue, job, arguments, context, options, leads, attempts, priority, unique_key,
                 enqueued_at, run_at)
            SELECT
                dead.id, dead.lease + 1, CASE WHEN begun.per_second IS NULL THEN 1 ELSE 0 END, dead.queue, dead.job,
                dead.arguments, dead.context, dead.options, dead.leads, dead.attempts, dead.priority, dead.unique_key,
                dead.enqueued_at, starts + make_interval(secs => coalesce((place - 1) / begun.per_second, 0))
            FROM unnest(chosen) WITH ORDINALITY AS one (id, place)
            JOIN roadworthy.dead_jobs AS dead ON dead.id = one.id
            ORDER BY dead.job, dead.unique_key, dead.id
            ON CONFLICT (job, unique_key) WHERE unique_key IS NOT NULL DO NOTHING
            RETURNING id, queue
        ), gone AS (
            DELETE FROM roadworthy.dead_jobs WHERE id = ANY (ARRAY(SELECT id FROM revived))
        )
        SELECT count(*), array_agg(DISTINCT queue) INTO touched, woken FROM revived;
        PERFORM pg_notify('roadworthy_jobs', hint) FROM unnest(woken) AS hint;
        begun.conflicts := begun.conflicts + cardinality(chosen) - touched;
    ELSE
        SELECT coalesce(cardinality(dropped.ended), 0) INTO touched
        FROM roadworthy.drop_jobs(
            chosen, array_fill(NULL::bigint, ARRAY[cardinality(chosen)]), keep => false, dead => true
        ) AS dropped;
    END IF;
    UPDATE roadworthy.job_audit AS audit
    SET changed = audit.changed + touched,
        conflicts = begun.conflicts,
        done_died_at = begun.done_died_at,
        done_id = begun.done_id,
        next_run_at = starts + make_interval(secs => coalesce(cardinality(chosen) / begun.per_second, 0)),
        finished_at = CASE WHEN cardinality(chosen) < batch THEN clock_timestamp() END
    WHERE audit.id = operation
    RETURNING audit.* INTO begun;
    RETURN begun;
END
$$;

-- Begin an operation on a set that was settled, and return its id. Statistics gathered while there were no dead jobs
-- would have each batch read all that died since.
CREATE FUNCTION roadworthy.begin_dead(
    action text, filter jsonb, asked bigint, chosen_at timestamptz, snapshot pg_snapshot, last_died_at timestamptz,
    last_id bigint, who text, reason text DEFAULT NULL, per_second float8 DEFAULT NULL, OUT operation bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    IF asked > 1000 THEN
        ANALYZE roadworthy.dead_jobs;
    END IF;
    INSERT INTO roadworthy.job_audit AS audit
        (action, filter, asked, chosen_at, snapshot, last_died_at, last_id, who, reason, per_second)
    VALUES (action, filter, asked, chosen_at, snapshot, last_died_at, last_id,
        coalesce(who, session_user || '@' || coalesce(host(inet_client_addr()), 'local')), reason, per_second)
    RETURNING audit.id INTO operation;
END
$$;

-- The whole of an operation in one transaction; `expected` refuses it where the count is another.
CREATE FUNCTION roadworthy.change_dead(
    action text, filter jsonb, expected bigint, who text, reason text, per_second float8,
    OUT operation bigint, OUT asked bigint, OUT changed bigint, OUT conflicts bigint
) LANGUAGE plpgsql AS $$
DECLARE
    chosen record;
    state roadworthy.job_audit;
BEGIN
    IF per_second <= 0 THEN
        RAISE EXCEPTION 'per_second must be above 0, and is %', per_second USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO chosen FROM roadworthy.choose_dead(filter);
    IF chosen.matched <> expected THEN
        RAISE EXCEPTION '% dead jobs match, not %; nothing was changed', chosen.matched, expected
            USING HINT = 'Look at them again with roadworthy.count_dead and roadworthy.dead_groups.';
    END IF;
    operation := roadworthy.begin_dead(action, filter, chosen.matched, chosen.chosen_at, chosen.snapshot,
        chosen.last_died_at, chosen.last_id, who, reason, per_second);
    LOOP
        state := roadworthy.continue_dead(operation, 1000);
        EXIT WHEN state.finished_at IS NOT NULL;
    END LOOP;
    asked := state.asked;
    changed := state.changed;
    conflicts := state.conflicts;
END
$$;

-- For people in psql; every argument is optional and named. See docs/how-to/retry-dead-jobs.md.
CREATE FUNCTION roadworthy.count_dead(
    queue text DEFAULT NULL, job text DEFAULT NULL, error_class text DEFAULT NULL, message text DEFAULT NULL,
    died_after timestamptz DEFAULT NULL, died_before timestamptz DEFAULT NULL, arguments jsonb DEFAULT NULL,
    arguments_path jsonpath DEFAULT NULL, ids bigint[] DEFAULT NULL, at_most bigint DEFAULT NULL
) RETURNS bigint LANGUAGE sql AS $$
    SELECT matched FROM roadworthy.choose_dead(roadworthy.dead_filter(
        queue, job, error_class, message, died_after, died_before, arguments, arguments_path, ids, at_most))
$$;

CREATE FUNCTION roadworthy.retry_dead(
    queue text DEFAULT NULL, job text DEFAULT NULL, error_class text DEFAULT NULL, message text DEFAULT NULL,
    died_after timestamptz DEFAULT NULL, died_before timestamptz DEFAULT NULL, arguments jsonb DEFAULT NULL,
    arguments_path jsonpath DEFAULT NULL, ids bigint[] DEFAULT NULL, at_most bigint DEFAULT NULL,
    expected bigint DEFAULT NULL, per_second float8 DEFAULT NULL, who text DEFAULT NULL, reason text DEFAULT NULL,
    OUT operation bigint, OUT asked bigint, OUT changed bigint, OUT conflicts bigint
) LANGUAGE sql AS $$
    SELECT * FROM roadworthy.change_dead('retry', roadworthy.dead_filter(
        queue, job, error_class, message, died_after, died_before, arguments, arguments_path, ids, at_most
    ), expected, who, reason, per_second)
$$;

CREATE FUNCTION roadworthy.discard_dead(
    queue text DEFAULT NULL, job text DEFAULT NULL, error_class text DEFAULT NULL, message text DEFAULT NULL,
    died_after timestamptz DEFAULT NULL, died_before timestamptz DEFAULT NULL, arguments jsonb DEFAULT NULL,
    arguments_path jsonpath DEFAULT NULL, ids bigint[] DEFAULT NULL, at_most bigint DEFAULT NULL,
    expected bigint DEFAULT NULL, who text DEFAULT NULL, reason text DEFAULT NULL,
    OUT operation bigint, OUT asked bigint, OUT changed bigint, OUT conflicts bigint
) LANGUAGE sql AS $$
    SELECT * FROM roadworthy.change_dead('discard', roadworthy.dead_filter(
        queue, job, error_class, message, died_after, died_before, arguments, arguments_path, ids, at_most
    ), expected, who, reason, NULL)
$$;

CREATE FUNCTION roadworthy.dead_groups(filter jsonb DEFAULT '{}')
RETURNS TABLE (
    queue text, job text, error_class text, count bigint, first_died_at timestamptz, last_died_at timestamptz,
    example bigint, message text
) LANGUAGE sql STABLE AS $$
    SELECT kind.queue, kind.job, kind.error_class, kind.count, kind.first_died_at, kind.last_died_at, kind.example,
        dead.message
    FROM (
        SELECT queue, job, error_class, count(*) AS count, min(died_at) AS first_died_at, max(died_at) AS last_died_at,
            max(id) AS example
        FROM roadworthy.dead_jobs AS one
        WHERE roadworthy.dead_matches(one, filter, statement_timestamp())
        GROUP BY queue, job, error_class
    ) AS kind
    JOIN roadworthy.dead_jobs AS dead ON dead.id = kind.example
    ORDER BY kind.count DESC, kind.queue, kind.job, kind.error_class
$$;
