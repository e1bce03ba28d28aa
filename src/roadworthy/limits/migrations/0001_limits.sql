CREATE SCHEMA IF NOT EXISTS roadworthy;

-- What was used of rate limits. Nothing here is worth the write-ahead log: a crash empties it, and limits begin anew.
--
-- Times are microseconds of Unix time. What was used of a quota whose units come back evenly is counted in parts: a unit
-- has as many as the period has microseconds, and each microsecond gives as many back as the quota has units. So all
-- numbers are whole, and exact up to 2^53.
--
--                    moment                     used              before
-- gcra               when `used` was so much    parts             -
-- fixed_window       the window's beginning     units in it       -
-- sliding_window     the window's beginning     units in it       units in the one before
-- sliding_log        -                          -                 -                            log: when each was taken
CREATE UNLOGGED TABLE roadworthy.rate_limits (
    moment float8,
    used float8,
    before float8,
    expires_at timestamptz NOT NULL DEFAULT 'epoch',
    key bytea PRIMARY KEY,
    log float8[]
) WITH (
    -- No index holds what changes, so a counter stays in its page.
    fillfactor = 50,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.5,
    autovacuum_vacuum_cost_delay = 1,
    autovacuum_vacuum_cost_limit = 2000
);

-- Answer questions, each of some counters, taking from `costs` to `mosts` units from all of a question's counters, or
-- nothing where one has too few.
--
-- `names` are the counters' keys, sorted and each once: rows are locked in this order, so no two callers wait for each
-- other. Question n has the next `sizes[n]` of the counters, of which `places` says whose name each is and `quotas` the
-- number of its quota. Of quotas, `algorithms` are 1 for gcra, 2 for fixed_window, 3 for sliding_window and 4 for
-- sliding_log; `periods` are in microseconds. `moment_now` is for tests; the server's clock counts.
--
-- Returns of each counter what was granted and what is left, and in how many microseconds enough and all will be free;
-- and how many names are new.
CREATE FUNCTION roadworthy.take_rate_limits(
    names bytea[],
    sizes int[],
    costs float8[],
    mosts float8[],
    places int[],
    quotas int[],
    algorithms int[],
    counts float8[],
    periods float8[],
    capacities float8[],
    moment_now float8,
    OUT granted float8[],
    OUT remaining float8[],
    OUT retry_after float8[],
    OUT reset_after float8[],
    OUT added int
)
LANGUAGE plpgsql
AS $function$
DECLARE
    spare CONSTANT float8 := CASE WHEN moment_now IS NULL THEN 1 ELSE 3600 END;
    longest CONSTANT float8 := 315360000;
    moments float8[];
    uses float8[];
    befores float8[];
    ends float8[];
    free float8[];
    last int := 0;
    first int;
    place int;
    quota int;
    clock float8;
    got float8;
    cost float8;
    units float8;
    period float8;
    began float8;
    moment float8;
    room float8;
    wait float8;
    reset float8;
BEGIN
    INSERT INTO roadworthy.rate_limits AS known (key)
    SELECT wanted.name FROM unnest(names) WITH ORDINALITY AS wanted (name, number) ORDER BY wanted.number
    ON CONFLICT (key) DO UPDATE SET key = excluded.key WHERE false;
    GET DIAGNOSTICS added = ROW_COUNT;

    -- Only now, for others may have been waited for.
    clock := coalesce(moment_now, floor(extract(epoch FROM clock_timestamp())::float8 * 1000000));

    SELECT array_agg(known.moment ORDER BY wanted.number),
        array_agg(known.used ORDER BY wanted.number),
        array_agg(known.before ORDER BY wanted.number)
    INTO moments, uses, befores
    FROM unnest(names) WITH ORDINALITY AS wanted (name, number)
    JOIN roadworthy.rate_limits AS known ON known.key = wanted.name;

    ends := array_fill(NULL::float8, ARRAY[cardinality(names)]);

    FOR question IN 1 .. cardinality(sizes) LOOP
        first := last + 1;
        last := last + sizes[question];
        cost := costs[question];
        got := mosts[question];

        -- See what is free, at the moment that is the counter's.
        FOR counter IN first .. last LOOP
            place := places[counter];
            quota := quotas[counter];
            units := counts[quota];
            period := periods[quota];
            moment := moments[place];
            IF algorithms[quota] = 1 THEN
                IF moment IS NULL OR moment - clock > period THEN
                    uses[place] := 0;
                    moments[place] := clock;
                ELSIF moment < clock THEN
                    uses[place] := greatest(0, uses[place] - (clock - moment) * units);
                    moments[place] := clock;
                END IF;
                free[counter] := floor((capacities[quota] * period - uses[place]) / period);
            ELSIF algorithms[quota] = 4 THEN
                moment := (
                    SELECT known.log[cardinality(known.log)]
                    FROM roadworthy.rate_limits AS known
                    WHERE known.key = names[place]
                );
                moments[place] := CASE WHEN moment - clock <= period THEN greatest(moment, clock) ELSE clock END;
                uses[place] := (
                    SELECT count(*)
                    FROM roadworthy.rate_limits AS known CROSS JOIN unnest(known.log) AS taken
                    WHERE known.key = names[place]
                        AND taken > moments[place] - period AND taken <= moments[place]
                );
                free[counter] := units - uses[place];
            ELSE
                began := floor(clock / period) * period;
                IF moment IS NULL OR moment < began OR moment - began > period THEN
                    befores[place] := CASE WHEN algorithms[quota] = 3 AND moment = began - period THEN uses[place] ELSE 0 END;
                    uses[place] := 0;
                    moments[place] := began;
                END IF;
                began := moments[place];
                free[counter] := floor(
                    units - uses[place] - befores[place] * (began + period - greatest(clock, began)) / period
                );
            END IF;
            free[counter] := greatest(free[counter], 0);
            got := least(got, free[counter]);
        END LOOP;
        IF got < cost THEN
            got := 0;
        END IF;

        -- Take it, or say how long it takes until there is enough.
        FOR counter IN first .. last LOOP
            place := places[counter];
            quota := quotas[counter];
            units := counts[quota];
            period := periods[quota];
            wait := CASE WHEN got > 0 OR free[counter] >= cost THEN 0
                WHEN cost > capacities[quota] THEN 'Infinity'::float8
            END;
            IF algorithms[quota] = 1 THEN
                uses[place] := uses[place] + got * period;
                reset := ceil(uses[place] / units);
                IF reset > 0 THEN
                    reset := reset + moments[place] - clock;
                END IF;
                IF wait IS NULL THEN
                    wait := ceil((uses[place] + (cost - capacities[quota]) * period) / units) + moments[place] - clock;
                END IF;
            ELSIF algorithms[quota] = 4 THEN
                IF got > 0 THEN
                    UPDATE roadworthy.rate_limits AS known
                    SET log = known.log[cardinality(known.log) - uses[place]::int + 1:]
                            || array_fill(moments[place], ARRAY[got::int]),
                        expires_at = clock_timestamp() + make_interval(secs => period / 1000000 + spare)
                    WHERE known.key = names[place];
                    uses[place] := uses[place] + got;
                END IF;
                SELECT
                    known.log[cardinality(known.log)] + period - clock,
                    coalesce(wait, known.log[cardinality(known.log) + (cost - units)::int] + period - clock)
                INTO reset, wait
                FROM roadworthy.rate_limits AS known
                WHERE known.key = names[place];
                reset := CASE WHEN uses[place] > 0 THEN reset ELSE 0 END;
            ELSE
                uses[place] := uses[place] + got;
                began := moments[place];
                reset := CASE
                    WHEN uses[place] = 0 AND befores[place] = 0 THEN 0
                    WHEN uses[place] = 0 OR algorithms[quota] = 2 THEN began + period - clock
                    ELSE began + 2 * period - clock
                END;
                IF wait IS NULL THEN
                    -- How much of a window must pass until what is in the one before counts for no more than the room.
                    room := units - cost;
                    wait := CASE
                        WHEN uses[place] <= room THEN ceil(period * (1 - (room - uses[place]) / befores[place]))
                        WHEN algorithms[quota] = 2 THEN period
                        ELSE period + ceil(period * (uses[place] - room) / uses[place])
                    END + began - clock;
                END IF;
            END IF;
            IF got > 0 AND algorithms[quota] <> 4 THEN
                ends[place] := least(reset / 1000000, longest) + spare;
            END IF;
            granted[counter] := got;
            remaining[counter] := free[counter] - got;
            retry_after[counter] := wait;
            reset_after[counter] := reset;
        END LOOP;
    END LOOP;

    UPDATE roadworthy.rate_limits AS known
    SET moment = new.moment,
        used = new.used,
        before = new.before,
        expires_at = clock_timestamp() + make_interval(secs => new.ends)
    FROM unnest(names, moments, uses, befores, ends) AS new (name, moment, used, before, ends)
    WHERE known.key = new.name AND new.ends IS NOT NULL;
END
$function$;

-- Whether one more request of `key` is within `max_requests` in each `window_seconds`, counted by the generic cell rate
-- algorithm; if so, it is counted. Keys are apart from those of limits that a service declares.
CREATE FUNCTION roadworthy.check_rate_limit(key text, max_requests integer, window_seconds integer)
RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $function$
DECLARE
    name bytea := convert_to('sql:' || window_seconds || ':' || key, 'UTF8');
    answer record;
BEGIN
    IF key IS NULL OR max_requests IS NULL OR window_seconds IS NULL OR max_requests < 1 OR window_seconds < 1 THEN
        RAISE EXCEPTION 'check_rate_limit(%, %, %) needs a key, and whole numbers from 1', key, max_requests, window_seconds
        USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF octet_length(name) > 1024 THEN
        name := convert_to('sql:' || window_seconds || ':', 'UTF8') || sha256(name);
    END IF;
    SELECT taken.granted INTO answer
    FROM roadworthy.take_rate_limits(
        ARRAY[name], '{1}', '{1}', '{1}', '{1}', '{1}', '{1}',
        ARRAY[max_requests::float8], ARRAY[window_seconds * 1000000::float8], ARRAY[max_requests::float8], NULL
    ) AS taken;
    RETURN answer.granted[1] > 0;
END
$function$;
