-- How many jobs at once, how many in a time, and which not at all for now.
--
-- A limit is a row by name: of a queue or a kind of job, and for each key where it counts by key. `family` is the name of
-- its declaration. One with `at_once` counts the slots taken, `running`; each is named in `holds` of the job that has it.
-- One with `spacing` is a rate (GCRA): `tat` is when the next job would be due if all came evenly spaced, and up to `burst`
-- may run ahead of that. A job that its limits refuse is put aside: state 4, `blocked_by` the limit's name. Nothing is put
-- aside for the limit of a `whole_queue`, from which less is claimed. `opens_at` is when a rate next has room for one.
--
-- Locks are taken in this order: rows of jobs, waiting for none but those that a worker says it holds; then rows of limits,
-- by name. Who has a limit locked finds jobs only with SKIP LOCKED.
CREATE TABLE roadworthy.job_limits (
    name text PRIMARY KEY,
    family text NOT NULL,
    queue text NOT NULL,
    whole_queue boolean NOT NULL,
    at_once integer,
    spacing interval,
    burst integer,
    running integer NOT NULL DEFAULT 0,
    tat timestamptz,
    opens_at timestamptz
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 1,
    autovacuum_vacuum_cost_limit = 2000
);

CREATE INDEX job_limits_opening ON roadworthy.job_limits (opens_at) WHERE opens_at IS NOT NULL;

-- A queue, or one kind of its jobs, that is not to be claimed from.
CREATE TABLE roadworthy.job_pauses (
    queue text NOT NULL,
    job text,
    since timestamptz NOT NULL,
    by text NOT NULL,
    reason text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (queue, job)
);

-- Those put aside come back in the order in which they would have been claimed.
CREATE INDEX jobs_blocked ON roadworthy.jobs (blocked_by, priority, run_at, id) WHERE state = 4;

-- Whatever ends a holding must say so, and give its slots back with free_slots.
ALTER TABLE roadworthy.jobs ADD CONSTRAINT jobs_hold_slots_while_running CHECK (holds IS NULL OR state = 2);

-- How many jobs a rate has room for.
CREATE FUNCTION roadworthy.rate_room(tat timestamptz, spacing interval, burst integer, moment timestamptz)
RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT greatest(
        floor(burst - extract(epoch FROM greatest(tat, moment) - moment) / extract(epoch FROM spacing)), 0
    )::integer
$$;

-- When a rate has room for one.
CREATE FUNCTION roadworthy.rate_opens_at(tat timestamptz, spacing interval, burst integer, moment timestamptz)
RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT greatest(tat, moment) - (burst - 1) * spacing
$$;

-- Make up to as many ready as `counts` says of the jobs put aside under each of `names`; return queue and name of each.
CREATE FUNCTION roadworthy.unblock_jobs(names text[], counts integer[])
RETURNS TABLE (queue text, name text) LANGUAGE sql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
    WITH first AS (
        SELECT found.id, blocker.name
        FROM unnest(names, counts) AS blocker (name, count)
        CROSS JOIN LATERAL (
            SELECT blocked.id
            FROM roadworthy.jobs AS blocked
            WHERE blocked.state = 4 AND blocked.blocked_by = blocker.name
            ORDER BY blocked.priority, blocked.run_at, blocked.id
            LIMIT greatest(blocker.count, 0)
            FOR UPDATE SKIP LOCKED
        ) AS found
    )
    UPDATE roadworthy.jobs AS job
    SET state = 1, blocked_by = NULL
    WHERE job.id = ANY (ARRAY(SELECT id FROM first))
    RETURNING job.queue, old.blocked_by
$$;

-- Give back the slots of holdings that end in this transaction: an array of arrays of names.
--
-- As many of the jobs that each limit put aside become ready as slots were freed. Returned are the queues to wake.
CREATE FUNCTION roadworthy.free_slots(holdings jsonb)
RETURNS text[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    freed_names text[];
    freed_counts integer[];
    room integer[];
    full_queues text[];
    queues text[];
BEGIN
    SELECT array_agg(slot.name ORDER BY slot.name), array_agg(slot.count ORDER BY slot.name)
    INTO freed_names, freed_counts
    FROM (
        SELECT held AS name, count(*)::integer AS count
        FROM jsonb_array_elements(holdings) AS holding
        CROSS JOIN jsonb_array_elements_text(holding) AS held
        GROUP BY 1
    ) AS slot;

    -- Claims put jobs aside while they have these locked. So a later statement sees all that were.
    PERFORM FROM roadworthy.job_limits AS kept WHERE kept.name = ANY (freed_names) ORDER BY kept.name FOR UPDATE;

    WITH freed AS (
        UPDATE roadworthy.job_limits AS kept
        SET running = greatest(kept.running - slot.count, 0)
        FROM unnest(freed_names, freed_counts) AS slot (name, count)
        WHERE kept.name = slot.name
        RETURNING kept.name, kept.queue, least(slot.count, kept.at_once - new.running) AS room,
            kept.whole_queue AND old.running >= kept.at_once AS reopened
    )
    SELECT array_agg(freed.name), array_agg(freed.room), array_agg(freed.queue) FILTER (WHERE freed.reopened)
    INTO freed_names, room, full_queues
    FROM freed;

    SELECT array_agg(DISTINCT wake.queue)
    INTO queues
    FROM (
        SELECT unblocked.queue FROM roadworthy.unblock_jobs(freed_names, room) AS unblocked
        UNION ALL
        SELECT unnest(full_queues)
    ) AS wake;
    RETURN queues;
END
$$;

-- Make ready what rates have room for again; return the queues to wake.
CREATE FUNCTION roadworthy.open_limits(most integer)
RETURNS text[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    open_names text[];
    room integer[];
    unblocked text[];
    queues text[];
    moment timestamptz := clock_timestamp();
BEGIN
    SELECT array_agg(due.name), array_agg(roadworthy.rate_room(due.tat, due.spacing, due.burst, moment))
    INTO open_names, room
    FROM (
        SELECT *
        FROM roadworthy.job_limits AS kept
        WHERE kept.opens_at <= moment
        ORDER BY kept.opens_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ) AS due;
    IF open_names IS NULL THEN
        RETURN NULL;
    END IF;

    SELECT array_agg(found.name), array_agg(DISTINCT found.queue)
    INTO unblocked, queues
    FROM roadworthy.unblock_jobs(open_names, room) AS found;

    -- Where all the room was used more may wait. They are looked for when half as much is there again, so that a look
    -- that comes late wastes none.
    WITH opened AS (
        UPDATE roadworthy.job_limits AS kept
        SET opens_at = CASE
            WHEN opening.room = 0 THEN roadworthy.rate_opens_at(kept.tat, kept.spacing, kept.burst, moment)
            WHEN opening.used = opening.room THEN moment + (opening.room + 1) / 2 * kept.spacing
        END
        FROM (
            SELECT due.name, due.room, cardinality(array_positions(unblocked, due.name)) AS used
            FROM unnest(open_names, room) AS due (name, room)
        ) AS opening
        WHERE kept.name = opening.name
        RETURNING kept.queue, kept.whole_queue AND opening.room > 0 AS reopened
    )
    SELECT queues || array_agg(DISTINCT opened.queue) INTO queues FROM opened WHERE opened.reopened;
    RETURN queues;
END
$$;

-- Claim up to `most` jobs of a queue whose limits let them, looking at the first `look` ready ones in its spans (see
-- claim_jobs_after). Those that a limit or a pause refuses are put aside.
--
-- Rules are limits as they are declared now, those by key first and those of the whole queue last: a job refused by several
-- is put aside under its key, whose jobs then pass its kind's limit one by one. A last row without id has
-- an `attempt` of 1 where there may be more to find at once.
CREATE FUNCTION roadworthy.claim_limited_jobs(
    wanted text, most integer, lasting interval, claimant text,
    span_priorities integer[], span_times timestamptz[], span_ids bigint[], span_ends integer[], look integer,
    families text[], kinds text[], templates text[], capacities integer[], spacings interval[], bursts integer[]
) RETURNS TABLE (
    id bigint, lease bigint, job text, arguments text, attempt smallint, attempts smallint, context text,
    waited float8, priority smallint, run_at timestamptz, options text
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    paused text[];
    room integer;
    found_ids bigint[];
    found_kinds text[];
    found_keys jsonb[];
    -- One entry for each limit that a found job needs, in the order of the jobs.
    need_jobs integer[];
    need_rules integer[];
    need_limits integer[];
    -- One entry for each limit, in the order of their names.
    names text[];
    rules integer[];
    free integer[];
    used integer[];
    passed integer[];
    taken_ids bigint[] := '{}';
    taken_slots text[] := '{}';
    refused_ids bigint[] := '{}';
    refused_by text[] := '{}';
    slots text[];
    need integer := 1;
    first_need integer;
    total integer;
    culprit integer;
    full_queue boolean := false;
    more boolean;
BEGIN
    -- A resumption waits until what is put aside here can be seen, and this waits for one under way.
    SELECT array_agg(coalesce(pause.job, '')) INTO paused
    FROM (SELECT job FROM roadworthy.job_pauses WHERE queue = wanted FOR KEY SHARE) AS pause;
    IF '' = ANY (paused) OR (paused IS NULL AND cardinality(families) = 0) THEN
        RETURN;
    END IF;

    -- What is free cannot grow unnoticed, because who frees it wakes the queue.
    SELECT min(CASE WHEN kept.at_once IS NULL
            THEN roadworthy.rate_room(kept.tat, spacings[rule.n], bursts[rule.n], moment)
            ELSE capacities[rule.n] - kept.running END)
    INTO room
    FROM unnest(families, kinds, templates) WITH ORDINALITY AS rule (family, kind, template, n)
    JOIN roadworthy.job_limits AS kept ON kept.name = rule.family
    WHERE rule.kind IS NULL AND rule.template IS NULL;
    most := least(most, room);
    IF most <= 0 THEN
        RETURN;
    END IF;

    look := greatest(look, most);
    SELECT array_agg(candidate.id), array_agg(candidate.job), array_agg(candidate.keys)
    INTO found_ids, found_kinds, found_keys
    FROM (
        SELECT found.*
        FROM unnest(span_priorities, span_times, span_ids, span_ends) AS span (priority, run_at, id, below)
        CROSS JOIN LATERAL (
            SELECT ready.id, ready.job, ready.options -> 'limit_keys' AS keys
            FROM roadworthy.jobs AS ready
            WHERE ready.queue = wanted AND ready.state = 1
                AND (ready.priority, ready.run_at, ready.id) > (span.priority, span.run_at, span.id)
                AND ready.priority < span.below
            ORDER BY ready.priority, ready.run_at, ready.id
            LIMIT look
            FOR UPDATE SKIP LOCKED
        ) AS found
        LIMIT look
    ) AS candidate;
    IF found_ids IS NULL THEN
        RETURN;
    END IF;

    SELECT array_agg(needed.candidate ORDER BY needed.candidate, needed.rule),
        array_agg(needed.rule ORDER BY needed.candidate, needed.rule),
        array_agg(needed.place ORDER BY needed.candidate, needed.rule),
        array_agg(DISTINCT needed.name)
    INTO need_jobs, need_rules, need_limits, names
    FROM (
        SELECT matched.candidate, matched.rule, matched.name,
            dense_rank() OVER (ORDER BY matched.name)::integer AS place
        FROM (
            SELECT candidate.n::integer AS candidate, rule.n::integer AS rule,
                rule.family || coalesce(':' || (candidate.keys ->> rule.template), '') AS name
            FROM unnest(found_ids, found_kinds, found_keys) WITH ORDINALITY AS candidate (id, kind, keys, n)
            CROSS JOIN unnest(families, kinds, templates) WITH ORDINALITY AS rule (family, kind, template, n)
            WHERE (rule.kind IS NULL OR rule.kind = candidate.kind)
                AND (rule.template IS NULL OR candidate.keys ? rule.template)
                AND (paused IS NULL OR candidate.kind <> ALL (paused))
        ) AS matched
    ) AS needed;
    total := coalesce(cardinality(need_jobs), 0);
    IF total > 0 THEN
        rules := array_fill(0, ARRAY[cardinality(names)]);
        used := rules;
        passed := rules;
        FOR n IN 1..total LOOP
            rules[need_limits[n]] := need_rules[n];
        END LOOP;

        INSERT INTO roadworthy.job_limits (name, family, queue, whole_queue, at_once, spacing, burst)
        SELECT entry.name, families[entry.rule], wanted, kinds[entry.rule] IS NULL AND templates[entry.rule] IS NULL,
            capacities[entry.rule], spacings[entry.rule], bursts[entry.rule]
        FROM unnest(names, rules) AS entry (name, rule)
        ON CONFLICT (name) DO NOTHING;

        SELECT array_agg(CASE WHEN capacities[locked.rule] IS NULL
            THEN roadworthy.rate_room(locked.tat, spacings[locked.rule], bursts[locked.rule], moment)
            ELSE capacities[locked.rule] - locked.running END)
        INTO free
        FROM (
            SELECT entry.rule, kept.running, kept.tat
            FROM unnest(names, rules) WITH ORDINALITY AS entry (name, rule, n)
            JOIN roadworthy.job_limits AS kept ON kept.name = entry.name
            ORDER BY entry.n
            FOR UPDATE OF kept
        ) AS locked;
        IF coalesce(cardinality(free), 0) < cardinality(names) THEN
            -- One that was idle has been forgotten just now.
            RETURN QUERY SELECT NULL::bigint, NULL::bigint, NULL, NULL, 1::smallint, NULL::smallint, NULL,
                NULL::float8, NULL::smallint, NULL::timestamptz, NULL;
            RETURN;
        END IF;
    END IF;

    FOR candidate IN 1..cardinality(found_ids) LOOP
        EXIT WHEN cardinality(taken_ids) = most;
        IF found_kinds[candidate] = ANY (paused) THEN
            refused_ids := refused_ids || found_ids[candidate];
            refused_by := refused_by || ('pause:' || found_kinds[candidate]);
            CONTINUE;
        END IF;
        first_need := need;
        culprit := NULL;
        WHILE need <= total AND need_jobs[need] = candidate LOOP
            IF free[need_limits[need]] <= 0 THEN
                IF kinds[need_rules[need]] IS NULL AND templates[need_rules[need]] IS NULL THEN
                    full_queue := true;
                ELSIF culprit IS NULL THEN
                    culprit := need;
                END IF;
            END IF;
            need := need + 1;
        END LOOP;
        EXIT WHEN full_queue;
        IF culprit IS NULL THEN
            slots := '{}';
            FOR n IN first_need..need - 1 LOOP
                free[need_limits[n]] := free[need_limits[n]] - 1;
                used[need_limits[n]] := used[need_limits[n]] + 1;
                IF capacities[need_rules[n]] IS NOT NULL THEN
                    slots := slots || names[need_limits[n]];
                END IF;
            END LOOP;
            taken_ids := taken_ids || found_ids[candidate];
            taken_slots := taken_slots || array_to_string(slots, E'\n');
        ELSE
            refused_ids := refused_ids || found_ids[candidate];
            refused_by := refused_by || names[need_limits[culprit]];
            FOR n IN first_need..need - 1 LOOP
                IF capacities[need_rules[n]] IS NULL THEN
                    CONTINUE;
                ELSIF templates[need_rules[culprit]] IS NULL THEN
                    -- It will need its key's slot once its kind has one: the next of the key waits for that.
                    IF templates[need_rules[n]] IS NOT NULL THEN
                        free[need_limits[n]] := free[need_limits[n]] - 1;
                    END IF;
                ELSIF templates[need_rules[n]] IS NULL THEN
                    -- It may have been woken for a slot of its kind, which then is another's.
                    passed[need_limits[n]] := passed[need_limits[n]] + 1;
                END IF;
            END LOOP;
        END IF;
    END LOOP;

    RETURN QUERY
    UPDATE roadworthy.jobs AS claimed
    SET state = 2, lease = claimed.lease + 1, attempt = claimed.attempt + 1, worker = claimant,
        lease_expires_at = clock_timestamp() + lasting,
        unique_key = CASE WHEN claimed.options ->> 'unique_while' = 'waiting' THEN NULL ELSE claimed.unique_key END,
        holds = nullif(string_to_array(taken.slots, E'\n'), '{}')
    FROM unnest(taken_ids, taken_slots) AS taken (id, slots)
    WHERE claimed.id = taken.id
    RETURNING
        claimed.id, claimed.lease, claimed.job, claimed.arguments::text, claimed.attempt, claimed.attempts,
        claimed.context::text, extract(epoch FROM clock_timestamp() - claimed.run_at)::float8, claimed.priority,
        claimed.run_at, claimed.options::text;

    UPDATE roadworthy.jobs AS blocked
    SET state = 4, blocked_by = refusal.name
    FROM unnest(refused_ids, refused_by) AS refusal (id, name)
    WHERE blocked.id = refusal.id;

    UPDATE roadworthy.job_limits AS kept
    SET running = kept.running + CASE WHEN entry.spacing IS NULL THEN entry.used ELSE 0 END,
        tat = CASE WHEN entry.used > 0 THEN greatest(kept.tat, moment) + entry.used * entry.spacing ELSE kept.tat END,
        opens_at = CASE WHEN entry.free <= 0 THEN coalesce(
            kept.opens_at,
            roadworthy.rate_opens_at(
                greatest(kept.tat, moment) + entry.used * entry.spacing, entry.spacing, entry.burst, moment
            )
        ) ELSE kept.opens_at END
    FROM (
        SELECT own.name, own.used, own.free, spacings[own.rule] AS spacing, bursts[own.rule] AS burst
        FROM unnest(names, rules, used, free) AS own (name, rule, used, free)
        WHERE own.used > 0 OR own.free <= 0
    ) AS entry
    WHERE kept.name = entry.name AND (entry.used > 0 OR (entry.spacing IS NOT NULL AND kept.opens_at IS NULL));

    more := NOT full_queue AND cardinality(found_ids) = look
        AND (cardinality(taken_ids) < most OR look > most);
    IF cardinality(refused_ids) > 0 AND NOT full_queue THEN
        PERFORM FROM roadworthy.unblock_jobs(
            names,
            ARRAY(
                SELECT CASE WHEN entry.free > 0 THEN least(4 * entry.passed, 1000) ELSE 0 END
                FROM unnest(free, passed) WITH ORDINALITY AS entry (free, passed, n)
                ORDER BY entry.n
            )
        );
        more := more OR FOUND;
    END IF;
    RETURN QUERY SELECT NULL::bigint, NULL::bigint, NULL, NULL, more::integer::smallint, NULL::smallint, NULL,
        NULL::float8, NULL::smallint, NULL::timestamptz, NULL;
END
$$;

-- Make right what no claim and no completion does; return the queues to wake. Who works on `queues` says how their limits
-- are declared now.
--
-- Found in one snapshot, in which slots and those who hold them agree unless something is wrong: limits that were declared
-- otherwise, or are no longer; counts that drifted, as when a person deleted a running job; limits with room under which
-- jobs wait, because the one woken was discarded, paused or refused by another limit; keys that nothing uses. Then those
-- are locked and looked at again. At last, what is put aside under a limit or pause that is gone comes back.
CREATE FUNCTION roadworthy.mend_limits(
    tended text[], families text[], capacities integer[], spacings interval[], bursts integer[], most integer
) RETURNS text[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    suspects text[];
    held_names text[];
    held_slots integer[];
    forsaken text[];
    idle_names text[];
    orphans text[];
    room integer[];
    woken text[];
    queues text[];
BEGIN
    SELECT array_agg(suspect.name) INTO suspects
    FROM (
        SELECT kept.name
        FROM roadworthy.job_limits AS kept
        LEFT JOIN unnest(families, capacities, spacings, bursts) AS rule (family, at_once, spacing, burst)
            ON rule.family = kept.family
        WHERE kept.queue = ANY (tended) AND (
            rule.family IS NULL
            OR (rule.at_once, rule.spacing, rule.burst) IS DISTINCT FROM (kept.at_once, kept.spacing, kept.burst)
            OR (CASE WHEN kept.at_once IS NULL THEN kept.opens_at IS NULL ELSE kept.running < kept.at_once END
                AND EXISTS (SELECT FROM roadworthy.jobs WHERE state = 4 AND blocked_by = kept.name))
        )
        UNION
        SELECT counted.name
        FROM (
            SELECT kept.name, kept.running AS slots FROM roadworthy.job_limits AS kept WHERE kept.running > 0
            UNION ALL
            SELECT unnest(job.holds), -1 FROM roadworthy.jobs AS job WHERE job.state = 2 AND job.holds IS NOT NULL
        ) AS counted
        GROUP BY counted.name
        HAVING sum(counted.slots) <> 0
        LIMIT most
    ) AS suspect;

    IF suspects IS NOT NULL THEN
        SELECT array_agg(locked.name) INTO suspects
        FROM (
            SELECT kept.name
            FROM roadworthy.job_limits AS kept
            WHERE kept.name = ANY (suspects)
            FOR UPDATE SKIP LOCKED
        ) AS locked;

        SELECT array_agg(held.name), array_agg(held.slots) INTO held_names, held_slots
        FROM (
            SELECT slot.name, count(*)::integer AS slots
            FROM roadworthy.jobs AS job CROSS JOIN LATERAL unnest(job.holds) AS slot (name)
            WHERE job.state = 2 AND job.holds && suspects
            GROUP BY slot.name
        ) AS held;

        UPDATE roadworthy.job_limits AS kept
        SET running = coalesce(held_slots[array_position(held_names, kept.name)], 0),
            opens_at = CASE WHEN kept.at_once IS NULL THEN coalesce(kept.opens_at, moment) END
        WHERE kept.name = ANY (suspects);

        -- A debt to an earlier rate is kept in jobs, not in time.
        UPDATE roadworthy.job_limits AS kept
        SET at_once = rule.at_once, spacing = rule.spacing, burst = rule.burst,
            opens_at = CASE WHEN rule.at_once IS NULL THEN moment END,
            tat = moment + (kept.tat - moment) * (extract(epoch FROM rule.spacing) / extract(epoch FROM kept.spacing))::float8
        FROM unnest(families, capacities, spacings, bursts) AS rule (family, at_once, spacing, burst)
        WHERE kept.name = ANY (suspects) AND kept.family = rule.family
            AND (rule.at_once, rule.spacing, rule.burst) IS DISTINCT FROM (kept.at_once, kept.spacing, kept.burst);

        SELECT array_agg(kept.name) FILTER (WHERE kept.queue = ANY (tended) AND kept.family <> ALL (families)),
            array_agg(CASE
                WHEN kept.queue = ANY (tended) AND kept.family <> ALL (families) THEN most
                ELSE kept.at_once - kept.running
            END ORDER BY kept.name),
            array_agg(kept.name ORDER BY kept.name)
        INTO forsaken, room, suspects
        FROM roadworthy.job_limits AS kept
        WHERE kept.name = ANY (suspects);

        SELECT array_agg(DISTINCT unblocked.queue) INTO queues
        FROM roadworthy.unblock_jobs(suspects, room) AS unblocked;

        DELETE FROM roadworthy.job_limits AS kept
        WHERE kept.name = ANY (forsaken) AND kept.running = 0
            AND NOT EXISTS (SELECT FROM roadworthy.jobs WHERE state = 4 AND blocked_by = kept.name);
    END IF;

    SELECT array_agg(idle.name) INTO idle_names
    FROM (
        SELECT kept.name
        FROM roadworthy.job_limits AS kept
        WHERE kept.running = 0 AND kept.name <> kept.family AND coalesce(kept.tat < moment, true)
        LIMIT 10 * most
        FOR UPDATE SKIP LOCKED
    ) AS idle;
    DELETE FROM roadworthy.job_limits AS kept
    WHERE kept.name = ANY (idle_names)
        AND NOT EXISTS (SELECT FROM roadworthy.jobs WHERE state = 4 AND blocked_by = kept.name);

    WITH RECURSIVE blocker (name, n) AS (
        SELECT (
            SELECT blocked_by FROM roadworthy.jobs
            WHERE state = 4 AND blocked_by >= beginning ORDER BY blocked_by LIMIT 1
        ), 1
        FROM unnest('{"", "pause:"}'::text[]) AS beginning
        UNION ALL
        SELECT (
            SELECT following.blocked_by FROM roadworthy.jobs AS following
            WHERE following.state = 4 AND following.blocked_by > blocker.name ORDER BY following.blocked_by LIMIT 1
        ), blocker.n + 1
        FROM blocker
        WHERE blocker.name IS NOT NULL AND blocker.n < most
    )
    SELECT array_agg(DISTINCT blocker.name) INTO orphans
    FROM blocker
    WHERE blocker.name IS NOT NULL
        AND NOT EXISTS (SELECT FROM roadworthy.job_limits AS kept WHERE kept.name = blocker.name)
        AND NOT EXISTS (SELECT FROM roadworthy.job_pauses AS pause WHERE 'pause:' || pause.job = blocker.name);
    IF orphans IS NOT NULL THEN
        SELECT array_agg(DISTINCT unblocked.queue) INTO woken
        FROM roadworthy.unblock_jobs(orphans, array_fill(most, ARRAY[cardinality(orphans)])) AS unblocked;
    END IF;
    RETURN queues || woken;
END
$$;
