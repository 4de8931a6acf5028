-- Layout 3. A claim may let new hardware take the place of a gateway that is there already.
ALTER TABLE claim ADD COLUMN replaces BLOB;
