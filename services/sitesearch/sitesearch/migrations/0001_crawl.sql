-- What a crawl needs: sites as declared by people, crawls of them, the addresses of each crawl, and the pages kept.

CREATE TABLE sites (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text NOT NULL CHECK (name <> ''),
    start_url        text COLLATE "C" NOT NULL CHECK (length(start_url) <= 2000),
    -- Addresses under this path belong to the site; '/' is the whole host.
    path_prefix      text COLLATE "C" NOT NULL DEFAULT '/' CHECK (path_prefix LIKE '/%'),
    include          text[] NOT NULL DEFAULT '{}',
    exclude          text[] NOT NULL DEFAULT '{}',
    max_depth        smallint NOT NULL DEFAULT 5 CHECK (max_depth BETWEEN 0 AND 20),
    max_pages        integer NOT NULL DEFAULT 10000 CHECK (max_pages BETWEEN 1 AND 1000000),
    -- The most addresses that differ only in digits (calendars, counters).
    max_alike        integer NOT NULL DEFAULT 2000 CHECK (max_alike >= 1),
    -- NULL: a default that depends on whether the host is an allowed local one.
    delay_seconds    double precision CHECK (delay_seconds BETWEEN 0 AND 60),
    concurrency      smallint NOT NULL DEFAULT 4 CHECK (concurrency BETWEEN 1 AND 32),
    content_selector text,
    title_selector   text,
    drop_selector    text,
    -- A search configuration such as 'english'; NULL: by each page's own language.
    language         text,
    -- NULL: crawled only when asked to.
    recrawl_every    interval CHECK (recrawl_every >= interval '1 minute'),
    created_at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE crawls (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id     bigint NOT NULL REFERENCES sites ON DELETE CASCADE,
    state       text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'finished', 'failed', 'cancelled')),
    trigger     text NOT NULL DEFAULT 'manual' CHECK (trigger IN ('manual', 'schedule')),
    -- The site's settings as they were at the start, so that an edit never splits a crawl in two.
    settings    jsonb NOT NULL,
    -- The distance from the start that is being crawled now.
    level       smallint NOT NULL DEFAULT 0,
    -- Jobs in flight that the site bears at present: halved by time-outs, grown by answers.
    width       smallint NOT NULL DEFAULT 1 CHECK (width >= 1),
    reason      text,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

CREATE UNIQUE INDEX crawls_one_running_per_site ON crawls (site_id) WHERE state = 'running';
CREATE INDEX crawls_by_site ON crawls (site_id, id DESC);
CREATE INDEX crawls_running ON crawls (id) WHERE state = 'running';

-- Every address of a crawl, once. The frontier is the rows 'found'; a row 'queued' has a job.
CREATE TABLE crawl_urls (
    crawl_id    bigint NOT NULL REFERENCES crawls ON DELETE CASCADE,
    url         text COLLATE "C" NOT NULL,
    kind        text NOT NULL DEFAULT 'page' CHECK (kind IN ('page', 'sitemap')),
    depth       smallint NOT NULL,
    -- The address with its digits folded: what addresses of one trap have in common.
    shape       text COLLATE "C" NOT NULL,
    state       text NOT NULL DEFAULT 'found' CHECK (state IN
        ('found', 'queued', 'fetched', 'unchanged', 'duplicate', 'redirected', 'refused', 'failed', 'skipped')),
    reason      text,
    detail      text,
    -- Where a redirect or a canonical link led.
    target      text,
    tries       smallint NOT NULL DEFAULT 0,
    due_at      timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (crawl_id, url)
) WITH (autovacuum_vacuum_scale_factor = 0.05, fillfactor = 85);

CREATE INDEX crawl_urls_found ON crawl_urls (crawl_id, depth, url) WHERE state = 'found';
CREATE INDEX crawl_urls_queued ON crawl_urls (crawl_id) WHERE state = 'queued';
CREATE INDEX crawl_urls_reasons ON crawl_urls (crawl_id, reason, url) WHERE reason IS NOT NULL;

-- How many addresses ended how. Sharded, so that pages of one crawl that end together do not queue for one row.
CREATE TABLE crawl_tallies (
    crawl_id bigint NOT NULL REFERENCES crawls ON DELETE CASCADE,
    shard    smallint NOT NULL,
    outcome  text NOT NULL,
    reason   text NOT NULL DEFAULT '',
    urls     bigint NOT NULL DEFAULT 0,
    bytes    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (crawl_id, outcome, reason, shard)
) WITH (fillfactor = 50);

-- What an origin ("https://example.org") says of robots, as last asked.
CREATE TABLE hosts (
    origin            text COLLATE "C" PRIMARY KEY,
    robots_state      text NOT NULL CHECK (robots_state IN ('found', 'absent', 'unreachable')),
    robots_text       text NOT NULL DEFAULT '',
    robots_fetched_at timestamptz NOT NULL DEFAULT now()
);

-- When an origin may be asked again, by the database's clock. Losing it in a crash costs one early request, so it is
-- unlogged: taking a turn waits for no disk.
CREATE UNLOGGED TABLE host_turns (
    origin          text COLLATE "C" PRIMARY KEY,
    next_allowed_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- The pages of a site as last seen. Searching adds its own columns and indexes.
CREATE TABLE pages (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id       bigint NOT NULL REFERENCES sites ON DELETE CASCADE,
    -- The last crawl in which the page answered, changed or not.
    crawl_id      bigint NOT NULL,
    url           text COLLATE "C" NOT NULL,
    depth         smallint NOT NULL,
    title         text NOT NULL DEFAULT '',
    -- One heading a line.
    headings      text NOT NULL DEFAULT '',
    description   text NOT NULL DEFAULT '',
    text          text NOT NULL DEFAULT '',
    -- The page's own, as a lower-case primary tag such as 'en'; '' when it says none.
    language      text NOT NULL DEFAULT '',
    published_at  timestamptz,
    modified_at   timestamptz,
    fetched_at    timestamptz NOT NULL DEFAULT now(),
    etag          text,
    last_modified text,
    -- Of the extracted title, headings, description and text.
    content_hash  bytea NOT NULL,
    -- Of the settings that shape extraction: a page extracted otherwise is fetched anew, not asked whether it changed.
    extracted_by  bytea NOT NULL,
    -- The addresses that it links to on its own host, so that an unchanged page still leads on.
    links         text[] NOT NULL DEFAULT '{}',
    UNIQUE (site_id, url)
);
