//! One column of a block, read into buffers that the caller keeps: nothing is allocated per value,
//! and nothing per block once the buffers have grown. Never looks at the other columns of a
//! columnar block.

use super::bytes::Reader;
use super::{BlockError, BlockHeader, Layout, columnar, no_such_column, open, size, small};
use crate::reading::Cell;
use crate::time::{ClockState, Timestamp};

/// Reads one column of many blocks, one after the other. Keep it while a chart is made.
#[derive(Debug, Default)]
pub struct ColumnReader {
    pub(super) polls: Vec<(Timestamp, ClockState)>,
    pub(super) cells: Vec<Cell>,
    pub(super) work: Work,
}

impl ColumnReader {
    /// Reads the times and one column of a block; replaces what was read before.
    ///
    /// Errors are those of `decode`, and `NoSuchColumn`; after one nothing is held.
    pub fn read(&mut self, bytes: &[u8], column: usize) -> Result<BlockHeader, BlockError> {
        let read = self.fill(bytes, column);
        if read.is_err() {
            self.polls.clear();
            self.cells.clear();
        }
        read
    }

    /// What was read: one cell per poll of the block, in order.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = (Timestamp, ClockState, Cell)> {
        let polls = self.polls.iter().zip(&self.cells);
        polls.map(|((time, clock), cell)| (*time, *clock, *cell))
    }

    fn fill(&mut self, bytes: &[u8], column: usize) -> Result<BlockHeader, BlockError> {
        let (header, layout, body) = open(bytes)?;
        if column >= size(header.columns) {
            return Err(no_such_column(&header, column));
        }
        match layout {
            Layout::Small => self.fill_small(&header, body, column)?,
            Layout::Columnar => columnar::read(&header, body, column, self)?,
        }
        Ok(header)
    }

    fn fill_small(
        &mut self,
        header: &BlockHeader,
        body: Reader<'_>,
        column: usize,
    ) -> Result<(), BlockError> {
        let Self { polls, cells, work } = self;
        cells.clear();
        small::walk(header, body, polls, work, |at, _, cell| {
            if at == column {
                cells.push(cell);
            }
        })
    }
}

/// Buffers between the bytes and the cells.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) codes: Vec<u8>,
    pub(super) ints: Vec<i64>,
    /// The integers that floats are made of.
    pub(super) wholes: Vec<i64>,
    pub(super) floats: Vec<f64>,
}
