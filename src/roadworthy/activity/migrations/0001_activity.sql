-- Who was active on which day. Persons are keyed hashes: nothing here says who they are.
CREATE SCHEMA IF NOT EXISTS roadworthy;

CREATE TABLE roadworthy.activity_keys (
    -- There is one key, drawn by whoever comes first.
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    key  bytea NOT NULL CHECK (octet_length(key) = 32)
);

CREATE TABLE roadworthy.activity_days (
    activity text COLLATE "C" NOT NULL,
    person   bytea NOT NULL CHECK (octet_length(person) = 16),
    day      date NOT NULL,
    PRIMARY KEY (activity, person, day)
);

CREATE INDEX activity_days_by_day ON roadworthy.activity_days (activity, day);

CREATE TABLE roadworthy.activity_persons (
    activity  text COLLATE "C" NOT NULL,
    person    bytea NOT NULL CHECK (octet_length(person) = 16),
    first_day date NOT NULL,
    last_day  date NOT NULL,
    PRIMARY KEY (activity, person)
);

CREATE INDEX activity_persons_by_last_day ON roadworthy.activity_persons (activity, last_day);
CREATE INDEX activity_persons_by_first_day ON roadworthy.activity_persons (activity, first_day);
