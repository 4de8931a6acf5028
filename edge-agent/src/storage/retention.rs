//! What goes because of its age: readings, minutes, hours, days, each after a time of its own.
//! Never gives up what the hub has not got yet while there is a hub, and never follows a clock
//! that jumps.
//!
//! Age is counted by a clock of its own that follows the wall clock, but forwards at most twice as
//! fast as time passes: a wall clock that is ten years ahead for a day costs a day of what is kept,
//! not everything. Backwards it follows at once, for nothing is given up by that.

use super::buffer::Buffer;
use super::database::{meta, set_meta};
use super::error::{Doing as _, StorageError};
use super::rollups;
use protocol::rollup::Level;
use protocol::time::{ClockState, Timestamp};
use std::time::{Duration, Instant};

const DOING: &str = "giving up what is too old";
const AGE_CLOCK: &str = "age_clock";
/// How often what is too old is looked for.
pub(super) const PERIOD: Duration = Duration::from_secs(3_600);
/// Rollups given up in one transaction.
const ROWS_MAX: usize = 512;

/// How long what is kept, and how much room that may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Readings; `None`: as long as there is room.
    pub raw: Option<Duration>,
    /// Statistics by minute.
    pub minutes: Duration,
    /// Statistics by hour.
    pub hours: Duration,
    /// Statistics by day.
    pub days: Duration,
    /// There is a hub: readings that it does not have are not too old.
    pub for_hub: bool,
}

impl Default for Keep {
    /// 60 days of minutes, two years of hours, ten years of days.
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            raw: None,
            minutes: day * 60,
            hours: day * 730,
            days: day * 3_650,
            for_hub: true,
        }
    }
}

impl Keep {
    const fn rollups(&self, level: Level) -> Duration {
        match level {
            Level::Minute => self.minutes,
            Level::Hour => self.hours,
            Level::Day => self.days,
        }
    }
}

/// When ages were looked at last.
#[derive(Debug)]
pub(super) struct Ages {
    pub keep: Keep,
    last: Option<Instant>,
}

impl Ages {
    pub(super) const fn new(keep: Keep) -> Self {
        Self { keep, last: None }
    }

    /// When to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.last.map(|last| last + PERIOD)
    }
}

impl Buffer {
    /// Gives up what is too old, when it is time to look.
    pub(super) fn expire(
        &mut self,
        ages: &mut Ages,
        at: Instant,
        (now, clock): (Timestamp, ClockState),
    ) -> Result<(), StorageError> {
        if ages.due().is_some_and(|due| at < due) || clock == ClockState::Untrusted {
            return Ok(());
        }
        let elapsed = ages
            .last
            .map_or(Duration::ZERO, |last| at.duration_since(last));
        let known = meta::<i64>(&self.db, AGE_CLOCK)?.map(Timestamp);
        let now = known.map_or(now, |known| now.min(known.plus_micros(micros(elapsed * 2))));
        set_meta(&self.db, AGE_CLOCK, now.0)?;
        ages.last = Some(at);
        if let Some(raw) = ages.keep.raw {
            self.give_up_older(now.plus_micros(-micros(raw)), ages.keep.for_hub)?;
        }
        for level in Level::ALL {
            let before = now.plus_micros(-micros(ages.keep.rollups(level)));
            let (first, end) = rollups::numbers_before(level, before);
            while self.delete_rollups((first, end), ROWS_MAX)? == ROWS_MAX {}
        }
        Ok(())
    }

    /// Deletes at most `rows_max` rollups with `first <= id < end`, the first of them, and says
    /// how many.
    pub(super) fn delete_rollups(
        &mut self,
        (first, end): (i64, i64),
        rows_max: usize,
    ) -> Result<usize, StorageError> {
        let tx = self.db.unchecked_transaction().doing(DOING)?;
        let mut deleted = 0;
        let mut bytes = 0_u64;
        {
            let mut delete = tx
                .prepare_cached(
                    "DELETE FROM rollup WHERE id IN
                        (SELECT id FROM rollup WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3)
                     RETURNING length(body)",
                )
                .doing(DOING)?;
            let mut rows = delete.query((first, end, rows_max)).doing(DOING)?;
            while let Some(row) = rows.next().doing(DOING)? {
                deleted += 1;
                bytes += row.get::<_, u64>(0).doing(DOING)?;
            }
        }
        let left = self.rollup_bytes.saturating_sub(bytes);
        if deleted > 0 {
            set_meta(&tx, rollups::BYTES, left)?;
        }
        tx.commit().doing(DOING)?;
        self.rollup_bytes = left;
        Ok(deleted)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
