//! Lanes over one TLS stream: one task carries what `protocol::mux` says (PROTOCOL §1.4).
//! Never looks into a frame.

use super::UplinkError;
use super::lanes::{INBOX_FRAMES_MAX, Inbound, OUTBOX_FRAMES_MAX};
use crate::clock;
use crate::dial::SEND_BUFFER_BYTES;
use protocol::mux::Mux;
use protocol::sync::Lane;
use protocol::wire::Frame;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

const READ_BYTES: usize = 16 << 10;
/// Bytes that wait to be written; the session's windows keep it far below. Beyond it the session
/// waits.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// Before the first answer to a ping.
const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(333);
/// The kernel's send buffer is widened while an answer comes sooner than this after the shortest
/// one, and narrowed when it comes later than four times this.
const QUEUE_DELAY: Duration = Duration::from_millis(100);
/// While the kernel takes nothing, silence is looked for this often.
const BLOCKED_CHECK: Duration = Duration::from_secs(1);
const SEND_BUFFER_BYTES_MAX: usize = 512 << 10;

/// A TLS connection that carries lanes.
#[derive(Debug)]
pub(super) struct Stream {
    remote: SocketAddr,
    outbox: mpsc::Sender<(Lane, Vec<u8>)>,
    round_trip_us: Arc<AtomicI64>,
    ended: watch::Receiver<Option<Arc<str>>>,
    task: JoinHandle<()>,
}

impl Stream {
    /// Begins to carry.
    pub(super) fn start(
        stream: TlsStream<TcpStream>,
        remote: SocketAddr,
        keep_alive: Duration,
    ) -> (Self, mpsc::Receiver<Inbound>) {
        let (inbox, inbound) = mpsc::channel(INBOX_FRAMES_MAX);
        let (outbox, queue) = mpsc::channel(OUTBOX_FRAMES_MAX);
        let (end, ended) = watch::channel(None);
        let round_trip_us = Arc::new(AtomicI64::new(0));
        let ping_us = i64::try_from(keep_alive.as_micros()).unwrap_or(i64::MAX);
        let pump = Pump {
            stream,
            mux: Mux::new(Some(ping_us), clock::monotonic()),
            queue,
            inbox: inbox.clone(),
            frame: None,
            round_trip_us: Arc::clone(&round_trip_us),
            send_buffer: SendBuffer::default(),
        };
        let task = tokio::spawn(async move {
            if let Err(error) = pump.run().await {
                let words: Arc<str> = super::chain(&error).into();
                // Nobody listens any more when the session ended first.
                drop(inbox.send(Err(error)).await);
                end.send_replace(Some(words));
            }
        });
        let stream = Self {
            remote,
            outbox,
            round_trip_us,
            ended,
            task,
        };
        (stream, inbound)
    }

    /// Whether the lane took the bytes.
    pub(super) async fn send(&self, lane: Lane, bytes: Vec<u8>) -> bool {
        self.outbox.send((lane, bytes)).await.is_ok()
    }

    pub(super) async fn closed(&self) -> UplinkError {
        let mut ended = self.ended.clone();
        let words = ended.wait_for(Option::is_some).await;
        let words = words
            .ok()
            .and_then(|words| words.as_deref().map(str::to_owned));
        UplinkError::Stream {
            source: std::io::Error::other(words.unwrap_or_else(|| "it was closed".to_owned())),
        }
    }

    pub(super) fn round_trip(&self) -> Duration {
        match u64::try_from(self.round_trip_us.load(Ordering::Relaxed)) {
            Ok(us) if us > 0 => Duration::from_micros(us),
            _ => ROUND_TRIP_UNKNOWN,
        }
    }

    pub(super) fn remote(&self) -> SocketAddr {
        self.remote
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Both halves go with the task: the hub sees the end at once.
        self.task.abort();
    }
}

struct Pump {
    stream: TlsStream<TcpStream>,
    mux: Mux,
    queue: mpsc::Receiver<(Lane, Vec<u8>)>,
    inbox: mpsc::Sender<Inbound>,
    /// Read, and not yet taken by the session; nothing more is read before it is.
    frame: Option<(Lane, Frame)>,
    round_trip_us: Arc<AtomicI64>,
    send_buffer: SendBuffer,
}

impl Pump {
    async fn run(self) -> Result<(), UplinkError> {
        let Self {
            stream,
            mut mux,
            mut queue,
            inbox,
            mut frame,
            round_trip_us,
            mut send_buffer,
        } = self;
        let socket = stream.get_ref().0;
        let socket = socket2::SockRef::from(socket).try_clone().ok();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let ended = |source| UplinkError::Stream { source };
        let mut bytes = vec![0; READ_BYTES];
        let (mut out, mut written, mut flushed) = (Vec::new(), 0_usize, true);
        loop {
            let now = clock::monotonic();
            if mux.is_dead(now) {
                return Err(ended(std::io::ErrorKind::TimedOut.into()));
            }
            if flushed && let Some(next) = mux.poll_transmit(now) {
                (out, written, flushed) = (next, 0, false);
            }
            let wait_us = mux.poll_timeout().micros_since(now).max(0);
            let wait = Duration::from_micros(u64::try_from(wait_us).unwrap_or(0));
            // A ping that is due goes after the chunk that is on its way.
            let wait = if flushed {
                wait
            } else {
                wait.max(BLOCKED_CHECK)
            };
            let rest = out.get(written..).unwrap_or_default();
            tokio::select! {
                permit = inbox.reserve(), if frame.is_some() => {
                    let (Ok(permit), Some(taken)) = (permit, frame.take()) else { return Ok(()) };
                    permit.send(Ok(taken));
                    frame = mux.poll_frame(clock::monotonic())?;
                }
                read = reader.read(&mut bytes), if frame.is_none() => {
                    let count = read.map_err(ended)?;
                    if count == 0 {
                        return Err(ended(std::io::ErrorKind::UnexpectedEof.into()));
                    }
                    let now = clock::monotonic();
                    mux.handle_bytes(bytes.get(..count).unwrap_or_default(), now);
                    frame = mux.poll_frame(now)?;
                    if let Some(us) = mux.round_trip_us()
                        && round_trip_us.swap(us, Ordering::Relaxed) != us
                        && let (Some(bytes), Some(socket)) = (send_buffer.measured(us), &socket)
                    {
                        drop(socket.set_send_buffer_size(bytes));
                    }
                }
                taken = queue.recv(), if mux.waiting_bytes() < WAITING_BYTES_MAX => {
                    let Some((lane, bytes)) = taken else { return Ok(()) };
                    mux.push(lane, &bytes);
                }
                count = write(&mut writer, rest), if !flushed => {
                    let count = count.map_err(ended)?;
                    // What is urgent is chosen when the last chunk is in the kernel, not before.
                    flushed = count == 0;
                    written += count;
                }
                () = tokio::time::sleep(wait) => {}
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

/// How much may wait in the kernel, by what a ping says about the queues on the way.
#[derive(Debug)]
struct SendBuffer {
    bytes: usize,
    shortest_us: i64,
}

impl Default for SendBuffer {
    fn default() -> Self {
        Self {
            bytes: SEND_BUFFER_BYTES,
            shortest_us: i64::MAX,
        }
    }
}

impl SendBuffer {
    /// A ping took this long; answers a new size when there is one.
    fn measured(&mut self, round_trip_us: i64) -> Option<usize> {
        self.shortest_us = self.shortest_us.min(round_trip_us);
        let queued = round_trip_us - self.shortest_us;
        let bound = i64::try_from(QUEUE_DELAY.as_micros()).unwrap_or(i64::MAX);
        let bytes = if queued < bound {
            (self.bytes * 2).min(SEND_BUFFER_BYTES_MAX)
        } else if queued > bound * 4 {
            (self.bytes / 2).max(SEND_BUFFER_BYTES)
        } else {
            self.bytes
        };
        (bytes != std::mem::replace(&mut self.bytes, bytes)).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_send_buffer_grows_on_a_fast_link_and_shrinks_when_a_queue_builds_up() {
        let mut buffer = SendBuffer::default();
        let sizes: Vec<_> = (0..7).map(|_| buffer.measured(20_000)).collect();
        assert_eq!(sizes[0], Some(2 * SEND_BUFFER_BYTES));
        assert_eq!(sizes[4], Some(SEND_BUFFER_BYTES_MAX));
        assert_eq!(sizes[5..], [None, None]);
        assert_eq!(buffer.measured(220_000), None);
        for _ in 0..10 {
            buffer.measured(900_000);
        }
        assert_eq!(buffer.bytes, SEND_BUFFER_BYTES);
    }
}
