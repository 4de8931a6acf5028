//! The lanes of one connection, the same whatever carries them: bytes of a lane go in, one channel
//! of frames comes out. Never looks into a frame.

use super::{UplinkError, quic, tcp};
use crate::dial::Dialled;
use protocol::sync::Lane;
use protocol::wire::Frame;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;

/// Frames of the hub that were read and are not yet handled.
pub(super) const INBOX_FRAMES_MAX: usize = 32;
/// Frames to be written; the session's windows keep it far below.
pub(super) const OUTBOX_FRAMES_MAX: usize = 1_024;

/// What a reader brings.
pub(super) type Inbound = Result<(Lane, Frame), UplinkError>;

/// The writing ends of a connection's lanes; the connection is closed when it is dropped.
#[derive(Debug)]
pub(super) enum Lanes {
    /// Each lane a stream of its own.
    Quic(quic::Streams),
    /// All lanes in one stream of bytes.
    Tcp(tcp::Stream),
}

impl Lanes {
    /// Opens all lanes.
    pub(super) async fn open(
        dialled: Dialled,
        keep_alive: Duration,
    ) -> Result<(Self, mpsc::Receiver<Inbound>), UplinkError> {
        match dialled {
            Dialled::Quic(connection, endpoint) => {
                let (streams, inbound) =
                    quic::Streams::open(connection, endpoint, keep_alive).await?;
                Ok((Self::Quic(streams), inbound))
            }
            Dialled::Tcp(stream, remote) => {
                let (stream, inbound) = tcp::Stream::start(*stream, remote, keep_alive);
                Ok((Self::Tcp(stream), inbound))
            }
        }
    }

    /// Hands bytes to a lane; waits while its queue is full.
    pub(super) async fn send(&self, lane: Lane, bytes: Vec<u8>) -> Result<(), UplinkError> {
        let taken = match self {
            Self::Quic(streams) => streams.send(lane, bytes).await,
            Self::Tcp(stream) => stream.send(lane, bytes).await,
        };
        taken.then_some(()).ok_or(UplinkError::Lane {
            action: "writing",
            lane: lane.number(),
            source: "the connection is closed".into(),
        })
    }

    /// Waits for the end of the connection and says why it ended.
    pub(super) async fn closed(&self) -> UplinkError {
        match self {
            Self::Quic(streams) => streams.closed().await,
            Self::Tcp(stream) => stream.closed().await,
        }
    }

    /// What the staff is told while the link is up.
    pub(super) const fn words(&self) -> &'static str {
        match self {
            Self::Quic(_) => "connected",
            Self::Tcp(_) => "connected over TCP, because UDP does not get through",
        }
    }

    /// How long a packet and its answer take at present, queues on the way included.
    pub(super) fn round_trip(&self) -> Duration {
        match self {
            Self::Quic(streams) => streams.round_trip(),
            Self::Tcp(stream) => stream.round_trip(),
        }
    }

    /// Address of the hub, or of the proxy before it.
    pub(super) fn remote(&self) -> SocketAddr {
        match self {
            Self::Quic(streams) => streams.remote(),
            Self::Tcp(stream) => stream.remote(),
        }
    }
}
