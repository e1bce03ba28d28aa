-- The index: what a search reads, kept by triggers in the transaction that keeps the page, so that neither is ever
-- there without the other.

CREATE EXTENSION IF NOT EXISTS btree_gin;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS unaccent;

-- One configuration a language ("search_english"): PostgreSQL's own, reading "café" as "cafe".
DO $$
DECLARE
    language text;
BEGIN
    FOR language IN SELECT cfgname FROM pg_ts_config WHERE cfgnamespace = 'pg_catalog'::regnamespace LOOP
        EXECUTE format('CREATE TEXT SEARCH CONFIGURATION %I (COPY = pg_catalog.%I)', 'search_' || language, language);
        EXECUTE format(
            'ALTER TEXT SEARCH CONFIGURATION %I ALTER MAPPING FOR hword, hword_part, word WITH unaccent, %s',
            'search_' || language,
            (SELECT string_agg(d.dictname, ', ' ORDER BY m.mapseqno)
             FROM pg_ts_config c
             JOIN pg_ts_config_map m ON m.mapcfg = c.oid
             JOIN pg_ts_dict d ON d.oid = m.mapdict
             JOIN ts_token_type(c.cfgparser) t ON t.tokid = m.maptokentype AND t.alias = 'word'
             WHERE c.cfgname = language AND c.cfgnamespace = 'pg_catalog'::regnamespace)
        );
    END LOOP;
END $$;

-- The configuration for a site's own setting ("english") or a page's tag ("en"); words are kept whole for any other.
CREATE FUNCTION search_configuration(language text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        (SELECT cfgname::text FROM pg_ts_config
         WHERE cfgnamespace = 'public'::regnamespace AND cfgname = 'search_' || coalesce(
            (SELECT name FROM (VALUES
                ('ar', 'arabic'), ('ca', 'catalan'), ('da', 'danish'), ('de', 'german'), ('el', 'greek'),
                ('en', 'english'), ('es', 'spanish'), ('et', 'estonian'), ('eu', 'basque'), ('fi', 'finnish'),
                ('fr', 'french'), ('ga', 'irish'), ('hi', 'hindi'), ('hu', 'hungarian'), ('hy', 'armenian'),
                ('id', 'indonesian'), ('it', 'italian'), ('lt', 'lithuanian'), ('nb', 'norwegian'), ('ne', 'nepali'),
                ('nl', 'dutch'), ('nn', 'norwegian'), ('no', 'norwegian'), ('pt', 'portuguese'), ('ro', 'romanian'),
                ('ru', 'russian'), ('sr', 'serbian'), ('sv', 'swedish'), ('ta', 'tamil'), ('tr', 'turkish'),
                ('yi', 'yiddish')
             ) AS tags (tag, name) WHERE tag = split_part(lower(language), '-', 1)),
            lower(language))),
        'search_simple')
$$;

-- The text with what joins words replaced by spaces, so that PostgreSQL's parser takes "asyncio.gather" for two words
-- and not for a host, and "zip_longest" likewise. Nested replaces are five times as fast as one translate.
CREATE FUNCTION plain_words(content text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT replace(replace(replace(replace(replace(replace(replace(
        content, '.', ' '), '_', ' '), '-', ' '), '/', ' '), '<', ' '), '+', ' '), '@', ' ')
$$;

-- The identifiers in a text ("asyncio.gather", "zip_longest", "itertools.zip_longest" and its last part), each as one
-- lexeme of weight C with up to 200 positions.
CREATE FUNCTION identifier_words(content text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    WITH found AS (
        SELECT lower(match[1]) AS word, position
        FROM regexp_matches(content, '([[:alpha:]_]\w*(?:\.\w+)+|\w*[[:alpha:]]_\w+)', 'g')
             WITH ORDINALITY AS matches (match, position)
    ), parts AS (
        SELECT word, position FROM found
        UNION ALL
        SELECT part, position FROM found, unnest(string_to_array(word, '.')) AS part
        WHERE word LIKE '%.%' AND part LIKE '%\_%'
    ), listed AS (
        SELECT word, (array_agg(DISTINCT least(position, 16383)))[:200] AS positions
        FROM parts WHERE length(word) BETWEEN 3 AND 100 GROUP BY word
    )
    SELECT coalesce(
        string_agg(quote_literal(word) || ':' || array_to_string(positions, 'C,') || 'C', ' ')::tsvector, ''::tsvector)
    FROM listed
$$;

-- The words of an address's path, without its host and the ending of its last part.
CREATE FUNCTION path_words(url text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT plain_words(regexp_replace(regexp_replace(url, '^[a-z]+://[^/]*', ''), '(index)?(\.[a-z0-9]{1,5})?([?#].*)?$', ''))
$$;

CREATE TABLE documents (
    page_id       bigint PRIMARY KEY REFERENCES pages ON DELETE CASCADE,
    site_id       bigint NOT NULL REFERENCES sites ON DELETE CASCADE,
    configuration text NOT NULL,
    -- What a page is worth before any query is known: 1 at the start page, less with every click away from it.
    prior         real NOT NULL,
    dated_at      timestamptz NOT NULL,
    -- Title (A), headings and address (B): short, so that many can be ranked.
    heading_words tsvector NOT NULL,
    -- The same with identifiers (C) and text (D).
    words         tsvector NOT NULL
);

-- Ranking reads these whole: uncompressed they are 3 MB more on 500 pages, and twice as fast.
ALTER TABLE documents ALTER COLUMN words SET STORAGE EXTERNAL;

CREATE INDEX documents_words ON documents USING gin (site_id, words);
CREATE INDEX documents_heading_words ON documents USING gin (site_id, heading_words);

-- The languages that a site's pages have been read in.
CREATE TABLE site_configurations (
    site_id       bigint NOT NULL REFERENCES sites ON DELETE CASCADE,
    configuration text NOT NULL,
    PRIMARY KEY (site_id, configuration)
);

-- Between the parts a gap is left, so that no phrase begins in one and ends in the next.
CREATE FUNCTION page_words(configuration regconfig, page pages, longest integer) RETURNS tsvector
LANGUAGE sql STABLE AS $$
    SELECT ts_delete(
        setweight(to_tsvector(configuration, plain_words(left(page.title, 1000))), 'A')
        || '¶:8'::tsvector
        || setweight(to_tsvector(configuration, path_words(page.url)), 'B')
        || '¶:8'::tsvector
        || setweight(to_tsvector(configuration, plain_words(left(page.headings, longest))), 'B')
        || '¶:8'::tsvector
        || identifier_words(left(page.text, longest))
        || to_tsvector(configuration, plain_words(left(page.description, 5000)))
        || '¶:8'::tsvector
        || to_tsvector(configuration, plain_words(left(page.text, longest))),
        '¶')
$$;

CREATE FUNCTION index_page(page pages) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    chosen text;
    found  tsvector;
BEGIN
    SELECT search_configuration(coalesce(nullif(language, ''), page.language)) INTO chosen
    FROM sites WHERE id = page.site_id;
    -- A tsvector holds at most a megabyte; few texts of this length have so many distinct words, and they get less.
    BEGIN
        found := page_words(chosen::regconfig, page, 400000);
    EXCEPTION WHEN program_limit_exceeded THEN
        found := page_words(chosen::regconfig, page, 40000);
    END;
    INSERT INTO site_configurations VALUES (page.site_id, chosen) ON CONFLICT DO NOTHING;
    INSERT INTO documents (page_id, site_id, configuration, prior, dated_at, heading_words, words)
    VALUES (
        page.id, page.site_id, chosen, 1.0 / (1 + page.depth),
        coalesce(page.modified_at, page.published_at, page.fetched_at),
        setweight(to_tsvector(chosen::regconfig, plain_words(left(page.title, 1000))), 'A')
            || setweight(to_tsvector(chosen::regconfig, path_words(page.url)), 'B')
            || setweight(to_tsvector(chosen::regconfig, plain_words(left(page.headings, 8000))), 'B'),
        found)
    ON CONFLICT (page_id) DO UPDATE SET
        configuration = excluded.configuration, prior = excluded.prior, dated_at = excluded.dated_at,
        heading_words = excluded.heading_words, words = excluded.words;
END $$;

CREATE FUNCTION index_changed_page() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM index_page(NEW);
    RETURN NULL;
END $$;

CREATE TRIGGER pages_indexed_when_added AFTER INSERT ON pages
    FOR EACH ROW EXECUTE FUNCTION index_changed_page();

-- A page that answered "not modified", or the same text again, costs the index nothing.
CREATE TRIGGER pages_indexed_when_changed AFTER UPDATE ON pages
    FOR EACH ROW
    WHEN ((OLD.content_hash, OLD.depth, OLD.modified_at, OLD.published_at, OLD.language)
          IS DISTINCT FROM (NEW.content_hash, NEW.depth, NEW.modified_at, NEW.published_at, NEW.language))
    EXECUTE FUNCTION index_changed_page();

-- The words of a site and in how many pages they are: for corrections, for completions, and to find every form of a
-- searched word in the text to highlight.
CREATE TABLE vocabulary (
    site_id bigint NOT NULL REFERENCES sites ON DELETE CASCADE,
    word    text COLLATE "C" NOT NULL,
    lexeme  text COLLATE "C" NOT NULL,
    pages   integer NOT NULL,
    PRIMARY KEY (site_id, word)
);

CREATE INDEX vocabulary_lexemes ON vocabulary (site_id, lexeme);
CREATE INDEX vocabulary_trigrams ON vocabulary USING gin (site_id, word gin_trgm_ops);

-- What one person's search was, counted by day.
CREATE TABLE query_counts (
    site_id         bigint NOT NULL REFERENCES sites ON DELETE CASCADE,
    day             date NOT NULL,
    query           text NOT NULL CHECK (length(query) <= 200),
    searches        bigint NOT NULL,
    without_results bigint NOT NULL,
    PRIMARY KEY (site_id, day, query)
);

ALTER TABLE sites
    ADD COLUMN slug text CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    -- What all titles end in (" — Python 3.11 documentation"): left out where it only repeats itself.
    ADD COLUMN title_suffix text NOT NULL DEFAULT '',
    ADD COLUMN vocabulary_at timestamptz;

UPDATE sites SET slug = 'site-' || id;

CREATE FUNCTION name_site() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    plain text := coalesce(
        nullif(trim(BOTH '-' FROM left(regexp_replace(lower(unaccent(NEW.name)), '[^a-z0-9]+', '-', 'g'), 50)), ''), 'site');
BEGIN
    NEW.slug := CASE WHEN EXISTS (SELECT FROM sites WHERE slug = plain) THEN plain || '-' || NEW.id ELSE plain END;
    RETURN NEW;
END $$;

CREATE TRIGGER sites_named BEFORE INSERT ON sites
    FOR EACH ROW WHEN (NEW.slug IS NULL) EXECUTE FUNCTION name_site();

ALTER TABLE sites ALTER COLUMN slug SET NOT NULL;
ALTER TABLE sites ADD CONSTRAINT sites_slug_key UNIQUE (slug);
