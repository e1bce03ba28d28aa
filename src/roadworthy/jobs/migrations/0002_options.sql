-- What few jobs have: `options` is a JSON object of what its declaration adds, NULL for most.
--
-- More states: 4 blocked (by the limit or the pause that `blocked_by` names), 5 held (until `waits_for` other jobs have
-- finished). `holds` names the limits of which a running job has a slot, `leads` says that held jobs wait for it.
ALTER TABLE roadworthy.jobs
    ADD COLUMN options jsonb,
    ADD COLUMN blocked_by text,
    ADD COLUMN holds text[],
    ADD COLUMN waits_for integer NOT NULL DEFAULT 0,
    ADD COLUMN leads boolean NOT NULL DEFAULT false,
    ADD COLUMN cancel_requested_at timestamptz,
    ADD COLUMN progress jsonb;

ALTER TABLE roadworthy.dead_jobs
    ADD COLUMN options jsonb,
    ADD COLUMN leads boolean NOT NULL DEFAULT false,
    ADD COLUMN progress jsonb;
