-- Layout 5. What the hub wants of a box: its configuration documents and commands, what became of
-- them, and what the box told last of its configuration.
CREATE TABLE document (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    hash BLOB NOT NULL,
    text TEXT NOT NULL,
    made_us INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    state INTEGER,                -- what the box told of it last; NULL: nothing
    words TEXT NOT NULL DEFAULT '',
    state_us INTEGER
) STRICT;
CREATE UNIQUE INDEX document_version ON document (tenant_id, gateway_id, version);

CREATE TABLE configuration (
    tenant_id INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    version INTEGER NOT NULL,     -- 0: the box has no document
    state INTEGER NOT NULL,
    words TEXT NOT NULL,
    told_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, gateway_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE command (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    arguments TEXT NOT NULL,      -- a JSON list of texts
    issued_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    outcome INTEGER,              -- NULL: no result yet
    words TEXT NOT NULL DEFAULT '',
    time_us INTEGER,              -- of the result, by the box's clock
    result_us INTEGER             -- when it came
) STRICT;
CREATE UNIQUE INDEX command_id ON command (tenant_id, id);
CREATE INDEX command_open ON command (tenant_id, gateway_id, seq) WHERE outcome IS NULL;
CREATE INDEX command_recent ON command (tenant_id, gateway_id, seq);
