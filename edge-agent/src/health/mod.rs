//! How the box is doing right now: latest readings, devices, link, losses. Kept in memory for
//! the page and the command line. Never the source of a record: what must last is in the store.

pub use crate::drivers::bus::{BusReport, Captured, Direction, UnitCounts};
use crate::drivers::{DeviceReport, DeviceState, PortHandles};
pub use crate::drivers::{WriteError, WritePlace, WriteRequest, Written};
use protocol::id::SensorId;
use protocol::reading::{Reading, whole};
use protocol::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{broadcast, watch};

/// News that wait for a slow page; a page that lags is told to load anew.
const FEED_MAX: usize = 1_024;

/// Where the link to the hub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// The box has no certificate yet, or no hub is configured.
    NotEnrolled,
    /// Trying for the first time.
    Connecting,
    /// The hub answers.
    Connected,
    /// The hub does not answer.
    Offline,
    /// The hub does not let this box in.
    Refused,
}

impl LinkState {
    /// The word of the JSON interface.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotEnrolled => "not_enrolled",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Offline => "offline",
            Self::Refused => "refused",
        }
    }
}

/// Where the link is, since when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// The state.
    pub state: LinkState,
    /// Since when.
    pub since: Timestamp,
    /// In plain words.
    pub words: String,
}

/// A rule that learns and tells nothing yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learner {
    /// Name of the rule.
    pub rule: String,
    /// Until this time at least; `None`: it has seen no reading yet.
    pub until: Option<Timestamp>,
    /// So many readings (of a trend: parts of its window) at least.
    pub readings_left: u32,
}

/// News for a page.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// A reading was stored.
    Reading(Reading),
    /// A device changed its state.
    Device(String),
    /// The link changed its state.
    Link(LinkStatus),
    /// Other devices and sensors are configured now.
    Plant,
}

/// The box right now. Bounded by the configuration: one entry per sensor and device.
#[derive(Debug)]
pub struct Health {
    readings: RwLock<HashMap<SensorId, Reading>>,
    words: RwLock<HashMap<SensorId, BTreeMap<i64, Arc<str>>>>,
    devices: RwLock<BTreeMap<String, DeviceReport>>,
    link: watch::Sender<LinkStatus>,
    feed: broadcast::Sender<News>,
    dropped_polls: Arc<AtomicU64>,
    ports: PortHandles,
    learners: RwLock<Vec<Learner>>,
    /// When the agent started.
    pub started_at: Timestamp,
}

impl Health {
    /// Nothing is known yet; every device is starting.
    pub fn new(now: Timestamp) -> Self {
        Self::over(now, PortHandles::default())
    }

    /// The same with ports that others know already.
    pub fn over(now: Timestamp, ports: PortHandles) -> Self {
        let words = "no hub is configured: the box works alone".to_owned();
        let link = LinkStatus {
            state: LinkState::NotEnrolled,
            since: now,
            words,
        };
        Self {
            readings: RwLock::default(),
            words: RwLock::default(),
            devices: RwLock::default(),
            link: watch::Sender::new(link),
            feed: broadcast::Sender::new(FEED_MAX),
            dropped_polls: Arc::default(),
            ports,
            learners: RwLock::default(),
            started_at: now,
        }
    }

    /// The ports that run: to write values, to see what their buses are like.
    pub fn ports(&self) -> PortHandles {
        self.ports.clone()
    }

    /// News from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<News> {
        self.feed.subscribe()
    }

    /// A reading is stored.
    pub fn reading(&self, reading: Reading) {
        let mut readings = self
            .readings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        readings.insert(reading.sensor, reading);
        drop(readings);
        self.tell(News::Reading(reading));
    }

    /// The latest stored reading of a sensor, if there is one since the start.
    pub fn latest(&self, sensor: SensorId) -> Option<Reading> {
        self.readings
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&sensor)
            .copied()
    }

    /// In which words values of a sensor are told from now on; `None`: no longer in any.
    pub fn worded(
        &self,
        sensor: SensorId,
        words: impl IntoIterator<Item = (i64, Option<Arc<str>>)>,
    ) {
        let mut all = self.words.write().unwrap_or_else(PoisonError::into_inner);
        for (number, text) in words {
            match text {
                Some(text) => drop(all.entry(sensor).or_default().insert(number, text)),
                None => {
                    if let Some(known) = all.get_mut(&sensor) {
                        known.remove(&number);
                    }
                }
            }
        }
    }

    /// The word of a reading: a text sensor's text, or what a state is called.
    pub fn text(&self, reading: &Reading) -> Option<Arc<str>> {
        let number = whole(reading.value?)?;
        let words = self.words.read().unwrap_or_else(PoisonError::into_inner);
        words.get(&reading.sensor)?.get(&number).cloned()
    }

    /// A driver told how a device is.
    pub fn device(&self, report: DeviceReport) {
        let name = report.device.clone();
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        devices.insert(name.clone(), report);
        drop(devices);
        self.tell(News::Device(name));
    }

    /// These devices are starting again, or gone.
    pub fn forget_devices<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            devices.remove(name);
        }
    }

    /// No other sensors than these are configured any more.
    pub fn keep_sensors(&self, sensors: &HashSet<SensorId>) {
        let mut readings = self
            .readings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        readings.retain(|sensor, _| sensors.contains(sensor));
        drop(readings);
        let mut words = self.words.write().unwrap_or_else(PoisonError::into_inner);
        words.retain(|sensor, _| sensors.contains(sensor));
        drop(words);
        self.tell(News::Plant);
    }

    /// The latest readings of these sensors are of before: nothing was read of them yet.
    pub fn forget_readings(&self, sensors: &HashSet<SensorId>) {
        let mut readings = self
            .readings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        readings.retain(|sensor, _| !sensors.contains(sensor));
    }

    /// How a device is; `None` while it is starting.
    pub fn device_now(&self, name: &str) -> Option<DeviceReport> {
        self.devices
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// How many devices do not answer as they should.
    pub fn devices_in_trouble(&self) -> usize {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        devices
            .values()
            .filter(|report| report.state != DeviceState::Ok)
            .count()
    }

    /// These rules learn and tell nothing yet.
    pub fn learning(&self, learners: Vec<Learner>) {
        *self
            .learners
            .write()
            .unwrap_or_else(PoisonError::into_inner) = learners;
    }

    /// The rules that learn and tell nothing yet.
    pub fn learners(&self) -> Vec<Learner> {
        let learners = self.learners.read();
        learners.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the link is.
    pub fn link(&self) -> LinkStatus {
        self.link.borrow().clone()
    }

    /// The link is in `state`, because of `words`; its beginning is kept while only the words
    /// change.
    pub fn set_link(&self, state: LinkState, words: &str, now: Timestamp) {
        let changed = self.link.send_if_modified(|status| {
            if status.state != state {
                *status = LinkStatus {
                    state,
                    since: now,
                    words: words.to_owned(),
                };
                return true;
            }
            let other = status.words != words;
            words.clone_into(&mut status.words);
            other
        });
        if changed {
            self.tell(News::Link(self.link()));
        }
    }

    /// A poll found the queue to the store full.
    pub fn poll_dropped(&self) {
        self.dropped_polls.fetch_add(1, Ordering::Relaxed);
    }

    /// Counter of polls that found the queue to the store full.
    pub fn dropped_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped_polls)
    }

    /// Polls that found the queue to the store full since the start.
    pub fn dropped_polls(&self) -> u64 {
        self.dropped_polls.load(Ordering::Relaxed)
    }

    fn tell(&self, news: News) {
        // Nobody looking is not an error.
        drop(self.feed.send(news));
    }
}
