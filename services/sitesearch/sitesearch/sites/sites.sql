-- name: list_sites
SELECT s.id, s.slug, s.name, s.start_url,
       (SELECT count(*) FROM pages p WHERE p.site_id = s.id) AS pages,
       c.id AS crawl_id, c.state, c.started_at, c.finished_at
FROM sites s
LEFT JOIN LATERAL (SELECT * FROM crawls WHERE site_id = s.id ORDER BY id DESC LIMIT 1) c ON true
ORDER BY lower(s.name), s.id LIMIT $1;

-- name: get_site
SELECT s.*, (extract(epoch FROM s.recrawl_every) / 3600)::integer AS recrawl_hours,
       (SELECT count(*) FROM pages p WHERE p.site_id = s.id) AS pages
FROM sites s WHERE slug = $1;

-- name: add_site
INSERT INTO sites (name, start_url, max_depth, max_pages, include, exclude, content_selector, title_selector,
                   drop_selector, delay_seconds, language, recrawl_every)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
RETURNING slug;

-- name: change_site
UPDATE sites SET name = $2, start_url = $3, max_depth = $4, max_pages = $5, include = $6, exclude = $7,
       content_selector = $8, title_selector = $9, drop_selector = $10, delay_seconds = $11, language = $12,
       recrawl_every = $13
WHERE id = $1;

-- name: delete_site
DELETE FROM sites WHERE slug = $1 RETURNING id;

-- name: site_by_start
SELECT slug FROM sites WHERE start_url = $1 ORDER BY id LIMIT 1;

-- name: slug_of
SELECT slug FROM sites WHERE id = $1;

-- name: latest_crawls
SELECT id, state, trigger, reason, started_at, finished_at FROM crawls WHERE site_id = $1 ORDER BY id DESC LIMIT $2;

-- name: count_queries
INSERT INTO query_counts (site_id, day, query, searches, without_results)
SELECT s.id, CURRENT_DATE, asked.query, asked.searches, asked.without_results
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS asked (site_id, query, searches, without_results)
JOIN sites s ON s.id = asked.site_id
ORDER BY s.id, asked.query
ON CONFLICT (site_id, day, query) DO UPDATE SET
    searches = query_counts.searches + excluded.searches,
    without_results = query_counts.without_results + excluded.without_results;

-- name: top_queries
SELECT query, sum(searches)::bigint AS searches, sum(without_results)::bigint AS without_results
FROM query_counts WHERE site_id = $1 AND day > CURRENT_DATE - $2::integer
GROUP BY query ORDER BY searches DESC, query LIMIT $3;

-- name: queries_without_results
SELECT query, sum(searches)::bigint AS searches, sum(without_results)::bigint AS without_results
FROM query_counts WHERE site_id = $1 AND day > CURRENT_DATE - $2::integer AND without_results > 0
GROUP BY query ORDER BY without_results DESC, query LIMIT $3;

-- name: queries_by_day
SELECT dates.day::date AS day, coalesce(sum(q.searches), 0)::bigint AS searches,
       coalesce(sum(q.without_results), 0)::bigint AS without_results
FROM generate_series(CURRENT_DATE - $2::integer + 1, CURRENT_DATE, interval '1 day') AS dates (day)
LEFT JOIN query_counts q ON q.site_id = $1 AND q.day = dates.day::date
GROUP BY dates.day ORDER BY dates.day;

-- name: forget_queries
DELETE FROM query_counts WHERE day < CURRENT_DATE - 400;

-- name: export_pages
SELECT p.id, p.url, p.title, p.description, p.text, p.language, d.dated_at AS dated_at
FROM pages p JOIN documents d ON d.page_id = p.id WHERE p.site_id = $1 AND p.id > $2 ORDER BY p.id LIMIT $3;
