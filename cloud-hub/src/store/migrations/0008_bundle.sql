-- Layout 8. Reference data of the sites (people, assets, parts, checklists, failure codes): each
-- change makes the next whole bundle of its site; the newest is what the site is. And what each box
-- told of it last.
CREATE TABLE bundle (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id INTEGER NOT NULL,
    site_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    body BLOB NOT NULL,           -- wire::encode_bundle
    made_us INTEGER NOT NULL,
    valid_until_us INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    words TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX bundle_number ON bundle (tenant_id, site_id, number);

CREATE TABLE bundle_told (
    tenant_id INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    held INTEGER NOT NULL,        -- 0: the box has none
    refused TEXT NOT NULL,
    told_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, gateway_id)
) STRICT, WITHOUT ROWID;
