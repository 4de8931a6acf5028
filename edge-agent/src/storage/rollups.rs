//! The table of rollups: one minute, one hour, one day of every sensor, written in the transaction
//! that seals the polls they are made of, kept longer than these. Never counts an unsealed poll.
//!
//! A row is what `protocol::rollup` packs. Its key is made of level, time, group and part of
//! the group, in this order: rows that are written at the same time lie on the same pages, the oldest
//! are the first of their level, and there is no index to write.

use super::error::{Doing as _, StorageError};
use protocol::reading::{GroupSchema, Poll, RawKind};
use protocol::rollup::{self, Bucket, COLUMNS_PER_ROW, Level, Rollup, RollupRow};
use protocol::time::Timestamp;
use protocol::wire;
use rusqlite::{Connection, OptionalExtension as _};
use std::sync::Arc;

const DOING: &str = "writing rollups";
const READING: &str = "reading rollups";
/// Where `meta` keeps how many bytes all rows have.
pub(super) const BYTES: &str = "rollup_bytes";
/// Bits of a key, from the lowest on: part of the group, group, number of the row; then the level.
const PART_BITS: u32 = 5;
const GROUP_BITS: u32 = 20;
const ROW_BITS: u32 = 35;
/// Makes every row's number positive: at an hour each, a `Timestamp` reaches 2^32 both ways.
const ROW_ZERO: i64 = 1 << (ROW_BITS - 1);

/// By how much salvage leaps over keys that cannot be read: from one group to a day of hours.
pub(super) const LEAPS: (i64, i64) = (1 << PART_BITS, 1 << (PART_BITS + GROUP_BITS));
/// Most groups that have rollups: a configuration that changed so often is not believed.
const GROUPS_MAX: usize = 1 << 14;

/// Number of a poll group: of what it measures, whichever stream its polls are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupId(u32);

/// A poll group that has rollups.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub id: GroupId,
    pub schema: Arc<GroupSchema>,
    /// As `wire::encode_schema` writes it: equal for equal schemas.
    pub bytes: Arc<[u8]>,
}

/// All groups that have rollups.
pub(super) fn groups(db: &Connection) -> Result<Vec<Group>, StorageError> {
    let doing = "reading the poll groups of the rollups";
    let mut query = db
        .prepare("SELECT id, schema FROM poll_group ORDER BY id")
        .doing(doing)?;
    let mut rows = query.query([]).doing(doing)?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        let bytes: Vec<u8> = row.get(1).doing(doing)?;
        groups.push(Group {
            id: GroupId(row.get(0).doing(doing)?),
            schema: Arc::new(wire::decode_schema(&bytes).doing(doing)?),
            bytes: bytes.into(),
        });
    }
    Ok(groups)
}

/// Whether a row can be read; what salvage asks.
pub(super) fn is_whole(number: i64, body: &[u8]) -> bool {
    Key::of(number).is_some_and(|key| RollupRow::decode(key.level, key.row, body).is_ok())
}

/// The next group, for a schema that has none yet; `None` when there are too many.
pub(super) fn new_group(
    db: &Connection,
    known: &[Group],
    schema: &GroupSchema,
    bytes: &Arc<[u8]>,
) -> Result<Option<Group>, StorageError> {
    if known.len() >= GROUPS_MAX {
        return Ok(None);
    }
    let last = known.iter().map(|group| group.id.0).max().unwrap_or(0);
    let group = Group {
        id: GroupId(last + 1),
        schema: Arc::new(schema.clone()),
        bytes: Arc::clone(bytes),
    };
    db.execute(
        "INSERT INTO poll_group (id, schema) VALUES (?1, ?2)",
        (group.id.0, &**bytes),
    )
    .doing("noting a poll group")?;
    Ok(Some(group))
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub level: Level,
    /// See [`Level::row_of`].
    pub row: i64,
    pub group: GroupId,
    /// Which `COLUMNS_PER_ROW` columns of the group.
    part: i64,
}

impl Key {
    /// The first key of a row's time.
    fn first(level: Level, row: i64) -> Self {
        Self {
            level,
            row,
            group: GroupId(0),
            part: 0,
        }
    }

    /// As it stands in the table. Groups are at most `GROUPS_MAX`.
    fn number(self) -> i64 {
        let row = (self.row + ROW_ZERO).clamp(0, (1 << ROW_BITS) - 1);
        let group = i64::from(self.group.0).min((1 << GROUP_BITS) - 1);
        let time = (i64::from(self.level.code()) << ROW_BITS) | row;
        (((time << GROUP_BITS) | group) << PART_BITS) | self.part
    }

    /// From the table; `None` for a number that no key has.
    pub(super) fn of(number: i64) -> Option<Self> {
        let bits = |shift: u32, bits: u32| (number >> shift) & ((1 << bits) - 1);
        let level = number >> (PART_BITS + GROUP_BITS + ROW_BITS);
        Some(Self {
            level: Level::ALL
                .into_iter()
                .find(|known| i64::from(known.code()) == level)?,
            row: bits(PART_BITS + GROUP_BITS, ROW_BITS) - ROW_ZERO,
            group: GroupId(u32::try_from(bits(PART_BITS, GROUP_BITS)).ok()?),
            part: bits(0, PART_BITS),
        })
    }

    /// When the row begins and ends.
    pub(super) fn span(self) -> (Timestamp, Timestamp) {
        let per_row = self.level.buckets_per_row();
        let start = |row: i64| self.level.start(row.saturating_mul(per_row));
        (start(self.row), start(self.row + 1))
    }
}

/// The oldest row of a level, of whatever group.
pub(super) fn oldest(db: &Connection, level: Level) -> Result<Option<Key>, StorageError> {
    let (first, _) = numbers_before(level, Timestamp(i64::MIN));
    let end = first | ((1 << (PART_BITS + GROUP_BITS + ROW_BITS)) - 1);
    let found: Option<i64> = db
        .prepare_cached("SELECT id FROM rollup WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1")
        .and_then(|mut query| query.query_row((first, end), |row| row.get(0)).optional())
        .doing(READING)?;
    Ok(found.and_then(Key::of))
}

/// The numbers of all rows of a level that end before `time`: first, and first that does not.
pub(super) fn numbers_before(level: Level, time: Timestamp) -> (i64, i64) {
    let first = Key::first(level, -ROW_ZERO).number();
    let row = level.row_of(level.bucket_of(time));
    (first, Key::first(level, row).number())
}

/// Adds polls that are being sealed to the rows of their group. Says by how many bytes these grew.
pub(super) fn add(
    db: &Connection,
    group: GroupId,
    kinds: &[RawKind],
    polls: &[Poll],
) -> Result<i64, StorageError> {
    let mut grown = 0;
    let mut buckets = rollup::minutes_of(polls, kinds);
    for (level, next) in [
        (Level::Minute, Some(Level::Minute)),
        (Level::Hour, Some(Level::Hour)),
        (Level::Day, None),
    ] {
        for row in buckets.chunk_by(|a, b| level.row_of(a.number) == level.row_of(b.number)) {
            grown += join_row(db, group, level, row)?;
        }
        if let Some(level) = next {
            buckets = rollup::coarser(&buckets, level);
        }
    }
    Ok(grown)
}

/// Puts buckets of one row's time into the stored rows of a group, or makes these.
fn join_row(
    db: &Connection,
    group: GroupId,
    level: Level,
    buckets: &[Bucket],
) -> Result<i64, StorageError> {
    let bytes = |body: &[u8]| i64::try_from(body.len()).unwrap_or(i64::MAX);
    let mut grown = 0;
    let columns = buckets.first().map_or(0, |bucket| bucket.columns.len());
    let row = buckets
        .first()
        .map_or(0, |bucket| level.row_of(bucket.number));
    for (part, first) in (0..).zip((0..columns).step_by(COLUMNS_PER_ROW)) {
        let key = Key {
            level,
            row,
            group,
            part,
        };
        let stored: Option<Vec<u8>> = db
            .prepare_cached("SELECT body FROM rollup WHERE id = ?1")
            .and_then(|mut query| query.query_row([key.number()], |row| row.get(0)).optional())
            .doing(DOING)?;
        grown -= stored.as_deref().map_or(0, bytes);
        // One that cannot be read any more is begun anew: its readings may be there still.
        let stored = stored.and_then(|bytes| RollupRow::decode(level, row, &bytes).ok());
        let width = (columns - first).min(COLUMNS_PER_ROW);
        let mut joined = stored.unwrap_or_else(|| RollupRow::new(level, row, width));
        for bucket in buckets {
            let entries = bucket.columns.iter().skip(first).take(width);
            for (column, entry) in entries.enumerate() {
                if let Some(entry) = entry {
                    joined.merge(column, bucket.number, entry);
                }
            }
        }
        let body = joined.encode();
        grown += bytes(&body);
        put(db, key, &body)?;
    }
    Ok(grown)
}

/// Writes a row in place of what it held.
fn put(db: &Connection, key: Key, body: &[u8]) -> Result<(), StorageError> {
    db.prepare_cached(
        "INSERT INTO rollup (id, body) VALUES (?1, ?2)
         ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    )
    .and_then(|mut insert| insert.execute((key.number(), body)))
    .doing(DOING)?;
    Ok(())
}

/// Calls `work` with each stored bucket of a column that touches `from..to`, and when it begins.
/// A row that cannot be read is left out.
pub(super) fn each_bucket(
    db: &Connection,
    level: Level,
    (group, column): (GroupId, usize),
    (from, to): (Timestamp, Timestamp),
    mut work: impl FnMut(Timestamp, Rollup),
) -> Result<(), StorageError> {
    let row_of = |time| level.row_of(level.bucket_of(time));
    let part = i64::try_from(column / COLUMNS_PER_ROW).unwrap_or(i64::MAX);
    let key = |row| Key {
        level,
        row,
        group,
        part,
    };
    let last = key(row_of(to)).number();
    let mut row = row_of(from);
    let mut next = db
        .prepare_cached("SELECT id FROM rollup WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1")
        .doing(READING)?;
    let mut body = db
        .prepare_cached("SELECT body FROM rollup WHERE id = ?1")
        .doing(READING)?;
    loop {
        let wanted = key(row).number();
        let found: Option<i64> = next
            .query_row((wanted, last), |row| row.get(0))
            .optional()
            .doing(READING)?;
        let Some(found) = found else { return Ok(()) };
        let Some(place) = Key::of(found) else {
            return Ok(());
        };
        // Another group's row tells from where on to look.
        let is_later = (place.group, place.part) >= (group, part);
        row = place.row + i64::from(is_later);
        if found != key(place.row).number() {
            continue;
        }
        let mut rows = body.query([found]).doing(READING)?;
        let Some(stored) = rows.next().doing(READING)? else {
            continue;
        };
        let bytes = stored
            .get_ref(0)
            .doing(READING)?
            .as_blob()
            .unwrap_or_default();
        let column = column % COLUMNS_PER_ROW;
        let entries = RollupRow::decode_column((level, place.row), bytes, column);
        for (bucket, entry) in entries.unwrap_or_default() {
            let start = level.start(bucket);
            if start < to && start.plus_micros(level.bucket_us()) > from {
                work(start, entry);
            }
        }
    }
}

/// When the earliest and the latest row of a level begin and end, of whatever group.
pub(super) fn extent(
    db: &Connection,
    level: Level,
) -> Result<Option<(Timestamp, Timestamp)>, StorageError> {
    let first = Key::first(level, -ROW_ZERO).number();
    let last = first | ((1 << (PART_BITS + GROUP_BITS + ROW_BITS)) - 1);
    let ends: (Option<i64>, Option<i64>) = db
        .prepare_cached(
            "SELECT (SELECT id FROM rollup WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1),
                    (SELECT id FROM rollup WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1)",
        )
        .and_then(|mut query| query.query_row((first, last), |row| Ok((row.get(0)?, row.get(1)?))))
        .doing(READING)?;
    let (first, last) = (ends.0.and_then(Key::of), ends.1.and_then(Key::of));
    Ok(first
        .zip(last)
        .map(|(first, last)| (first.span().0, last.span().1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_and_sorts_by_time_before_group() {
        let key = |row, group, part| Key {
            level: Level::Hour,
            row,
            group: GroupId(group),
            part,
        };
        let keys = [
            key(-3, 9, 31),
            key(-1, 1, 0),
            key(0, 1, 1),
            key(0, 2, 0),
            key(1 << 32, 1, 0),
        ];
        assert!(keys.is_sorted_by_key(|key| key.number()));
        assert_eq!(keys.map(|key| Key::of(key.number())), keys.map(Some));
        let minute = Key {
            level: Level::Minute,
            ..keys[4]
        };
        assert!(minute.number() < keys[0].number() && minute.number() > 0);
        assert_eq!(Key::of(-1), None);
    }
}
