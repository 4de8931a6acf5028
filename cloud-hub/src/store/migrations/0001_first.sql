-- Layout 1. Times are microseconds since 1970 (`_us`), ids are 16 bytes.
-- Every table of a tenant's facts begins its key with `tenant_id`.

CREATE TABLE hub (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    incarnation INTEGER NOT NULL,
    events_last INTEGER NOT NULL
) STRICT;

CREATE TABLE tenant (
    tenant_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_us INTEGER NOT NULL
) STRICT;

CREATE TABLE site (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE gateway (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL,
    site_id BLOB NOT NULL,
    name TEXT NOT NULL,
    code TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    online INTEGER NOT NULL DEFAULT 0,
    link_since_us INTEGER,
    last_seen_us INTEGER,
    revoked_us INTEGER,
    version TEXT,
    clock INTEGER,
    readings INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0,
    down_last INTEGER NOT NULL DEFAULT 0,
    down_acked INTEGER NOT NULL DEFAULT 0,
    catalog BLOB,
    offers_since_us INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, code)
) STRICT;

CREATE TABLE claim (
    tenant_id INTEGER NOT NULL,
    token_sha256 BLOB NOT NULL UNIQUE,
    site_id BLOB NOT NULL,
    gateway_name TEXT NOT NULL,
    gateway_code TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    used_us INTEGER,
    used_by BLOB,
    used_key_sha256 BLOB,
    PRIMARY KEY (tenant_id, token_sha256)
) STRICT, WITHOUT ROWID;

CREATE TABLE certificate (
    tenant_id INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    fingerprint BLOB NOT NULL UNIQUE,
    serial BLOB NOT NULL,
    not_after_us INTEGER NOT NULL,
    revoked_us INTEGER,
    PRIMARY KEY (tenant_id, gateway_id, fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE user (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    role INTEGER NOT NULL,
    password_hash TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    tenant_id INTEGER NOT NULL,
    cookie_sha256 BLOB NOT NULL UNIQUE,
    user_id BLOB NOT NULL,
    csrf TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    last_used_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, cookie_sha256)
) STRICT, WITHOUT ROWID;

CREATE TABLE failed_sign_in (
    tenant_id INTEGER NOT NULL,
    name_key TEXT NOT NULL,
    address TEXT NOT NULL,
    at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX failed_sign_in_who ON failed_sign_in (tenant_id, name_key, address, at_us);
CREATE INDEX failed_sign_in_when ON failed_sign_in (at_us);

CREATE TABLE sensor (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL,
    gateway_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    device TEXT NOT NULL,
    path TEXT NOT NULL,
    asset TEXT,
    unit TEXT NOT NULL,
    range_low REAL,
    range_high REAL,
    period_us INTEGER NOT NULL,
    limits TEXT NOT NULL,
    in_catalog INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sensor_by_path ON sensor (tenant_id, path, id);
CREATE INDEX sensor_by_gateway ON sensor (tenant_id, gateway_id, path, id);

-- One poll group of one incarnation of a gateway. `stream_key` stands for the four in the tables below.
CREATE TABLE stream (
    stream_key INTEGER PRIMARY KEY,
    tenant_id INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    incarnation INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    schema BLOB NOT NULL,
    schema_hash BLOB NOT NULL,
    columns INTEGER NOT NULL,
    head_seq INTEGER NOT NULL DEFAULT 0,
    -- When the box said last that it holds the stream, and whether it holds it no longer.
    offered_us INTEGER NOT NULL DEFAULT 0,
    gone INTEGER NOT NULL DEFAULT 0,
    loose_polls INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant_id, gateway_id, incarnation, stream)
) STRICT;

CREATE INDEX stream_by_schema ON stream (tenant_id, gateway_id, schema_hash);

CREATE TABLE stream_column (
    tenant_id INTEGER NOT NULL,
    sensor_id BLOB NOT NULL,
    stream_key INTEGER NOT NULL REFERENCES stream,
    position INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sensor_id, stream_key, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE block (
    tenant_id INTEGER NOT NULL,
    stream_key INTEGER NOT NULL REFERENCES stream,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    sealed INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX block_by_seq ON block (tenant_id, stream_key, first_seq, last_seq);
CREATE INDEX block_by_time ON block (tenant_id, stream_key, last_us, first_us);
CREATE INDEX block_loose ON block (tenant_id, stream_key, first_seq, last_seq) WHERE sealed = 0;

CREATE TABLE received (
    tenant_id INTEGER NOT NULL,
    stream_key INTEGER NOT NULL REFERENCES stream,
    last_seq INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, stream_key, last_seq)
) STRICT, WITHOUT ROWID;

-- Polls that the box says it no longer has.
CREATE TABLE lost (
    tenant_id INTEGER NOT NULL,
    stream_key INTEGER NOT NULL REFERENCES stream,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    told_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, stream_key, first_seq, last_seq)
) STRICT, WITHOUT ROWID;

-- Spans of time without readings and why, from the gateway's own events.
CREATE TABLE gap (
    tenant_id INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    from_us INTEGER NOT NULL,
    to_us INTEGER NOT NULL,
    polls INTEGER NOT NULL,
    cause INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, gateway_id, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX gap_by_time ON gap (tenant_id, gateway_id, to_us);

-- What was not taken, by reason: a count and the latest case.
CREATE TABLE refused (
    tenant_id INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    last_words TEXT NOT NULL,
    PRIMARY KEY (tenant_id, gateway_id, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL,
    origin TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hlc BLOB NOT NULL,
    record_kind INTEGER NOT NULL,
    record_id BLOB NOT NULL,
    time_us INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    set_aside TEXT,
    body BLOB NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX event_by_number ON event (tenant_id, origin, incarnation, seq);
CREATE INDEX event_by_record ON event (tenant_id, record_kind, record_id, hlc, id);
CREATE INDEX event_by_hlc ON event (hlc);

-- Up to here a gateway's events are held without a hole.
CREATE TABLE event_mark (
    tenant_id INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    incarnation INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    chain BLOB NOT NULL,
    PRIMARY KEY (tenant_id, gateway_id, incarnation)
) STRICT, WITHOUT ROWID;

-- The gateway at which a record lives: it gets the hub's events about it.
CREATE TABLE record_home (
    tenant_id INTEGER NOT NULL,
    record_kind INTEGER NOT NULL,
    record_id BLOB NOT NULL,
    gateway_id BLOB NOT NULL,
    PRIMARY KEY (tenant_id, record_kind, record_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE down (
    tenant_id INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    chain BLOB NOT NULL,
    PRIMARY KEY (tenant_id, gateway_id, seq)
) STRICT, WITHOUT ROWID;

-- What lists ask for; the truth is the events.
CREATE TABLE alert (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL,
    gateway_id BLOB NOT NULL,
    state TEXT NOT NULL,
    open INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    raised_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_by_time ON alert (tenant_id, raised_us, id);
CREATE INDEX alert_open ON alert (tenant_id, raised_us, id) WHERE open = 1;
CREATE INDEX alert_by_gateway ON alert (tenant_id, gateway_id, raised_us, id);

CREATE TABLE work_order (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL,
    gateway_id BLOB NOT NULL,
    number TEXT NOT NULL,
    state TEXT NOT NULL,
    open INTEGER NOT NULL,
    dedupe_key TEXT,
    needs_review INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    search TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX work_order_by_time ON work_order (tenant_id, created_us, id);
CREATE INDEX work_order_open ON work_order (tenant_id, created_us, id) WHERE open = 1;
CREATE INDEX work_order_by_gateway ON work_order (tenant_id, gateway_id, created_us, id);
CREATE INDEX work_order_by_key ON work_order (tenant_id, dedupe_key) WHERE open = 1;

CREATE TABLE work_order_alert (
    tenant_id INTEGER NOT NULL,
    alert_id BLOB NOT NULL,
    work_order_id BLOB NOT NULL,
    PRIMARY KEY (tenant_id, alert_id, work_order_id)
) STRICT, WITHOUT ROWID;

-- Last number of the orders made at the hub.
CREATE TABLE order_number (
    tenant_id INTEGER PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;
