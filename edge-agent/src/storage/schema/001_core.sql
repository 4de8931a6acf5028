-- Events and the indexes over their folds. Never evicted, never rebuilt from nothing.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    pos    INTEGER PRIMARY KEY,
    id     BLOB NOT NULL UNIQUE,
    incarnation INTEGER,          -- of this box's own events; NULL for those of others
    seq    INTEGER,               -- dense number in the incarnation
    chain  BLOB,                  -- hash over the incarnation's events up to this one
    kind   INTEGER NOT NULL,      -- 1 alert, 2 work order, 3 gateway
    record BLOB NOT NULL,
    hlc    BLOB NOT NULL,         -- 16 bytes that sort like the stamp
    body   BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX event_own ON event (incarnation, seq) WHERE seq IS NOT NULL;
CREATE INDEX event_record ON event (kind, record, hlc);

-- Openings of the store in which events were written, in order.
CREATE TABLE incarnation (
    pos    INTEGER PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    acked  INTEGER NOT NULL DEFAULT 0 -- the hub has them up to here
) STRICT;

CREATE TABLE alert (
    id        BLOB PRIMARY KEY,
    state     TEXT NOT NULL,
    open      INTEGER NOT NULL,
    severity  TEXT NOT NULL,
    raised_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX alert_recent ON alert (raised_at, id);
CREATE INDEX alert_open ON alert (raised_at, id) WHERE open = 1;

CREATE TABLE work_order (
    id         BLOB PRIMARY KEY,
    number     TEXT NOT NULL,
    title      TEXT NOT NULL,
    state      TEXT NOT NULL,
    open       INTEGER NOT NULL,
    dedupe_key TEXT,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX work_order_recent ON work_order (created_at, id);
CREATE INDEX work_order_open ON work_order (created_at, id) WHERE open = 1;
CREATE INDEX work_order_key ON work_order (dedupe_key, created_at) WHERE dedupe_key IS NOT NULL;

CREATE TABLE work_order_alert (
    alert      BLOB NOT NULL,
    work_order BLOB NOT NULL REFERENCES work_order (id),
    PRIMARY KEY (alert, work_order)
) STRICT, WITHOUT ROWID;

-- Whole documents that the hub sends down: people, site.
CREATE TABLE reference (
    kind    TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    body    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
