//! The lanes of one connection, the same whatever carries them: bytes of a lane go out, frames of
//! any lane come in. Never looks into a frame.

use super::IngestError;
use super::quic::Streams;
use super::tcp::Stream;
use futures_util::FutureExt as _;
use protocol::sync::Lane;
use protocol::wire::Frame;

/// Frames that the carrier of one TCP stream has read and nobody has taken. A full queue stops it,
/// and the window of TCP then stops the gateway; over QUIC nothing is read before it is asked for.
pub(super) const INBOX_FRAMES_MAX: usize = 32;
/// Frames to be written. What waits here is bounded by what the gateway has on the way.
pub(super) const OUTBOX_FRAMES_MAX: usize = 1_024;

/// What a reader brings.
pub(super) type Inbound = Result<(Lane, Frame), IngestError>;

/// A connection's lanes.
#[derive(Debug)]
pub(super) enum Lanes {
    /// Each lane a stream of its own.
    Quic(Streams),
    /// All lanes in one stream of bytes.
    Tcp(Stream),
}

impl Lanes {
    /// The next frame of any lane; `None` after the end. Nothing is lost when this is dropped while
    /// it waits.
    pub(super) async fn next(&mut self) -> Option<Inbound> {
        match self {
            Self::Quic(streams) => streams.next().await,
            Self::Tcp(stream) => stream.next().await,
        }
    }

    /// A frame that is there already.
    pub(super) fn try_next(&mut self) -> Option<Inbound> {
        self.next().now_or_never().flatten()
    }

    /// Hands bytes to a lane; waits while its queue is full.
    pub(super) async fn send(&mut self, lane: Lane, bytes: Vec<u8>) -> Result<(), IngestError> {
        let taken = match self {
            Self::Quic(streams) => streams.send(lane, bytes).await,
            Self::Tcp(stream) => stream.send(lane, bytes).await,
        };
        taken.then_some(()).ok_or(IngestError::Lane {
            action: "writing",
            lane: lane.number(),
            source: "the lane is closed".into(),
        })
    }

    /// Nothing more is sent; what was handed over is still delivered.
    pub(super) fn finish(&mut self) {
        match self {
            Self::Quic(streams) => streams.finish(),
            Self::Tcp(stream) => stream.finish(),
        }
    }

    /// Waits for the end of the connection and says why it ended.
    pub(super) async fn closed(&mut self) -> IngestError {
        match self {
            Self::Quic(streams) => streams.closed().await,
            Self::Tcp(stream) => stream.closed().await,
        }
    }
}
