//! Contents of attachments at the hub: files that grow by what a gateway sends, and are kept when
//! their hash is right. A chunk counts when its bytes are synced and its row is committed; what a
//! crash leaves behind it in the file is cut off. Contents are never removed.
//! Never decides who may see one: the caller has looked its work order up.

use super::changes::{Change, Changed};
use super::error::{Doing as _, StoreError};
use super::{Store, sql};
use crate::tenants::TenantScope;
use protocol::attachment::{ContentDigest, ContentHash};
use protocol::id::{GatewayId, WorkOrderId};
use protocol::limits::ATTACHMENT_BYTES_MAX;
use protocol::sync::{ChunkStored, ContentChunk, ContentState};
use protocol::wire::v1::OfferedContentV1;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Name of the folder beside the database.
const FOLDER: &str = "attachments";
/// Bytes that are read of a file at once.
const READ_BYTES: usize = 64 << 10;

/// A content in the store.
#[derive(Clone, Copy, Debug)]
struct Row {
    bytes: u64,
    held: u64,
    whole: bool,
}

/// The folder of all contents.
pub(super) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

impl Store {
    /// What is held of each of these contents of a gateway, in their order. From then on they are
    /// expected.
    pub async fn contents_held(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        offered: Vec<OfferedContentV1>,
    ) -> Result<Vec<(u64, ContentState)>, StoreError> {
        let folder = self.contents.join(gateway.to_string());
        self.write(move |work| {
            let held = offered
                .iter()
                .map(|offered| held(work.sql, (scope, gateway), &folder, offered));
            held.collect()
        })
        .await
    }

    /// Writes bytes of a content. They are on the disk when this answers.
    pub async fn store_chunk(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        chunk: ContentChunk,
    ) -> Result<ChunkStored, StoreError> {
        let (hash, last) = (chunk.hash, chunk.last);
        let length = u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
        let held = chunk.offset.saturating_add(length);
        let folder = self.contents.join(gateway.to_string());
        let right = blocking(move || {
            append(&folder, &chunk)?;
            if chunk.last {
                keep(&folder, chunk.hash)
            } else {
                Ok(true)
            }
        })
        .await?;
        self.write(move |work| {
            let key = (scope.key(), gateway.0.into_bytes(), hash.0);
            let (held, whole) = if right { (held, last) } else { (0, false) };
            let (scope_key, gateway, hash_key) = key;
            work.sql
                .execute(
                    "UPDATE content SET held = ?4, whole = ?5
                    WHERE tenant_id = ?1 AND gateway_id = ?2 AND hash = ?3",
                    params![scope_key, gateway, hash_key, sql::int(held), whole],
                )
                .doing("note how far an attachment goes")?;
            if whole {
                for order in orders_of(work.sql, scope, hash)? {
                    let what = Changed::WorkOrder(order);
                    work.changes.push(Change { scope, what });
                }
            }
            Ok(match (right, last) {
                (true, true) => ChunkStored::Kept,
                (true, false) => ChunkStored::Held,
                (false, _) => ChunkStored::Wrong,
            })
        })
        .await
    }

    /// Which of these contents of a gateway are here whole, in their order.
    pub async fn contents_whole(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        hashes: Vec<ContentHash>,
    ) -> Result<Vec<bool>, StoreError> {
        self.engine
            .read(move |sql| {
                let whole = |hash: &ContentHash| {
                    let row = row(sql, (scope, gateway), *hash)?;
                    Ok(row.is_some_and(|row| row.whole))
                };
                hashes.iter().map(whole).collect()
            })
            .await
    }

    /// A content of a gateway, to be read from its beginning, and how long it is.
    pub async fn open_content(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        hash: ContentHash,
    ) -> Result<(File, u64), StoreError> {
        let path = self
            .contents
            .join(gateway.to_string())
            .join(hash.to_string());
        self.engine
            .read(move |sql| {
                let row = row(sql, (scope, gateway), hash)?.filter(|row| row.whole);
                let what = "attachment at this hub";
                let row = row.ok_or(StoreError::NotFound { what })?;
                let file = File::open(&path).map_err(failed("open", &path))?;
                Ok((file, row.bytes))
            })
            .await
    }
}

fn held(
    sql: &Connection,
    (scope, gateway): (TenantScope, GatewayId),
    folder: &Path,
    offered: &OfferedContentV1,
) -> Result<(u64, ContentState), StoreError> {
    if offered.bytes == 0 || offered.bytes > ATTACHMENT_BYTES_MAX {
        return Ok((0, ContentState::Refused));
    }
    let length = |path: PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
    let row = row(sql, (scope, gateway), offered.hash)?.filter(|row| row.bytes == offered.bytes);
    // Moved into its place after its hash was compared: a crash came before the row.
    let whole = length(path(folder, offered.hash)) == offered.bytes;
    let held = match row {
        _ if whole => offered.bytes,
        // A file that is shorter than its row was put back from elsewhere.
        Some(row) => row.held.min(length(part(folder, offered.hash))),
        None => 0,
    };
    // Never all of it: with the last byte the hash is compared.
    let held = if whole {
        held
    } else {
        held.min(offered.bytes - 1)
    };
    sql.prepare_cached(
        "INSERT INTO content (tenant_id, gateway_id, hash, bytes, held, whole)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT DO UPDATE SET bytes = excluded.bytes, held = excluded.held,
            whole = excluded.whole",
    )
    .and_then(|mut query| {
        query.execute(params![
            scope.key(),
            gateway.0.into_bytes(),
            offered.hash.0,
            sql::int(offered.bytes),
            sql::int(held),
            whole
        ])
    })
    .doing("expect an attachment")?;
    let state = if whole {
        ContentState::Kept
    } else {
        ContentState::Wanted
    };
    Ok((held, state))
}

fn row(
    sql: &Connection,
    (scope, gateway): (TenantScope, GatewayId),
    hash: ContentHash,
) -> Result<Option<Row>, StoreError> {
    sql.prepare_cached(
        "SELECT bytes, held, whole FROM content
        WHERE tenant_id = ?1 AND gateway_id = ?2 AND hash = ?3",
    )
    .and_then(|mut query| {
        query
            .query_row((scope.key(), gateway.0.into_bytes(), hash.0), |row| {
                Ok(Row {
                    bytes: sql::uint(row.get(0)?),
                    held: sql::uint(row.get(1)?),
                    whole: row.get(2)?,
                })
            })
            .optional()
    })
    .doing("look up an attachment")
}

/// Notes that an order has a content.
pub(super) fn belongs_to(
    sql: &Connection,
    scope: TenantScope,
    hash: ContentHash,
    order: WorkOrderId,
) -> Result<(), StoreError> {
    sql.prepare_cached(
        "INSERT OR IGNORE INTO work_order_content (tenant_id, hash, work_order_id)
        VALUES (?1, ?2, ?3)",
    )
    .and_then(|mut query| query.execute((scope.key(), hash.0, order.0.into_bytes())))
    .map(|_| ())
    .doing("note the attachments of a work order")
}

fn orders_of(
    sql: &Connection,
    scope: TenantScope,
    hash: ContentHash,
) -> Result<Vec<WorkOrderId>, StoreError> {
    sql.prepare_cached(
        "SELECT work_order_id FROM work_order_content WHERE tenant_id = ?1 AND hash = ?2",
    )
    .and_then(|mut query| {
        query
            .query_map((scope.key(), hash.0), |row| sql::id(row, 0))?
            .collect()
    })
    .doing("look up whose an attachment is")
}

fn path(folder: &Path, hash: ContentHash) -> PathBuf {
    folder.join(hash.to_string())
}

fn part(folder: &Path, hash: ContentHash) -> PathBuf {
    folder.join(format!("{hash}.part"))
}

/// Writes bytes where the ones before them end.
fn append(folder: &Path, chunk: &ContentChunk) -> Result<(), StoreError> {
    let part = part(folder, chunk.hash);
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut options = File::options();
        let mut file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(&part)?;
        // Behind what counts there may be what a crash left.
        file.set_len(chunk.offset)?;
        file.seek(SeekFrom::Start(chunk.offset))?;
        file.write_all(&chunk.bytes)?;
        file.sync_data()
    };
    write().map_err(failed("write", &part))
}

/// Puts a whole content into its place when its hash is right; throws it away when not.
fn keep(folder: &Path, hash: ContentHash) -> Result<bool, StoreError> {
    let part = part(folder, hash);
    if hash_of(&part)? != hash {
        std::fs::remove_file(&part).map_err(failed("remove", &part))?;
        return Ok(false);
    }
    let to = path(folder, hash);
    std::fs::rename(&part, &to)
        .and_then(|()| File::open(folder)?.sync_all())
        // Its own name too, when it is new.
        .and_then(|()| File::open(folder.parent().unwrap_or(folder))?.sync_all())
        .map_err(failed("keep", &to))?;
    Ok(true)
}

fn hash_of(path: &Path) -> Result<ContentHash, StoreError> {
    let mut digest = ContentDigest::default();
    let mut buffer = vec![0; READ_BYTES];
    let read = || {
        let mut file = File::open(path)?;
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(digest.finish());
            }
            digest.update(buffer.get(..count).unwrap_or_default());
        }
    };
    read().map_err(failed("read", path))
}

/// Reads every content that is whole; how many there are, and what is wrong with them in words.
pub(super) fn check(sql: &Connection, data_dir: &Path) -> rusqlite::Result<(u64, Vec<String>)> {
    let mut query = sql.prepare("SELECT gateway_id, hash FROM content WHERE whole = 1")?;
    let mut rows = query.query([])?;
    let (mut count, mut problems) = (0, Vec::new());
    while let Some(row) = rows.next()? {
        let (gateway, hash): (GatewayId, _) = (sql::id(row, 0)?, ContentHash(row.get(1)?));
        count += 1;
        let path = path(&folder(data_dir).join(gateway.to_string()), hash);
        let words = match hash_of(&path) {
            Ok(found) if found == hash => continue,
            Ok(_) => "its bytes are not those that were sent".to_owned(),
            Err(error) => std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string),
        };
        problems.push(format!("attachment {}: {words}", path.display()));
    }
    Ok((count, problems))
}

/// Copies every whole content in `folder` to `to`, which is made; how many.
pub(super) fn copy(folder: &Path, to: &Path) -> Result<u64, StoreError> {
    let mut count = 0;
    let copied = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Copy { path, source }
    };
    let Ok(gateways) = std::fs::read_dir(folder) else {
        return Ok(0); // Nothing was ever attached.
    };
    for gateway in gateways {
        let gateway = gateway.map_err(copied(to))?;
        let target = to.join(gateway.file_name());
        std::fs::create_dir_all(&target).map_err(copied(&target))?;
        for entry in std::fs::read_dir(gateway.path()).map_err(copied(&gateway.path()))? {
            let entry = entry.map_err(copied(&target))?;
            let name = entry.file_name();
            let whole = name
                .to_str()
                .is_some_and(|name| name.parse::<ContentHash>().is_ok());
            if !whole {
                continue;
            }
            let file = target.join(name);
            std::fs::copy(entry.path(), &file)
                .and_then(|_| File::open(&file)?.sync_all())
                .map_err(copied(&file))?;
            count += 1;
        }
    }
    Ok(count)
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Content { what, path, source }
}

/// Works with files beside the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StoreError::Stopped)?
}
