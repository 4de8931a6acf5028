//! Lanes over QUIC: the box opens one stream for each, with its priority; when its own address
//! changes or the path falls silent, the connection goes on from a new socket.
//! Never looks into a frame.

use super::UplinkError;
use super::lanes::{INBOX_FRAMES_MAX, Inbound, OUTBOX_FRAMES_MAX};
use crate::dial::source_towards;
use protocol::sync::Lane;
use protocol::wire::FrameReader;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const READ_BYTES: usize = 16 << 10;
/// How often the box looks whether its own address is still the same.
const PATH_CHECK: Duration = Duration::from_secs(1);

/// A QUIC connection with its lanes open.
#[derive(Debug)]
pub(super) struct Streams {
    connection: Connection,
    writers: BTreeMap<Lane, mpsc::Sender<Vec<u8>>>,
    watch: JoinHandle<()>,
}

impl Streams {
    /// Opens all lanes; the first byte on each is its number.
    pub(super) async fn open(
        connection: Connection,
        endpoint: Endpoint,
        keep_alive: Duration,
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
        let watch = tokio::spawn(watch_path(connection.clone(), endpoint, keep_alive));
        Ok((
            Self {
                connection,
                writers,
                watch,
            },
            inbound,
        ))
    }

    /// Whether the lane took the bytes.
    pub(super) async fn send(&self, lane: Lane, bytes: Vec<u8>) -> bool {
        match self.writers.get(&lane) {
            Some(writer) => writer.send(bytes).await.is_ok(),
            None => false,
        }
    }

    pub(super) async fn closed(&self) -> UplinkError {
        self.connection.closed().await.into()
    }

    pub(super) fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    pub(super) fn remote(&self) -> SocketAddr {
        self.connection.remote_address()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.watch.abort();
        self.connection.close(0_u32.into(), b"");
    }
}

/// Takes a new socket when the box's own address towards the hub is another one, and once when
/// nothing came for longer than the keep-alive explains: a router on the way may have forgotten
/// the old path. The connection, and what is on its way in it, goes on.
async fn watch_path(connection: Connection, endpoint: Endpoint, keep_alive: Duration) {
    let remote = connection.remote_address();
    let mut source = source_towards(remote).ok();
    let mut heard = (
        connection.stats().udp_rx.datagrams,
        tokio::time::Instant::now(),
    );
    let mut tried = false;
    loop {
        tokio::time::sleep(PATH_CHECK).await;
        let received = connection.stats().udp_rx.datagrams;
        if received != heard.0 {
            heard = (received, tokio::time::Instant::now());
            tried = false;
        }
        // No route at all: nothing to take a new socket for.
        let Ok(now) = source_towards(remote) else {
            continue;
        };
        let moved = source.replace(now) != Some(now);
        let silent = heard.1.elapsed() > keep_alive.mul_f32(1.5) && !tried;
        if moved || silent {
            tried = true;
            tracing::info!(moved, address = %now, "the link to the hub takes a new socket");
            rebind(&endpoint, remote);
        }
    }
}

fn rebind(endpoint: &Endpoint, remote: SocketAddr) {
    let any = crate::dial::any_address(remote);
    if let Err(error) = UdpSocket::bind(any).and_then(|socket| endpoint.rebind(socket)) {
        tracing::warn!(%error, "no new socket; the old one is kept");
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
