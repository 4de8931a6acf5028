//! The task of a port whose one device speaks by itself: each frame is a poll of the sensors that stand in
//! it, at the moment at which it had come. Never asks, never takes the rest of a frame whose beginning it
//! has missed for a whole one.

use super::ask_error::{AskError, Spot, seconds};
use super::config::{DeviceConfig, GroupConfig};
use super::driver::read;
use super::escape::shown;
use super::frame::{Frame, FrameError, Framer};
use super::link::{Link, unit};
use super::teller::Teller;
use crate::drivers::bus::{Ended, Exchange, Monitor, Noticed};
use crate::drivers::{DeviceState, Sink};
use crate::pipeline::{RawCell, RawPoll};
use protocol::reading::Cause;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// Shortest time between two polls of one kind of frame, where `poll` says nothing. What comes faster is
/// dropped and counted.
const SPACING_MIN: Duration = Duration::from_millis(10);
/// What begins so soon after the port was opened may have begun before.
const JOIN_MAX: Duration = Duration::from_millis(50);
/// Pause before a port that went away is opened again.
const REOPEN_MIN: Duration = Duration::from_secs(1);
/// How long to wait for the first sign when a device may be silent for ever.
const EVER: Duration = Duration::from_secs(86_400 * 365);

pub(super) struct Listener {
    link: Link,
    sink: Sink,
    monitor: Monitor,
    framer: Framer,
    groups: Vec<Group>,
    /// How long a kind of frame may be missing.
    silence: Option<Duration>,
    teller: Teller,
    /// What begins until then may have begun before the port was opened; `None` when something has begun.
    unsure_until: Option<Instant>,
    /// The next frame may be the rest of one.
    joined: bool,
    /// Whether the rest of a frame can be taken for a whole one: neither prefix nor checksum tells.
    is_unsure: bool,
    /// The last frame with none of the prefixes, for words.
    other: Option<Frame>,
    /// Frames that came faster than they may.
    dropped: u64,
}

struct Group {
    config: GroupConfig,
    prefix: Vec<u8>,
    polled_at: Option<Instant>,
    /// When its kind of frame last came, or was last said to be missing.
    heard_at: Instant,
    is_silent: bool,
}

impl Listener {
    pub(super) fn new(device: &DeviceConfig, link: Link, sink: Sink, monitor: Monitor) -> Self {
        let now = Instant::now();
        let group = |config: &GroupConfig| {
            let mut points = config.points.iter();
            Group {
                prefix: points
                    .next()
                    .map(|point| point.prefix.clone())
                    .unwrap_or_default(),
                config: config.clone(),
                polled_at: None,
                heard_at: now,
                is_silent: false,
            }
        };
        let groups: Vec<Group> = device.groups.iter().map(group).collect();
        let any = groups.iter().any(|group| group.prefix.is_empty());
        Self {
            link,
            sink,
            monitor,
            framer: Framer::new(device.shape.clone()),
            groups,
            silence: device.silence,
            teller: Teller::new(device.name.clone()),
            unsure_until: None,
            joined: false,
            is_unsure: any && device.shape.checksum.is_none(),
            other: None,
            dropped: 0,
        }
    }

    pub(super) async fn serve(mut self) {
        let mut buffer = Vec::new();
        loop {
            let was_open = self.link.is_open();
            let wake_at = self.wake_at();
            tokio::select! {
                heard = self.link.listen(&mut buffer) => match heard {
                    Ok(()) if !was_open => self.opened(),
                    Ok(()) => self.take(&buffer),
                    Err(error) => self.failed(&error).await,
                },
                () = sleep_until(wake_at.into()) => {}
            }
            buffer.clear();
            if self.link.is_open() {
                self.look_for_silence();
            }
            self.tell().await;
        }
    }

    fn opened(&mut self) {
        let now = Instant::now();
        self.framer.reset();
        self.unsure_until = self.is_unsure.then_some(now + JOIN_MAX);
        self.joined = false;
        for group in &mut self.groups {
            group.heard_at = now;
            group.is_silent = false;
        }
        let spot = self.link.spot();
        self.teller
            .living(&format!("{} is listened to.", spot.words));
    }

    /// The port cannot be opened, or went away: said once, then waited.
    async fn failed(&mut self, error: &AskError) {
        for at in 0..self.groups.len() {
            if self.groups.get(at).is_some_and(|group| !group.is_silent) {
                self.missing(at, error.cause());
            }
        }
        self.teller.failing(error.state(), error.words());
        self.tell().await;
        let soonest = Instant::now() + REOPEN_MIN;
        let until = self.link.refused_until().unwrap_or(soonest);
        sleep_until(until.into()).await;
    }

    fn take(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        for byte in bytes {
            if let Some(until) = self.unsure_until.take() {
                self.joined = now < until;
            }
            if let Some(found) = self.framer.push(*byte)
                && !std::mem::take(&mut self.joined)
            {
                self.frame(found, now);
            }
        }
    }

    fn frame(&mut self, found: Result<Frame, FrameError>, now: Instant) {
        let is_good = found.is_ok();
        self.count(now, is_good);
        let frame = match found {
            Ok(frame) => frame,
            Err(wrong) => {
                let spot = self.link.spot();
                self.teller.misfit(AskError::Misfit { spot, wrong }.words());
                return self.living();
            }
        };
        let prefixes = self.groups.iter().map(|group| &group.prefix);
        let fits = prefixes.filter(|prefix| frame.starts_with(prefix));
        let Some(prefix) = fits.max_by_key(|prefix| prefix.len()).cloned() else {
            self.other = Some(frame);
            return;
        };
        let mut trouble = None;
        for at in 0..self.groups.len() {
            let is_its = self
                .groups
                .get(at)
                .is_some_and(|group| group.prefix == prefix);
            if is_its {
                trouble = trouble.or(self.poll(at, &frame, now));
            }
        }
        match trouble {
            Some(words) => self.teller.misfit(words),
            None => self.teller.good(),
        }
        self.living();
    }

    /// A frame of a group; answers what does not fit.
    fn poll(&mut self, at: usize, frame: &[u8], now: Instant) -> Option<String> {
        let group = self.groups.get_mut(at)?;
        group.heard_at = now;
        group.is_silent = false;
        let spacing = group.config.spacing.unwrap_or(SPACING_MIN);
        if group
            .polled_at
            .is_some_and(|polled_at| now < polled_at + spacing)
        {
            if group.config.spacing.is_none() {
                self.dropped = self.dropped.saturating_add(1);
                tracing::debug!(
                    dropped = self.dropped,
                    "a frame came within 10 ms of the one before and was dropped"
                );
            }
            return None;
        }
        group.polled_at = Some(now);
        let mut cells = vec![RawCell::Missing(Cause::BadAnswer); group.config.points.len()];
        let sensors: Vec<usize> = (0..cells.len()).collect();
        let trouble = read(&mut cells, &group.config, (&sensors, frame));
        self.hand_on(at, cells);
        trouble
    }

    /// What is said while something comes: which kinds are missing all the same.
    fn living(&mut self) {
        let missing = self.groups.iter().find(|group| group.is_silent);
        match (missing, self.silence) {
            (Some(group), Some(silence)) => {
                let words = format!(
                    "No frame that begins with {} came for {}; check what the instrument is set to send.",
                    shown(&group.prefix),
                    seconds(silence)
                );
                self.teller.failing(DeviceState::Error, words);
            }
            _ => self.teller.living("It sends."),
        }
    }

    fn look_for_silence(&mut self) {
        let Some(silence) = self.silence else {
            return;
        };
        let now = Instant::now();
        let mut any = false;
        for at in 0..self.groups.len() {
            let group = self.groups.get_mut(at);
            if let Some(group) = group.filter(|group| now >= group.heard_at + silence) {
                group.heard_at = now;
                any = true;
                self.missing(at, Cause::NoAnswer);
            }
        }
        if !any {
            return;
        }
        if self.groups.iter().all(|group| group.is_silent) {
            let error = self.why_silent(self.link.spot(), silence);
            self.teller.failing(error.state(), error.words());
        } else {
            self.living();
        }
    }

    fn why_silent(&mut self, spot: Spot, timeout: Duration) -> AskError {
        let begun = self.framer.begun();
        match self.other.take() {
            Some(frame) => AskError::Other { spot, frame },
            None if begun.is_empty() => AskError::Silent { spot, timeout },
            None => AskError::NoEnd {
                spot,
                begun: begun.to_vec(),
            },
        }
    }

    fn missing(&mut self, at: usize, cause: Cause) {
        if let Some(group) = self.groups.get_mut(at) {
            group.is_silent = true;
            group.polled_at = None;
            let cells = vec![RawCell::Missing(cause); group.config.points.len()];
            self.hand_on(at, cells);
        }
    }

    /// When a kind of frame is missing. Not while the port is opened: that must not be given up.
    fn wake_at(&self) -> Instant {
        let next = self.groups.iter().map(|group| group.heard_at).min();
        match (next, self.silence) {
            (Some(next), Some(silence)) if self.link.is_open() => next + silence,
            _ => Instant::now() + EVER,
        }
    }

    fn count(&self, now: Instant, is_good: bool) {
        self.monitor.ended(&Exchange {
            unit: unit(0),
            started: now,
            ended: now,
            turnaround: None,
            how: if is_good {
                Ended::Answered
            } else {
                Ended::Garbled
            },
            received: 0,
            sent: 0,
            noticed: Noticed::default(),
        });
    }

    fn hand_on(&self, group: usize, cells: Vec<RawCell>) {
        // A full queue is counted by the sink and told by the agent.
        let (time, clock) = self.sink.stamp();
        self.sink.poll(RawPoll {
            group,
            time,
            clock,
            cells,
        });
    }

    async fn tell(&mut self) {
        if let Some(report) = self.teller.report(self.sink.stamp().0) {
            self.sink.device(report).await;
        }
    }
}
