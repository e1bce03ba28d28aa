-- Who is measured, who coaches whom, what the provider sent, what was read from it, and how far it can be trusted.

CREATE TABLE users (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The name under which the provider sends this person's data.
    reference  text COLLATE "C" NOT NULL UNIQUE CHECK (length(reference) BETWEEN 1 AND 200),
    name       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE trainers (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reference  text COLLATE "C" NOT NULL UNIQUE CHECK (length(reference) BETWEEN 1 AND 200),
    name       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE trainer_clients (
    trainer_id bigint NOT NULL REFERENCES trainers ON DELETE CASCADE,
    user_id    bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (trainer_id, user_id)
);

CREATE INDEX trainer_clients_user ON trainer_clients (user_id);

-- Every event as it came, for as long as it is kept: the first one under a provider's id is the one that counts.
CREATE TABLE webhook_events (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider     text COLLATE "C" NOT NULL,
    event_id     text COLLATE "C" NOT NULL,
    kind         text COLLATE "C" NOT NULL,
    reference    text COLLATE "C" NOT NULL,
    -- When the provider made it, by its own clock: of two accounts of one observation the later one counts.
    event_at     timestamptz NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    -- failed: refused or in the dead letters. ignored: nothing in it is for us.
    state        text COLLATE "C" NOT NULL DEFAULT 'pending'
                 CHECK (state IN ('pending', 'processed', 'failed', 'ignored')),
    finished_at  timestamptz,
    observations integer,
    -- Why it failed or was ignored, or which of its values were refused.
    reason       text,
    body         bytea NOT NULL,
    UNIQUE (provider, event_id)
) WITH (
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);

CREATE INDEX webhook_events_unfinished ON webhook_events (state, id) WHERE state IN ('pending', 'failed');
CREATE INDEX webhook_events_received ON webhook_events USING brin (received_at);
CREATE INDEX webhook_events_reference ON webhook_events (reference, id);

CREATE TABLE metrics (
    name        text COLLATE "C" PRIMARY KEY,
    unit        text NOT NULL,
    description text NOT NULL
);

INSERT INTO metrics (name, unit, description) VALUES
    ('active_calories', 'kcal', 'Energy spent on movement in a day'),
    ('blood_oxygen', '%', 'Mean oxygen saturation of the blood'),
    ('body_fat', '%', 'Share of fat in the body''s weight'),
    ('body_temperature', '°C', 'Temperature of the body'),
    ('deep_sleep', 's', 'Time in deep sleep in a night'),
    ('diastolic_pressure', 'mmHg', 'Lower blood pressure'),
    ('distance', 'm', 'Distance covered on foot in a day'),
    ('floors', 'count', 'Floors climbed in a day'),
    ('height', 'cm', 'Height of the body'),
    ('hrv', 'ms', 'Variability of the heart''s rhythm, as the root mean square of successive differences'),
    ('rem_sleep', 's', 'Time in REM sleep in a night'),
    ('respiratory_rate', '1/min', 'Breaths in a minute, asleep'),
    ('resting_heart_rate', 'bpm', 'Heart rate at rest'),
    ('sleep_duration', 's', 'Time asleep in a night'),
    ('sleep_efficiency', '%', 'Share of the time in bed spent asleep'),
    ('steps', 'count', 'Steps in a day'),
    ('systolic_pressure', 'mmHg', 'Upper blood pressure'),
    ('vo2max', 'ml/min/kg', 'Most oxygen that the body can take up'),
    ('weight', 'kg', 'Weight of the body'),
    ('workout_calories', 'kcal', 'Energy spent in one workout'),
    ('workout_distance', 'm', 'Distance covered in one workout'),
    ('workout_duration', 's', 'Length of one workout'),
    ('workout_heart_rate', 'bpm', 'Mean heart rate in one workout'),
    ('workout_maximum_heart_rate', 'bpm', 'Highest heart rate in one workout');

CREATE TABLE sources (
    name     text COLLATE "C" PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 60),
    kind     text COLLATE "C" NOT NULL CHECK (kind IN ('scale', 'cuff', 'ring', 'strap', 'watch', 'app', 'hand')),
    -- Of equally trusted sources the one with the lower number counts.
    priority smallint NOT NULL DEFAULT 50
);

INSERT INTO sources (name, kind, priority) VALUES
    ('apple', 'watch', 20),
    ('fitbit', 'watch', 25),
    ('garmin', 'watch', 15),
    ('google', 'app', 45),
    ('manual', 'hand', 90),
    ('myfitnesspal', 'app', 55),
    ('omron', 'cuff', 10),
    ('oura', 'ring', 15),
    ('polar', 'strap', 10),
    ('samsung', 'watch', 30),
    ('strava', 'app', 40),
    ('whoop', 'strap', 15),
    ('withings', 'scale', 10);

-- One value of one metric from one source. A period is known by its start and updated until it ends; a single moment
-- starts when it is measured. metric and source refer to their tables without a foreign key: its row locks on the same
-- few rows would make every writer wait for every other.
CREATE TABLE observations (
    user_id     bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    metric      text COLLATE "C" NOT NULL,
    source      text COLLATE "C" NOT NULL,
    started_at  timestamptz NOT NULL,
    -- Until when the value speaks: the end of the period as known so far, or the moment.
    measured_at timestamptz NOT NULL CHECK (measured_at >= started_at),
    value       double precision NOT NULL,
    device      text,
    -- Which event said so; a later (event_at, event_id) replaces an earlier one, in whatever order they arrive.
    event_at    timestamptz NOT NULL,
    event_id    text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, metric, source, started_at)
) WITH (fillfactor = 90);

-- How far each source of a user's metric can be trusted, by the confidence job. A source without a row counts as 0.
CREATE TABLE confidences (
    user_id       bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    metric        text COLLATE "C" NOT NULL,
    source        text COLLATE "C" NOT NULL,
    reliability   smallint NOT NULL CHECK (reliability BETWEEN 0 AND 40),
    freshness     smallint NOT NULL CHECK (freshness BETWEEN 0 AND 20),
    frequency     smallint NOT NULL CHECK (frequency BETWEEN 0 AND 20),
    agreement     smallint NOT NULL CHECK (agreement BETWEEN 0 AND 20),
    confidence    smallint GENERATED ALWAYS AS (reliability + freshness + frequency + agreement) STORED,
    calculated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, metric, source)
) WITH (fillfactor = 80);

-- Users whose confidences are older than their observations.
CREATE TABLE stale_confidences (
    user_id     bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    stale_since timestamptz NOT NULL DEFAULT now()
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_scale_factor = 0.05
);

-- Work over everything, cut into chunks that each count once, however often their jobs run.
CREATE TABLE runs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text COLLATE "C" NOT NULL CHECK (kind IN ('recalculate', 'backfill')),
    state       text COLLATE "C" NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'finished', 'cancelled')),
    total       bigint NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

CREATE UNIQUE INDEX runs_one_of_a_kind ON runs (kind) WHERE state = 'running';

CREATE TABLE run_chunks (
    run_id   bigint NOT NULL REFERENCES runs ON DELETE CASCADE,
    -- The ids of users or events from first to last, both included.
    first_id bigint NOT NULL,
    last_id  bigint NOT NULL,
    items    integer NOT NULL,
    done_at  timestamptz,
    PRIMARY KEY (run_id, first_id)
);
