-- Readings: journal of commits, sealed blocks, how far the hub has them. All of it may be rebuilt.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per poll group and opening of the store. A changed group is a new row.
CREATE TABLE stream (
    id         INTEGER PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    schema     BLOB NOT NULL,
    sealed_seq INTEGER NOT NULL DEFAULT 0, -- polls up to here stand in blocks, later ones in the journal
    gone       BLOB                        -- ranges given up before the hub had them
) STRICT;

-- Rows of fixed size that commits append to, written again once their polls stand in blocks
-- (journal.rs has the layout): a commit changes one or two pages and allocates none.
CREATE TABLE journal (
    id   INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE block (
    id        INTEGER PRIMARY KEY,
    stream    INTEGER NOT NULL REFERENCES stream (id),
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    time_min  INTEGER NOT NULL, -- microseconds; a stepped clock may put them anywhere in the block
    time_max  INTEGER NOT NULL,
    body      BLOB NOT NULL
) STRICT;

-- Covers every search, so that bodies are read only when they are wanted.
CREATE UNIQUE INDEX block_range ON block (stream, last_seq, first_seq, time_min, time_max);

-- Apart from `stream`, because it is written every few seconds and must stay one page.
CREATE TABLE acked (
    stream INTEGER PRIMARY KEY REFERENCES stream (id),
    ranges BLOB NOT NULL
) STRICT;

-- Losses that no event in core.db tells of yet.
CREATE TABLE gap (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    time_from INTEGER NOT NULL,
    time_to   INTEGER NOT NULL,
    polls     INTEGER NOT NULL,
    cause     INTEGER NOT NULL
) STRICT;

-- What detectors have learned, saved together with the polls that taught them.
CREATE TABLE state (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
