-- When the polls were, of which only statistics are left: what is told of them when those go too
-- must not reach beyond them. NULL in rows that an earlier version wrote: the whole hour.
ALTER TABLE thinned ADD COLUMN time_min INTEGER;
ALTER TABLE thinned ADD COLUMN time_max INTEGER;
