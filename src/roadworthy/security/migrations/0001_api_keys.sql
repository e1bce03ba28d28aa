-- API keys. Of the key itself only the SHA-256 is kept: who reads this table can use none of them.
CREATE SCHEMA IF NOT EXISTS roadworthy;

CREATE TABLE roadworthy.api_keys (
    -- The public part of the key, its prefix included.
    id           text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z][a-z0-9_]+_[0-9A-Za-z]{8}$'),
    digest       bytea NOT NULL CHECK (octet_length(digest) = 32),
    -- The declaration that it belongs to.
    keys         text COLLATE "C" NOT NULL,
    name         text NOT NULL CHECK (name <> '' AND length(name) <= 200),
    -- Whose it is, in the service's own words.
    owner        text COLLATE "C" NOT NULL DEFAULT '' CHECK (length(owner) <= 200),
    scopes       text[] NOT NULL DEFAULT '{}',
    -- Its own rate, as in '1000/minute'.
    "limit"      text CHECK (length("limit") <= 50),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    -- To the minute; written in batches.
    last_used_at timestamptz,
    revoked_at   timestamptz,
    replaced_by  text COLLATE "C" REFERENCES roadworthy.api_keys
) WITH (fillfactor = 80);

CREATE INDEX api_keys_by_owner ON roadworthy.api_keys (keys, owner, created_at DESC);
