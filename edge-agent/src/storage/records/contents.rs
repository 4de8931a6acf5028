//! The index of attachments' contents in core.db: which are on this box, which the hub holds.
//! Never touches their files.

use super::super::error::{Doing as _, StorageError};
use super::{RecordChange, RecordTx};
use protocol::attachment::ContentHash;
use protocol::event::{RecordKind, RecordRef};
use protocol::sync::EdgeContent;
use rusqlite::{Connection, OptionalExtension as _};

/// Where the bytes of an attachment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ContentPlace {
    /// On this box.
    pub here: bool,
    /// At the hub, whole.
    pub at_hub: bool,
}

/// All contents together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ContentSum {
    /// How many are on this box.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of these the hub does not have.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
}

impl RecordTx<'_> {
    /// The file of a content is in its place and belongs to this record.
    pub(in crate::storage) fn keep_content(
        &mut self,
        content: EdgeContent,
        record: RecordRef,
    ) -> Result<(), StorageError> {
        self.db
            .execute(
                "INSERT INTO content (hash, bytes, added_at, record, here, at_hub)
                VALUES (?1, ?2, ?3, ?4, 1, 0)
                ON CONFLICT DO UPDATE SET here = 1, record = excluded.record",
                (
                    content.hash.0,
                    content.bytes,
                    self.now.0,
                    record.id.as_bytes().as_slice(),
                ),
            )
            .map(|_| ())
            .doing("noting an attachment")
    }
}

/// Where a content is.
pub(in crate::storage) fn place(
    db: &Connection,
    hash: ContentHash,
) -> Result<ContentPlace, StorageError> {
    db.prepare_cached("SELECT here, at_hub FROM content WHERE hash = ?1")
        .and_then(|mut query| {
            query
                .query_row([hash.0], |row| {
                    Ok(ContentPlace {
                        here: row.get(0)?,
                        at_hub: row.get(1)?,
                    })
                })
                .optional()
        })
        .map(Option::unwrap_or_default)
        .doing("looking up an attachment")
}

/// Contents on this box: those that the hub has (`true`) or has not, oldest first.
pub(in crate::storage) fn here(
    db: &Connection,
    at_hub: bool,
) -> Result<Vec<EdgeContent>, StorageError> {
    db.prepare_cached(
        "SELECT hash, bytes FROM content WHERE here = 1 AND at_hub = ?1 ORDER BY added_at",
    )
    .and_then(|mut query| {
        query
            .query_map([at_hub], |row| {
                Ok(EdgeContent {
                    hash: ContentHash(row.get(0)?),
                    bytes: row.get(1)?,
                })
            })?
            .collect()
    })
    .doing("listing attachments")
}

/// How much is on this box.
pub(in crate::storage) fn sum(db: &Connection) -> Result<ContentSum, StorageError> {
    db.prepare_cached(
        "SELECT count(*), coalesce(sum(bytes), 0), coalesce(sum(1 - at_hub), 0),
            coalesce(sum((1 - at_hub) * bytes), 0) FROM content WHERE here = 1",
    )
    .and_then(|mut query| {
        query.query_row([], |row| {
            Ok(ContentSum {
                count: row.get(0)?,
                bytes: row.get(1)?,
                waiting: row.get(2)?,
                waiting_bytes: row.get(3)?,
            })
        })
    })
    .doing("adding up attachments")
}

/// The file of a content is no longer here.
pub(in crate::storage) fn not_here(db: &Connection, hash: ContentHash) -> Result<(), StorageError> {
    db.execute("UPDATE content SET here = 0 WHERE hash = ?1", [hash.0])
        .map(|_| ())
        .doing("noting that an attachment is gone")
}

/// The hub holds a content whole. What changes for whoever looks at its order.
pub(in crate::storage) fn at_hub(
    db: &Connection,
    hash: ContentHash,
) -> Result<Option<RecordChange>, StorageError> {
    let record: Option<[u8; 16]> = db
        .query_row(
            "UPDATE content SET at_hub = 1 WHERE hash = ?1 RETURNING record",
            [hash.0],
            |row| row.get(0),
        )
        .optional()
        .doing("noting that the hub has an attachment")?;
    Ok(record.map(|id| RecordChange {
        record: RecordRef {
            kind: RecordKind::WorkOrder,
            id: uuid::Uuid::from_bytes(id),
        },
        events: Vec::new(),
    }))
}

/// The hub was put back from a copy: what it has of the contents here is to be asked again.
pub(in crate::storage) fn doubt(db: &Connection) -> Result<(), StorageError> {
    db.execute("UPDATE content SET at_hub = 0 WHERE here = 1", [])
        .map(|_| ())
        .doing("noting that the hub may lack attachments")
}
