//! Brings the file of an older hub up to date, forward only, after a copy of it was made. Never
//! touches the file of a newer one.

use super::error::{Doing as _, StoreError};
use super::sql;
use rusqlite::{Connection, TransactionBehavior};
use std::path::{Path, PathBuf};

/// The layouts, oldest first; the number of the newest stands in the file as `user_version`.
const LAYOUTS: [&str; 9] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_rollups.sql"),
    include_str!("migrations/0003_replace.sql"),
    include_str!("migrations/0004_contents.sql"),
    include_str!("migrations/0005_down_lane.sql"),
    include_str!("migrations/0006_authority.sql"),
    include_str!("migrations/0007_words.sql"),
    include_str!("migrations/0008_bundle.sql"),
    include_str!("migrations/notified.sql"),
];

/// Brings an older layout up to date, one layout per transaction.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found = layout(connection)?;
    if found > LAYOUTS.len() {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: LAYOUTS.len(),
        });
    }
    if found > 0 && found < LAYOUTS.len() {
        let copy = copy(connection, path, found)?;
        tracing::info!(copy = %copy.display(), "the store is brought to a new layout; it was copied first");
    }
    for (layout, script) in (1_i64..).zip(LAYOUTS).skip(found) {
        let step = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("begin a migration")?;
        step.execute_batch(script).doing("migrate")?;
        step.pragma_update(None, "user_version", layout)
            .doing("note its layout number")?;
        step.commit().doing("commit a migration")?;
    }
    Ok(())
}

fn layout(connection: &Connection) -> Result<usize, StoreError> {
    connection
        .pragma_query_value(None, "user_version", |row| sql::count(row, 0))
        .doing("read its layout number")
}

/// A whole copy beside the file. One that an earlier attempt made is kept: it is older.
fn copy(connection: &Connection, path: &Path, layout: usize) -> Result<PathBuf, StoreError> {
    let named = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let copy = named(&format!(".layout-{layout}"));
    if copy.exists() {
        return Ok(copy);
    }
    let part = named(".copying");
    // Left by an attempt that was cut off.
    drop(std::fs::remove_file(&part));
    write_copy(connection, &part)?;
    std::fs::rename(&part, &copy).map_err(|source| StoreError::Copy {
        path: copy.clone(),
        source,
    })?;
    Ok(copy)
}

/// Writes all of the store into a new file, one state of it, while others read and write.
pub(super) fn write_copy(connection: &Connection, to: &Path) -> Result<(), StoreError> {
    let name = to.to_str().ok_or_else(|| StoreError::Copy {
        path: to.to_owned(),
        source: std::io::Error::other("its name is not Unicode"),
    })?;
    connection
        .execute("VACUUM INTO ?1", [name])
        .doing("copy itself; is there room on the disk, and no file of that name yet?")?;
    let synced = std::fs::File::open(to).and_then(|file| file.sync_all());
    synced.map_err(|source| StoreError::Copy {
        path: to.to_owned(),
        source,
    })
}
