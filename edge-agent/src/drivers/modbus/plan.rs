//! The read planner: neighbouring values of one table are read in one request. Pure. Never splits
//! a value, never asks for more than the limits allow, never reads a value twice.

use super::address::{Address, Table};
use super::frame::{Framing, bytes_on_the_line};

/// What has to be read for one value: `count` registers (or bits) from `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where.
    pub address: Address,
    /// Registers, or bits in a table of bits; at least 1.
    pub count: u16,
}

impl Item {
    fn start(self) -> u32 {
        self.address.offset.into()
    }

    fn end(self) -> u32 {
        self.start() + u32::from(self.count)
    }
}

/// How far neighbours are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unused registers that may be read along between two values; bits: sixteen times as many.
    pub max_gap: u16,
    /// Registers in one request; the specification allows 125.
    pub max_regs: u16,
    /// Bits in one request; the specification allows 2000.
    pub max_bits: u16,
    /// One value in each request, for devices that allow no more. Sensors that read the same
    /// registers (two bits of one) still share a request.
    pub one_per_request: bool,
}

/// The most registers that one request may ask for (specification, function 3).
pub const REGISTERS_MAX: u16 = 125;
/// The most bits that one request may ask for (specification, function 1).
pub const BITS_MAX: u16 = 2_000;

/// Bytes of a request to read, without its frame: function, start, count.
const REQUEST_BYTES: usize = 5;
/// Bytes of an answer before its data, without its frame: function, length.
const ANSWER_BYTES: usize = 2;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_gap: 10,
            max_regs: 120,
            max_bits: 2_000,
            one_per_request: false,
        }
    }
}

/// One request: a run of one table, and which items it brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The table.
    pub table: Table,
    /// First register or bit.
    pub start: u16,
    /// How many.
    pub count: u16,
    /// Indices into the list that was planned, ascending by address.
    pub items: Vec<usize>,
}

impl Block {
    /// The two halves, each drawn tight round its values; `None` for a block with one value.
    pub fn halves(&self, items: &[Item]) -> Option<(Self, Self)> {
        if self.items.len() < 2 {
            return None;
        }
        let (low, high) = self.items.split_at(self.items.len() / 2);
        Some((Self::around(low, items)?, Self::around(high, items)?))
    }

    /// Bytes of request and answer, headers of the network not counted.
    pub fn wire_bytes(&self, framing: Framing) -> usize {
        let count = usize::from(self.count);
        let data = if self.table.is_bits() {
            count.div_ceil(8)
        } else {
            count * 2
        };
        bytes_on_the_line(framing, REQUEST_BYTES) + bytes_on_the_line(framing, ANSWER_BYTES + data)
    }

    /// A request for one value.
    pub fn alone(at: usize, item: Item) -> Option<Self> {
        Some(Self {
            table: item.address.table,
            start: item.address.offset,
            count: (item.count > 0).then_some(item.count)?,
            items: vec![at],
        })
    }

    /// The smallest block that holds the values `members`, which are in one table.
    fn around(members: &[usize], items: &[Item]) -> Option<Self> {
        let chosen = || members.iter().filter_map(|at| items.get(*at)).copied();
        let first = chosen().min_by_key(|item| item.start())?;
        let end = chosen().map(Item::end).max()?;
        Some(Self {
            table: first.address.table,
            start: first.address.offset,
            count: u16::try_from(end - first.start()).ok()?,
            items: members.to_vec(),
        })
    }
}

/// The requests that bring every item once, ascending by table and address.
pub fn plan(items: &[Item], limits: Limits) -> Vec<Block> {
    let mut sorted: Vec<(usize, Item)> = items.iter().copied().enumerate().collect();
    sorted.sort_by_key(|(at, item)| (item.address, item.count, *at));
    let mut blocks = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut run: Option<Item> = None;
    for (at, item) in sorted {
        let longer = run.and_then(|run| joined(run, item, limits));
        if longer.is_none() {
            blocks.extend(Block::around(&std::mem::take(&mut open), items));
        }
        run = longer.or(Some(item));
        open.push(at);
    }
    blocks.extend(Block::around(&open, items));
    blocks
}

/// The run with the next item joined, where the limits allow it.
fn joined(run: Item, next: Item, limits: Limits) -> Option<Item> {
    if limits.one_per_request {
        return (run == next).then_some(run);
    }
    let table = run.address.table;
    let (gap_max, count_max) = if table.is_bits() {
        (
            u32::from(limits.max_gap) * 16,
            limits.max_bits.min(BITS_MAX),
        )
    } else {
        (
            u32::from(limits.max_gap),
            limits.max_regs.min(REGISTERS_MAX),
        )
    };
    let count = u16::try_from(run.end().max(next.end()) - run.start()).ok()?;
    let fits = next.address.table == table
        && next.start().saturating_sub(run.end()) <= gap_max
        && count <= count_max;
    fits.then_some(Item {
        address: run.address,
        count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(table: Table, offset: u16, count: u16) -> Item {
        Item {
            address: Address { table, offset },
            count,
        }
    }

    #[test]
    fn neighbours_are_joined_over_a_small_gap_and_only_there() {
        let items = [
            item(Table::Holding, 20, 2),
            item(Table::Holding, 0, 2),
            item(Table::Holding, 2, 1),
            item(Table::Holding, 13, 1),
            item(Table::Input, 3, 1),
        ];
        let blocks = plan(&items, Limits::default());
        assert_eq!(
            blocks,
            [
                Block {
                    table: Table::Input,
                    start: 3,
                    count: 1,
                    items: vec![4]
                },
                Block {
                    table: Table::Holding,
                    start: 0,
                    count: 22,
                    items: vec![1, 2, 3, 0]
                },
            ]
        );
        let tight = plan(
            &items,
            Limits {
                max_gap: 9,
                ..Limits::default()
            },
        );
        assert_eq!(tight.len(), 3, "{tight:?}");
    }

    #[test]
    fn halves_leave_out_what_lies_between() {
        let items = [item(Table::Holding, 0, 2), item(Table::Holding, 8, 2)];
        let blocks = plan(&items, Limits::default());
        let (low, high) = blocks[0].halves(&items).unwrap();
        assert_eq!((low.start, low.count), (0, 2));
        assert_eq!((high.start, high.count), (8, 2));
        assert!(low.halves(&items).is_none());
    }

    #[test]
    fn one_value_in_a_request_where_the_device_allows_no_more() {
        let items = [
            item(Table::Holding, 0, 1),
            item(Table::Holding, 1, 2),
            item(Table::Holding, 0, 1),
            item(Table::Holding, 0, 2),
        ];
        let limits = Limits {
            one_per_request: true,
            ..Limits::default()
        };
        let found: Vec<_> = plan(&items, limits)
            .into_iter()
            .map(|block| (block.start, block.count, block.items))
            .collect();
        assert_eq!(
            found,
            [(0, 1, vec![0, 2]), (0, 2, vec![3]), (1, 2, vec![1])]
        );
    }

    #[test]
    fn bytes_on_the_wire_of_every_framing() {
        // Ten registers: 5 bytes of request, 22 of answer, as the specification counts them.
        let block = plan(&[item(Table::Holding, 0, 10)], Limits::default()).remove(0);
        assert_eq!(block.wire_bytes(Framing::Mbap), 12 + 29);
        assert_eq!(block.wire_bytes(Framing::Rtu), 8 + 25);
        assert_eq!(block.wire_bytes(Framing::Ascii), 17 + 51);
        // Nine bits: two bytes.
        let bits: Vec<Item> = (0..9).map(|at| item(Table::Coil, at, 1)).collect();
        let block = plan(&bits, Limits::default()).remove(0);
        assert_eq!(block.wire_bytes(Framing::Rtu), 8 + 7);
    }

    #[test]
    fn nothing_gives_no_request() {
        assert!(plan(&[], Limits::default()).is_empty());
    }

    fn any_item() -> impl Strategy<Value = Item> {
        let table = prop::sample::select(vec![
            Table::Coil,
            Table::DiscreteInput,
            Table::Input,
            Table::Holding,
        ]);
        (
            table,
            prop_oneof![0_u16..400, 65_300_u16..=65_472],
            // From one register to the longest text with a register for each byte.
            prop_oneof![4 => 1_u16..=4, 1 => 5_u16..=64],
        )
            .prop_map(|(table, offset, count)| {
                item(table, offset, if table.is_bits() { 1 } else { count })
            })
    }

    proptest! {
        #[test]
        fn every_value_once_whole_and_within_the_limits(
            items in prop::collection::vec(any_item(), 0..120),
            max_gap in 0_u16..40,
            max_regs in 4_u16..=125,
            max_bits in 1_u16..=2_000,
            one_per_request: bool,
        ) {
            // A value that is longer than a request may be is refused by the configuration.
            let fit = |item: Item| Item { count: item.count.min(max_regs), ..item };
            let items: Vec<Item> = items.into_iter().map(fit).collect();
            let limits = Limits { max_gap, max_regs, max_bits, one_per_request };
            let blocks = plan(&items, limits);
            let mut seen = vec![0; items.len()];
            for block in &blocks {
                let max = if block.table.is_bits() { max_bits } else { max_regs };
                prop_assert!(block.count >= 1 && block.count <= max);
                let end = u32::from(block.start) + u32::from(block.count);
                prop_assert!(end <= 65_536);
                let mut used = vec![false; usize::from(block.count)];
                for at in &block.items {
                    seen[*at] += 1;
                    let item = items[*at];
                    prop_assert_eq!(item.address.table, block.table);
                    prop_assert!(item.start() >= u32::from(block.start) && item.end() <= end);
                    let from = usize::from(item.address.offset - block.start);
                    used[from..from + usize::from(item.count)].fill(true);
                }
                if one_per_request {
                    let first = items[block.items[0]];
                    prop_assert!(block.items.iter().all(|at| items[*at] == first));
                }
                // A block starts and ends with something wanted, and no hole is too long.
                prop_assert!(used[0] && used[used.len() - 1]);
                let gap_max = usize::from(max_gap) * if block.table.is_bits() { 16 } else { 1 };
                let longest = used.split(|used| *used).map(<[bool]>::len).max().unwrap_or(0);
                prop_assert!(longest <= gap_max);
            }
            prop_assert!(seen.iter().all(|times| *times == 1));
        }

        #[test]
        fn halving_ends_at_single_values_and_loses_none(
            items in prop::collection::vec(any_item(), 1..60),
        ) {
            let mut open = plan(&items, Limits::default());
            let mut singles = Vec::new();
            while let Some(block) = open.pop() {
                match block.halves(&items) {
                    Some((low, high)) => {
                        prop_assert!(low.count <= block.count && high.count <= block.count);
                        open.extend([low, high]);
                    }
                    None => singles.extend(block.items),
                }
            }
            singles.sort_unstable();
            prop_assert_eq!(singles, (0..items.len()).collect::<Vec<_>>());
        }
    }
}
