-- The one value of each metric of each user: of every source's latest, the most trusted one.

CREATE FUNCTION internal.badge(confidence integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN confidence >= 80 THEN 'excellent'
    WHEN confidence >= 60 THEN 'good'
    WHEN confidence >= 40 THEN 'fair'
    ELSE 'poor'
END;

-- The streams are found by stepping through the primary key, one probe each, and so are their latest values: a refresh
-- costs by the number of streams, however long their histories have become.
CREATE MATERIALIZED VIEW internal.latest_unified_metrics AS
WITH RECURSIVE streams AS (
    (SELECT user_id, metric, source FROM public.observations ORDER BY user_id, metric, source LIMIT 1)
    UNION ALL
    SELECT following.user_id, following.metric, following.source
    FROM streams AS s
    CROSS JOIN LATERAL (
        SELECT o.user_id, o.metric, o.source
        FROM public.observations AS o
        WHERE (o.user_id, o.metric, o.source) > (s.user_id, s.metric, s.source)
        ORDER BY o.user_id, o.metric, o.source
        LIMIT 1
    ) AS following
)
SELECT DISTINCT ON (s.user_id, s.metric)
    s.user_id,
    s.metric,
    latest.value,
    m.unit,
    s.source,
    latest.device,
    latest.started_at,
    latest.measured_at,
    coalesce(c.confidence, 0)::smallint AS confidence,
    internal.badge(coalesce(c.confidence, 0)) AS badge,
    (count(*) OVER (PARTITION BY s.user_id, s.metric))::smallint AS sources
FROM streams AS s
CROSS JOIN LATERAL (
    SELECT o.value, o.device, o.started_at, o.measured_at
    FROM public.observations AS o
    WHERE o.user_id = s.user_id AND o.metric = s.metric AND o.source = s.source
    ORDER BY o.started_at DESC
    LIMIT 1
) AS latest
JOIN public.metrics AS m ON m.name = s.metric
LEFT JOIN public.sources AS known ON known.name = s.source
LEFT JOIN public.confidences AS c ON c.user_id = s.user_id AND c.metric = s.metric AND c.source = s.source
ORDER BY
    s.user_id,
    s.metric,
    coalesce(c.confidence, 0) DESC,
    coalesce(known.priority, 50),
    latest.measured_at DESC,
    s.source
WITH DATA;

-- Refreshing concurrently needs it; reading a user's rows uses it.
CREATE UNIQUE INDEX latest_unified_metrics_key ON internal.latest_unified_metrics (user_id, metric);

-- Row-level security does not reach into a materialised view, so people read it through this, by the same rule.
CREATE VIEW latest_metrics WITH (security_barrier) AS
    SELECT * FROM internal.latest_unified_metrics
    WHERE user_id = ANY ((SELECT internal.visible_users())::bigint[]);

GRANT SELECT ON latest_metrics TO vitals_reader;

-- A row for each statement that changed what the view shows. A refresh deletes those that it sees and then reads the
-- tables, in one transaction: a change that commits meanwhile leaves its row for the next.
CREATE TABLE internal.latest_changes (
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.1
);

-- How the last refreshes went, in one row.
CREATE TABLE internal.latest_refresh (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    refreshed_at timestamptz NOT NULL DEFAULT now(),
    took         interval NOT NULL DEFAULT '0',
    failures     integer NOT NULL DEFAULT 0,
    failed_at    timestamptz,
    failure      text
);

INSERT INTO internal.latest_refresh DEFAULT VALUES;

ALTER TABLE internal.latest_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE internal.latest_changes FORCE ROW LEVEL SECURITY;
CREATE POLICY service ON internal.latest_changes TO CURRENT_USER USING (true) WITH CHECK (true);
ALTER TABLE internal.latest_refresh ENABLE ROW LEVEL SECURITY;
ALTER TABLE internal.latest_refresh FORCE ROW LEVEL SECURITY;
CREATE POLICY service ON internal.latest_refresh TO CURRENT_USER USING (true) WITH CHECK (true);

CREATE FUNCTION internal.note_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (SELECT FROM changed) THEN
        INSERT INTO internal.latest_changes DEFAULT VALUES;
    END IF;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION internal.note_change(), internal.badge(integer) FROM PUBLIC;

-- One trigger for each kind of statement, since only so do they see which rows changed: a webhook that was sent twice
-- changes none.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['observations', 'confidences', 'sources', 'metrics'] LOOP
        EXECUTE format(
            'CREATE TRIGGER latest_changes_insert AFTER INSERT ON %I REFERENCING NEW TABLE AS changed '
            'FOR EACH STATEMENT EXECUTE FUNCTION internal.note_change()', name);
        EXECUTE format(
            'CREATE TRIGGER latest_changes_update AFTER UPDATE ON %I REFERENCING NEW TABLE AS changed '
            'FOR EACH STATEMENT EXECUTE FUNCTION internal.note_change()', name);
        EXECUTE format(
            'CREATE TRIGGER latest_changes_delete AFTER DELETE ON %I REFERENCING OLD TABLE AS changed '
            'FOR EACH STATEMENT EXECUTE FUNCTION internal.note_change()', name);
    END LOOP;
END
$$;
