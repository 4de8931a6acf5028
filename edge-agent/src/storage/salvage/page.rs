//! Opening a damaged database for reading, also when its first page is gone.
//! Never changes any other page.

use super::super::database::PAGE_BYTES;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Opens the damaged file for reading; with a first page out of the new one when its own is
/// damaged: the tables of both lie in the same places, because both were made by the same scripts.
pub(super) fn open(aside: &Path, new: &Connection) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(aside, flags)?;
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        db.prepare("SELECT id FROM stream")?;
        Ok(db)
    };
    open().ok().or_else(|| {
        let emptied = new.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        emptied.ok()?;
        let first = new.path().and_then(|path| first_page(Path::new(path)));
        put_first_page(aside, &first?).ok()?;
        open().ok()
    })
}

fn first_page(path: &Path) -> Option<Vec<u8>> {
    let mut page = vec![0; usize::try_from(PAGE_BYTES).ok()?];
    File::open(path).ok()?.read_exact(&mut page).ok()?;
    Some(page)
}

/// Writes a first page that says how many pages the file has and that none is free.
fn put_first_page(path: &Path, first: &[u8]) -> std::io::Result<()> {
    /// Where the header has the number of pages, and where the free pages begin and their number.
    const PAGES_AT: usize = 28;
    const FREE_AT: std::ops::Range<usize> = 32..40;
    let mut page = first.to_vec();
    let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
    let pages = u32::try_from(file.metadata()?.len() / PAGE_BYTES).unwrap_or(u32::MAX);
    if let Some(at) = page.get_mut(PAGES_AT..PAGES_AT + 4) {
        at.copy_from_slice(&pages.to_be_bytes());
    }
    if let Some(at) = page.get_mut(FREE_AT) {
        at.fill(0);
    }
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&page)?;
    file.sync_all()
}
