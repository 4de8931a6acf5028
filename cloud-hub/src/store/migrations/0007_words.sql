-- Layout 7. In which words values of sensors are told: of each number what the newest event says.
-- Only a gateway's own word counts for its sensors, so its id is in the key.
CREATE TABLE word (
    tenant_id INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    sensor_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    text TEXT, -- NULL: it has no word any more
    hlc BLOB NOT NULL,
    PRIMARY KEY (tenant_id, gateway_id, sensor_id, number)
) STRICT, WITHOUT ROWID;
