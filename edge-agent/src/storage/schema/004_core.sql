-- Commands of the hub that this box took on, each written before it is done.
CREATE TABLE command (
    pos        INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    kind       INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    outcome    INTEGER,           -- NULL: it is being done
    words      TEXT NOT NULL DEFAULT '',
    time_us    INTEGER,           -- of the outcome
    acked      INTEGER NOT NULL DEFAULT 0
) STRICT;
