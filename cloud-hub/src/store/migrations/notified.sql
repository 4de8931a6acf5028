-- Which alerts people were told of outside: one row per alert and receiver, until it is old.
CREATE TABLE notified (
    pos INTEGER PRIMARY KEY,
    tenant_id INTEGER NOT NULL,
    alert_id BLOB NOT NULL,
    receiver TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    ended INTEGER NOT NULL DEFAULT 0, -- 0: it waits; 1 delivered, 2 given up, 3 not needed any more
    words TEXT NOT NULL DEFAULT '',
    since_us INTEGER NOT NULL,
    ended_us INTEGER,
    UNIQUE (tenant_id, alert_id, receiver)
) STRICT;
CREATE INDEX notified_waiting ON notified (receiver, pos) WHERE ended = 0;
