-- Poll groups by what they measure: the same columns are the same group in every opening.
CREATE TABLE poll_group (
    id     INTEGER PRIMARY KEY,
    schema BLOB NOT NULL UNIQUE
) STRICT;

-- Statistics of sealed polls by minute, hour and day, kept longer than these.
CREATE TABLE rollup (
    id   INTEGER PRIMARY KEY, -- level, span of time, group, part of it (rollups.rs)
    body BLOB NOT NULL        -- as protocol::rollup packs it
) STRICT;

-- Polls that the hub never got and of which only statistics are left, by hour.
CREATE TABLE thinned (
    hour  INTEGER PRIMARY KEY,
    polls INTEGER NOT NULL
) STRICT;
