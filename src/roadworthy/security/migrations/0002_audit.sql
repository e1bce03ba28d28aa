-- Who did what to what, when and from where. Rows are added, in the transaction of what they tell of, and never changed.
CREATE TABLE roadworthy.audit (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text NOT NULL CHECK (actor <> '' AND length(actor) <= 300),
    action     text COLLATE "C" NOT NULL CHECK (action ~ '^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$' AND length(action) <= 100),
    subject    text NOT NULL DEFAULT '' CHECK (length(subject) <= 1000),
    -- The address that it was asked for from.
    origin     text CHECK (length(origin) <= 100),
    request_id text CHECK (length(request_id) <= 200),
    detail     jsonb
);

CREATE INDEX audit_by_action ON roadworthy.audit (action text_pattern_ops, id DESC);
CREATE INDEX audit_by_subject ON roadworthy.audit (subject, id DESC);

CREATE FUNCTION roadworthy.keep_audit() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'roadworthy.audit is added to and never changed: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege',
            HINT = 'To prune it, an owner of the table disables the trigger audit_is_kept in a transaction of its own.';
END
$$;

-- For statements, so that one that matches no row is refused as well. ALWAYS: a session that calls itself a replica's
-- is held to it too.
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON roadworthy.audit
    FOR EACH STATEMENT EXECUTE FUNCTION roadworthy.keep_audit();
ALTER TABLE roadworthy.audit ENABLE ALWAYS TRIGGER audit_is_kept;
REVOKE UPDATE, DELETE, TRUNCATE ON roadworthy.audit FROM PUBLIC;

-- What is done to jobs by hand has a row of its own, which tells how far it has come and so changes. That it was begun is
-- told here, for good.
CREATE FUNCTION roadworthy.audit_jobs() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO roadworthy.audit (actor, action, subject, detail)
    VALUES (
        left(coalesce(nullif(NEW.who, ''), session_user), 300),
        'jobs.' || left(regexp_replace(lower(NEW.action), '[^a-z0-9_]', '_', 'g'), 90), left(NEW.filter::text, 1000),
        jsonb_build_object('operation', NEW.id, 'asked', NEW.asked, 'reason', NEW.reason)
    );
    RETURN NULL;
END
$$;

CREATE TRIGGER job_audit_is_audited AFTER INSERT ON roadworthy.job_audit
    FOR EACH ROW EXECUTE FUNCTION roadworthy.audit_jobs();
