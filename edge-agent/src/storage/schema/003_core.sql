-- Contents of attachments: each one's bytes are the file attachments/<hash> beside this database.
CREATE TABLE content (
    hash     BLOB PRIMARY KEY,
    bytes    INTEGER NOT NULL,
    added_at INTEGER NOT NULL,
    record   BLOB NOT NULL,       -- the work order that it was added to last
    here     INTEGER NOT NULL,    -- the file is on this box
    at_hub   INTEGER NOT NULL     -- the hub holds all of it
) STRICT, WITHOUT ROWID;

CREATE INDEX content_here ON content (at_hub, added_at) WHERE here = 1;
