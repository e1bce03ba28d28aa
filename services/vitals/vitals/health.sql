-- name: confidence
SELECT round(avg(confidence), 1)::float8 AS mean, count(*) AS metrics FROM internal.latest_unified_metrics;

-- name: webhooks
SELECT
    (SELECT count(*) FROM (SELECT FROM webhook_events WHERE state = 'pending' LIMIT 10000) AS waiting) AS pending,
    coalesce(round(extract(epoch FROM now() - (
        SELECT received_at FROM webhook_events WHERE state = 'pending' ORDER BY id LIMIT 1
    )), 3), 0)::float8 AS waiting,
    count(*) FILTER (WHERE state IN ('processed', 'ignored')) AS succeeded,
    count(*) FILTER (WHERE state = 'failed') AS failed
FROM (SELECT state FROM webhook_events ORDER BY id DESC LIMIT 1000) AS recent;
