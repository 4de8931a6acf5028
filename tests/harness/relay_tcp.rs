//! The TCP connections of the relay: cut into pieces of the size of a segment, which wait for room
//! in the bottleneck one per connection and direction, and come out at the other end. Holds next to
//! nothing itself: what the queue has no room for stays with the sender. Never looks into a byte.

use anyhow::{Context as _, Result};
use std::collections::HashMap;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Payload of one segment.
const SEGMENT_BYTES: usize = 1_400;
/// Buffers of the kernel on the relay's side: they must not become a second queue.
const KERNEL_BYTES: u32 = 4_096;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 16;
/// Pieces that wait to be looked at; readers wait meanwhile.
const PIECES_MAX: usize = 64;
/// Pieces that came through and that a receiver has not taken; one that lags more loses its
/// connection.
const DELIVERED_MAX: usize = 4_096;

/// Bytes on their way into the bottleneck. Empty: this end has closed.
pub(crate) struct Piece {
    pub(crate) flow: u64,
    pub(crate) upwards: bool,
    pub(crate) bytes: Vec<u8>,
    /// Told when it has found room: only then its reader goes on.
    entered: oneshot::Sender<()>,
}

/// All connections.
#[derive(Default)]
pub(crate) struct Flows {
    inbound: Option<mpsc::Receiver<Inbound>>,
    waiting: Vec<Piece>,
    ends: HashMap<u64, Ends>,
    _listener: Option<Task>,
}

/// What the tasks tell.
enum Inbound {
    Opened(u64, Ends),
    Piece(Piece),
}

/// Where the bytes of a connection come out.
struct Ends {
    up: mpsc::Sender<Vec<u8>>,
    down: mpsc::Sender<Vec<u8>>,
    /// One direction has closed.
    half: bool,
    _tasks: [Task; 4],
}

/// Ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Flows {
    /// Accepts at `address`; each connection leads to `upstream`.
    pub(crate) fn start(address: SocketAddr, upstream: SocketAddr) -> Result<Self> {
        let socket = small_socket()?;
        socket
            .set_reuseaddr(true)
            .context("preparing the TCP relay")?;
        socket.bind(address).context("binding the TCP relay")?;
        let listener = socket
            .listen(BACKLOG)
            .context("listening at the TCP relay")?;
        let (tell, inbound) = mpsc::channel(PIECES_MAX);
        let task = tokio::spawn(async move {
            for flow in 0.. {
                let Ok((client, _)) = listener.accept().await else {
                    return;
                };
                // An upstream that is not there refuses: the client's connection ends.
                let Ok(socket) = small_socket() else { return };
                if let Ok(server) = socket.connect(upstream).await {
                    let ends = join(flow, client, server, &tell);
                    if tell.send(Inbound::Opened(flow, ends)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Self {
            inbound: Some(inbound),
            _listener: Some(Task(task)),
            ..Self::default()
        })
    }

    /// The next piece that wants to go in.
    pub(crate) async fn next(&mut self) -> Option<Piece> {
        let inbound = self.inbound.as_mut()?;
        loop {
            match inbound.recv().await? {
                Inbound::Opened(flow, ends) => drop(self.ends.insert(flow, ends)),
                Inbound::Piece(piece) => return Some(piece),
            }
        }
    }

    /// It waits for room.
    pub(crate) fn wait(&mut self, piece: Piece) {
        self.waiting.push(piece);
    }

    /// Whether any piece waits for room.
    pub(crate) fn any_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Offers every waiting piece to `take`, which says whether it had room.
    pub(crate) fn enter(&mut self, mut take: impl FnMut(&mut Piece) -> bool) {
        for mut piece in std::mem::take(&mut self.waiting) {
            if take(&mut piece) {
                // A reader that is gone needs no word.
                let _gone = piece.entered.send(());
            } else {
                self.waiting.push(piece);
            }
        }
    }

    /// Bytes have come through; none: the other end has closed.
    pub(crate) fn deliver(&mut self, flow: u64, upwards: bool, bytes: Vec<u8>) {
        let closed = bytes.is_empty();
        let Some(ends) = self.ends.get_mut(&flow) else {
            return;
        };
        let end = if upwards { &ends.up } else { &ends.down };
        let over = end.try_send(bytes).is_err() || closed && ends.half;
        ends.half |= closed;
        if over {
            self.ends.remove(&flow);
        }
    }

    /// All connections end, as when a modem has forgotten them.
    pub(crate) fn end_all(&mut self) {
        self.ends.clear();
        self.waiting.clear();
    }
}

fn small_socket() -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4().context("making a TCP socket")?;
    socket
        .set_recv_buffer_size(KERNEL_BYTES)
        .context("shrinking a TCP buffer")?;
    socket
        .set_send_buffer_size(KERNEL_BYTES)
        .context("shrinking a TCP buffer")?;
    Ok(socket)
}

fn join(flow: u64, client: TcpStream, server: TcpStream, tell: &mpsc::Sender<Inbound>) -> Ends {
    // The relay itself must not wait for full segments.
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let (client_out, client_in) = client.into_split();
    let (server_out, server_in) = server.into_split();
    let (up, up_bytes) = mpsc::channel(DELIVERED_MAX);
    let (down, down_bytes) = mpsc::channel(DELIVERED_MAX);
    let read = |from, upwards| Task(tokio::spawn(read(from, flow, upwards, tell.clone())));
    Ends {
        up,
        down,
        half: false,
        _tasks: [
            read(client_out, true),
            read(server_out, false),
            Task(tokio::spawn(write(server_in, up_bytes))),
            Task(tokio::spawn(write(client_in, down_bytes))),
        ],
    }
}

async fn read(mut from: OwnedReadHalf, flow: u64, upwards: bool, tell: mpsc::Sender<Inbound>) {
    let mut buffer = vec![0; SEGMENT_BYTES];
    loop {
        // A broken connection is a closed one.
        let length = from.read(&mut buffer).await.unwrap_or(0);
        let bytes = buffer.get(..length).unwrap_or_default().to_vec();
        let (entered, room) = oneshot::channel();
        let piece = Piece {
            flow,
            upwards,
            bytes,
            entered,
        };
        let told = tell.send(Inbound::Piece(piece)).await;
        if told.is_err() || length == 0 || room.await.is_err() {
            return;
        }
    }
}

async fn write(mut to: OwnedWriteHalf, mut bytes: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = bytes.recv().await {
        // Dropping its half tells the receiver that nothing more comes.
        if bytes.is_empty() || to.write_all(&bytes).await.is_err() {
            break;
        }
    }
}
