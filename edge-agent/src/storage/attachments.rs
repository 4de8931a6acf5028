//! Attachments of work orders on the box: the bytes as files named by their hash, durable before
//! the event that tells of them. Never gives up bytes that the hub does not hold.
//!
//! What is over the room for attachments goes oldest first, of those that the hub holds; the event
//! stays, and the page says that the bytes are at the hub. When all that is left waits for the hub,
//! a new one is refused. Attachments never take the last of the disk: that is for readings and
//! events.

mod files;

pub use files::Received;

use super::error::StorageError;
use super::records::{ContentPlace, ContentSum, NewEvent, contents};
use super::{Disk, Storage};
use files::Incoming;
use protocol::attachment::{ContentHash, clean_name};
use protocol::event::{Actor, Attached, Body, Event, WorkOrderEvent};
use protocol::id::{EventId, WorkOrderId};
use protocol::limits::ATTACHMENT_BYTES_MAX;
use protocol::sync::EdgeContent;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

/// Most contents on the box at the same time.
const CONTENTS_MAX: u64 = 4_000;
/// What attachments leave free on the disk.
const DISK_LEFT_BYTES: u64 = 2 * ATTACHMENT_BYTES_MAX;
/// Name of the folder beside the databases.
const FOLDER: &str = "attachments";

/// Why an attachment was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// No bytes.
    #[error("the file is empty; choose another one")]
    Empty,
    /// Too many bytes.
    #[error(
        "the file is longer than {} MiB; take the photo in a lower resolution, or split the document",
        ATTACHMENT_BYTES_MAX >> 20
    )]
    TooLong,
    /// The sender went away before the end.
    #[error("the file did not arrive whole; add it again")]
    Broken,
    /// No such order.
    #[error("there is no such work order")]
    NoOrder,
    /// All that is here waits for the hub.
    #[error(
        "this box holds {count} photos and documents ({held_mib} MiB) that the hub does not have yet, \
        and keeps {max_mib} MiB of them; bring the link to the hub up, or set a larger \
        attachments_max in [storage]"
    )]
    Full {
        /// How many wait.
        count: u64,
        /// How much they take.
        held_mib: u64,
        /// How much is kept.
        max_mib: u64,
    },
    /// The disk has to keep room for readings and events.
    #[error(
        "the disk of this box is nearly full, and what is left is for readings and work orders; make \
        room on it"
    )]
    DiskFull,
    /// A file of the folder.
    #[error("{action} {path}")]
    File {
        /// What was being done to it.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A photo or document for an order.
#[derive(Debug)]
pub struct NewAttachment {
    /// The order.
    pub order: WorkOrderId,
    /// Who adds it.
    pub actor: Actor,
    /// What its file is called.
    pub name: String,
    /// What the person says of it.
    pub note: Option<String>,
    /// Its bytes.
    pub received: Received,
}

/// Where the contents are, and how many may be there.
#[derive(Debug)]
pub(super) struct Attachments {
    folder: PathBuf,
    bytes_max: u64,
    disk: fn(&Path) -> Option<Disk>,
    /// One content finds or loses its place at a time.
    turn: Mutex<()>,
}

impl Attachments {
    /// Brings folder and index together after whatever happened: files that no event tells of go.
    pub(super) fn open(
        data_folder: &Path,
        (bytes_max, disk): (u64, fn(&Path) -> Option<Disk>),
        core: &Connection,
    ) -> Result<Arc<Self>, StorageError> {
        let folder = data_folder.join(FOLDER);
        let mut known = contents::here(core, false)?;
        known.extend(contents::here(core, true)?);
        let known: Vec<_> = known
            .iter()
            .map(|known| (known.hash, known.bytes))
            .collect();
        let missing = files::tidy(&folder, &known).map_err(|source| StorageError::Folder {
            path: folder.clone(),
            source,
        })?;
        for hash in missing {
            tell_gone(hash);
            contents::not_here(core, hash)?;
        }
        Ok(Arc::new(Self {
            folder,
            bytes_max,
            disk,
            turn: Mutex::default(),
        }))
    }

    fn disk_has_room(&self) -> bool {
        let disk = (self.disk)(&self.folder);
        disk.is_none_or(|disk| disk.free_bytes >= DISK_LEFT_BYTES)
    }
}

fn tell_gone(hash: ContentHash) {
    tracing::error!(%hash, "the bytes of an attachment are no longer on this box, or not whole");
}

impl Storage {
    /// Takes the bytes of a content in parts, `None` after the last one. A sender that goes before
    /// it leaves nothing behind.
    pub async fn receive(
        &self,
        mut parts: mpsc::Receiver<Option<Vec<u8>>>,
    ) -> Result<Received, AttachError> {
        let attachments = self.attachments.clone();
        let receive = move || {
            if !attachments.disk_has_room() {
                return Err(AttachError::DiskFull);
            }
            let mut incoming = Incoming::begin(&attachments.folder)?;
            loop {
                match parts.blocking_recv() {
                    Some(Some(bytes)) => incoming.write(&bytes)?,
                    Some(None) => return incoming.finish(),
                    None => return Err(AttachError::Broken),
                }
            }
        };
        blocking(receive).await
    }

    /// Adds a content to an order: its bytes are in their place before its event is. The same bytes
    /// on the same order are one attachment, however often they come.
    pub async fn attach(&self, new: NewAttachment) -> Result<Event, AttachError> {
        let attachments = self.attachments.clone();
        let _turn = attachments.turn.lock().await;
        let content = EdgeContent {
            hash: new.received.hash,
            bytes: new.received.bytes,
        };
        if self.work_order(new.order).await?.is_none() {
            return Err(AttachError::NoOrder);
        }
        let hash = content.hash;
        let before = self.core.read(move |db| contents::place(db, hash)).await?;
        if !before.here {
            self.make_room(content.bytes).await?;
            let folder = attachments.folder.clone();
            let received = new.received;
            let media_type = received.media_type;
            blocking(move || files::put(&folder, &received)).await?;
            let told = self
                .tell(
                    new.order,
                    (new.actor, new.name, new.note),
                    content,
                    media_type,
                )
                .await;
            if told.is_err() {
                let folder = attachments.folder.clone();
                blocking(move || files::remove(&folder, hash)).await?;
            }
            return told;
        }
        let media_type = new.received.media_type;
        self.tell(
            new.order,
            (new.actor, new.name, new.note),
            content,
            media_type,
        )
        .await
    }

    async fn tell(
        &self,
        order: WorkOrderId,
        (actor, name, note): (Actor, String, Option<String>),
        content: EdgeContent,
        media_type: &str,
    ) -> Result<Event, AttachError> {
        let attached = Attached {
            hash: content.hash,
            name: clean_name(&name),
            media_type: media_type.to_owned(),
            bytes: content.bytes,
            note,
        };
        let event = NewEvent {
            id: Some(EventId(Uuid::new_v5(&order.0, &content.hash.0))),
            actor,
            record: order.into(),
            body: Body::WorkOrder(WorkOrderEvent::Attached(attached)),
        };
        let told = self.records(move |tx| {
            let event = tx.append(event)?;
            tx.keep_content(content, event.record)?;
            Ok::<_, StorageError>(event)
        });
        Ok(told.await?)
    }

    /// Gives up what the hub holds, oldest first, until there is room for `bytes` more.
    async fn make_room(&self, bytes: u64) -> Result<(), AttachError> {
        let attachments = self.attachments.clone();
        let (sum, at_hub) = self
            .core
            .read(|db| Ok((contents::sum(db)?, contents::here(db, true)?)))
            .await?;
        let (mut count, mut held) = (sum.count, sum.bytes);
        let fits = |count: u64, held: u64| {
            count < CONTENTS_MAX && held.saturating_add(bytes) <= attachments.bytes_max
        };
        for content in at_hub {
            if fits(count, held) {
                break;
            }
            // The index first: a file that nobody knows goes at the next start.
            let hash = content.hash;
            self.job(move |writer| contents::not_here(&writer.core.db, hash))
                .await?;
            let folder = attachments.folder.clone();
            blocking(move || files::remove(&folder, hash)).await?;
            (count, held) = (count.saturating_sub(1), held.saturating_sub(content.bytes));
        }
        if !fits(count, held) {
            return Err(AttachError::Full {
                count: sum.waiting,
                held_mib: sum.waiting_bytes.div_ceil(1 << 20),
                max_mib: attachments.bytes_max >> 20,
            });
        }
        if attachments.disk_has_room() {
            Ok(())
        } else {
            Err(AttachError::DiskFull)
        }
    }

    /// Bytes of a content from `offset` on, at most `bytes_max`; none when they are not here.
    pub async fn content(
        &self,
        hash: ContentHash,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Vec<u8>, AttachError> {
        let folder = self.attachments.folder.clone();
        let read = blocking(move || files::read(&folder, hash, offset, bytes_max)).await;
        match read {
            Err(AttachError::File { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                let place = self.core.read(move |db| contents::place(db, hash)).await?;
                if place.here {
                    tell_gone(hash);
                    self.job(move |writer| contents::not_here(&writer.core.db, hash))
                        .await?;
                }
                Ok(Vec::new())
            }
            read => read,
        }
    }

    /// The hub got other bytes of this content than its hash says: whether those on this disk are
    /// still right. When not, they are no longer counted as here, and not sent again and again.
    pub async fn content_is_right(&self, hash: ContentHash) -> Result<bool, AttachError> {
        let folder = self.attachments.folder.clone();
        let right = blocking(move || files::is_right(&folder, hash)).await?;
        if !right {
            tell_gone(hash);
            self.job(move |writer| contents::not_here(&writer.core.db, hash))
                .await?;
        }
        Ok(right)
    }

    /// Where the bytes of each content are, in this order.
    pub async fn content_places(
        &self,
        hashes: Vec<ContentHash>,
    ) -> Result<Vec<ContentPlace>, StorageError> {
        let places = move |db: &Connection| {
            let places = hashes.iter().map(|hash| contents::place(db, *hash));
            places.collect()
        };
        self.core.read(places).await
    }

    /// Contents that the hub has not confirmed, oldest first.
    pub async fn contents_waiting(&self) -> Result<Vec<EdgeContent>, StorageError> {
        self.core.read(|db| contents::here(db, false)).await
    }

    /// How much of attachments is on this box.
    pub async fn contents_sum(&self) -> Result<ContentSum, StorageError> {
        self.core.read(contents::sum).await
    }

    /// The hub holds a content whole.
    pub async fn content_at_hub(&self, hash: ContentHash) -> Result<(), StorageError> {
        let change = self
            .job(move |writer| contents::at_hub(&writer.core.db, hash))
            .await?;
        if let Some(change) = change {
            // Nobody listens: that is no error.
            drop(self.changes.send(change));
        }
        Ok(())
    }

    /// The hub was put back from a copy: it is asked for every content again.
    pub async fn doubt_contents(&self) -> Result<(), StorageError> {
        self.job(|writer| contents::doubt(&writer.core.db)).await
    }
}

/// Works with files beside the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AttachError> + Send + 'static,
) -> Result<T, AttachError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StorageError::Stopped)?
}
