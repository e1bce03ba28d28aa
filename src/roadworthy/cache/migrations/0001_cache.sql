CREATE SCHEMA IF NOT EXISTS roadworthy;

-- What caches share. Nothing here is worth the write-ahead log: a crash empties all of these tables at once, and
-- cache_epoch then keeps out what was loaded before. To empty them by hand, truncate all in one statement.
--
-- Names are bytea: UTF-8 with NUL characters and all, in the order of their bytes.
CREATE UNLOGGED TABLE roadworthy.cache_entries (
    stamp bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    name bytea PRIMARY KEY,
    -- Compressed by the cache where that was asked for; to try again would only cost time.
    record bytea STORAGE EXTERNAL NOT NULL
) WITH (
    -- No index holds the expiry, so an entry that is written anew stays in its page.
    fillfactor = 80,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.5,
    autovacuum_vacuum_cost_delay = 1,
    autovacuum_vacuum_cost_limit = 2000,
    toast.autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_scale_factor = 0.05,
    toast.autovacuum_vacuum_cost_delay = 1,
    toast.autovacuum_vacuum_cost_limit = 2000
);

-- When each tag was last invalidated.
CREATE UNLOGGED TABLE roadworthy.cache_tags (
    stamp bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    tag bytea PRIMARY KEY
) WITH (fillfactor = 80, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);

CREATE UNLOGGED TABLE roadworthy.cache_locks (
    expires_at timestamptz NOT NULL,
    name bytea PRIMARY KEY,
    token text NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);

-- Since when these tables have been remembering; one row, none after a crash.
CREATE UNLOGGED TABLE roadworthy.cache_epoch (
    sole boolean PRIMARY KEY DEFAULT true CHECK (sole),
    stamp bigint NOT NULL
);

INSERT INTO roadworthy.cache_epoch (stamp) VALUES (0);
