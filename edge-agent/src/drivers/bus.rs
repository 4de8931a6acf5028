//! What others may see of a port while it runs: figures of the last minute and since the start, and
//! what goes over the line. Never slows the port: who listens too slowly misses pieces and is told
//! how many.

use futures_util::stream::BoxStream;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

/// A port that is looked at from outside.
pub trait Bus: Debug + Send + Sync {
    /// Its figures now.
    fn report(&self) -> BusFigures;

    /// What goes over the line from now on; ends with the port.
    fn listen(&self) -> BoxStream<'static, BusPiece>;
}

/// Figures of a port.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BusFigures {
    /// How long it has counted, in seconds.
    pub seconds: f64,
    /// Share of the last minute in which a request was under way (0 to 1).
    pub utilisation: f64,
    /// Requests per second in the last minute.
    pub requests_per_second: f64,
    /// How often the port was opened.
    pub connections: u64,
    /// Those that were asked, by their number.
    pub units: Vec<UnitFigures>,
}

/// Figures of one unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitFigures {
    /// Its number.
    pub unit: u8,
    /// Names of the devices that are it.
    pub devices: Vec<String>,
    /// See `BusFigures`.
    pub utilisation: f64,
    /// See `BusFigures`.
    pub requests_per_second: f64,
    /// Requests since the start.
    pub requests: u64,
    /// Of those: answered, refusals included.
    pub answers: u64,
    /// Of those: refused.
    pub refusals: u64,
    /// Of those: nobody answered in time.
    pub timeouts: u64,
    /// Of those: something else came.
    pub garbled: u64,
    /// Of those: the connection broke.
    pub lost: u64,
    /// Frames with a wrong checksum while it was asked.
    pub checksum_errors: u64,
    /// Answers that came too late and were dropped.
    pub late: u64,
    /// From the end of a request to its answer, in milliseconds: shortest, mean, longest.
    pub turnaround_ms: (f64, f64, f64),
}

/// A piece of what went over the line.
#[derive(Clone, Debug)]
pub enum BusPiece {
    /// Bytes, with what they say where a whole frame ended in them.
    Bytes {
        /// When.
        at: Instant,
        /// Sent by the box; else received.
        sent: bool,
        /// As on the line.
        bytes: Arc<[u8]>,
        /// Frames: the unit and what is said, or what is wrong.
        frames: Vec<Result<(u8, String), String>>,
    },
    /// So many pieces were missed.
    Missed(u64),
}
