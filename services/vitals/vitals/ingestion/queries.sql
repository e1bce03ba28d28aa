-- name: take_events
-- Locked in order, so that two that work on the same events wait for each other.
SELECT event.id, event.event_id, event.event_at, event.reference, event.body, known.id AS user_id
FROM webhook_events AS event
LEFT JOIN users AS known ON known.reference = event.reference
WHERE event.id = ANY ($1::bigint[]) AND event.state = ANY ($2::text[])
ORDER BY event.id
FOR NO KEY UPDATE OF event

-- name: add_users
INSERT INTO users (reference)
SELECT reference FROM unnest($1::text[]) AS new (reference) ORDER BY reference COLLATE "C"
ON CONFLICT (reference) DO NOTHING

-- name: users_by_reference
SELECT id, reference FROM users WHERE reference = ANY ($1::text[])

-- name: keep_observations
-- What an earlier event says changes nothing. Users whose observations changed are noted as stale; those that were not
-- yet are returned. The others are locked, for whoever is about to calculate their confidences must see this, too.
WITH named AS (
    INSERT INTO sources (name, kind)
    SELECT DISTINCT new.name COLLATE "C" AS name, 'app'
    FROM unnest($3::text[]) AS new (name)
    WHERE NOT EXISTS (SELECT 1 FROM sources AS known WHERE known.name = new.name COLLATE "C")
    ORDER BY name
    ON CONFLICT (name) DO NOTHING
), written AS (
    INSERT INTO observations AS kept
        (user_id, metric, source, started_at, measured_at, value, device, event_at, event_id)
    SELECT user_id, metric, source, started_at, measured_at, value, device, event_at, event_id
    FROM unnest(
        $1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::float8[], $7::text[],
        $8::timestamptz[], $9::text[]
    ) AS new (user_id, metric, source, started_at, measured_at, value, device, event_at, event_id)
    ORDER BY user_id, metric COLLATE "C", source COLLATE "C", started_at
    ON CONFLICT (user_id, metric, source, started_at) DO UPDATE
    SET measured_at = excluded.measured_at, value = excluded.value, device = excluded.device,
        event_at = excluded.event_at, event_id = excluded.event_id
    WHERE (excluded.event_at, excluded.event_id) >= (kept.event_at, kept.event_id)
    RETURNING user_id
)
INSERT INTO stale_confidences AS known (user_id)
SELECT DISTINCT user_id FROM written ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET stale_since = known.stale_since WHERE false
RETURNING user_id

-- name: finish_events
UPDATE webhook_events AS event
SET state = done.state, observations = done.observations, reason = done.reason, finished_at = clock_timestamp()
FROM unnest($1::bigint[], $2::text[], $3::int[], $4::text[]) AS done (id, state, observations, reason)
WHERE event.id = done.id
RETURNING extract(epoch FROM event.finished_at - event.received_at)::float8 AS lag

-- name: fail_event
UPDATE webhook_events
SET state = 'failed', reason = $2, finished_at = clock_timestamp()
WHERE id = $1 AND state IN ('pending', 'failed')

-- name: backlog
SELECT
    count(*) FILTER (WHERE state = 'pending') AS pending,
    count(*) FILTER (WHERE state = 'failed') AS failed,
    coalesce(extract(epoch FROM now() - min(received_at) FILTER (WHERE state = 'pending')), 0)::float8 AS oldest
FROM webhook_events
WHERE state IN ('pending', 'failed')
