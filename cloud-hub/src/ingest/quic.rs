//! Lanes over QUIC: the session's own task reads whichever stream has something, so that an idle
//! gateway costs no task and no queue for each of its lanes; a lane gets a writer when something is
//! written to it. Never looks into a frame.

use super::IngestError;
use super::lanes::{Inbound, OUTBOX_FRAMES_MAX};
use protocol::sync::Lane;
use protocol::wire::FrameReader;
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc;

const READ_BYTES: usize = 8 << 10;
/// A gateway opens all its lanes at once.
const OPEN_WAIT: Duration = Duration::from_secs(10);

/// The streams of one QUIC connection.
pub(super) struct Streams {
    connection: Connection,
    /// The next stream that the gateway opens; `None` after the end of the connection.
    accepting: Option<Accepting>,
    /// Opened, their lane not yet known; the connection's limit of streams bounds them.
    nameless: Vec<(SendStream, RecvStream)>,
    readers: BTreeMap<Lane, Reader>,
    /// Lanes into which nothing was written yet: most of them, all the time.
    unused: BTreeMap<Lane, SendStream>,
    writers: BTreeMap<Lane, mpsc::Sender<Vec<u8>>>,
}

type Opened = Result<(SendStream, RecvStream), ConnectionError>;
type Accepting = Pin<Box<dyn Future<Output = Opened> + Send>>;

#[derive(Debug)]
struct Reader {
    stream: RecvStream,
    frames: FrameReader,
}

impl Streams {
    /// Accepts the gateway's lanes as it opens them.
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            accepting: Some(accept(connection.clone())),
            connection,
            nameless: Vec::new(),
            readers: BTreeMap::new(),
            unused: BTreeMap::new(),
            writers: BTreeMap::new(),
        }
    }

    /// The next frame of any lane, the most urgent lane first; `None` after the end. Nothing is
    /// lost when this is dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Inbound> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Inbound>> {
        loop {
            for (lane, reader) in &mut self.readers {
                match reader.frames.next_frame() {
                    Ok(None) => {}
                    Ok(Some(frame)) => return Poll::Ready(Some(Ok((*lane, frame)))),
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                }
            }
            if let Poll::Ready(ended) = self.poll_open(context) {
                return Poll::Ready(ended.map(|error| Err(error.into())));
            }
            match ready!(self.poll_read(context)) {
                Ok(()) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// Reads from every lane that has something; ready when one had.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), IngestError>> {
        let mut bytes = [0; READ_BYTES];
        let mut some = false;
        let mut finished = None;
        for (lane, reader) in &mut self.readers {
            match reader.stream.poll_read(context, &mut bytes) {
                Poll::Pending => {}
                Poll::Ready(Ok(0)) => finished = Some(*lane),
                Poll::Ready(Ok(count)) => {
                    some = true;
                    reader.frames.push(bytes.get(..count).unwrap_or_default());
                }
                Poll::Ready(Err(source)) => {
                    return Poll::Ready(Err(IngestError::Lane {
                        action: "reading",
                        lane: lane.number(),
                        source: source.into(),
                    }));
                }
            }
        }
        if let Some(lane) = finished {
            self.readers.remove(&lane);
            some = true;
        }
        if some {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Takes the streams that the gateway opens and reads which lanes they are. Ready only at the
    /// end of the connection: with its cause, and with nothing from then on.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Option<ConnectionError>> {
        loop {
            let Some(accepting) = &mut self.accepting else {
                return Poll::Ready(None);
            };
            match accepting.as_mut().poll(context) {
                Poll::Pending => break,
                Poll::Ready(Ok(opened)) => {
                    self.nameless.push(opened);
                    self.accepting = Some(accept(self.connection.clone()));
                }
                Poll::Ready(Err(error)) => {
                    self.accepting = None;
                    return Poll::Ready(Some(error));
                }
            }
        }
        for (send, mut receive) in std::mem::take(&mut self.nameless) {
            let mut number = [0];
            match receive.poll_read(context, &mut number) {
                Poll::Pending => self.nameless.push((send, receive)),
                // A lane of a newer gateway is not read, so that it costs nothing; one that ends
                // before its name is none.
                Poll::Ready(read) => {
                    if matches!(read, Ok(1))
                        && let Some(lane) = Lane::from_number(number[0])
                    {
                        let frames = FrameReader::default();
                        let stream = receive;
                        self.readers.insert(lane, Reader { stream, frames });
                        self.unused.insert(lane, send);
                    }
                }
            }
        }
        Poll::Pending
    }

    /// Whether the lane took the bytes.
    pub(super) async fn send(&mut self, lane: Lane, bytes: Vec<u8>) -> bool {
        if !self.writers.contains_key(&lane) {
            let opened = poll_fn(|context| {
                let ended = self.poll_open(context).is_ready();
                match self.unused.remove(&lane) {
                    Some(stream) => Poll::Ready(Some(stream)),
                    None if ended => Poll::Ready(None),
                    None => Poll::Pending,
                }
            });
            let Ok(Some(stream)) = tokio::time::timeout(OPEN_WAIT, opened).await else {
                return false;
            };
            self.writers.insert(lane, writer(stream, lane));
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

    pub(super) async fn closed(&mut self) -> IngestError {
        self.connection.closed().await.into()
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("readers", &self.readers)
            .field("unused", &self.unused)
            .finish_non_exhaustive()
    }
}

fn accept(connection: Connection) -> Accepting {
    Box::pin(async move { connection.accept_bi().await })
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
