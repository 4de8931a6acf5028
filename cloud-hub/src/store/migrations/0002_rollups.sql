-- Layout 2. Statistics of sealed blocks per minute (level 1), hour (2) and day (3), packed: a row is
-- an hour of minutes, a day of hours or 32 days of up to eight columns (`protocol::rollup`).
CREATE TABLE rollup (
    tenant_id INTEGER NOT NULL,
    stream_key INTEGER NOT NULL REFERENCES stream,
    level INTEGER NOT NULL,
    part INTEGER NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX rollup_by_time ON rollup (tenant_id, stream_key, level, part, number);

-- What was sealed before has no statistics yet: it counts as loose until it is sealed again.
UPDATE block SET sealed = 0;

-- Longest time from the earliest to the latest poll of a block, so that a question for a span need
-- not look at all that is newer; and up to where blocks were removed for their age.
ALTER TABLE stream ADD COLUMN longest_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream ADD COLUMN kept_from_us INTEGER;
UPDATE stream SET longest_us = coalesce((SELECT max(last_us - first_us) FROM block
    WHERE block.tenant_id = stream.tenant_id AND block.stream_key = stream.stream_key), 0);
