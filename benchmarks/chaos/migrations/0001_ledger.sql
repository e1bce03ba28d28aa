-- What was asked for, written in the transaction that enqueued the job.
CREATE TABLE orders (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL
);

-- What was done, written by the jobs. Nothing here forbids a second row: that there is none is what is shown.
CREATE TABLE effects (
    n bigint NOT NULL,
    kind text NOT NULL,
    job_id bigint NOT NULL,
    lease bigint NOT NULL,
    attempt int NOT NULL
);
CREATE INDEX effects_n ON effects (n);

CREATE TABLE ticks (
    fire_time timestamptz NOT NULL,
    job_id bigint NOT NULL
);

CREATE TABLE violations (
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    what text NOT NULL
);
