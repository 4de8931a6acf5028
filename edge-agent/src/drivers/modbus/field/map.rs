//! Which registers of a unit there are, and what they hold: blocks that are refused are halved until
//! each register is known. Pure: answers in, the next question out. Never asks for a register more
//! than a few times, and gives up when the unit falls silent.

use super::Said;
use crate::drivers::modbus::address::Table;
use crate::drivers::modbus::pdu::{ExceptionCode, Span};
use serde::Serialize;
use std::collections::BTreeMap;

/// Registers asked for at once to begin with.
const REGISTERS_AT_ONCE: u16 = 64;
/// Bits asked for at once to begin with.
const BITS_AT_ONCE: u16 = 512;
/// Single registers in a row without any answer after which the unit counts as gone.
const SILENT_MAX: u32 = 4;

/// What is known of a run of registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// They can be read.
    Valid {
        /// Their values.
        values: Vec<u16>,
    },
    /// The unit refuses them.
    Invalid {
        /// The number by which it refuses.
        exception: u8,
        /// The same in words.
        words: String,
    },
    /// No good answer came when they were asked for, though the unit lives.
    Unanswered {
        /// What came instead.
        words: String,
    },
}

/// Neighbours in the same state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The first, counted from 0.
    pub from: u16,
    /// The last.
    pub to: u16,
    /// What is known of them.
    #[serde(flatten)]
    pub state: State,
}

/// The work under way.
#[derive(Debug)]
pub struct Mapper {
    todo: Vec<Span>,
    table: Table,
    /// Most registers that the unit gave or is believed to give at once.
    at_once: u16,
    /// Largest block refused of which every register could be read: a limit of the device.
    limited: bool,
    /// Blocks that were refused, to be judged when their parts are known.
    refused: Vec<Span>,
    cells: BTreeMap<u16, Cell>,
    silent: u32,
    asked: u32,
    total: u32,
    ended: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    Value(u16),
    Refused(ExceptionCode),
    Unanswered(String),
}

impl Mapper {
    /// For `from` to `to`, both included.
    pub fn new(table: Table, from: u16, to: u16) -> Self {
        let count = u32::from(to.saturating_sub(from)) + 1;
        let mut mapper = Self {
            todo: Vec::new(),
            table,
            at_once: if table.is_bits() {
                BITS_AT_ONCE
            } else {
                REGISTERS_AT_ONCE
            },
            limited: false,
            refused: Vec::new(),
            cells: BTreeMap::new(),
            silent: 0,
            asked: 0,
            total: count,
            ended: None,
        };
        // A span's count is 16 bits: the whole table in two parts.
        let half = from.saturating_add(u16::MAX / 2);
        if half < to {
            mapper.push(half + 1, to);
        }
        mapper.push(from, to.min(half));
        mapper
    }

    fn push(&mut self, from: u16, to: u16) {
        if let Some(count) = to.checked_sub(from).and_then(|more| more.checked_add(1)) {
            self.todo.push(Span { start: from, count });
        }
    }

    /// What to read next; `None` when all is known or the unit is gone.
    pub fn next_span(&mut self) -> Option<Span> {
        if self.ended.is_some() {
            return None;
        }
        let span = self.todo.pop()?;
        let first = span.count.min(self.at_once);
        if let Some(rest) = span.count.checked_sub(first).filter(|rest| *rest > 0) {
            self.todo.push(Span {
                start: span.start.wrapping_add(first),
                count: rest,
            });
        }
        self.asked += 1;
        Some(Span {
            start: span.start,
            count: first,
        })
    }

    /// What came of it.
    pub fn took(&mut self, span: Span, said: Said) {
        match said {
            Said::Words(words) => {
                self.silent = 0;
                let addresses = (span.start..=u16::MAX).take(span.count.into());
                self.cells
                    .extend(addresses.zip(words.into_iter().map(Cell::Value)));
                self.judge();
            }
            Said::Refused(code @ ExceptionCode::IllegalFunction) => {
                self.silent = 0;
                self.fill(span, &Cell::Refused(code));
                self.end(format!(
                    "the unit has no {}s: it refuses the function",
                    self.table
                ));
            }
            Said::Refused(
                code @ (ExceptionCode::GatewayTargetDevice | ExceptionCode::GatewayPathUnavailable),
            ) => {
                let words = code.to_string();
                self.fill(span, &Cell::Unanswered(words.clone()));
                self.end(format!(
                    "a gateway answers for the unit: {words}; check the number of the unit, its power and wiring"
                ));
            }
            Said::Refused(code) => {
                self.silent = 0;
                self.narrow(span, &Cell::Refused(code));
            }
            Said::Silent => self.unanswered(span, "nothing"),
            Said::Garbled(words) => self.unanswered(span, &words),
        }
    }

    fn unanswered(&mut self, span: Span, words: &str) {
        if span.count == 1 {
            self.silent += 1;
        }
        self.narrow(span, &Cell::Unanswered(words.to_owned()));
        if self.silent >= SILENT_MAX {
            self.end("the unit answers no more".to_owned());
        }
    }

    fn end(&mut self, why: String) {
        self.ended = Some(why);
        self.todo.clear();
    }

    /// Looks at the two halves; an even first one, for devices that give only pairs.
    fn narrow(&mut self, span: Span, cell: &Cell) {
        if span.count <= 1 {
            self.fill(span, cell);
            self.judge();
            return;
        }
        self.refused.push(span);
        let half = span.count / 2;
        let first = if half > 1 { half + half % 2 } else { half };
        self.todo.push(Span {
            start: span.start.wrapping_add(first),
            count: span.count - first,
        });
        self.todo.push(Span {
            start: span.start,
            count: first,
        });
    }

    fn fill(&mut self, span: Span, cell: &Cell) {
        let addresses = (span.start..=u16::MAX).take(span.count.into());
        self.cells
            .extend(addresses.map(|address| (address, cell.clone())));
    }

    /// A block that was refused and whose every register can be read was too long.
    fn judge(&mut self) {
        while let Some(span) = self.refused.last().copied() {
            let cells = (span.start..=u16::MAX).take(span.count.into());
            let mut known = cells.map(|address| self.cells.get(&address));
            let mut all_values = true;
            let whole = known.all(|cell| {
                all_values &= matches!(cell, Some(Cell::Value(_)));
                cell.is_some()
            });
            if !whole {
                return;
            }
            self.refused.pop();
            if all_values && span.count > 1 {
                self.limited = true;
                let half = span.count / 2;
                self.at_once = self.at_once.min(half + half % 2).max(1);
            }
        }
    }

    /// Requests made, registers known, registers wanted.
    pub fn progress(&self) -> (u32, u32, u32) {
        let known = u32::try_from(self.cells.len()).unwrap_or(u32::MAX);
        (self.asked, known, self.total)
    }

    /// Why it ended early, if it did.
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// The longest block that the unit gave, where longer ones were refused for their length.
    pub fn block_limit(&self) -> Option<u16> {
        self.limited.then_some(self.at_once)
    }

    /// What is known, in order; what was not asked for is left out.
    pub fn ranges(&self) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::new();
        for (address, cell) in &self.cells {
            let state = state(cell);
            let joined = ranges.last_mut().is_some_and(|last| {
                let is_next = last.to.checked_add(1) == Some(*address);
                let joined = is_next && join(&mut last.state, &state);
                if joined {
                    last.to = *address;
                }
                joined
            });
            if !joined {
                ranges.push(Range {
                    from: *address,
                    to: *address,
                    state,
                });
            }
        }
        ranges
    }
}

fn state(cell: &Cell) -> State {
    match cell {
        Cell::Value(value) => State::Valid {
            values: vec![*value],
        },
        Cell::Refused(code) => State::Invalid {
            exception: (*code).into(),
            words: code.to_string(),
        },
        Cell::Unanswered(words) => State::Unanswered {
            words: words.clone(),
        },
    }
}

/// Joins a neighbour in the same state; `false` when its state is another one.
fn join(state: &mut State, next: &State) -> bool {
    match (state, next) {
        (State::Valid { values }, State::Valid { values: more }) => {
            values.extend(more);
            true
        }
        (state, next) => state == next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Maps a device in memory: which registers it has, how many it gives at once.
    fn mapped(has: impl Fn(u16) -> bool, most: u16, (from, to): (u16, u16)) -> Mapper {
        let mut mapper = Mapper::new(Table::Holding, from, to);
        while let Some(span) = mapper.next_span() {
            let all = (span.start..=u16::MAX).take(span.count.into());
            let said = if span.count > most {
                Said::Refused(ExceptionCode::IllegalDataValue)
            } else if all.clone().all(&has) {
                Said::Words(all.map(|address| address ^ 0x5A5A).collect())
            } else {
                Said::Refused(ExceptionCode::IllegalDataAddress)
            };
            mapper.took(span, said);
        }
        mapper
    }

    fn shape(mapper: &Mapper) -> Vec<(u16, u16, bool)> {
        let ranges = mapper.ranges();
        let valid = |range: &Range| matches!(range.state, State::Valid { .. });
        ranges
            .iter()
            .map(|range| (range.from, range.to, valid(range)))
            .collect()
    }

    #[test]
    fn holes_are_found_exactly_with_few_questions() {
        let mapper = mapped(
            |at| at < 100 && at != 37 && !(50..60).contains(&at),
            125,
            (0, 199),
        );
        assert_eq!(
            shape(&mapper),
            [
                (0, 36, true),
                (37, 37, false),
                (38, 49, true),
                (50, 59, false),
                (60, 99, true),
                (100, 199, false)
            ]
        );
        assert!(mapper.progress().0 < 250, "{:?}", mapper.progress());
        let ranges = mapper.ranges();
        let State::Valid { values } = &ranges[0].state else {
            panic!()
        };
        assert_eq!(values[5], 5 ^ 0x5A5A);
        assert_eq!(mapper.block_limit(), None);
    }

    #[test]
    fn a_limit_of_the_device_is_told_and_kept_to() {
        let mapper = mapped(|_| true, 16, (0, 500));
        assert_eq!(shape(&mapper), [(0, 500, true)]);
        assert_eq!(mapper.block_limit(), Some(16));
        assert!(mapper.progress().0 < 60, "{:?}", mapper.progress());
    }

    #[test]
    fn a_table_that_is_not_there_costs_one_question_and_a_dead_unit_few() {
        let mut mapper = Mapper::new(Table::Input, 0, u16::MAX);
        let span = mapper.next_span().unwrap();
        mapper.took(span, Said::Refused(ExceptionCode::IllegalFunction));
        assert_eq!(mapper.next_span(), None);
        assert!(mapper.ended().unwrap().contains("no input registers"));
        let mut mapper = Mapper::new(Table::Holding, 0, 5_000);
        while let Some(span) = mapper.next_span() {
            mapper.took(span, Said::Silent);
        }
        assert!(mapper.progress().0 < 20, "{:?}", mapper.progress());
        assert_eq!(mapper.ended(), Some("the unit answers no more"));
    }

    proptest! {
        #[test]
        fn every_register_is_known_once_and_right(
            holes in proptest::collection::vec(0_u16..400, 0..12),
            most in 1_u16..125,
            from in 0_u16..50,
        ) {
            let has = |at: u16| !holes.contains(&at);
            let mapper = mapped(has, most, (from, 399));
            prop_assert_eq!(mapper.ended(), None);
            let mut next = from;
            for (first, last, valid) in shape(&mapper) {
                prop_assert_eq!(first, next);
                prop_assert!((first..=last).all(|at| has(at) == valid));
                next = last + 1;
            }
            prop_assert_eq!(next, 400);
            // Each register at most alone and in each block above it.
            prop_assert!(mapper.progress().0 <= 800);
        }

        #[test]
        fn the_ends_of_the_table_are_safe(from: u16, length in 0_u16..300) {
            let to = from.saturating_add(length);
            let mapper = mapped(|at| at % 7 != 0, 125, (from, to));
            let known: usize = shape(&mapper).iter().map(|(a, b, _)| usize::from(b - a) + 1).sum();
            prop_assert_eq!(known, usize::from(to - from) + 1);
        }
    }
}
