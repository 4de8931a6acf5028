//! The one line of a port: opens it, asks, waits for the frames that are awaited. Never asks while a
//! late answer to something else could still be taken for the right one, never keeps a port that is gone.

use super::ask_error::{AskError, Spot};
use super::config::{Exchange, LinkSettings};
use super::frame::{FRAME_BYTES_MAX, Frame, Framer};
use crate::drivers::breaker::{Breaker, backoff};
use crate::drivers::bus::{self, Direction, Ended, Monitor, Noticed};
use crate::transport::{Address, Wire};
use futures_util::FutureExt as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout, timeout_at};

/// Longest pause between two tries to open a port.
const RECONNECT_MAX: Duration = Duration::from_secs(10);
/// Pieces that are dropped before a request; who still speaks then speaks into the answer.
const STRAY_MAX: usize = 64;

/// Owner of the line.
#[derive(Debug)]
pub(super) struct Link {
    settings: LinkSettings,
    spot: Spot,
    wire: Option<Wire>,
    refused: Option<(Instant, Arc<io::Error>)>,
    breaker: Breaker,
    monitor: Monitor,
    /// When the last request ended.
    last: Option<Instant>,
    doubt: Option<Doubt>,
}

/// An answer that may still come.
#[derive(Debug)]
struct Doubt {
    device: usize,
    exchange: Exchange,
    until: Instant,
}

/// What is asked.
pub(super) struct Asking<'a> {
    /// Number of the device on the port.
    pub(super) device: usize,
    pub(super) exchange: &'a Exchange,
    pub(super) framer: &'a mut Framer,
    /// Until the first byte, and from then on between two pieces.
    pub(super) timeout: Duration,
    /// A shorter wait for the first byte.
    pub(super) patience: Option<Duration>,
}

/// What came in answer.
#[derive(Debug)]
pub(super) struct Heard {
    /// One of each kind of the exchange; at least one is there.
    pub(super) frames: Vec<Option<Frame>>,
    /// From the end of the request to the first byte.
    pub(super) turnaround: Duration,
}

/// What has come so far.
#[derive(Default)]
struct Coming {
    frames: Vec<Option<Frame>>,
    /// The last frame that is of no kind.
    other: Option<Frame>,
    first_at: Option<Instant>,
    received: usize,
}

impl Link {
    /// Not yet opened.
    pub(super) fn new(settings: LinkSettings, monitor: Monitor) -> Self {
        let spot = spot(&settings.address, None);
        Self {
            settings,
            spot,
            wire: None,
            refused: None,
            breaker: Breaker::new(0),
            monitor,
            last: None,
            doubt: None,
        }
    }

    /// As messages name it.
    pub(super) fn spot(&self) -> Spot {
        self.spot.clone()
    }

    /// How long a character takes.
    pub(super) fn character_time(&self) -> Duration {
        self.settings.address.character_time()
    }

    /// Until when no try to open it is made.
    pub(super) fn refused_until(&self) -> Option<Instant> {
        self.refused.as_ref().map(|(until, _)| *until)
    }

    /// Asks once and waits for one frame of each kind; those that do not come are left out.
    ///
    /// # Errors
    /// When none came.
    pub(super) async fn ask(&mut self, mut asking: Asking<'_>) -> Result<Heard, AskError> {
        if let Some(until) = self.rest_until(&asking) {
            sleep_until(until.into()).await;
        }
        // Taken out for the time of the request: when this future is dropped, it is closed.
        let mut wire = match self.quiet_wire().await {
            Some(wire) => wire,
            None => self.open().await?,
        };
        let started = Instant::now();
        let request = &asking.exchange.request;
        self.monitor.bytes(Direction::Sent, request);
        let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
        let sent_at = started + self.character_time() * length;
        asking.framer.reset();
        let mut coming = Coming {
            frames: vec![None; asking.exchange.kinds.len()],
            ..Coming::default()
        };
        let outcome = match wire.send(request, false).await {
            Ok(()) => {
                self.outcome(&mut wire, &mut asking, &mut coming, sent_at)
                    .await
            }
            Err(_) => Err(AskError::Closed { spot: self.spot() }),
        };
        let ended = Instant::now();
        self.last = Some(ended);
        let turnaround = coming
            .first_at
            .map(|at| at.saturating_duration_since(sent_at));
        self.monitor.ended(&bus::Exchange {
            unit: unit(asking.device),
            started,
            ended,
            turnaround,
            how: how(outcome.as_ref().err()),
            received: coming.received,
            sent: request.len(),
            noticed: Noticed::default(),
        });
        if !matches!(outcome, Err(AskError::Closed { .. })) {
            self.wire = Some(wire);
        }
        if coming.frames.iter().any(Option::is_none) {
            self.doubt = Some(Doubt {
                device: asking.device,
                exchange: asking.exchange.clone(),
                until: ended.max(sent_at + asking.timeout) + asking.timeout,
            });
        }
        outcome?;
        Ok(Heard {
            frames: coming.frames,
            turnaround: turnaround.unwrap_or_default(),
        })
    }

    /// Waits until all kinds have come, or no more is to be expected. Right when one has come.
    async fn outcome(
        &mut self,
        wire: &mut Wire,
        asking: &mut Asking<'_>,
        coming: &mut Coming,
        sent_at: Instant,
    ) -> Result<(), AskError> {
        let longest = u32::try_from(FRAME_BYTES_MAX).unwrap_or(u32::MAX);
        let longest = asking.timeout + self.character_time() * longest;
        let mut deadline = sent_at
            + asking
                .patience
                .unwrap_or(asking.timeout)
                .min(asking.timeout);
        let mut buffer = Vec::new();
        while coming.frames.iter().any(Option::is_none) {
            match timeout_at(deadline.into(), wire.receive(&mut buffer)).await {
                Err(_) => return self.timed_out(asking, coming),
                Ok(Err(_)) => return Err(AskError::Closed { spot: self.spot() }),
                Ok(Ok(())) if buffer.is_empty() => continue,
                Ok(Ok(())) => {}
            }
            self.monitor.bytes(Direction::Received, &buffer);
            coming.received += buffer.len();
            let now = Instant::now();
            let first_at = *coming.first_at.get_or_insert(now);
            deadline = (now + asking.timeout).min(first_at + longest);
            for byte in buffer.drain(..) {
                match asking.framer.push(byte) {
                    None => {}
                    Some(Ok(frame)) => coming.take(asking.exchange, frame),
                    Some(Err(wrong)) => {
                        let spot = self.spot();
                        return Err(AskError::Misfit { spot, wrong });
                    }
                }
            }
        }
        Ok(())
    }

    fn timed_out(&self, asking: &Asking<'_>, coming: &mut Coming) -> Result<(), AskError> {
        let spot = self.spot();
        if coming.frames.iter().any(Option::is_some) {
            return Ok(());
        }
        Err(match coming.other.take() {
            Some(frame) => AskError::Other { spot, frame },
            None if !asking.framer.begun().is_empty() => AskError::NoEnd {
                spot,
                begun: asking.framer.begun().to_vec(),
            },
            None => AskError::Silent {
                spot,
                timeout: asking.timeout,
            },
        })
    }

    /// Until when to wait, so that no late answer to something else is taken for the right one, and
    /// for the pause between requests.
    fn rest_until(&self, asking: &Asking<'_>) -> Option<Instant> {
        let gap = self.last.map(|last| last + self.settings.request_gap);
        let doubt = self.doubt.as_ref().filter(|doubt| {
            let is_same = doubt.device == asking.device && doubt.exchange == *asking.exchange;
            !is_same && doubt.exchange.is_like(asking.exchange)
        });
        let until = gap.max(doubt.map(|doubt| doubt.until))?;
        (until > Instant::now()).then_some(until)
    }

    /// The open port when it is still good, with nothing left in it.
    async fn quiet_wire(&mut self) -> Option<Wire> {
        let mut wire = self.wire.take()?;
        let mut buffer = Vec::new();
        for _ in 0..STRAY_MAX {
            match wire.receive(&mut buffer).now_or_never() {
                None => return Some(wire),
                Some(Ok(())) => {
                    self.monitor.bytes(Direction::Received, &buffer);
                    buffer.clear();
                }
                // Closed while it was idle: told by nobody, and nobody's fault.
                Some(Err(_)) => return None,
            }
            tokio::task::yield_now().await;
        }
        Some(wire)
    }

    /// What comes on the port, opened if need be. Safe to give up at any time.
    ///
    /// # Errors
    /// When it cannot be opened or went away.
    pub(super) async fn listen(&mut self, into: &mut Vec<u8>) -> Result<(), AskError> {
        let Some(wire) = &mut self.wire else {
            self.wire = Some(self.open().await?);
            return Ok(());
        };
        if wire.receive(into).await.is_err() {
            self.wire = None;
            return Err(AskError::Closed { spot: self.spot() });
        }
        self.monitor.bytes(Direction::Received, into);
        Ok(())
    }

    /// Whether the port is open.
    pub(super) const fn is_open(&self) -> bool {
        self.wire.is_some()
    }

    async fn open(&mut self) -> Result<Wire, AskError> {
        if let Some((until, source)) = &self.refused
            && Instant::now() < *until
        {
            let (spot, source) = (self.spot(), Arc::clone(source));
            return Err(AskError::NoConnection { spot, source });
        }
        let limit = self.settings.connect_timeout;
        let opened = match timeout(limit, self.settings.address.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {limit:?}"),
            )),
        };
        match opened {
            Ok(wire) => {
                self.refused = None;
                self.breaker.answered();
                self.monitor.opened();
                self.spot = spot(&self.settings.address, Some(wire.name()));
                Ok(wire)
            }
            Err(error) => {
                let now = Instant::now();
                let wait = backoff(self.breaker.failures(), 0).min(RECONNECT_MAX);
                self.breaker.failed(now);
                let source = Arc::new(error);
                self.refused = Some((now + wait, Arc::clone(&source)));
                self.spot = spot(&self.settings.address, None);
                let spot = self.spot();
                Err(AskError::NoConnection { spot, source })
            }
        }
    }
}

impl Coming {
    fn take(&mut self, exchange: &Exchange, frame: Frame) {
        let kind = exchange.kind_of(&frame);
        match kind.and_then(|kind| self.frames.get_mut(kind)) {
            Some(place) => drop(place.get_or_insert(frame)),
            None => self.other = Some(frame),
        }
    }
}

/// `/dev/ttyUSB0 (9600 8N1)`; `found` is the name of a serial device that was looked for.
fn spot(address: &Address, found: Option<&str>) -> Spot {
    let found = found.filter(|found| !found.is_empty());
    let name = found.map_or_else(|| address.to_string(), str::to_owned);
    let words = match address {
        Address::Serial(serial) => format!("{name} ({})", serial.words()),
        Address::Tcp(_) | Address::Tls(_) => name,
    };
    Spot {
        words: words.into(),
        is_serial: address.is_serial(),
    }
}

/// The number by which `bus stats` names a device: the first of the port is 1.
pub(super) fn unit(device: usize) -> u8 {
    u8::try_from(device.saturating_add(1)).unwrap_or(u8::MAX)
}

fn how(error: Option<&AskError>) -> Ended {
    match error {
        None => Ended::Answered,
        Some(AskError::Silent { .. }) => Ended::TimedOut,
        Some(AskError::NoConnection { .. } | AskError::Closed { .. }) => Ended::Lost,
        Some(AskError::NoEnd { .. } | AskError::Other { .. } | AskError::Misfit { .. }) => {
            Ended::Garbled
        }
    }
}
