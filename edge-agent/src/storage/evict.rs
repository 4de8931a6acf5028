//! Keeping buffer.db within its quota: what is given up, in which order, and how it is told.
//! Never touches events; never gives up what is unacknowledged while something acknowledged is left,
//! and of what is given up unacknowledged the statistics stay.

use super::blocks::{Loss, save_gone, save_loss};
use super::buffer::Buffer;
use super::error::{Doing as _, StorageError};
use super::journal::JournalIndex;
use super::rollups;
use protocol::event::GapCause;
use protocol::id::StreamId;
use protocol::ranges::RangeSet;
use protocol::rollup::Level;
use protocol::time::{EARLIEST, Timestamp};
use rusqlite::Connection;
use std::collections::{BTreeMap, BinaryHeap};

const DOING: &str = "giving up the oldest readings";
/// Above this share of the quota (in percent) the oldest blocks are given up...
const HIGH_PERCENT: u64 = 90;
/// ...until this share is left. What lies between the quota and the high mark is room for the
/// journal and for sealing while nothing can be given up yet.
const LOW_PERCENT: u64 = 85;
/// Statistics beyond this share of the quota go before readings do.
const ROLLUPS_PERCENT: u64 = 50;
/// Rollups given up in one transaction.
const ROLLUPS_MAX: usize = 256;
/// Candidates remembered per search, so that a large buffer needs little memory.
const CANDIDATES_MAX: usize = 512;

/// A block that may be given up; ordered by age. Of what bears the time of a clock that was never
/// set nobody knows the age: it counts as young.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    has_no_age: bool,
    time_min: i64,
    id: i64,
    time_max: i64,
    stream: StreamId,
    first_seq: u64,
    last_seq: u64,
}

impl Buffer {
    /// Whether the buffer is so full that something has to go.
    pub(super) fn wants_room(&self) -> Result<bool, StorageError> {
        Ok(self.bytes_used()? > self.quota_bytes() / 100 * HIGH_PERCENT)
    }

    /// Gives up what may go until the low mark is reached: minutes and hours beyond their share,
    /// the oldest blocks that the hub has, the oldest that it has not (their statistics stay),
    /// at last the statistics. Says whether anything went.
    pub(super) fn make_room(&mut self) -> Result<bool, StorageError> {
        self.make_room_to(LOW_PERCENT)
    }

    /// Like `make_room`, until this share of the quota is left.
    pub(super) fn make_room_to(&mut self, percent: u64) -> Result<bool, StorageError> {
        let quota_bytes = self.quota_bytes();
        let goal_bytes = quota_bytes / 100 * percent;
        let mut went = self.delete_free_slots()?;
        while self.bytes_used()? > goal_bytes {
            let candidates = self.candidates()?;
            let too_many = self.rollup_bytes > quota_bytes / 100 * ROLLUPS_PERCENT;
            if !candidates.is_empty() && !too_many {
                self.give_up(&candidates, Some(GapCause::Thinned), goal_bytes)?;
            } else if !self.give_up_rollups()? {
                if candidates.is_empty() {
                    break;
                }
                self.give_up(&candidates, Some(GapCause::Thinned), goal_bytes)?;
            }
            went = true;
        }
        if went {
            self.limit_pages()?;
        }
        Ok(went)
    }

    /// Rows of the journal that wait for their next use go first: they hold nothing.
    fn delete_free_slots(&mut self) -> Result<bool, StorageError> {
        let free = self.shared.with_index(|index| index.free().to_vec());
        let tx = self.db.unchecked_transaction().doing(DOING)?;
        for slot in &free {
            tx.execute("DELETE FROM journal WHERE id = ?1", [slot.id])
                .doing(DOING)?;
        }
        tx.commit().doing(DOING)?;
        self.shared.with_index(JournalIndex::forget_free);
        Ok(!free.is_empty())
    }

    /// Gives up a block that cannot be read.
    pub(super) fn give_up_damaged(
        &mut self,
        stream: StreamId,
        first_seq: u64,
        last_seq: u64,
    ) -> Result<(), StorageError> {
        let found = self.search(|block| {
            (block.stream, block.first_seq, block.last_seq) == (stream, first_seq, last_seq)
        })?;
        self.give_up(&found, Some(GapCause::StoreDamaged), 0)
    }

    /// Gives up the blocks that end before `time`; with `for_hub` only those that the hub has.
    /// That is no loss which anybody has to be told: it was asked for.
    pub(super) fn give_up_older(
        &mut self,
        time: Timestamp,
        for_hub: bool,
    ) -> Result<(), StorageError> {
        loop {
            let is_old = |block: &Candidate| {
                block.time_max < time.0
                    && !block.has_no_age
                    && (!for_hub || self.missing(block).is_empty())
            };
            let old = self.search(is_old)?;
            if old.is_empty() {
                return Ok(());
            }
            self.give_up(&old, None, 0)?;
        }
    }

    /// Gives up the oldest hour of minutes, or the oldest day of hours when there are no minutes;
    /// `false` when there are neither.
    fn give_up_rollups(&mut self) -> Result<bool, StorageError> {
        for level in [Level::Minute, Level::Hour] {
            let Some(oldest) = rollups::oldest(&self.db, level)? else {
                continue;
            };
            let (_, end) = oldest.span();
            let numbers = rollups::numbers_before(level, end);
            while self.delete_rollups(numbers, ROLLUPS_MAX)? == ROLLUPS_MAX {}
            if level == Level::Minute {
                self.tell_thinned_lost(end)?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Minutes before `end` are gone: with them the last of those polls that the hub never got.
    fn tell_thinned_lost(&mut self, end: Timestamp) -> Result<(), StorageError> {
        let tx = self.db.unchecked_transaction().doing(DOING)?;
        let lost: (u64, Option<i64>, Option<i64>) = tx
            .query_row(
                "SELECT coalesce(sum(polls), 0), min(coalesce(time_min, hour * ?2)),
                    max(coalesce(time_max, (hour + 1) * ?2)) FROM thinned WHERE hour < ?1",
                (hour(end), Level::Hour.start(1).0),
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .doing(DOING)?;
        let (polls, Some(from), Some(to)) = lost else {
            return Ok(());
        };
        tx.execute("DELETE FROM thinned WHERE hour < ?1", [hour(end)])
            .doing(DOING)?;
        let loss = Loss {
            from: Timestamp(from),
            to: Timestamp(to),
            polls,
            cause: GapCause::BufferFull,
        };
        save_loss(&tx, &loss)?;
        tx.commit().doing(DOING)?;
        self.gaps_waiting = true;
        Ok(())
    }

    /// The oldest acknowledged blocks; when there are none, the oldest of all.
    fn candidates(&self) -> Result<Vec<Candidate>, StorageError> {
        let acked = self.search(|block| self.missing(block).is_empty())?;
        if acked.is_empty() {
            self.search(|_| true)
        } else {
            Ok(acked)
        }
    }

    /// The oldest blocks that `wanted` picks, oldest first.
    fn search(&self, wanted: impl Fn(&Candidate) -> bool) -> Result<Vec<Candidate>, StorageError> {
        let mut query = self
            .db
            .prepare_cached(
                "SELECT stream, last_seq, first_seq, time_min, time_max, id
                 FROM block INDEXED BY block_range ORDER BY stream, last_seq",
            )
            .doing(DOING)?;
        let mut rows = query.query([]).doing(DOING)?;
        let mut oldest = BinaryHeap::new();
        while let Some(row) = rows.next().doing(DOING)? {
            let time_max = row.get(4).doing(DOING)?;
            let block = Candidate {
                has_no_age: time_max < EARLIEST.0,
                stream: StreamId(row.get(0).doing(DOING)?),
                last_seq: row.get(1).doing(DOING)?,
                first_seq: row.get(2).doing(DOING)?,
                time_min: row.get(3).doing(DOING)?,
                time_max,
                id: row.get(5).doing(DOING)?,
            };
            if wanted(&block) {
                oldest.push(block);
                if oldest.len() > CANDIDATES_MAX {
                    oldest.pop(); // The youngest.
                }
            }
        }
        Ok(oldest.into_sorted_vec())
    }

    /// Polls of a block that the hub does not have.
    fn missing(&self, block: &Candidate) -> Vec<(u64, u64)> {
        self.streams
            .get(&block.stream)
            .map(|state| state.acked.missing(block.first_seq, block.last_seq))
            .unwrap_or_default()
    }

    /// Deletes blocks in order until no more than `goal_bytes` are used, in one transaction with
    /// the note of what was lost.
    fn give_up(
        &mut self,
        blocks: &[Candidate],
        cause: Option<GapCause>,
        goal_bytes: u64,
    ) -> Result<(), StorageError> {
        let tx = self.db.unchecked_transaction().doing(DOING)?;
        let mut losses = Losses::default();
        let mut deleted = 0;
        for block in blocks {
            tx.prepare_cached("DELETE FROM block WHERE id = ?1")
                .and_then(|mut delete| delete.execute([block.id]))
                .doing(DOING)?;
            deleted += 1;
            let missing = self.missing(block);
            losses.add(block, &missing, cause);
            if cause == Some(GapCause::Thinned) && !missing.is_empty() {
                note_thinned(&tx, block, &missing)?;
            }
            if self.bytes_used()? <= goal_bytes {
                break;
            }
        }
        let mut gone = BTreeMap::new();
        for (stream, lost) in &losses.ranges {
            let known = self.streams.get(stream).map(|state| &state.gone);
            let pairs = known.into_iter().chain([lost]).flat_map(RangeSet::pairs);
            let all = RangeSet::from_pairs(pairs.copied());
            save_gone(&tx, *stream, &all)?;
            gone.insert(*stream, all);
        }
        if let Some(loss) = &losses.sum {
            save_loss(&tx, loss)?;
        }
        tx.commit().doing(DOING)?;
        self.block_count = self.block_count.saturating_sub(deleted);
        for (stream, ranges) in gone {
            if let Some(state) = self.streams.get_mut(&stream) {
                state.gone = ranges;
            }
        }
        if let Some(loss) = losses.sum {
            self.gaps_waiting = true;
            self.dropped_polls += loss.polls;
        }
        Ok(())
    }
}

/// Of these polls only the statistics are left.
fn note_thinned(
    db: &Connection,
    block: &Candidate,
    missing: &[(u64, u64)],
) -> Result<(), StorageError> {
    let polls: u64 = missing.iter().map(|(first, last)| last - first + 1).sum();
    db.prepare_cached(
        "INSERT INTO thinned (hour, polls, time_min, time_max) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (hour) DO UPDATE SET polls = polls + excluded.polls,
            time_min = min(time_min, excluded.time_min),
            time_max = max(time_max, excluded.time_max)",
    )
    .and_then(|mut insert| {
        let hour = hour(Timestamp(block.time_max));
        insert.execute((hour, polls, block.time_min, block.time_max))
    })
    .doing(DOING)?;
    Ok(())
}

const fn hour(time: Timestamp) -> i64 {
    Level::Hour.bucket_of(time)
}

/// What is lost with the blocks given up so far.
#[derive(Default)]
struct Losses {
    ranges: BTreeMap<StreamId, RangeSet>,
    sum: Option<Loss>,
}

impl Losses {
    /// Without a cause the polls are noted as gone, but there is nothing to tell.
    fn add(&mut self, block: &Candidate, missing: &[(u64, u64)], cause: Option<GapCause>) {
        for (first, last) in missing {
            let ranges = self.ranges.entry(block.stream).or_default();
            ranges.insert(*first, *last);
            let Some(cause) = cause else { continue };
            let (from, to) = (Timestamp(block.time_min), Timestamp(block.time_max));
            let sum = self.sum.get_or_insert(Loss {
                from,
                to,
                polls: 0,
                cause,
            });
            sum.from = sum.from.min(from);
            sum.to = sum.to.max(to);
            sum.polls += last - first + 1;
        }
    }
}
