-- Openings of the store in which the time was not known yet. Their untrusted stamps are moved once
-- when it is; until then nothing of them leaves the box.
CREATE TABLE untrusted (
    incarnation INTEGER PRIMARY KEY,
    boot        TEXT NOT NULL, -- the system's name for the boot of the machine
    shift_us    INTEGER        -- events are moved by it; the row goes when the readings are too
) STRICT;
