-- Who was told what by which channel and how it ended: the newest so many.
CREATE TABLE delivery (
    pos        INTEGER PRIMARY KEY,
    message    BLOB NOT NULL,
    alert      BLOB,
    channel    TEXT NOT NULL,
    person     TEXT NOT NULL,     -- '': whoever hears or sees the channel
    severity   INTEGER NOT NULL,
    title      TEXT NOT NULL,
    round      INTEGER NOT NULL,  -- how often it was told before
    attempt    INTEGER NOT NULL,  -- from 1
    outcome    INTEGER NOT NULL,
    words      TEXT NOT NULL,
    time_us    INTEGER NOT NULL,  -- of the outcome
    latency_us INTEGER NOT NULL   -- since what is told happened
) STRICT;
-- What the ladders remember: one row.
CREATE TABLE telling (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    state BLOB NOT NULL
) STRICT;
