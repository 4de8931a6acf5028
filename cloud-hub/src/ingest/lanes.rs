//! The lanes of one connection, the same whatever carries them: a queue for each towards the
//! gateway, one channel of frames from it. Never looks into a frame.

use super::IngestError;
use protocol::sync::Lane;
use protocol::wire::{Frame, FrameReader};
use quinn::{Connection, RecvStream, SendStream};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;

/// Frames read and not yet handled, over all lanes. A full queue stops the readers, and QUIC's
/// windows then stop the gateway.
const INBOX_FRAMES_MAX: usize = 32;
/// Frames to be written per lane. What waits here is bounded by what the gateway has on the way.
const OUTBOX_FRAMES_MAX: usize = 1_024;
const READ_BYTES: usize = 16 << 10;
/// A gateway opens all its lanes at once.
const OPEN_WAIT: Duration = Duration::from_secs(10);

/// What a reader brings.
pub(super) type Inbound = Result<(Lane, Frame), IngestError>;

/// The writing ends of a connection's lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    connection: Connection,
    opened: mpsc::Receiver<(Lane, SendStream)>,
    writers: BTreeMap<Lane, mpsc::Sender<Vec<u8>>>,
}

impl Lanes {
    /// Accepts the gateway's lanes as it opens them.
    pub(super) fn accept(connection: Connection) -> (Self, mpsc::Receiver<Inbound>) {
        let (inbox, inbound) = mpsc::channel(INBOX_FRAMES_MAX);
        let (opened_sender, opened) = mpsc::channel(Lane::ALL.len());
        let accepting = connection.clone();
        tokio::spawn(async move {
            loop {
                match accepting.accept_bi().await {
                    Ok((send, receive)) => {
                        tokio::spawn(open(send, receive, inbox.clone(), opened_sender.clone()));
                    }
                    Err(error) => {
                        // Nobody listens any more when the session ended first.
                        drop(inbox.send(Err(error.into())).await);
                        return;
                    }
                }
            }
        });
        (
            Self {
                connection,
                opened,
                writers: BTreeMap::new(),
            },
            inbound,
        )
    }

    /// Hands bytes to a lane's writer; waits while its queue is full.
    pub(super) async fn send(&mut self, lane: Lane, bytes: Vec<u8>) -> Result<(), IngestError> {
        while !self.writers.contains_key(&lane) {
            let opened = tokio::time::timeout(OPEN_WAIT, self.opened.recv()).await;
            let Ok(Some((opened, stream))) = opened else {
                return Err(gone(lane));
            };
            self.writers.insert(opened, writer(stream, opened));
        }
        let writer = self.writers.get(&lane).ok_or_else(|| gone(lane))?;
        writer.send(bytes).await.map_err(|_| gone(lane))
    }

    /// Nothing more is sent; what was handed over is still delivered.
    pub(super) fn finish(&mut self) {
        // Without their queues the writers finish their streams.
        self.writers.clear();
    }

    /// Waits for the end of the connection and says why it ended.
    pub(super) async fn closed(&self) -> IngestError {
        self.connection.closed().await.into()
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
        // The session is over; what was written is delivered before the connection closes.
        drop(stream.finish());
    });
    sender
}

async fn open(
    send: SendStream,
    mut receive: RecvStream,
    inbox: mpsc::Sender<Inbound>,
    opened: mpsc::Sender<(Lane, SendStream)>,
) {
    let mut number = [0];
    let lane = match receive.read_exact(&mut number).await {
        Ok(()) => Lane::from_number(number[0]),
        Err(_) => return,
    };
    // A lane of a newer gateway: not read, so that it costs nothing.
    let Some(lane) = lane else { return };
    if opened.send((lane, send)).await.is_err() {
        return;
    }
    if let Err(error) = read(lane, &mut receive, &inbox).await {
        drop(inbox.send(Err(error)).await);
    }
}

async fn read(
    lane: Lane,
    receive: &mut RecvStream,
    inbox: &mpsc::Sender<Inbound>,
) -> Result<(), IngestError> {
    let mut reader = FrameReader::default();
    loop {
        let chunk = receive
            .read_chunk(READ_BYTES, true)
            .await
            .map_err(|source| IngestError::Lane {
                action: "reading",
                lane: lane.number(),
                source: source.into(),
            })?;
        let Some(chunk) = chunk else { return Ok(()) };
        reader.push(&chunk.bytes);
        while let Some(frame) = reader.next_frame()? {
            if inbox.send(Ok((lane, frame))).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn gone(lane: Lane) -> IngestError {
    IngestError::Lane {
        action: "writing",
        lane: lane.number(),
        source: "the lane is closed".into(),
    }
}
