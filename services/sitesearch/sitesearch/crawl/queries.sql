-- name: begin_crawl
-- Nothing comes back while another crawl of the site runs.
INSERT INTO crawls (site_id, trigger, settings, level) VALUES ($1, $2, $3::jsonb, 0)
ON CONFLICT (site_id) WHERE state = 'running' DO NOTHING
RETURNING id

-- name: load_visit
SELECT c.state AS crawl_state, c.site_id, c.settings, c.width, c.started_at,
       u.state, u.kind, u.depth, u.tries, u.target IS NOT NULL AS on_its_own,
       p.etag, p.last_modified, p.extracted_by
FROM crawl_urls u
JOIN crawls c ON c.id = u.crawl_id
LEFT JOIN pages p ON p.site_id = c.site_id AND p.url = u.url
WHERE u.crawl_id = $1 AND u.url = $2

-- name: lock_crawl
SELECT id, site_id, state, level, settings, started_at FROM crawls WHERE id = $1 FOR NO KEY UPDATE

-- name: address_state
SELECT state FROM crawl_urls WHERE crawl_id = $1 AND url = $2

-- name: add_addresses
-- Sorted, so that pages which find the same new addresses at once wait for one another in one order. Known addresses
-- are left out before: for one that another transaction is just settling, ON CONFLICT would wait, both ways if the two
-- pages link to each other.
WITH added AS (
    INSERT INTO crawl_urls (crawl_id, url, shape, depth, kind)
    SELECT $1, found.url, found.shape, $4, $5
    FROM unnest($2::text[], $3::text[]) AS found (url, shape)
    WHERE NOT EXISTS (SELECT 1 FROM crawl_urls known WHERE known.crawl_id = $1 AND known.url = found.url COLLATE "C")
      AND (SELECT coalesce(sum(urls), 0) FROM crawl_tallies WHERE crawl_id = $1 AND outcome = 'found_' || $5) < $6
    ORDER BY found.url COLLATE "C"
    ON CONFLICT (crawl_id, url) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM added

-- name: settle_address
-- Only the first of two that visited one address by accident gets a row back.
UPDATE crawl_urls
SET state = $3, reason = $4, detail = $5, target = $6, finished_at = now()
WHERE crawl_id = $1 AND url = $2 AND state = 'queued'
RETURNING depth

-- name: claim_target
-- The page that a redirect led to, unless it is done already. It counts as near as the nearer of the two.
INSERT INTO crawl_urls (crawl_id, url, shape, depth, state, finished_at)
VALUES ($1, $2, $3, $4, 'fetched', now())
ON CONFLICT (crawl_id, url) DO UPDATE
SET state = 'fetched', depth = least(crawl_urls.depth, excluded.depth), finished_at = now()
WHERE crawl_urls.state IN ('found', 'queued')
RETURNING (xmax = 0) AS is_new

-- name: reschedule
UPDATE crawl_urls
SET tries = tries + $3, reason = coalesce($4, reason), detail = coalesce($5, detail), due_at = now() + $6::interval
WHERE crawl_id = $1 AND url = $2 AND state = 'queued'
RETURNING tries

-- name: tally
INSERT INTO crawl_tallies AS t (crawl_id, shard, outcome, reason, urls, bytes)
SELECT $1, pg_backend_pid() % 16, counted.outcome, counted.reason, counted.urls, counted.bytes
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[]) AS counted (outcome, reason, urls, bytes)
ORDER BY counted.outcome, counted.reason
ON CONFLICT (crawl_id, outcome, reason, shard) DO UPDATE
SET urls = t.urls + excluded.urls, bytes = t.bytes + excluded.bytes

-- name: take_next
-- As many found addresses of the level as the site bears beside what is queued.
WITH room AS MATERIALIZED (
    SELECT c.level,
           greatest(0, c.width - (
               SELECT count(*) FROM (
                   SELECT 1 FROM crawl_urls q WHERE q.crawl_id = $1 AND q.state = 'queued' LIMIT 64
               ) AS queued
           )) AS places
    FROM crawls c
    WHERE c.id = $1 AND c.state = 'running'
), picked AS MATERIALIZED (
    SELECT url
    FROM crawl_urls
    WHERE crawl_id = $1 AND state = 'found' AND depth = (SELECT level FROM room)
    ORDER BY url
    LIMIT (SELECT places FROM room)
    FOR UPDATE SKIP LOCKED
)
UPDATE crawl_urls
SET state = 'queued', due_at = now() + $2::interval
WHERE crawl_id = $1 AND url = ANY (ARRAY(SELECT url FROM picked))
RETURNING url

-- name: any_queued
-- The least of an index is one look-up; for EXISTS, statistics that remember many would have the table read whole.
SELECT min(crawl_id) IS NOT NULL FROM crawl_urls WHERE crawl_id = $1 AND state = 'queued'

-- name: any_found
SELECT min(depth) IS NOT NULL FROM crawl_urls WHERE crawl_id = $1 AND state = 'found'

-- name: reopen_stranded
-- Pages that named another address as their own where that led to no page: to one another in a circle, to an error, to
-- what may not be fetched. They are found again, with the address that they named, and the crawl goes back to the
-- nearest one's level. Names are followed five times at most.
WITH RECURSIVE named (url, at, times) AS (
    SELECT url, target, 1 FROM crawl_urls WHERE crawl_id = $1 AND state = 'duplicate'
    UNION ALL
    SELECT n.url, u.target, n.times + 1
    FROM named n JOIN crawl_urls u ON u.crawl_id = $1 AND u.url = n.at AND u.state IN ('duplicate', 'redirected')
    WHERE n.times < 5
), led AS (
    SELECT n.url
    FROM named n JOIN crawl_urls u ON u.crawl_id = $1 AND u.url = n.at AND u.state IN ('fetched', 'unchanged')
), reopened AS (
    UPDATE crawl_urls u
    SET state = 'found', reason = NULL, detail = NULL, finished_at = NULL
    WHERE u.crawl_id = $1 AND u.state = 'duplicate' AND u.url NOT IN (SELECT url FROM led)
    RETURNING u.depth
), lowered AS (
    UPDATE crawls SET level = (SELECT min(depth) FROM reopened) WHERE id = $1 AND EXISTS (SELECT 1 FROM reopened)
)
SELECT count(*) FROM reopened

-- name: next_level
UPDATE crawls SET level = level + 1 WHERE id = $1 RETURNING level

-- name: skip_alike
-- Which ones of a trap are kept depends on their spelling alone, never on which page was read first.
WITH earlier AS (
    SELECT shape, count(*) AS times
    FROM crawl_urls
    WHERE crawl_id = $1 AND depth < $2 AND state <> 'skipped'
    GROUP BY shape
), ranked AS (
    SELECT url, shape, row_number() OVER (PARTITION BY shape ORDER BY length(url), url) AS place
    FROM crawl_urls
    WHERE crawl_id = $1 AND depth = $2 AND state = 'found'
), skipped AS (
    UPDATE crawl_urls u
    SET state = 'skipped', reason = 'too_many_alike', detail = ranked.shape, finished_at = now()
    FROM ranked LEFT JOIN earlier USING (shape)
    WHERE u.crawl_id = $1 AND u.url = ranked.url AND ranked.place + coalesce(earlier.times, 0) > $3
    RETURNING 1
)
SELECT count(*) FROM skipped

-- name: skip_beyond_limit
WITH spent AS (
    SELECT count(*) AS pages
    FROM crawl_urls
    WHERE crawl_id = $1 AND depth < $2 AND kind = 'page' AND state <> 'skipped'
), beyond AS (
    SELECT url
    FROM crawl_urls
    WHERE crawl_id = $1 AND depth = $2 AND state = 'found'
    ORDER BY url
    OFFSET greatest(0, $3 - (SELECT pages FROM spent))
), skipped AS (
    UPDATE crawl_urls u
    SET state = 'skipped', reason = 'page_limit', finished_at = now()
    FROM beyond
    WHERE u.crawl_id = $1 AND u.url = beyond.url
    RETURNING 1
)
SELECT count(*) FROM skipped

-- name: set_width
UPDATE crawls SET width = $2 WHERE id = $1 AND state = 'running'

-- name: save_page
-- A page dated in the future, past what time zones explain, is not dated.
INSERT INTO pages AS p (site_id, crawl_id, url, depth, title, headings, description, text, language, published_at,
                        modified_at, fetched_at, etag, last_modified, content_hash, extracted_by, links)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $10 < now() + interval '1 day' THEN $10 END,
        CASE WHEN $11 < now() + interval '1 day' THEN $11 END, now(), $12, $13, $14, $15, $16)
ON CONFLICT (site_id, url) DO UPDATE
SET crawl_id = excluded.crawl_id, depth = excluded.depth, title = excluded.title, headings = excluded.headings,
    description = excluded.description, text = excluded.text, language = excluded.language,
    published_at = excluded.published_at, modified_at = excluded.modified_at, fetched_at = excluded.fetched_at,
    etag = excluded.etag, last_modified = excluded.last_modified, content_hash = excluded.content_hash,
    extracted_by = excluded.extracted_by, links = excluded.links

-- name: refresh_page
-- Fetched anew with the same content: nothing that searching indexes is written again.
UPDATE pages
SET crawl_id = $3, depth = $4, fetched_at = now(), etag = $5, last_modified = $6, extracted_by = $7, links = $8,
    published_at = CASE WHEN $9 < now() + interval '1 day' THEN $9 END,
    modified_at = CASE WHEN $10 < now() + interval '1 day' THEN $10 END, language = $11
WHERE site_id = $1 AND url = $2 AND content_hash = $12
RETURNING id

-- name: links_of
SELECT links FROM pages WHERE site_id = $1 AND url = $2

-- name: keep_page
UPDATE pages SET crawl_id = $3, depth = $4, fetched_at = now() WHERE site_id = $1 AND url = $2 RETURNING links

-- name: outcome_totals
SELECT outcome, reason, sum(urls)::bigint AS urls, sum(bytes)::bigint AS bytes
FROM crawl_tallies
WHERE crawl_id = $1
GROUP BY outcome, reason
ORDER BY outcome, reason

-- name: start_outcome
SELECT state, reason, detail FROM crawl_urls WHERE crawl_id = $1 AND url = $2

-- name: end_crawl
UPDATE crawls SET state = $2, reason = $3, finished_at = now() WHERE id = $1 AND state = 'running' RETURNING id

-- name: forget_vanished
-- A page that could not be asked for this time is kept: its server may be back for the next crawl.
DELETE FROM pages p
WHERE p.site_id = $1 AND p.crawl_id <> $2
  AND NOT EXISTS (SELECT 1 FROM crawl_urls u WHERE u.crawl_id = $2 AND u.url = p.url AND u.state = 'failed')

-- name: overdue
-- Addresses whose job is gone: discarded, or buried after it took its worker with it every time.
SELECT u.crawl_id, u.url, u.tries
FROM crawl_urls u
JOIN crawls c ON c.id = u.crawl_id AND c.state = 'running'
WHERE u.state = 'queued' AND u.due_at < now() - $1::interval
ORDER BY u.due_at
LIMIT 500

-- name: forget_crawls
-- The reports of ended crawls but a site's latest $1; a few at a time, since each may hold an address a page.
DELETE FROM crawls
WHERE id IN (
    SELECT c.id
    FROM crawls c
    WHERE c.state <> 'running'
      AND c.id < (SELECT l.id FROM crawls l WHERE l.site_id = c.site_id ORDER BY l.id DESC OFFSET $1 - 1 LIMIT 1)
    ORDER BY c.id
    LIMIT 20
)
RETURNING id

-- name: running_crawls
SELECT id FROM crawls WHERE state = 'running' ORDER BY id

-- name: due_sites
SELECT s.id
FROM sites s
WHERE s.recrawl_every IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM crawls c WHERE c.site_id = s.id AND c.started_at > now() - s.recrawl_every)
  AND NOT EXISTS (SELECT 1 FROM crawls c WHERE c.site_id = s.id AND c.state = 'running')
ORDER BY s.id
LIMIT 1000

-- name: site
SELECT * FROM sites WHERE id = $1

-- name: robots_of
SELECT robots_state, robots_text, robots_fetched_at FROM hosts WHERE origin = $1

-- name: robots_fetched_at
SELECT robots_fetched_at FROM hosts WHERE origin = $1 AND robots_state <> 'unreachable'

-- name: save_robots
INSERT INTO hosts (origin, robots_state, robots_text, robots_fetched_at)
VALUES ($1, $2, $3, clock_timestamp())
ON CONFLICT (origin) DO UPDATE
SET robots_state = excluded.robots_state, robots_text = excluded.robots_text,
    robots_fetched_at = excluded.robots_fetched_at
RETURNING robots_fetched_at

-- name: take_turn
-- Takes the next turn if it comes within $3 seconds; a row comes back only then. All by the database's clock.
INSERT INTO host_turns AS t (origin, next_allowed_at)
VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (origin) DO UPDATE
SET next_allowed_at = greatest(t.next_allowed_at, clock_timestamp()) + make_interval(secs => $2)
WHERE t.next_allowed_at <= clock_timestamp() + make_interval(secs => $3)
RETURNING greatest(0, extract(epoch FROM next_allowed_at - make_interval(secs => $2) - clock_timestamp()))::float8 AS wait

-- name: next_turn
SELECT greatest(0, extract(epoch FROM next_allowed_at - clock_timestamp()))::float8 AS wait
FROM host_turns
WHERE origin = $1

-- name: hold_off
INSERT INTO host_turns AS t (origin, next_allowed_at)
VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (origin) DO UPDATE SET next_allowed_at = greatest(t.next_allowed_at, excluded.next_allowed_at)

-- name: crawl
SELECT id, site_id, state, trigger, level, width, reason, started_at, finished_at,
       extract(epoch FROM coalesce(finished_at, now()) - started_at)::float8 AS seconds
FROM crawls
WHERE id = $1

-- name: refusals
SELECT url, state, reason, coalesce(detail, '') AS detail, coalesce(target, '') AS target
FROM crawl_urls
WHERE crawl_id = $1 AND reason IS NOT NULL AND finished_at IS NOT NULL
  AND ($2::text IS NULL OR reason = $2) AND (reason, url) > ($3, $4)
ORDER BY reason, url
LIMIT $5
