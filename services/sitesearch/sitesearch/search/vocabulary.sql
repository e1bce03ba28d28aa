-- name: stale_sites
-- Sites that are being crawled, or whose last crawl ended after their words were counted.
SELECT s.id FROM sites s
WHERE EXISTS (
    SELECT FROM crawls c
    WHERE c.site_id = s.id AND (c.state = 'running' OR c.finished_at > coalesce(s.vocabulary_at, '-infinity')));

-- name: lock_site
SELECT id FROM sites WHERE id = $1 FOR NO KEY UPDATE;

-- name: main_configuration
SELECT configuration FROM documents WHERE site_id = $1 GROUP BY configuration ORDER BY count(*) DESC LIMIT 1;

-- name: clear_vocabulary
DELETE FROM vocabulary WHERE site_id = $1;

-- name: count_words
-- Counted over at most $3 pages: which words are common is known long before a large site is read whole. Words are as
-- written, in lower case; each keeps the stem that the index knows it by.
INSERT INTO vocabulary (site_id, word, lexeme, pages)
SELECT $1::bigint, counted.word, stem.lexeme, counted.ndoc
FROM ts_stat(format(
    $sql$SELECT to_tsvector('pg_catalog.simple', plain_words(
             title || ' ' || left(headings, 20000) || ' ' || description || ' ' || left(text, 200000)))
         FROM pages WHERE site_id = %s LIMIT %s$sql$, $1::bigint, $3::integer)) AS counted (word, ndoc, nentry)
CROSS JOIN LATERAL (
    SELECT (tsvector_to_array(to_tsvector($2::text::regconfig, counted.word)))[1] AS lexeme
) AS stem
WHERE length(counted.word) BETWEEN 2 AND 40 AND counted.word ~ '[[:alpha:]]' AND stem.lexeme IS NOT NULL
ORDER BY counted.ndoc DESC LIMIT 200000
ON CONFLICT (site_id, word) DO NOTHING;

-- name: count_identifiers
INSERT INTO vocabulary (site_id, word, lexeme, pages)
SELECT $1::bigint, counted.word, counted.word, counted.ndoc
FROM ts_stat(format(
    $sql$SELECT ts_filter(words, '{c}') FROM documents WHERE site_id = %s LIMIT %s$sql$, $1::bigint, $2::integer))
    AS counted (word, ndoc, nentry)
WHERE length(counted.word) BETWEEN 3 AND 60
ORDER BY counted.ndoc DESC LIMIT 100000
ON CONFLICT (site_id, word) DO NOTHING;

-- name: sample_titles
SELECT title FROM pages WHERE site_id = $1 AND title <> '' ORDER BY id LIMIT 1000;

-- name: keep_counted
UPDATE sites SET vocabulary_at = $2, title_suffix = $3 WHERE id = $1;

-- name: forget_configurations
DELETE FROM site_configurations WHERE site_id = $1;

-- name: index_again
-- Every page of a site whose language was changed by its owner.
SELECT count(index_page(p)) FROM pages p WHERE p.site_id = $1;
