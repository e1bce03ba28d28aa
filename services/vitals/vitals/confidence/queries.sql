-- name: take_stale
-- Locked, in order, before the observations are read: who adds one now waits, and makes the user stale again.
DELETE FROM stale_confidences
WHERE user_id = ANY (ARRAY(
    SELECT user_id FROM stale_confidences WHERE user_id = ANY ($1::bigint[]) ORDER BY user_id FOR UPDATE
))

-- name: source_records
-- The pairs of metric and source are found by stepping through the primary key, not by reading all that was observed.
WITH RECURSIVE pairs AS (
    SELECT wanted.user_id, first.metric, first.source
    FROM unnest($1::bigint[]) AS wanted (user_id)
    CROSS JOIN LATERAL (
        SELECT metric, source FROM observations
        WHERE user_id = wanted.user_id
        ORDER BY metric, source
        LIMIT 1
    ) AS first
    UNION ALL
    SELECT pairs.user_id, following.metric, following.source
    FROM pairs
    CROSS JOIN LATERAL (
        SELECT metric, source FROM observations
        WHERE user_id = pairs.user_id AND (metric, source) > (pairs.metric, pairs.source)
        ORDER BY metric, source
        LIMIT 1
    ) AS following
)
SELECT
    pairs.user_id, pairs.metric, pairs.source, coalesce(sources.kind, 'app') AS kind,
    latest.value, latest.measured_at, recent.days, now() AS now
FROM pairs
CROSS JOIN LATERAL (
    SELECT value, measured_at FROM observations
    WHERE user_id = pairs.user_id AND metric = pairs.metric AND source = pairs.source
    ORDER BY started_at DESC
    LIMIT 1
) AS latest
CROSS JOIN LATERAL (
    SELECT count(DISTINCT (started_at AT TIME ZONE 'UTC')::date)::int AS days FROM observations
    WHERE user_id = pairs.user_id AND metric = pairs.metric AND source = pairs.source
        AND started_at > now() - interval '30 days'
) AS recent
LEFT JOIN sources ON sources.name = pairs.source
ORDER BY pairs.user_id, pairs.metric, pairs.source

-- name: keep_confidences
INSERT INTO confidences AS kept (user_id, metric, source, reliability, freshness, frequency, agreement)
SELECT user_id, metric, source, reliability, freshness, frequency, agreement
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::int[], $5::int[], $6::int[], $7::int[])
    AS new (user_id, metric, source, reliability, freshness, frequency, agreement)
ORDER BY user_id, metric COLLATE "C", source COLLATE "C"
ON CONFLICT (user_id, metric, source) DO UPDATE
SET reliability = excluded.reliability, freshness = excluded.freshness, frequency = excluded.frequency,
    agreement = excluded.agreement, calculated_at = now()

-- name: measure
SELECT
    (SELECT coalesce(avg(confidence), 0)::float8 FROM confidences) AS mean,
    (SELECT coalesce(extract(epoch FROM now() - min(stale_since)), 0)::float8 FROM stale_confidences) AS lag
