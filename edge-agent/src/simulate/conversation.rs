//! One client of the simulated plant: requests out of a stream of bytes, answers into it at their
//! time. Never knows what carries the bytes.

use super::station::{Reply, Setting, Station, Way};
use crate::drivers::modbus::frame::{Framing, Reader, Side};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep_until;

/// Answers that wait for their time; a request that comes beyond that is not heard.
const WAITING_MAX: usize = 64;
/// Bytes taken from a stream at once.
const READ_BYTES: usize = 1_024;
/// A pause within a frame after which the rest of it does not come any more.
const SILENCE: Duration = Duration::from_millis(50);
/// How often a line is looked at on which nothing happens.
const IDLE: Duration = Duration::from_millis(200);

/// The plant as all its servers share it.
pub type Shared = Arc<Mutex<Station>>;

/// Locks the plant; one that a panic left behind is as good as any.
pub(super) fn locked(station: &Shared) -> MutexGuard<'_, Station> {
    station.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client went.
    Gone,
    /// It was ordered.
    Ordered,
}

/// Talks until the client goes or a fault ends it. `look` is asked with every piece of bytes, and
/// now and then between, how the client has set its line.
pub(super) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    framing: Framing,
    station: &Shared,
    mut look: impl FnMut() -> Option<Setting>,
) -> io::Result<End> {
    let mut talk = Talk {
        reader: Reader::new(framing, Side::Requests),
        framing,
        waiting: Vec::new(),
    };
    let mut buffer = [0; READ_BYTES];
    loop {
        let silent_at = Instant::now()
            + if talk.reader.waiting() > 0 {
                SILENCE
            } else {
                IDLE
            };
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let bytes = buffer.get(..read?).filter(|bytes| !bytes.is_empty());
                let Some(bytes) = bytes else { return Ok(End::Gone) };
                talk.reader.push(bytes);
            }
            () = sleep_until(talk.next_at().unwrap_or(silent_at).min(silent_at).into()) => {
                if Instant::now() >= silent_at {
                    talk.reader.silence();
                }
            }
        }
        if talk.requests(station, look())? {
            return Ok(End::Ordered);
        }
        while let Some(bytes) = talk.due(Instant::now()) {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
        }
    }
}

struct Talk {
    reader: Reader,
    framing: Framing,
    /// Answers and their times.
    waiting: Vec<(Instant, Vec<u8>)>,
}

impl Talk {
    /// Hears the requests that have come whole; `true` when the connection is to end.
    fn requests(&mut self, station: &Shared, line: Option<Setting>) -> io::Result<bool> {
        let way = Way {
            framing: self.framing,
            line,
        };
        while let Some(found) = self.reader.next_frame() {
            let frame = match found {
                Ok(frame) => frame,
                Err(error) if error.is_fatal() => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
                // A device does not answer what it cannot read.
                Err(_) => continue,
            };
            if self.waiting.len() >= WAITING_MAX {
                continue;
            }
            match locked(station).request(way, &frame, Instant::now()) {
                Some(Reply::Send { at, bytes }) => self.waiting.push((at, bytes)),
                Some(Reply::Close) => return Ok(true),
                None => {}
            }
        }
        Ok(false)
    }

    fn next_at(&self) -> Option<Instant> {
        self.waiting.iter().map(|(at, _)| *at).min()
    }

    /// An answer whose time has come.
    fn due(&mut self, now: Instant) -> Option<Vec<u8>> {
        let next = self.next_at().filter(|at| *at <= now)?;
        let place = self.waiting.iter().position(|(at, _)| *at == next)?;
        Some(self.waiting.remove(place).1)
    }
}
