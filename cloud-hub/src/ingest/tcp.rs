//! Lanes over one TLS stream: one task carries what `protocol::mux` says (PROTOCOL §1.4).
//! Never looks into a frame.

use super::IngestError;
use super::lanes::{INBOX_FRAMES_MAX, Inbound, OUTBOX_FRAMES_MAX};
use protocol::mux::Mux;
use protocol::sync::Lane;
use protocol::time::Timestamp;
use protocol::wire::Frame;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

const READ_BYTES: usize = 16 << 10;
/// Bytes that wait to be written. Beyond it the session waits.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// While the kernel takes nothing, silence is looked for this often.
const BLOCKED_CHECK: Duration = Duration::from_secs(1);

/// A TLS connection that carries lanes.
#[derive(Debug)]
pub(super) struct Stream {
    outbox: Option<mpsc::Sender<(Lane, Vec<u8>)>>,
    inbound: mpsc::Receiver<Inbound>,
    ended: watch::Receiver<Option<Arc<str>>>,
}

impl Stream {
    /// Begins to carry.
    pub(super) fn start(stream: TlsStream<TcpStream>) -> Self {
        let (inbox, inbound) = mpsc::channel(INBOX_FRAMES_MAX);
        let (outbox, queue) = mpsc::channel(OUTBOX_FRAMES_MAX);
        let (end, ended) = watch::channel(None);
        let pump = Pump {
            stream,
            queue,
            inbox: inbox.clone(),
        };
        tokio::spawn(async move {
            let mut words: Arc<str> = "it was closed".into();
            if let Err(error) = pump.run().await {
                words = super::accept::chain(&error).into();
                // Nobody listens any more when the session ended first.
                drop(inbox.send(Err(error)).await);
            }
            end.send_replace(Some(words));
        });
        Self {
            outbox: Some(outbox),
            inbound,
            ended,
        }
    }

    /// The next frame of any lane; `None` after the end.
    pub(super) async fn next(&mut self) -> Option<Inbound> {
        self.inbound.recv().await
    }

    /// Whether the lane took the bytes.
    pub(super) async fn send(&self, lane: Lane, bytes: Vec<u8>) -> bool {
        match &self.outbox {
            Some(outbox) => outbox.send((lane, bytes)).await.is_ok(),
            None => false,
        }
    }

    pub(super) fn finish(&mut self) {
        self.outbox = None;
    }

    pub(super) async fn closed(&self) -> IngestError {
        let mut ended = self.ended.clone();
        let words = ended.wait_for(Option::is_some).await;
        let words = words
            .ok()
            .and_then(|words| words.as_deref().map(str::to_owned));
        IngestError::Stream {
            source: std::io::Error::other(words.unwrap_or_else(|| "it was closed".to_owned())),
        }
    }
}

struct Pump {
    stream: TlsStream<TcpStream>,
    queue: mpsc::Receiver<(Lane, Vec<u8>)>,
    inbox: mpsc::Sender<Inbound>,
}

impl Pump {
    /// Carries until the gateway ends its side, or nobody here listens any more.
    async fn run(self) -> Result<(), IngestError> {
        let Self {
            stream,
            mut queue,
            inbox,
        } = self;
        let start = Instant::now();
        let clock = || Timestamp(i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX));
        let mut mux = Mux::new(None, clock());
        // Read, and not yet taken by the session; nothing more is read before it is.
        let mut frame: Option<(Lane, Frame)> = None;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let ended = |source| IngestError::Stream { source };
        let mut bytes = vec![0; READ_BYTES];
        let (mut out, mut written, mut flushed) = (Vec::new(), 0_usize, true);
        let mut open = true;
        loop {
            let now = clock();
            if mux.is_dead(now) {
                return Err(ended(std::io::ErrorKind::TimedOut.into()));
            }
            if flushed && let Some(next) = mux.poll_transmit(now) {
                (out, written, flushed) = (next, 0, false);
            }
            if flushed && !open {
                // The last words are out; the gateway closes when it has read them.
                writer.shutdown().await.map_err(ended)?;
            }
            let wait_us = mux.poll_timeout().micros_since(now).max(0);
            let wait = Duration::from_micros(u64::try_from(wait_us).unwrap_or(0));
            let rest = out.get(written..).unwrap_or_default();
            tokio::select! {
                permit = inbox.reserve(), if frame.is_some() => {
                    let (Ok(permit), Some(taken)) = (permit, frame.take()) else { return Ok(()) };
                    permit.send(Ok(taken));
                    frame = mux.poll_frame(clock())?;
                }
                read = reader.read(&mut bytes), if frame.is_none() => {
                    let count = read.map_err(ended)?;
                    if count == 0 {
                        return Err(ended(std::io::ErrorKind::UnexpectedEof.into()));
                    }
                    mux.handle_bytes(bytes.get(..count).unwrap_or_default(), clock());
                    frame = mux.poll_frame(clock())?;
                }
                taken = queue.recv(), if open && mux.waiting_bytes() < WAITING_BYTES_MAX => {
                    match taken {
                        Some((lane, bytes)) => mux.push(lane, &bytes),
                        None => open = false,
                    }
                }
                count = write(&mut writer, rest), if !flushed => {
                    let count = count.map_err(ended)?;
                    // What is urgent is chosen when the last chunk is in the kernel, not before.
                    flushed = count == 0;
                    written += count;
                }
                () = tokio::time::sleep(wait.max(BLOCKED_CHECK)) => {}
            }
        }
    }
}

/// Writes a part; when there is none left, waits until the kernel has all of it and answers 0.
async fn write(writer: &mut (impl AsyncWrite + Unpin), rest: &[u8]) -> std::io::Result<usize> {
    if rest.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    writer.write(rest).await
}
