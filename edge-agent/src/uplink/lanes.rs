//! The lanes of one connection, the same whatever carries them: a queue for each towards the hub,
//! one channel of frames from it. Never looks into a frame.

use super::UplinkError;
use protocol::sync::Lane;
use protocol::wire::{Frame, FrameReader};
use quinn::{Connection, RecvStream, SendStream};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;

/// Frames of the hub that were read and are not yet handled.
const INBOX_FRAMES_MAX: usize = 32;
/// Frames to be written per lane; the session's windows keep it far below.
const OUTBOX_FRAMES_MAX: usize = 1_024;
const READ_BYTES: usize = 16 << 10;

/// What a reader brings.
pub(super) type Inbound = Result<(Lane, Frame), UplinkError>;

/// The writing ends of a connection's lanes; the connection is closed when it is dropped.
#[derive(Debug)]
pub(super) struct Lanes {
    connection: Connection,
    writers: BTreeMap<Lane, mpsc::Sender<Vec<u8>>>,
}

impl Lanes {
    /// Opens all lanes, each a stream with its priority; the first byte on each is its number.
    pub(super) async fn open(
        connection: Connection,
    ) -> Result<(Self, mpsc::Receiver<Inbound>), UplinkError> {
        let (inbox, inbound) = mpsc::channel(INBOX_FRAMES_MAX);
        let mut writers = BTreeMap::new();
        for lane in Lane::ALL {
            let failed = |source: Box<dyn std::error::Error + Send + Sync>| UplinkError::Lane {
                action: "opening",
                lane: lane.number(),
                source,
            };
            let (mut send, receive) = connection.open_bi().await?;
            send.set_priority(lane.priority())
                .map_err(|error| failed(error.into()))?;
            send.write_all(&[lane.number()])
                .await
                .map_err(|error| failed(error.into()))?;
            writers.insert(lane, writer(send, lane));
            tokio::spawn(reader(lane, receive, inbox.clone()));
        }
        Ok((
            Self {
                connection,
                writers,
            },
            inbound,
        ))
    }

    /// Hands bytes to a lane's writer; waits while its queue is full.
    pub(super) async fn send(&self, lane: Lane, bytes: Vec<u8>) -> Result<(), UplinkError> {
        let gone = || UplinkError::Lane {
            action: "writing",
            lane: lane.number(),
            source: "the connection is closed".into(),
        };
        let writer = self.writers.get(&lane).ok_or_else(gone)?;
        writer.send(bytes).await.map_err(|_| gone())
    }

    /// Waits for the end of the connection and says why it ended.
    pub(super) async fn closed(&self) -> UplinkError {
        self.connection.closed().await.into()
    }

    /// How long a packet and its answer take at present, queues on the way included.
    pub(super) fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    /// Address of the hub.
    pub(super) fn remote(&self) -> SocketAddr {
        self.connection.remote_address()
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.connection.close(0_u32.into(), b"");
    }
}

fn writer(mut stream: SendStream, lane: Lane) -> mpsc::Sender<Vec<u8>> {
    let (sender, mut queue) = mpsc::channel::<Vec<u8>>(OUTBOX_FRAMES_MAX);
    tokio::spawn(async move {
        while let Some(bytes) = queue.recv().await {
            if let Err(error) = stream.write_all(&bytes).await {
                tracing::debug!(lane = lane.number(), %error, "a lane can no longer be written");
                return;
            }
        }
    });
    sender
}

async fn reader(lane: Lane, mut receive: RecvStream, inbox: mpsc::Sender<Inbound>) {
    if let Err(error) = read(lane, &mut receive, &inbox).await {
        // Nobody listens any more when the session ended first.
        drop(inbox.send(Err(error)).await);
    }
}

async fn read(
    lane: Lane,
    receive: &mut RecvStream,
    inbox: &mpsc::Sender<Inbound>,
) -> Result<(), UplinkError> {
    let mut reader = FrameReader::default();
    loop {
        let chunk = receive
            .read_chunk(READ_BYTES, true)
            .await
            .map_err(|source| UplinkError::Lane {
                action: "reading",
                lane: lane.number(),
                source: source.into(),
            })?;
        // The hub has ended this lane; if it ended the connection, its other lanes say why.
        let Some(chunk) = chunk else { return Ok(()) };
        reader.push(&chunk.bytes);
        while let Some(frame) = reader.next_frame()? {
            if inbox.send(Ok((lane, frame))).await.is_err() {
                return Ok(());
            }
        }
    }
}
