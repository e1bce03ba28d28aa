-- name: find_site
SELECT id, slug, name, start_url, title_suffix FROM sites WHERE slug = $1;

-- name: resolve_words
-- What each word is stemmed to in each of the site's languages, and on how many pages that is, as far as counted.
SELECT c.configuration, asked.word, l.lexeme,
       coalesce((SELECT max(v.pages) FROM vocabulary v WHERE v.site_id = $1 AND v.lexeme = l.lexeme), 0) AS pages
FROM site_configurations c
CROSS JOIN unnest($2::text[]) AS asked (word)
CROSS JOIN LATERAL (SELECT (tsvector_to_array(to_tsvector(c.configuration::regconfig, asked.word)))[1] AS lexeme) l
WHERE c.site_id = $1;

-- name: complete_word
-- The words that begin with $2 (up to but excluding $3), most widespread first. The inner bound keeps a one-letter
-- beginning from reading the whole vocabulary.
SELECT word, lexeme, pages FROM (
    SELECT word, lexeme, pages FROM vocabulary
    WHERE site_id = $1 AND word >= $2 COLLATE "C" AND word < $3 COLLATE "C"
    LIMIT 2000
) AS beginning
ORDER BY pages DESC, length(word), word LIMIT $4;

-- name: similar_words
-- The words that share enough three-letter sequences with $2, if $4, and those listed in $3.
(SELECT word, pages FROM vocabulary
 WHERE $4::boolean AND site_id = $1 AND word % $2
 ORDER BY similarity(word, $2) DESC, pages DESC LIMIT 60)
UNION
SELECT word, pages FROM vocabulary WHERE site_id = $1 AND word = ANY ($3::text[]);

-- name: word_forms
-- How the searched lexemes are written on this site, most widespread first.
SELECT lexeme, word FROM vocabulary WHERE site_id = $1 AND lexeme = ANY ($2::text[]) ORDER BY pages DESC LIMIT 200;

-- name: search_documents
-- Two bounded sets of candidates, by headings and by all words; the best 200 of them by a rank over the short vector
-- and the distance from the start page; those ranked in full by how close together and how weighty their matches are.
-- A query that matches at most 200 pages is therefore ranked exactly, and one that matches everything costs no more
-- than one that matches 2,000 pages.
WITH headed AS MATERIALIZED (
    SELECT page_id, dated_at, prior, ts_rank('{0.1, 0.2, 0.5, 1.0}', heading_words, $9::tsquery, 1) AS heading
    FROM documents
    WHERE site_id = $1 AND heading_words @@ $2::tsquery AND $7 AND ($3::timestamptz IS NULL OR dated_at >= $3)
    LIMIT 1000
), matched AS MATERIALIZED (
    SELECT page_id, dated_at, prior, ts_rank('{0.1, 0.2, 0.5, 1.0}', heading_words, $9::tsquery, 1) AS heading
    FROM documents
    WHERE site_id = $1 AND words @@ $2::tsquery AND ($3::timestamptz IS NULL OR dated_at >= $3)
    LIMIT 2000
), dated AS (
    SELECT dated_at FROM matched WHERE $3::timestamptz IS NULL
    UNION ALL
    (SELECT dated_at FROM documents
     WHERE $3::timestamptz IS NOT NULL AND site_id = $1 AND words @@ $2::tsquery LIMIT 2000)
), counts AS (
    SELECT count(*) AS anytime,
           count(*) FILTER (WHERE dated_at >= now() - interval '1 day') AS day,
           count(*) FILTER (WHERE dated_at >= now() - interval '7 days') AS week,
           count(*) FILTER (WHERE dated_at >= now() - interval '30 days') AS month,
           count(*) FILTER (WHERE dated_at >= now() - interval '365 days') AS year
    FROM dated
), finalists AS MATERIALIZED (
    SELECT page_id, heading, prior FROM (SELECT * FROM headed UNION SELECT * FROM matched) AS candidates
    ORDER BY heading + 0.1 * prior DESC, page_id LIMIT 200
), ranked AS (
    SELECT f.page_id,
           ln(1 + ts_rank_cd('{0.05, 0.15, 0.4, 1.0}', d.words, $2::tsquery, 1))
           + ts_rank('{0.05, 0.15, 0.4, 1.0}', d.words, $2::tsquery, 1)
           + 2 * f.heading + 0.1 * f.prior
           + CASE WHEN $4 = '' THEN 0
                  WHEN lower(left(p.title, length(p.title) - $5)) = $4 THEN 1
                  WHEN starts_with(lower(p.title), $4 || ' ') THEN 0.5
                  ELSE 0 END AS score
    FROM finalists f
    JOIN documents d ON d.page_id = f.page_id
    JOIN pages p ON p.id = f.page_id
), page AS (
    SELECT page_id, score FROM ranked ORDER BY score DESC, page_id OFFSET $6 LIMIT $8
)
SELECT c.anytime, c.day, c.week, c.month, c.year,
       (SELECT count(*) FROM matched) AS matching,
       page.page_id, page.score, p.url, p.title, p.description, left(p.text, 40000) AS text, d.dated_at,
       p.modified_at IS NOT NULL OR p.published_at IS NOT NULL AS has_own_date
FROM counts c
LEFT JOIN page ON true
LEFT JOIN pages p ON p.id = page.page_id
LEFT JOIN documents d ON d.page_id = page.page_id
ORDER BY page.score DESC NULLS LAST, page.page_id;
