//! The one line of a port: the transport's bytes and the client's frames put together. Never keeps a
//! Modbus TCP connection on which an answer may still be on its way: after a time-out, a broken or a
//! wrong answer it is closed and the next request goes out on a fresh one, so that a gateway that
//! pairs answers by order cannot give a late one to the next request. A serial line cannot be made
//! anew; there the client tells late answers apart (`client.rs`).

use super::address::Table;
use super::breaker::{Breaker, backoff};
use super::client::{Client, Outcome, Timing};
use super::frame::Framing;
use super::pdu::{Request, Response, Span};
use super::plan::Block;
use crate::drivers::bus::{Direction, Ended, Exchange, Monitor, Noticed};
use crate::transport::{Address, Wire};
use futures_util::FutureExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout, timeout_at};

pub use super::request_error::{Place, RequestError};
pub use super::target::{Target, TargetError};

/// Longest wait before a new attempt to connect. Shorter than for a silent unit: nobody else can
/// use the port meanwhile.
const RECONNECT_MAX: Duration = Duration::from_secs(10);
/// Above this rate the silence between two frames is fixed (specification of the serial line, 2.5.1.1).
const FIXED_GAP: Duration = Duration::from_micros(1_750);
/// The slowest character for which that holds: 11 bits at 19200.
const FIXED_GAP_CHARACTER: Duration = Duration::from_micros(573);
/// Longest wait for a line on which somebody else is talking.
const BUSY_MAX: Duration = Duration::from_millis(500);
/// Time-outs in a row, without a byte between them, after which a stream behind a serial server is
/// made anew: the server may have forgotten it.
const SILENT_MAX: u32 = 2;

/// How a port is talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// Where the bytes go.
    pub address: Address,
    /// What stands round a message.
    pub framing: Framing,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Least pause between an answer and the next request.
    pub request_gap: Duration,
    /// The same where the next request goes to another unit.
    pub turnaround: Duration,
    /// Least silence before a request; `None`: 3.5 characters, as RTU wants it.
    pub frame_gap: Option<Duration>,
    /// How long a late answer is feared on a line whose frames have no number.
    pub late_window: Duration,
}

impl LinkSettings {
    /// What holds when nothing else is said.
    pub const fn new(address: Address, framing: Framing) -> Self {
        Self {
            address,
            framing,
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(3),
            request_gap: Duration::ZERO,
            turnaround: Duration::ZERO,
            frame_gap: None,
            late_window: Duration::from_secs(1),
        }
    }

    /// The same with another time-out, which also bounds how late an answer is feared.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self.connect_timeout = timeout.max(Duration::from_secs(3));
        self.late_window = timeout;
        self
    }

    /// The silence between two frames.
    pub fn silence(&self) -> Duration {
        self.frame_gap.unwrap_or_else(|| {
            let character = self.address.character_time();
            match self.framing {
                Framing::Rtu if character.is_zero() => Duration::ZERO,
                Framing::Rtu if character < FIXED_GAP_CHARACTER => FIXED_GAP,
                Framing::Rtu => character * 7 / 2,
                Framing::Mbap | Framing::Ascii => Duration::ZERO,
            }
        })
    }

    /// As messages name it.
    pub fn place(&self) -> Place {
        let line = match &self.address {
            Address::Serial(serial) => Some(serial.words().into()),
            Address::Tcp(_) | Address::Tls(_) => None,
        };
        Place {
            name: self.address.to_string().into(),
            line,
        }
    }
}

/// Owner of the line.
#[derive(Debug)]
pub struct Link {
    settings: LinkSettings,
    place: Place,
    connection: Option<Wire>,
    client: Client,
    refused: Option<(Instant, Arc<std::io::Error>)>,
    breaker: Breaker,
    /// When the line fell silent, and who was asked last.
    last: Option<(Instant, u8)>,
    /// Time-outs in a row without a byte.
    silent: u32,
    /// Longest wait for the next answers, when it is to be shorter than the time-out.
    patience: Option<Duration>,
    /// What the last request that was answered took until its answer began.
    turnaround: Option<Duration>,
    monitor: Monitor,
}

impl Link {
    /// Not yet opened: the first request does that.
    pub fn new(settings: LinkSettings) -> Self {
        let timing = Timing {
            timeout: settings.timeout,
            late_window: settings.late_window,
            character_time: settings.address.character_time(),
        };
        Self {
            place: settings.place(),
            connection: None,
            client: Client::new(settings.framing, timing),
            refused: None,
            breaker: Breaker::new(0),
            last: None,
            silent: 0,
            patience: None,
            turnaround: None,
            monitor: Monitor::default(),
            settings,
        }
    }

    /// The same, counting where others can see it.
    #[must_use]
    pub fn with_monitor(mut self, monitor: Monitor) -> Self {
        self.monitor = monitor;
        self
    }

    /// What it counts, and its tap.
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// From now on, answers are waited for no longer than this; `None` for all of the time-out.
    /// Answers what held before.
    pub(super) const fn be_patient(&mut self, patience: Option<Duration>) -> Option<Duration> {
        std::mem::replace(&mut self.patience, patience)
    }

    /// What the last request that was answered took until its answer began.
    pub(super) const fn turnaround(&self) -> Option<Duration> {
        self.turnaround
    }

    /// Until when asking a unit would keep the line waiting for an answer that may come late.
    pub(super) fn resting(&self, unit: u8) -> Option<Instant> {
        self.client.doubts().resting(unit)
    }

    /// Reads one block from one unit; bits come as 0 and 1, one word each. Exactly as many words
    /// come back as the block has. Tries again up to `retries` times, and once more for free
    /// where a connection that had been idle turned out to be closed.
    ///
    /// # Errors
    /// Why it brought nothing, the last time.
    pub async fn read(
        &mut self,
        unit: u8,
        block: &Block,
        retries: u32,
    ) -> Result<Vec<u16>, RequestError> {
        let request = request(block);
        let mut idle_close_forgiven = self.connection.is_none();
        let mut tries_left = retries;
        loop {
            let error = match self.ask(unit, &request).await {
                Err(error) => error,
                Ok(response) => return Ok(words(response)),
            };
            if matches!(error, RequestError::Closed { .. }) && !idle_close_forgiven {
                idle_close_forgiven = true;
            } else if error.is_transport() && tries_left > 0 {
                tries_left -= 1;
            } else {
                return Err(error);
            }
        }
    }

    /// Asks one unit once. The answer fits the request; a refusal is an error.
    ///
    /// # Errors
    /// Why it brought nothing.
    pub async fn ask(&mut self, unit: u8, request: &Request) -> Result<Response, RequestError> {
        let doubts = self.client.doubts_at(Instant::now());
        if let Some(question) = doubts.sync_request(unit, request) {
            match self.transact(unit, &question).await {
                // Whatever it says: what was on its way before has come or will never come.
                Ok(_) | Err(RequestError::Exception { .. }) => {}
                Err(error) => {
                    self.client.doubts_at(Instant::now()).not_synced(unit);
                    return Err(error);
                }
            }
        }
        if let Some(until) = self.client.doubts().rest_until(unit, request) {
            wait_until(until).await;
        }
        self.transact(unit, request).await
    }

    async fn transact(&mut self, unit: u8, request: &Request) -> Result<Response, RequestError> {
        // Taken out for the time of the request and put back only when it may be used again: on every
        // other way out, this future being dropped included, it is closed.
        let mut wire = match self.quiet_wire().await {
            Some(wire) => wire,
            None => self.connect().await?,
        };
        wait_until(self.free_at(unit)).await;
        let started = Instant::now();
        let bytes = self.client.begin(request, unit, started);
        self.monitor.bytes(Direction::Sent, &bytes);
        let mut exchange = Exchange {
            unit,
            started,
            ended: started,
            turnaround: None,
            how: Ended::Lost,
            received: 0,
            sent: bytes.len(),
            noticed: Noticed::default(),
        };
        let sending =
            self.settings.address.character_time() * u32::try_from(bytes.len()).unwrap_or(0);
        if let Some(patience) = self.patience {
            self.client.hurry(started + sending + patience);
        }
        let outcome = match wire.send(&bytes, request.is_mirrored()).await {
            Ok(()) => self.outcome(&mut wire, &mut exchange.received).await,
            Err(error) => Err(error),
        };
        exchange.ended = Instant::now();
        let heard = self.client.begun();
        exchange.turnaround = heard.map(|at| at.saturating_duration_since(started + sending));
        exchange.noticed = self.client.take_noticed();
        exchange.how = how(&outcome);
        self.turnaround = exchange.turnaround.or(self.turnaround);
        self.monitor.ended(&exchange);
        self.last = Some((exchange.ended, unit));
        self.silent = match heard {
            Some(_) => 0,
            None => self.silent.saturating_add(1),
        };
        if outcome.as_ref().is_ok_and(|outcome| self.may_stay(outcome)) {
            self.connection = Some(wire);
        }
        self.result(unit, outcome)
    }

    /// What comes of the request that was sent.
    async fn outcome(&mut self, wire: &mut Wire, received: &mut usize) -> std::io::Result<Outcome> {
        let mut buffer = Vec::new();
        loop {
            let wake_at = self.client.wake_at().unwrap_or_else(Instant::now);
            let outcome = match timeout_at(wake_at.into(), wire.receive(&mut buffer)).await {
                Ok(Ok(())) => {
                    *received += buffer.len();
                    self.monitor.bytes(Direction::Received, &buffer);
                    let outcome = self.client.receive(&buffer, Instant::now());
                    buffer.clear();
                    outcome
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => self.client.expire(Instant::now()),
            };
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
        }
    }

    /// Whether the connection can be used for the next request.
    const fn may_stay(&self, outcome: &Outcome) -> bool {
        match (self.settings.framing, &self.settings.address) {
            (Framing::Mbap, _) => matches!(outcome, Outcome::Answer(_)),
            (_, Address::Serial(_)) => true,
            (_, Address::Tcp(_) | Address::Tls(_)) => self.silent < SILENT_MAX,
        }
    }

    fn result(
        &self,
        unit: u8,
        outcome: std::io::Result<Outcome>,
    ) -> Result<Response, RequestError> {
        let endpoint = self.place.clone();
        Err(match outcome {
            Ok(Outcome::Answer(Response::Refused { code, .. })) => RequestError::Exception {
                unit,
                endpoint,
                code,
            },
            Ok(Outcome::Answer(response)) => return Ok(response),
            Ok(Outcome::Timeout) => RequestError::Timeout {
                unit,
                endpoint,
                timeout: self.settings.timeout,
            },
            Ok(Outcome::Garbled(reason)) => RequestError::Garbled {
                unit,
                endpoint,
                reason,
            },
            Ok(Outcome::WrongLength { wanted, got }) => RequestError::WrongLength {
                unit,
                endpoint,
                wanted,
                got,
            },
            Err(_) => RequestError::Closed { unit, endpoint },
        })
    }

    /// The open connection when it is still good, with nothing left in it; waits while somebody else
    /// is heard talking on the line.
    async fn quiet_wire(&mut self) -> Option<Wire> {
        let mut wire = self.connection.take()?;
        let mut buffer = Vec::new();
        let give_up_at = Instant::now() + BUSY_MAX;
        let mut silence = Duration::ZERO;
        loop {
            let received = if silence.is_zero() {
                wire.receive(&mut buffer).now_or_never()
            } else {
                timeout(silence, wire.receive(&mut buffer)).await.ok()
            };
            match received {
                None => return Some(wire),
                Some(Ok(())) => {
                    self.monitor.bytes(Direction::Received, &buffer);
                    let usable = self.client.stray(&buffer);
                    buffer.clear();
                    if !usable {
                        return None;
                    }
                }
                // Closed while it was idle: told by nobody, and nobody's fault.
                Some(Err(_)) => return None,
            }
            if Instant::now() >= give_up_at {
                return Some(wire);
            }
            silence = self.settings.silence();
        }
    }

    /// When the line has been silent for as long as it needs before the next request.
    fn free_at(&self, unit: u8) -> Instant {
        let Some((at, last_unit)) = self.last else {
            return Instant::now();
        };
        let other = if last_unit == unit {
            Duration::ZERO
        } else {
            self.settings.turnaround
        };
        let gap = self.settings.silence().max(self.settings.request_gap);
        at + gap.max(other)
    }

    async fn connect(&mut self) -> Result<Wire, RequestError> {
        if let Some((until, source)) = &self.refused
            && Instant::now() < *until
        {
            return Err(self.no_connection(Arc::clone(source)));
        }
        let limit = self.settings.connect_timeout;
        let connected = match timeout(limit, self.settings.address.open()).await {
            Ok(connected) => connected,
            Err(_) => Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {limit:?}"),
            )),
        };
        match connected {
            Ok(wire) => {
                self.refused = None;
                self.breaker.answered();
                self.silent = 0;
                self.client.connected();
                self.monitor.opened();
                if !wire.name().is_empty() {
                    self.place.name = wire.name().into();
                }
                Ok(wire)
            }
            Err(error) => {
                let now = Instant::now();
                let wait = backoff(self.breaker.failures(), 0).min(RECONNECT_MAX);
                self.breaker.failed(now);
                let source = Arc::new(error);
                self.refused = Some((now + wait, Arc::clone(&source)));
                self.place = self.settings.place();
                Err(self.no_connection(source))
            }
        }
    }

    fn no_connection(&self, source: Arc<std::io::Error>) -> RequestError {
        RequestError::NoConnection {
            endpoint: self.place.clone(),
            source,
        }
    }
}

/// The timer's tick is a millisecond: a wait that is over already would still cost one.
async fn wait_until(at: Instant) {
    if at > Instant::now() {
        sleep_until(at.into()).await;
    }
}

const fn how(outcome: &std::io::Result<Outcome>) -> Ended {
    match outcome {
        Ok(Outcome::Answer(Response::Refused { .. })) => Ended::Refused,
        Ok(Outcome::Answer(_)) => Ended::Answered,
        Ok(Outcome::Timeout) => Ended::TimedOut,
        Ok(Outcome::Garbled(_) | Outcome::WrongLength { .. }) => Ended::Garbled,
        Err(_) => Ended::Lost,
    }
}

/// What reads a block.
pub(super) const fn request(block: &Block) -> Request {
    let span = Span {
        start: block.start,
        count: block.count,
    };
    match block.table {
        Table::Coil => Request::ReadCoils(span),
        Table::DiscreteInput => Request::ReadDiscreteInputs(span),
        Table::Input => Request::ReadInputRegisters(span),
        Table::Holding => Request::ReadHoldingRegisters(span),
    }
}

/// The words of an answer to a reading request.
fn words(response: Response) -> Vec<u16> {
    match response {
        Response::Registers { words, .. } => words,
        Response::Bits { bits, .. } => bits.into_iter().map(u16::from).collect(),
        _ => Vec::new(),
    }
}
