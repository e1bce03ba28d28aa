-- name: store_events
-- Sorted, so that two processes that are sent the same events wait for each other in one order.
INSERT INTO webhook_events (provider, event_id, kind, reference, event_at, body, state, reason, finished_at)
SELECT
    provider, event_id, kind, reference, event_at, body, CASE WHEN ignored IS NULL THEN 'pending' ELSE 'ignored' END,
    ignored, CASE WHEN ignored IS NOT NULL THEN now() END
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bytea[], $7::text[])
    AS new (provider, event_id, kind, reference, event_at, body, ignored)
ORDER BY provider COLLATE "C", event_id COLLATE "C"
ON CONFLICT (provider, event_id) DO NOTHING
RETURNING id, state

-- name: forget_events
-- A few at a time, so that no transaction is long. What failed is kept three times as long.
WITH old AS MATERIALIZED (
    SELECT id FROM webhook_events
    WHERE received_at < now() - $1::interval
        AND (state IN ('processed', 'ignored') OR received_at < now() - 3 * $1::interval)
    ORDER BY id
    LIMIT $2
)
DELETE FROM webhook_events WHERE id = ANY (ARRAY(SELECT id FROM old))
