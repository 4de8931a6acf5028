-- Layout 6. Which authority signed a certificate (SHA-256); NULL for those of before.
ALTER TABLE certificate ADD COLUMN authority BLOB;
