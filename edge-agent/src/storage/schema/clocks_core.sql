-- On how many of its people's clocks an order runs: who begins on another order stops there.
-- NULL in what an earlier version wrote: filled in when the store is opened.
ALTER TABLE work_order ADD COLUMN clocks INTEGER;

CREATE INDEX work_order_clocks ON work_order (id) WHERE clocks > 0;
