-- In which words values of sensors are told: of each number the newest event about it.
CREATE TABLE word (
    sensor BLOB NOT NULL,
    number INTEGER NOT NULL,      -- engineering value; of a text its code
    text   TEXT,                  -- NULL: it has no word any more
    hlc    BLOB NOT NULL,         -- of the event
    PRIMARY KEY (sensor, number)
) STRICT, WITHOUT ROWID;
