//! Opening the two files: settings, migrations, checks, setting a damaged buffer aside.
//! Never touches what is in the tables.

use super::error::{Doing as _, StorageError};
use super::room::Disk;
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
        include_str!("schema/003_buffer.sql"),
    ],
    cache_kib: 1_024,
};

/// Events.
pub(super) const CORE: Kind = Kind {
    file: "core.db",
    migrations: &[
        include_str!("schema/001_core.sql"),
        include_str!("schema/002_core.sql"),
        include_str!("schema/003_core.sql"),
        include_str!("schema/004_core.sql"),
        include_str!("schema/005_core.sql"),
        include_str!("schema/deliveries_core.sql"),
        include_str!("schema/alarms_core.sql"),
        include_str!("schema/clocks_core.sql"),
    ],
    cache_kib: 512,
};

impl Kind {
    /// The newest schema that this program knows.
    pub(super) const fn newest(self) -> usize {
        self.migrations.len()
    }
}

/// Size of a page of both databases.
pub(super) const PAGE_BYTES: u64 = 4_096;
/// The write-ahead log is cut back to this after a checkpoint.
const WAL_BYTES_MAX: u64 = 4 << 20;
/// Pages of the log after which it is carried over: `SQLite`'s usual number, and on a full disk.
const LOG_PAGES_USUAL: u32 = 1_000;
const LOG_PAGES_SHORT: u32 = 64;
/// Page cache of a reading connection, in KiB.
const READER_CACHE_KIB: i64 = 256;
const BUSY_MS: u64 = 5_000;
/// Stands beside buffer.db when a statement found it damaged; the next start sets it aside.
pub(super) const SUSPECT: &str = "buffer.db.suspect";
/// Stands beside buffer.db while it is filled from a damaged one, and names that.
const SALVAGING: &str = "buffer.db.salvaging";
/// Room for what a migration itself writes, beside the copy.
const MIGRATION_BYTES: u64 = 8 << 20;

/// How much room the disk of a folder has.
pub(super) type Measure = fn(&Path) -> Option<Disk>;

/// A database that is open for writing.
pub(super) struct Opened {
    pub db: Connection,
    /// The process that had it before did not close it.
    pub unclean: bool,
}

/// Opens for writing, makes it when it is not there, checks it after an unclean stop.
///
/// Damage comes back as an error for which `is_damage` holds.
pub(super) fn open(folder: &Path, kind: Kind, disk: Measure) -> Result<Opened, StorageError> {
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
    // The events are few and cannot be had again: their damage is told at once, not when somebody
    // looks.
    if unclean || kind.file == CORE.file {
        check(&db)?;
    }
    if migrate(&mut db, &path, kind, disk)? {
        return Ok(Opened { db, unclean });
    }
    if !unclean {
        // The version before it is not wanted any more: this one was closed well.
        for before in 0..kind.migrations.len() {
            drop(std::fs::remove_file(backup(&path, before)));
        }
    }
    Ok(Opened { db, unclean })
}

/// Holds a database to a size; what does not fit is refused with `is_full`.
pub(super) fn limit(db: &Connection, bytes_max: u64) -> Result<(), StorageError> {
    let sql = format!("PRAGMA max_page_count = {}", bytes_max / PAGE_BYTES);
    db.query_row(&sql, [], |_| Ok(()))
        .doing("holding a database to its size")
}

/// How long the write-ahead log may become before it is carried over into the file. On a full disk
/// it has to be short: nothing else of a database that is held to its size still grows.
pub(super) fn log_length(db: &Connection, short: bool) -> Result<(), StorageError> {
    let pages = if short {
        LOG_PAGES_SHORT
    } else {
        LOG_PAGES_USUAL
    };
    db.query_row(&format!("PRAGMA wal_autocheckpoint = {pages}"), [], |_| {
        Ok(())
    })
    .doing("setting the length of a write-ahead log")
}

/// Carries the write-ahead log over into the file, so that it is written from its beginning again.
pub(super) fn carry_over(db: &Connection) -> Result<(), StorageError> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        .doing("carrying the write-ahead log over")
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

/// Opens buffer.db and loads it; a damaged one is moved aside, a new one made, and what can be read
/// copied into it by `salvage`. Says where the damaged one is now.
pub(super) fn open_buffer<T>(
    folder: &Path,
    stamp_ms: i64,
    disk: Measure,
    salvage: impl Fn(&Path, &mut Connection),
    load: impl Fn(Opened) -> Result<T, StorageError>,
) -> Result<(T, Option<PathBuf>), StorageError> {
    let (suspect, salvaging) = (folder.join(SUSPECT), folder.join(SALVAGING));
    let folder_error = |path: &Path| {
        let path = path.to_owned();
        |source| StorageError::Folder { path, source }
    };
    let half_done = std::fs::read_to_string(&salvaging).ok();
    if half_done.is_none() && !suspect.exists() {
        match open(folder, BUFFER, disk).and_then(&load) {
            Err(error) if error.is_damage() => {}
            other => return Ok((other?, None)),
        }
    }
    let aside = match half_done {
        // A crash came in between: the new file is not whole, the damaged one is still there.
        Some(name) => {
            remove(&folder.join(BUFFER.file))?;
            folder.join(name)
        }
        None => set_aside(folder, stamp_ms)?,
    };
    let name = aside.file_name().unwrap_or_default().as_encoded_bytes();
    std::fs::write(&salvaging, name).map_err(folder_error(&salvaging))?;
    let mut opened = open(folder, BUFFER, disk)?;
    salvage(&aside, &mut opened.db);
    let loaded = load(opened)?;
    for mark in [salvaging, suspect] {
        if mark.exists() {
            std::fs::remove_file(&mark).map_err(folder_error(&mark))?;
        }
    }
    Ok((loaded, Some(aside)))
}

/// Removes a database with its log.
fn remove(path: &Path) -> Result<(), StorageError> {
    for end in ["", "-wal", "-shm"] {
        let path = beside(path, end);
        if path.exists() {
            std::fs::remove_file(&path).map_err(|source| StorageError::Folder { path, source })?;
        }
    }
    Ok(())
}

/// Remembers for the next start that buffer.db is damaged.
pub(super) fn mark_suspect(folder: &Path) -> std::io::Result<()> {
    std::fs::write(folder.join(SUSPECT), b"")
}

/// Opens core.db; damage is told with what to do.
pub(super) fn open_core(folder: &Path, disk: Measure) -> Result<Opened, StorageError> {
    open(folder, CORE, disk).map_err(|error| core_damage(folder, error))
}

/// Makes sure that a failed start with core.db, also while it is loaded, says what to do.
pub(super) fn core_damage(folder: &Path, error: StorageError) -> StorageError {
    if !error.is_damage() {
        return error;
    }
    let what =
        std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    StorageError::CoreDamaged {
        path: folder.join(CORE.file),
        what,
    }
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

/// Runs the scripts that are missing, after a copy of the file was made. Says whether there were
/// any.
fn migrate(
    db: &mut Connection,
    path: &Path,
    kind: Kind,
    disk: Measure,
) -> Result<bool, StorageError> {
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
        return Ok(false);
    }
    if found > 0 {
        back_up(db, path, found, disk)?;
    }
    let tx = db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .doing(doing)?;
    for script in missing {
        tx.execute_batch(script).doing(doing)?;
    }
    tx.pragma_update(None, "user_version", known).doing(doing)?;
    tx.commit().doing(doing)?;
    Ok(true)
}

/// Copies a database before it is changed: the way back to the version before. It is removed at the
/// next start after a clean end.
fn back_up(
    db: &Connection,
    path: &Path,
    version: usize,
    disk: Measure,
) -> Result<(), StorageError> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .doing("emptying the log before a copy")?;
    let copy = backup(path, version);
    let folder_error = |source| StorageError::Folder {
        path: copy.clone(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(folder_error)?.len();
    let free_bytes = disk(path.parent().unwrap_or(path)).map_or(u64::MAX, |disk| disk.free_bytes);
    if free_bytes < bytes.saturating_add(MIGRATION_BYTES) {
        return Err(StorageError::NoRoomForCopy {
            path: path.to_owned(),
            bytes: bytes + MIGRATION_BYTES,
            free_bytes,
        });
    }
    std::fs::copy(path, &copy)
        .and_then(|_| std::fs::File::open(&copy)?.sync_all())
        .map_err(folder_error)
}

/// The copy that is made before a database of this version is changed.
fn backup(path: &Path, version: usize) -> PathBuf {
    beside(path, &format!(".version-{version}"))
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

/// The file that `SQLite` keeps beside a database.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
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
