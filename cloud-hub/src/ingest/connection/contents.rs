//! Chunks of attachments on their way to the disk, beside everything else that a connection brings:
//! an alert never waits for a photo's bytes. Never answers a chunk before it is synced.

use super::super::IngestError;
use super::super::accept::chain;
use super::Gateway;
use crate::store::{Store, StoreError};
use crate::tenants::TenantScope;
use protocol::attachment::ContentHash;
use protocol::id::GatewayId;
use protocol::sync::{ChunkStored, ContentChunk};
use protocol::wire::v1::OfferedContentV1;
use tokio::sync::mpsc;

/// Chunks that wait for the disk. A gateway that sends more waits; its other lanes do not.
const WAITING_MAX: usize = 64;
/// Bytes that are written and synced together.
const TOGETHER_BYTES: usize = 256 << 10;

/// The way of one gateway's chunks to the disk.
#[derive(Debug)]
pub(super) struct Contents {
    chunks: mpsc::Sender<ContentChunk>,
    stored: mpsc::Receiver<(ContentHash, ChunkStored)>,
}

impl Contents {
    /// Begins to write; ends when this is dropped.
    pub(super) fn start(store: Store, scope: TenantScope, gateway: GatewayId) -> Self {
        let (chunks, waiting) = mpsc::channel(WAITING_MAX);
        let (told, stored) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write(store, (scope, gateway), waiting, told));
        Self { chunks, stored }
    }

    /// Hands a chunk over. While there is no room, answers what became of an earlier one instead
    /// and gives the chunk back.
    pub(super) async fn push(
        &mut self,
        chunk: ContentChunk,
    ) -> Result<Option<(ContentChunk, ContentHash, ChunkStored)>, IngestError> {
        tokio::select! {
            room = self.chunks.reserve() => match room {
                Ok(room) => {
                    room.send(chunk);
                    Ok(None)
                }
                Err(_) => Err(StoreError::Stopped.into()),
            },
            Some((hash, stored)) = self.stored.recv() => Ok(Some((chunk, hash, stored))),
        }
    }

    /// What became of the oldest chunk.
    pub(super) async fn stored(&mut self) -> Option<(ContentHash, ChunkStored)> {
        self.stored.recv().await
    }
}

impl Gateway {
    pub(super) async fn contents_offered(
        &mut self,
        offered: &[OfferedContentV1],
    ) -> Result<(), IngestError> {
        let held = self
            .store
            .contents_held(self.scope, self.id, offered.to_vec())
            .await?;
        Ok(self.session.handle_contents_answer(offered, &held)?)
    }

    pub(super) async fn store_chunk(&mut self, chunk: ContentChunk) -> Result<(), IngestError> {
        let (store, scope, gateway) = (&self.store, self.scope, self.id);
        let contents = self
            .contents
            .get_or_insert_with(|| Contents::start(store.clone(), scope, gateway));
        let mut next = Some(chunk);
        while let Some(chunk) = next.take() {
            if let Some((chunk, hash, stored)) = contents.push(chunk).await? {
                self.session.handle_chunk_stored(hash, stored)?;
                next = Some(chunk);
            }
        }
        Ok(())
    }
}

/// What became of a chunk; never, while there was none.
pub(super) async fn stored(contents: &mut Option<Contents>) -> Option<(ContentHash, ChunkStored)> {
    match contents {
        Some(contents) => contents.stored().await,
        None => std::future::pending().await,
    }
}

async fn write(
    store: Store,
    (scope, gateway): (TenantScope, GatewayId),
    mut waiting: mpsc::Receiver<ContentChunk>,
    told: mpsc::Sender<(ContentHash, ChunkStored)>,
) {
    let mut next = None;
    // What was refused: what comes after it in the same content has no place.
    let mut refused: Option<(ContentHash, String)> = None;
    loop {
        let first = match next.take() {
            Some(chunk) => chunk,
            None => match waiting.recv().await {
                Some(chunk) => chunk,
                None => return,
            },
        };
        let (together, frames) = gather(first, &mut waiting, &mut next);
        let (hash, last) = (together.hash, together.last);
        let begins_anew = together.offset == 0;
        let stored = match &refused {
            Some((known, words)) if *known == hash && !begins_anew => {
                ChunkStored::Refused(words.clone())
            }
            _ => match store.store_chunk(scope, gateway, together).await {
                Ok(stored) => stored,
                Err(error) => {
                    let words = chain(&error);
                    tracing::error!(%gateway, %hash, error = words, "an attachment cannot be stored");
                    refused = Some((hash, words.clone()));
                    ChunkStored::Refused(words)
                }
            },
        };
        for frame in 1..=frames {
            let answer = match &stored {
                // The last frame brought the end.
                ChunkStored::Kept | ChunkStored::Wrong if frame < frames || !last => {
                    ChunkStored::Held
                }
                stored => stored.clone(),
            };
            if told.send((hash, answer)).await.is_err() {
                return;
            }
        }
    }
}

/// Joins what waits of the same content; how many frames that are. Another content's chunk is put
/// into `next`.
fn gather(
    mut together: ContentChunk,
    waiting: &mut mpsc::Receiver<ContentChunk>,
    next: &mut Option<ContentChunk>,
) -> (ContentChunk, usize) {
    let mut frames = 1;
    while !together.last && together.bytes.len() < TOGETHER_BYTES {
        match waiting.try_recv() {
            Ok(chunk) if chunk.hash == together.hash => {
                together.bytes.extend(chunk.bytes);
                together.last = chunk.last;
                frames += 1;
            }
            Ok(other) => {
                *next = Some(other);
                break;
            }
            Err(_) => break,
        }
    }
    (together, frames)
}
