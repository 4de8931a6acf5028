//! A look at the two databases from outside, for `doctor` and `bundle`: sizes, schema, rows, and
//! whether `SQLite` finds them whole. Works beside a running agent and without one. Never writes
//! into them and never reads what a row says.

use super::database::{BUFFER, CORE, Kind, SUSPECT, beside};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::metadata;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Most tables that are counted; ours have far fewer.
const TABLES_MAX: usize = 100;
/// Wait for a lock of the agent's.
const BUSY_MS: u64 = 2_000;

/// One database as it lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The file.
    pub path: PathBuf,
    /// Its size; `None`: it is not there.
    pub bytes: Option<u64>,
    /// Size of its write-ahead log.
    pub log_bytes: u64,
    /// Schema in the file, and the newest that this program knows.
    pub schema: (usize, usize),
    /// Tables and how many rows they have, as far as there was time to count.
    pub tables: Vec<(String, u64)>,
    /// What the check found.
    pub found: Found,
}

/// What was found out about a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is not there: the agent makes it at its first start.
    Missing,
    /// Whole.
    Whole,
    /// Not whole, or the running agent noted that it is not; the words say what.
    Damaged(String),
    /// It was not closed, and its log is not in it yet: the agent checks it at its next start.
    Unclosed,
    /// There was not enough time.
    Unfinished,
    /// It could not be opened or read.
    Unreadable(String),
}

/// Looks at both databases of a data folder, each for at most `longest`.
pub fn inspect(folder: &Path, longest: Duration) -> [Inspected; 2] {
    [CORE, BUFFER].map(|kind| inspect_one(folder, kind, longest))
}

/// Databases that were set aside as damaged, oldest first.
pub fn set_aside(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("buffer.db.damaged") && !name.ends_with("-wal")
        })
        .collect();
    found.sort();
    found
}

fn inspect_one(folder: &Path, kind: Kind, longest: Duration) -> Inspected {
    let path = folder.join(kind.file);
    let bytes = metadata(&path).ok().map(|file| file.len());
    let mut inspected = Inspected {
        bytes,
        log_bytes: metadata(beside(&path, "-wal")).map_or(0, |log| log.len()),
        schema: (0, kind.newest()),
        tables: Vec::new(),
        found: Found::Missing,
        path,
    };
    if bytes.is_none() {
        return inspected;
    }
    if inspected.log_bytes > 0 && !beside(&inspected.path, "-shm").exists() {
        // Reading it with its log would make a file beside it.
        inspected.found = Found::Unclosed;
        return inspected;
    }
    let looked = open(&inspected.path).and_then(|db| {
        within(&db, longest, || {
            let version = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            inspected.schema.0 = version;
            let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            inspected.found = match found.as_str() {
                "ok" => Found::Whole,
                _ => Found::Damaged(found),
            };
            count(&db, &mut inspected.tables)
        })
    });
    match looked {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            // What was found before the time was up counts.
            if inspected.found == Found::Missing {
                inspected.found = Found::Unfinished;
            }
        }
        Err(error) if is_damage(&error) => inspected.found = Found::Damaged(error.to_string()),
        Err(error) => inspected.found = Found::Unreadable(error.to_string()),
        Ok(()) => {}
    }
    if kind.file == BUFFER.file && folder.join(SUSPECT).exists() {
        let words = "the agent met damage in it and sets it aside at its next start";
        inspected.found = Found::Damaged(words.to_owned());
    }
    inspected
}

/// Opens for reading only. Without an agent that has it open, the file is taken as it is, so that
/// nothing is made beside it.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let used = beside(path, "-shm").exists();
    let end = if used { "" } else { "?immutable=1" };
    let escaped = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(format!("file:{escaped}{end}"), flags)?;
    db.busy_timeout(Duration::from_millis(BUSY_MS))?;
    Ok(db)
}

/// Runs `work`, which is interrupted when it takes too long.
pub(super) fn within<T>(
    db: &Connection,
    longest: Duration,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let handle = db.get_interrupt_handle();
    let (done, wait) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(longest) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn count(db: &Connection, tables: &mut Vec<(String, u64)>) -> rusqlite::Result<()> {
    let names: Vec<String> = db
        .prepare(&format!(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
             ORDER BY name LIMIT {TABLES_MAX}"
        ))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for name in names {
        let sql = format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\""));
        let rows = db.query_row(&sql, [], |row| row.get(0))?;
        tables.push((name, rows));
    }
    Ok(())
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}
