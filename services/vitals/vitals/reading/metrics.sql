-- name: person
SELECT id, name FROM users WHERE id = $1;

-- name: latest
SELECT metric, value, unit, source, device, started_at, measured_at, confidence, badge, sources
FROM latest_metrics
WHERE user_id = $1
ORDER BY metric;

-- name: latest_of_user
-- As the service itself, whoever asks: for what is remembered, and handed out to those who may see the user.
SELECT metric, value, unit, source, device, started_at, measured_at, confidence, badge, sources
FROM internal.latest_unified_metrics
WHERE user_id = $1
ORDER BY metric;

-- name: metric_unit
SELECT unit FROM metrics WHERE name = $1;

-- name: history
-- Newest first. Each source's part comes from its own stretch of the primary key, so a page costs the same however long
-- the history is. $5 and $6 are where the page before ended.
SELECT part.started_at, part.measured_at, part.value, known.name AS source, part.device
FROM sources AS known
CROSS JOIN LATERAL (
    SELECT o.started_at, o.measured_at, o.value, o.device
    FROM observations AS o
    WHERE o.user_id = $1 AND o.metric = $2 AND o.source = known.name
        AND o.started_at >= $3 AND o.started_at < $4
        AND ($5::timestamptz IS NULL
             OR (o.started_at <= $5 AND (o.started_at < $5 OR known.name > $6::text COLLATE "C")))
    ORDER BY o.started_at DESC
    LIMIT $7
) AS part
WHERE $8::text IS NULL OR known.name = $8
ORDER BY part.started_at DESC, known.name
LIMIT $7;

-- name: sources_of_metric
-- Each source's latest value with what its confidence consists of, the one that counts first.
SELECT
    known.name AS source, known.kind, part.value, part.device, part.started_at, part.measured_at,
    coalesce(c.confidence, 0) AS confidence, coalesce(c.reliability, 0) AS reliability,
    coalesce(c.freshness, 0) AS freshness, coalesce(c.frequency, 0) AS frequency, coalesce(c.agreement, 0) AS agreement,
    c.calculated_at
FROM sources AS known
CROSS JOIN LATERAL (
    SELECT o.value, o.device, o.started_at, o.measured_at
    FROM observations AS o
    WHERE o.user_id = $1 AND o.metric = $2 AND o.source = known.name
    ORDER BY o.started_at DESC
    LIMIT 1
) AS part
LEFT JOIN confidences AS c ON c.user_id = $1 AND c.metric = $2 AND c.source = known.name
ORDER BY coalesce(c.confidence, 0) DESC, known.priority, part.measured_at DESC, known.name;

-- name: clients
SELECT u.id, u.name, c.since, q.metrics, q.confidence, q.poor, q.measured_at
FROM trainer_clients AS c
JOIN users AS u ON u.id = c.user_id
CROSS JOIN LATERAL (
    SELECT
        count(*) AS metrics, round(avg(l.confidence), 1)::float8 AS confidence,
        count(*) FILTER (WHERE l.badge = 'poor') AS poor, max(l.measured_at) AS measured_at
    FROM latest_metrics AS l
    WHERE l.user_id = u.id
) AS q
WHERE u.id > $1
ORDER BY u.id
LIMIT $2;
