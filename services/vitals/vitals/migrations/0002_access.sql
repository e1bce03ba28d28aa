-- Who may read which row. Requests of people run under the role vitals_reader, which owns nothing, writes nothing and is
-- bound by the policies below. The service's jobs run as the owner, whom FORCE binds too: the policies named "service"
-- are what lets it see every row.
--
-- A transaction shows on whose behalf it reads by the digest of an API key, in the setting vitals.key_digest. A digest
-- cannot be guessed or read under vitals_reader, so SQL that runs there cannot become somebody else. Without one, or with
-- a wrong one, no row is visible.

CREATE SCHEMA internal;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'vitals_reader') THEN
        CREATE ROLE vitals_reader NOLOGIN NOINHERIT;
    END IF;
    IF NOT pg_has_role(CURRENT_USER, 'vitals_reader', 'SET') THEN
        EXECUTE format('GRANT vitals_reader TO %I WITH INHERIT FALSE, SET TRUE', CURRENT_USER);
    END IF;
EXCEPTION
    -- Roles belong to the whole server: another database of it may be making this one.
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role vitals_reader is missing, or % may not act as it; as an administrator, run: '
            'CREATE ROLE vitals_reader NOLOGIN; GRANT vitals_reader TO % WITH INHERIT FALSE, SET TRUE',
            CURRENT_USER, quote_ident(CURRENT_USER);
END
$$;

DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_roles
        WHERE rolname = 'vitals_reader' AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)
    ) THEN
        RAISE EXCEPTION 'the role vitals_reader can evade row-level security; '
            'ALTER ROLE vitals_reader NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION';
    END IF;
END
$$;

-- A key is told once, when it is issued; only its SHA-256 is kept. It belongs to one user or to one trainer.
CREATE TABLE api_keys (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest     text COLLATE "C" NOT NULL UNIQUE CHECK (digest ~ '^[0-9a-f]{64}$'),
    user_id    bigint REFERENCES users ON DELETE CASCADE,
    trainer_id bigint REFERENCES trainers ON DELETE CASCADE,
    label      text NOT NULL DEFAULT '' CHECK (length(label) <= 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    CHECK (num_nonnulls(user_id, trainer_id) = 1)
);

CREATE INDEX api_keys_user ON api_keys (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX api_keys_trainer ON api_keys (trainer_id) WHERE trainer_id IS NOT NULL;

-- The holder of the key that the transaction shows: one row, or none.
CREATE FUNCTION internal.viewer(OUT user_id bigint, OUT trainer_id bigint) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.user_id, k.trainer_id
    FROM public.api_keys AS k
    WHERE k.digest = current_setting('vitals.key_digest', true)
      AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > now())
$$;

-- Whose rows the holder may read: a user's own, a trainer's clients'.
CREATE FUNCTION internal.visible_users() RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(visible.user_id), '{}')
    FROM internal.viewer() AS viewer
    CROSS JOIN LATERAL (
        SELECT viewer.user_id WHERE viewer.user_id IS NOT NULL
        UNION ALL
        SELECT c.user_id FROM public.trainer_clients AS c WHERE c.trainer_id = viewer.trainer_id
    ) AS visible
$$;

CREATE FUNCTION internal.visible_trainer() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT trainer_id FROM internal.viewer() $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA internal FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA internal TO vitals_reader;

-- The functions are within a policy's reach, and not within that of a statement: the schema itself is not granted.
GRANT USAGE ON SCHEMA public TO vitals_reader;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'users', 'trainers', 'trainer_clients', 'api_keys', 'webhook_events', 'metrics', 'sources', 'observations',
        'confidences', 'stale_confidences', 'runs', 'run_chunks'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY service ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', name);
    END LOOP;
END
$$;

GRANT SELECT ON users, trainers, trainer_clients, metrics, sources, observations, confidences TO vitals_reader;

-- The sub-select makes each function run once in a statement, and its answer fit for an index.
CREATE POLICY people ON users FOR SELECT TO vitals_reader
    USING (id = ANY ((SELECT internal.visible_users())::bigint[]));
CREATE POLICY people ON observations FOR SELECT TO vitals_reader
    USING (user_id = ANY ((SELECT internal.visible_users())::bigint[]));
CREATE POLICY people ON confidences FOR SELECT TO vitals_reader
    USING (user_id = ANY ((SELECT internal.visible_users())::bigint[]));
CREATE POLICY people ON trainers FOR SELECT TO vitals_reader
    USING (id = (SELECT internal.visible_trainer()));
CREATE POLICY people ON trainer_clients FOR SELECT TO vitals_reader
    USING (trainer_id = (SELECT internal.visible_trainer()));
CREATE POLICY everyone ON metrics FOR SELECT TO vitals_reader USING (true);
CREATE POLICY everyone ON sources FOR SELECT TO vitals_reader USING (true);

-- For the API, which must tell an unknown key from a known one: the holder's name, by way of the policies.
CREATE VIEW viewer WITH (security_barrier) AS
    SELECT 'user' AS kind, u.id, u.name
    FROM users AS u
    WHERE u.id = (SELECT user_id FROM internal.viewer())
    UNION ALL
    SELECT 'trainer', t.id, t.name
    FROM trainers AS t
    WHERE t.id = (SELECT trainer_id FROM internal.viewer());

GRANT SELECT ON viewer TO vitals_reader;
