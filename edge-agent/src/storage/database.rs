//! Opening the two files: settings, migrations, checks, setting a damaged buffer aside.
//! Never touches what is in the tables.

use super::error::{Doing as _, StorageError};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::{Path, PathBuf};

/// One of the two databases.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Its name in the data folder.
    pub file: &'static str,
    /// One script per schema version, oldest first. A released script is never edited.
    migrations: &'static [&'static str],
    /// Page cache of the writing connection, in KiB.
    cache_kib: i64,
}

/// Readings.
pub(super) const BUFFER: Kind = Kind {
    file: "buffer.db",
    migrations: &[
        include_str!("schema/001_buffer.sql"),
        include_str!("schema/002_buffer.sql"),
    ],
    cache_kib: 1_024,
};

/// Events.
pub(super) const CORE: Kind = Kind {
    file: "core.db",
    migrations: &[include_str!("schema/001_core.sql")],
    cache_kib: 512,
};

/// Size of a page of both databases.
pub(super) const PAGE_BYTES: u64 = 4_096;
/// The write-ahead log is cut back to this after a checkpoint.
const WAL_BYTES_MAX: u64 = 4 << 20;
/// Page cache of a reading connection, in KiB.
const READER_CACHE_KIB: i64 = 256;
const BUSY_MS: u64 = 5_000;
/// Stands beside buffer.db when a statement found it damaged; the next start sets it aside.
const SUSPECT: &str = "buffer.db.suspect";

/// A database that is open for writing.
pub(super) struct Opened {
    pub db: Connection,
    /// The process that had it before did not close it.
    pub unclean: bool,
}

/// Opens for writing, makes it when it is not there, checks it after an unclean stop.
///
/// Damage comes back as an error for which `is_damage` holds.
pub(super) fn open(folder: &Path, kind: Kind) -> Result<Opened, StorageError> {
    let path = folder.join(kind.file);
    let unclean = std::fs::metadata(beside(&path, "-wal")).is_ok_and(|wal| wal.len() > 0);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open_error = |source| StorageError::Open {
        path: path.clone(),
        source,
    };
    let mut db = Connection::open_with_flags(&path, flags).map_err(open_error)?;
    // Page size and vacuum mode only count before the first table is made.
    db.execute_batch(&format!(
        "PRAGMA busy_timeout = {BUSY_MS};
         PRAGMA page_size = {PAGE_BYTES};
         PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA journal_size_limit = {WAL_BYTES_MAX};
         PRAGMA cache_size = -{};",
        kind.cache_kib
    ))
    .map_err(open_error)?;
    if unclean {
        check(&db)?;
    }
    migrate(&mut db, &path, kind)?;
    Ok(Opened { db, unclean })
}

/// Holds a database to a size; what does not fit is refused with `is_full`.
pub(super) fn limit(db: &Connection, bytes_max: u64) -> Result<(), StorageError> {
    let sql = format!("PRAGMA max_page_count = {}", bytes_max / PAGE_BYTES);
    db.query_row(&sql, [], |_| Ok(()))
        .doing("holding a database to its size")
}

/// Size of a database and the most that it may have, in bytes.
pub(super) fn size(db: &Connection) -> Result<(u64, u64), StorageError> {
    let ask = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, u64>(0));
    ask("page_count")
        .and_then(|pages| Ok((pages, ask("max_page_count")?)))
        .map(|(pages, most)| (pages * PAGE_BYTES, most * PAGE_BYTES))
        .doing("asking a database for its size")
}

/// Opens for reading. The writer must have it open.
pub(super) fn open_reader(folder: &Path, kind: Kind) -> Result<Connection, StorageError> {
    let path = folder.join(kind.file);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let db = Connection::open_with_flags(&path, flags)?;
        db.execute_batch(&format!(
            "PRAGMA busy_timeout = {BUSY_MS}; PRAGMA cache_size = -{READER_CACHE_KIB};"
        ))?;
        Ok(db)
    };
    open().map_err(|source| StorageError::Open { path, source })
}

/// Opens buffer.db and loads it; a damaged one is moved aside and a new one made. Says where the
/// damaged one is now.
pub(super) fn open_buffer<T>(
    folder: &Path,
    stamp_ms: i64,
    load: impl Fn(Opened) -> Result<T, StorageError>,
) -> Result<(T, Option<PathBuf>), StorageError> {
    let suspect = folder.join(SUSPECT);
    if !suspect.exists() {
        match open(folder, BUFFER).and_then(&load) {
            Err(error) if error.is_damage() => {}
            other => return Ok((other?, None)),
        }
    }
    let aside = set_aside(folder, stamp_ms)?;
    let loaded = open(folder, BUFFER).and_then(load)?;
    if suspect.exists() {
        std::fs::remove_file(&suspect).map_err(|source| StorageError::Folder {
            path: suspect,
            source,
        })?;
    }
    Ok((loaded, Some(aside)))
}

/// Remembers for the next start that buffer.db is damaged.
pub(super) fn mark_suspect(folder: &Path) -> std::io::Result<()> {
    std::fs::write(folder.join(SUSPECT), b"")
}

/// Makes sure that a failed start of core.db says what to do.
pub(super) fn open_core(folder: &Path) -> Result<Opened, StorageError> {
    open(folder, CORE).map_err(|error| {
        if error.is_damage() {
            let what = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            StorageError::CoreDamaged {
                path: folder.join(CORE.file),
                what,
            }
        } else {
            error
        }
    })
}

fn check(db: &Connection) -> Result<(), StorageError> {
    let doing = "checking a database after an unclean stop";
    let found: String = db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .doing(doing)?;
    if found == "ok" {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(code, Some(found))).doing(doing)
}

fn migrate(db: &mut Connection, path: &Path, kind: Kind) -> Result<(), StorageError> {
    let doing = "bringing a database to the schema of this version";
    let found: usize = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .doing(doing)?;
    let known = kind.migrations.len();
    let Some(missing) = kind.migrations.get(found..) else {
        return Err(StorageError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    };
    if missing.is_empty() {
        return Ok(());
    }
    let tx = db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .doing(doing)?;
    for script in missing {
        tx.execute_batch(script).doing(doing)?;
    }
    tx.pragma_update(None, "user_version", known).doing(doing)?;
    tx.commit().doing(doing)
}

fn set_aside(folder: &Path, stamp_ms: i64) -> Result<PathBuf, StorageError> {
    let from = folder.join(BUFFER.file);
    let to = beside(&from, &format!(".damaged-{stamp_ms}"));
    // The log goes with it under the matching name, so that a person can still salvage both.
    for end in ["", "-wal", "-shm"] {
        let part = beside(&from, end);
        if part.exists() {
            std::fs::rename(&part, beside(&to, end))
                .map_err(|source| StorageError::Folder { path: part, source })?;
        }
    }
    Ok(to)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// A value of a `meta` table.
pub(super) fn meta<T: rusqlite::types::FromSql>(
    db: &Connection,
    key: &str,
) -> Result<Option<T>, StorageError> {
    use rusqlite::OptionalExtension as _;
    db.prepare_cached("SELECT value FROM meta WHERE key = ?1")
        .and_then(|mut query| query.query_row([key], |row| row.get(0)).optional())
        .doing("reading a setting")
}

/// Sets a value of a `meta` table.
pub(super) fn set_meta(
    db: &Connection,
    key: &str,
    value: impl rusqlite::ToSql,
) -> Result<(), StorageError> {
    db.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")
        .and_then(|mut insert| insert.execute((key, value)))
        .doing("writing a setting")?;
    Ok(())
}
