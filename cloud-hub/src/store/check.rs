//! Whether the file is whole: the database's own look at it, and every block, every row of
//! statistics decoded. Never changes anything, but for moving a whole file out of the way when told.

use super::error::{Doing as _, StoreError};
use super::{Store, contents, engine, migrations, sql};
use protocol::block;
use protocol::rollup::{Level, RollupRow};
use protocol::time::Timestamp;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most problems that are told in words.
const PROBLEMS_MAX: usize = 100;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Gateways of all tenants.
    pub gateways: u64,
    /// Sensors.
    pub sensors: u64,
    /// Blocks of readings.
    pub blocks: u64,
    /// Polls in them.
    pub polls: u64,
    /// Events.
    pub events: u64,
    /// Alerts.
    pub alerts: u64,
    /// Work orders.
    pub work_orders: u64,
    /// Rows of statistics.
    pub statistics: u64,
    /// Attachments whose bytes are here.
    pub attachments: u64,
    /// What is not as it should be, in words; empty when all is well.
    pub problems: Vec<String>,
}

/// A file up to here is looked at before the hub starts; a larger one takes too long.
const LOOK_BYTES_MAX: u64 = 256 << 20;

/// A look before the start at what the database itself can tell of a small file.
pub fn look(data_dir: &Path) -> Result<(), StoreError> {
    let file = engine::file(data_dir);
    let length = std::fs::metadata(&file).map_or(0, |file| file.len());
    if length == 0 || length > LOOK_BYTES_MAX {
        return Ok(());
    }
    let sql = engine::open_reader(&file)?;
    let words: String = sql
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .doing("be looked through")?;
    if words == "ok" {
        return Ok(());
    }
    let source = rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
        Some(words),
    );
    Err(source).doing("be looked through")
}

/// Moves a damaged store out of the way, with all that belongs to it; where it is now. The hub must
/// not run.
pub fn set_aside(data_dir: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let file = engine::file(data_dir);
    let named = |ending: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = format!(".damaged-{}", now.millis());
    let moved = named(&aside);
    for ending in ["", "-wal", "-shm"] {
        let from = named(ending);
        if ending.is_empty() || from.exists() {
            let to = named(&format!("{aside}{ending}"));
            std::fs::rename(&from, &to).map_err(|source| StoreError::Copy { path: to, source })?;
        }
    }
    Ok(moved)
}

/// Looks through the store in `data_dir`, also beside a running hub.
pub fn check(data_dir: &Path) -> Result<Checked, StoreError> {
    let sql = engine::open_reader(&engine::file(data_dir))?;
    let mut checked = Checked::default();
    let note = |problems: &mut Vec<String>, words: String| {
        if problems.len() < PROBLEMS_MAX {
            problems.push(words);
        }
    };
    for words in integrity(&sql) {
        note(&mut checked.problems, words);
    }
    let mut count = |table: &str| match count(&sql, table) {
        Ok(count) => count,
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let why = source.unwrap_or_default();
            note(
                &mut checked.problems,
                format!("{table}: cannot be read: {why}"),
            );
            0
        }
    };
    let counts = ["gateway", "sensor", "event", "alert", "work_order"].map(&mut count);
    [
        checked.gateways,
        checked.sensors,
        checked.events,
        checked.alerts,
        checked.work_orders,
    ] = counts;
    if let Err(error) = blocks(&sql, &mut checked) {
        note(
            &mut checked.problems,
            unreadable("blocks of readings", &error),
        );
    }
    if let Err(error) = statistics(&sql, &mut checked) {
        note(&mut checked.problems, unreadable("statistics", &error));
    }
    match contents::check(&sql, data_dir) {
        Ok((count, problems)) => {
            checked.attachments = count;
            for words in problems {
                note(&mut checked.problems, words);
            }
        }
        Err(error) => note(&mut checked.problems, unreadable("attachments", &error)),
    }
    Ok(checked)
}

impl Store {
    /// Writes a whole copy of the store into a new file, while the hub runs, and the bytes of the
    /// attachments into the folder `attachments`; how many there were.
    pub async fn backup(&self, to: &Path, attachments: &Path) -> Result<u64, StoreError> {
        let (to, attachments) = (to.to_owned(), attachments.to_owned());
        let folder = Arc::clone(&self.contents);
        // Not in a transaction, as reading otherwise is: a copy is one by itself.
        self.engine
            .apart(move |sql| {
                migrations::write_copy(sql, &to)?;
                // After it: what the copy knows of is there by then, and nothing is ever removed.
                contents::copy(&folder, &attachments)
            })
            .await
    }
}

fn unreadable(what: &str, error: &rusqlite::Error) -> String {
    format!("{what}: cannot all be read: {error}")
}

fn integrity(sql: &Connection) -> Vec<String> {
    let look = |text: &str| -> rusqlite::Result<Vec<String>> {
        sql.prepare(text)?
            .query_map([], |row| row.get(0))?
            .collect()
    };
    match look("PRAGMA integrity_check(100)") {
        Ok(lines) => lines.into_iter().filter(|line| line != "ok").collect(),
        Err(error) => vec![unreadable("the file", &error)],
    }
}

fn count(sql: &Connection, table: &str) -> Result<u64, StoreError> {
    sql.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
        row.get(0)
    })
    .map(sql::uint)
    .doing("count what it holds")
}

fn blocks(sql: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    let mut query =
        sql.prepare("SELECT rowid, stream_key, first_seq, last_seq, body FROM block")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (id, stream): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (first, last) = (sql::uint(row.get(2)?), sql::uint(row.get(3)?));
        checked.blocks += 1;
        let words = match block::decode(row.get_ref(4)?.as_blob()?) {
            Ok(block) if (block.header.first_seq, block.header.last_seq()) == (first, last) => {
                checked.polls += u64::from(block.header.count);
                continue;
            }
            Ok(_) => "holds other polls than it says".to_owned(),
            Err(error) => error.to_string(),
        };
        if checked.problems.len() < PROBLEMS_MAX {
            let place = format!("block {id} (stream {stream}, polls {first} to {last})");
            checked.problems.push(format!("{place}: {words}"));
        }
    }
    Ok(())
}

fn statistics(sql: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    let mut query = sql.prepare("SELECT rowid, level, number, body FROM rollup")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (id, code, number): (i64, u8, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        checked.statistics += 1;
        let level = Level::ALL.into_iter().find(|level| level.code() == code);
        let words = match level {
            None => Some(format!("level {code} is not known")),
            Some(level) => RollupRow::decode(level, number, row.get_ref(3)?.as_blob()?)
                .err()
                .map(|error| error.to_string()),
        };
        if let Some(words) = words.filter(|_| checked.problems.len() < PROBLEMS_MAX) {
            checked.problems.push(format!("statistics {id}: {words}"));
        }
    }
    Ok(())
}
