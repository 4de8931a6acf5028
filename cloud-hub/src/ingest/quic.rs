//! Lanes over QUIC: a reader for each stream that the gateway opens, a writer for each with its
//! own queue. Never looks into a frame.

use super::IngestError;
use super::lanes::{INBOX_FRAMES_MAX, Inbound, OUTBOX_FRAMES_MAX};
use protocol::sync::Lane;
use protocol::wire::FrameReader;
use quinn::{Connection, RecvStream, SendStream};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;

const READ_BYTES: usize = 16 << 10;
/// A gateway opens all its lanes at once.
const OPEN_WAIT: Duration = Duration::from_secs(10);

/// The streams of one QUIC connection.
#[derive(Debug)]
pub(super) struct Streams {
    connection: Connection,
    opened: mpsc::Receiver<(Lane, SendStream)>,
    /// Lanes into which nothing was written yet: most of them, all the time.
    unused: BTreeMap<Lane, SendStream>,
    writers: BTreeMap<Lane, mpsc::Sender<Vec<u8>>>,
}

impl Streams {
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
        let streams = Self {
            connection,
            opened,
            unused: BTreeMap::new(),
            writers: BTreeMap::new(),
        };
        (streams, inbound)
    }

    /// Whether the lane took the bytes.
    pub(super) async fn send(&mut self, lane: Lane, bytes: Vec<u8>) -> bool {
        while !self.writers.contains_key(&lane) {
            if let Some(stream) = self.unused.remove(&lane) {
                self.writers.insert(lane, writer(stream, lane));
                break;
            }
            let opened = tokio::time::timeout(OPEN_WAIT, self.opened.recv()).await;
            let Ok(Some((opened, stream))) = opened else {
                return false;
            };
            self.unused.insert(opened, stream);
        }
        match self.writers.get(&lane) {
            Some(writer) => writer.send(bytes).await.is_ok(),
            None => false,
        }
    }

    pub(super) fn finish(&mut self) {
        // Without their queues the writers finish their streams.
        self.writers.clear();
        self.unused.clear();
    }

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
