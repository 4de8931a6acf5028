-- Layout 4. Contents of attachments: each one's bytes are the file
-- attachments/<gateway>/<hash> beside this one, with `.part` at its end until it is whole.
CREATE TABLE content (
    tenant_id  INTEGER NOT NULL,
    gateway_id BLOB NOT NULL,
    hash       BLOB NOT NULL,
    bytes      INTEGER NOT NULL,
    held       INTEGER NOT NULL, -- so many bytes are on the disk, from the beginning
    whole      INTEGER NOT NULL, -- all of it is there, and the hash is right
    PRIMARY KEY (tenant_id, gateway_id, hash)
) STRICT, WITHOUT ROWID;

-- Which work orders have which content.
CREATE TABLE work_order_content (
    tenant_id     INTEGER NOT NULL,
    hash          BLOB NOT NULL,
    work_order_id BLOB NOT NULL,
    PRIMARY KEY (tenant_id, hash, work_order_id)
) STRICT, WITHOUT ROWID;
