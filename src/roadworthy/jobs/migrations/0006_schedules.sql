-- How repeating jobs are and were declared: since when that has held, and when a scheduler last said so. Two definitions
-- of one schedule are seen side by side while a new version replaces an old one.
CREATE TABLE roadworthy.job_schedules (
    schedule text NOT NULL,
    definition text NOT NULL,
    since timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (schedule, definition)
);
