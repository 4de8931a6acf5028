-- Alarm points that something is known of beside their alerts, and what the load of alerts is counted from.
CREATE TABLE alarm_point (
    id     BLOB PRIMARY KEY,
    rule   TEXT NOT NULL,         -- empty: the maintenance switch of an asset or device
    sensor TEXT NOT NULL,
    held   INTEGER NOT NULL       -- shelved, out of service, suppressed, chattering or maintained
) STRICT, WITHOUT ROWID;

CREATE INDEX alarm_point_held ON alarm_point (id) WHERE held = 1;

-- NULL in what an earlier version wrote: filled in when the store is opened.
ALTER TABLE alert ADD COLUMN rule TEXT;
ALTER TABLE alert ADD COLUMN sensor TEXT;
ALTER TABLE alert ADD COLUMN cleared_at INTEGER;

CREATE INDEX alert_of_rule ON alert (rule, raised_at);
