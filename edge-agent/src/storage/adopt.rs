//! A new box takes the place of another one: its store takes that one's id. Never while it holds a
//! fact of its own: facts are of the one who wrote them for ever.

use super::database;
use super::error::{Doing as _, StorageError};
use super::open::lock;
use protocol::id::GatewayId;
use std::path::Path;

/// Gives the empty store in `folder` the id of the gateway whose place this box takes. No agent may
/// run on it. Its incarnations are made anew at every opening: none is one of the old box.
pub fn adopt(folder: &Path, gateway: GatewayId) -> Result<(), StorageError> {
    let _lock = lock(folder)?;
    let doing = "taking another gateway's place";
    let db = database::open_core(folder, super::Disk::of)?.db;
    let facts: bool = db
        .query_row("SELECT EXISTS (SELECT 1 FROM event)", [], |row| row.get(0))
        .doing(doing)?;
    if facts {
        return Err(StorageError::NotEmpty {
            folder: folder.to_owned(),
        });
    }
    database::set_meta(&db, "gateway", gateway.0.as_bytes().as_slice())
}
