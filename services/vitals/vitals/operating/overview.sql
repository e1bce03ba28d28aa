-- name: quality
SELECT metric, badge, count(*) AS users, sum(confidence) AS confidence
FROM internal.latest_unified_metrics
GROUP BY metric, badge;

-- name: low_quality
-- The least trusted first; the view is small enough to be sorted for an operator.
SELECT l.user_id, u.name, l.metric, l.source, l.confidence, l.badge, l.sources, l.measured_at
FROM internal.latest_unified_metrics AS l
JOIN users AS u ON u.id = l.user_id
WHERE l.badge = 'poor'
ORDER BY l.confidence, l.measured_at, l.user_id, l.metric
LIMIT $1;
