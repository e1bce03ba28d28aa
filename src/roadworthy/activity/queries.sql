-- name: draw_key
INSERT INTO roadworthy.activity_keys (key) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: read_key
SELECT key FROM roadworthy.activity_keys;

-- name: note
-- In the order of persons, so that two processes which do this at once do not wait for each other for ever.
WITH seen AS MATERIALIZED (
    SELECT person, day FROM unnest($2::bytea[], $3::date[]) AS one (person, day) ORDER BY person, day
), kept AS (
    INSERT INTO roadworthy.activity_days (activity, person, day)
    SELECT $1, person, day FROM seen
    ON CONFLICT DO NOTHING
)
INSERT INTO roadworthy.activity_persons AS p (activity, person, first_day, last_day)
SELECT $1, person, min(day), max(day) FROM seen GROUP BY person ORDER BY person
ON CONFLICT (activity, person) DO UPDATE
SET first_day = least(p.first_day, excluded.first_day), last_day = greatest(p.last_day, excluded.last_day)
WHERE p.first_day > excluded.first_day OR p.last_day < excluded.last_day;

-- name: active
-- Who was active in a window that ends today is who was last active in it.
SELECT
    count(*) FILTER (WHERE last_day >= $2) AS day,
    count(*) FILTER (WHERE last_day >= $2::date - 6) AS week,
    count(*) AS month
FROM roadworthy.activity_persons
WHERE activity = $1 AND last_day >= $2::date - 29;

-- name: churn
-- Of those active in the 30 days before the last 30: all, and those who were not active since.
SELECT
    count(*) AS before,
    count(*) FILTER (WHERE p.last_day < $2::date - 29) AS gone
FROM (
    SELECT DISTINCT person FROM roadworthy.activity_days
    WHERE activity = $1 AND day BETWEEN $2::date - 59 AND $2::date - 30
) AS d
JOIN roadworthy.activity_persons AS p ON p.activity = $1 AND p.person = d.person;

-- name: cohorts
-- Those who came first in each week from the Monday $2, before the Monday $3; and after how many weeks, up to 4, how many
-- of them were active.
SELECT c.week, w.weeks, count(*) AS size, count(b.day) AS returned
FROM (
    SELECT person, first_day - (extract(isodow FROM first_day)::int - 1) AS week
    FROM roadworthy.activity_persons
    WHERE activity = $1 AND first_day >= $2::date AND first_day < $3::date
) AS c
CROSS JOIN generate_series(1, 4) AS w (weeks)
LEFT JOIN LATERAL (
    SELECT d.day FROM roadworthy.activity_days AS d
    WHERE d.activity = $1 AND d.person = c.person
        AND d.day >= c.week + 7 * w.weeks AND d.day < c.week + 7 * w.weeks + 7
    LIMIT 1
) AS b ON true
GROUP BY c.week, w.weeks
ORDER BY c.week, w.weeks;

-- name: days
SELECT d.day::date AS day,
    (SELECT count(*) FROM roadworthy.activity_days AS a WHERE a.activity = $1 AND a.day = d.day::date) AS active,
    (SELECT count(*) FROM roadworthy.activity_persons AS p WHERE p.activity = $1 AND p.first_day = d.day::date) AS new
FROM generate_series($2::date, $3::date, interval '1 day') AS d (day)
ORDER BY 1;

-- name: prune_days
DELETE FROM roadworthy.activity_days
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM roadworthy.activity_days WHERE activity = $1 AND day < $2 LIMIT $3
));

-- name: prune_persons
DELETE FROM roadworthy.activity_persons
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM roadworthy.activity_persons WHERE activity = $1 AND last_day < $2 LIMIT $3
));
