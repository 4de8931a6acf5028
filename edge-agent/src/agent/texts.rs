//! Texts become codes, and states their words: each is an event of the gateway's record and on the
//! disk before a reading that uses it is stored. Never cuts a text; what has no room is a reading
//! without a value, and the device's report says so.

use crate::drivers::{DeviceReport, DeviceState};
use crate::health::Health;
use crate::pipeline::{GroupSpec, RawCell, RawPoll, Words};
use crate::storage::{NewEvent, SensorWords, Storage, StorageError};
use protocol::event::{Actor, Body, GatewayEvent, RecordKind, RecordRef};
use protocol::id::{GatewayId, SensorId};
use protocol::limits::{
    GATEWAY_WORDS_MAX, SENSOR_TEXT_BYTES_MAX, SENSOR_TEXTS_MAX, WORDS_PER_EVENT_MAX,
};
use protocol::reading::{Cause, Raw};
use ring::digest::{SHA256, digest};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The bits of a code: six bytes, so that it is exact as a float.
const CODE_BITS: i64 = 0xFFFF_FFFF_FFFF;

/// A group with texts: its device, and its sensors in the order of a poll's cells.
pub(super) struct TextGroup {
    device: String,
    sensors: Vec<(SensorId, String)>,
}

impl TextGroup {
    /// `None` for a group without texts.
    pub(super) fn of(group: &GroupSpec, gateway: GatewayId) -> Option<Self> {
        let mut sensors = group.sensors.iter();
        let any = sensors.any(|sensor| sensor.words == Words::Texts);
        any.then(|| Self {
            device: group.device.clone(),
            sensors: named(group, gateway).collect(),
        })
    }
}

fn named(group: &GroupSpec, gateway: GatewayId) -> impl Iterator<Item = (SensorId, String)> {
    group.sensors.iter().map(move |sensor| {
        let id = SensorId::derive(gateway, &group.path(sensor));
        (id, sensor.name.clone())
    })
}

/// Changes of the words of a sensor.
type Changes = Vec<(i64, Option<String>)>;

/// The texts of all sensors. Bounded by `GATEWAY_WORDS_MAX`.
pub(super) struct Texts {
    storage: Storage,
    health: Arc<Health>,
    gateway: GatewayId,
    codes: HashMap<SensorId, HashMap<Arc<str>, i64>>,
    /// How many states of a sensor have a word.
    states: HashMap<SensorId, usize>,
    /// Words of all sensors.
    count: usize,
    /// Sensors that have no room for a further text, by device.
    full: BTreeMap<String, BTreeSet<String>>,
}

impl Texts {
    /// Without sensors yet.
    pub(super) fn new(storage: &Storage, health: &Arc<Health>) -> Self {
        Self {
            storage: storage.clone(),
            health: Arc::clone(health),
            gateway: storage.gateway_id(),
            codes: HashMap::new(),
            states: HashMap::new(),
            count: 0,
            full: BTreeMap::new(),
        }
    }

    /// Takes up the sensors of groups: loads their texts, and writes down what the configuration
    /// says of states where it changed. A sensor that comes again is as it is now.
    pub(super) async fn add(
        &mut self,
        groups: impl Iterator<Item = &GroupSpec>,
    ) -> Result<(), StorageError> {
        let mut sensors: Vec<(SensorId, Words)> = Vec::new();
        for group in groups {
            self.full.remove(&group.device);
            let words = group.sensors.iter().map(|sensor| sensor.words.clone());
            let ids = named(group, self.gateway).map(|(id, _)| id);
            sensors.extend(ids.zip(words));
        }
        let ids = sensors.iter().map(|(id, _)| *id).collect();
        let mut stored = self.storage.words(ids).await?;
        let mut changes: Vec<(SensorId, Changes)> = Vec::new();
        for (sensor, configured) in sensors {
            self.forget(sensor);
            let known = stored.remove(&sensor).unwrap_or_default();
            match configured {
                Words::Fixed(wanted) => {
                    let changed = difference(&known, &wanted);
                    if !wanted.is_empty() {
                        self.states.insert(sensor, wanted.len());
                    }
                    self.show(sensor, &changed, wanted);
                    changes.push((sensor, changed));
                }
                Words::Texts => {
                    let words = self.show(sensor, &[], known);
                    let codes = words.into_iter().map(|(code, text)| (text, code));
                    self.codes.insert(sensor, codes.collect());
                }
            }
        }
        changes.retain(|(_, changes)| !changes.is_empty());
        if changes.is_empty() {
            return Ok(());
        }
        self.write(changes).await
    }

    /// No other sensors than these are configured any more.
    pub(super) fn keep_only(&mut self, sensors: &HashSet<SensorId>) {
        let known = self.codes.keys().chain(self.states.keys());
        let gone = known.filter(|sensor| !sensors.contains(sensor)).copied();
        for sensor in gone.collect::<Vec<_>>() {
            self.forget(sensor);
        }
    }

    fn forget(&mut self, sensor: SensorId) {
        let texts = self.codes.remove(&sensor).map_or(0, |codes| codes.len());
        let states = self.states.remove(&sensor).unwrap_or(0);
        self.count -= texts + states;
    }

    /// Puts codes in the place of texts. A text that is new is on the disk when this returns.
    /// Answers a report of the device when a sensor of it turned out to be full.
    pub(super) async fn keep(
        &mut self,
        group: &TextGroup,
        poll: &mut RawPoll,
    ) -> Option<DeviceReport> {
        let mut new: Vec<(usize, SensorId, Arc<str>, i64)> = Vec::new();
        let mut found_full = false;
        for (at, cell) in poll.cells.iter_mut().enumerate() {
            let RawCell::Text(text) = cell else { continue };
            let text: Arc<str> = Arc::from(std::mem::take(text));
            let Some((sensor, name)) = group.sensors.get(at) else {
                continue;
            };
            *cell = if text.len() > SENSOR_TEXT_BYTES_MAX {
                // No driver delivers one: it would be refused with all that came beside it.
                RawCell::Missing(Cause::BadAnswer)
            } else if let Some((code, is_new)) = self.code(*sensor, &text) {
                if is_new {
                    new.push((at, *sensor, text, code));
                }
                RawCell::Value(Raw::Int(code))
            } else {
                let full = self.full.entry(group.device.clone()).or_default();
                found_full |= full.insert(name.clone());
                RawCell::Missing(Cause::TextNotKept)
            };
        }
        if !new.is_empty() {
            self.keep_new(new, poll).await;
        }
        found_full.then(|| {
            let report = self.health.device_now(&group.device);
            self.beside(report.unwrap_or_else(|| DeviceReport {
                device: group.device.clone(),
                time: poll.time,
                state: DeviceState::Ok,
                words: String::new(),
            }))
        })
    }

    /// A driver's report, with what is said of full sensors beside it.
    pub(super) fn beside(&self, mut report: DeviceReport) -> DeviceReport {
        let Some(sensors) = self.full.get(&report.device) else {
            return report;
        };
        let sensors: Vec<&str> = sensors.iter().map(String::as_str).collect();
        let words = format!(
            "There is no room for a further text of {} (at most {SENSOR_TEXTS_MAX} different ones of \
             a sensor, {GATEWAY_WORDS_MAX} of the box): its readings have no value. Give the sensor \
             a new name to begin anew.",
            sensors.join(", ")
        );
        if report.state == DeviceState::Ok {
            report.state = DeviceState::Error;
            report.words = words;
        } else if !report.words.contains(&words) {
            report.words = format!("{} {words}", report.words);
        }
        report
    }

    /// The code of a text, and whether it is new; `None` when there is no room.
    fn code(&mut self, sensor: SensorId, text: &Arc<str>) -> Option<(i64, bool)> {
        let codes = self.codes.entry(sensor).or_default();
        if let Some(code) = codes.get(text) {
            return Some((*code, false));
        }
        if codes.len() >= SENSOR_TEXTS_MAX || self.count >= GATEWAY_WORDS_MAX {
            return None;
        }
        let mut code = first_code(text);
        while codes.values().any(|taken| *taken == code) {
            code = (code + 1) & CODE_BITS;
        }
        codes.insert(Arc::clone(text), code);
        self.count += 1;
        Some((code, true))
    }

    /// Writes new texts down; where that fails their readings have no value, and the next one of
    /// each tries again.
    async fn keep_new(&mut self, new: Vec<(usize, SensorId, Arc<str>, i64)>, poll: &mut RawPoll) {
        let changes = new.iter().map(|(_, sensor, text, code)| {
            let change = (*code, Some(text.as_ref().to_owned()));
            (*sensor, vec![change])
        });
        match self.write(changes.collect()).await {
            Ok(()) => {
                for (_, sensor, text, code) in new {
                    self.health.worded(sensor, [(code, Some(text))]);
                }
            }
            Err(error) => {
                tracing::error!(%error, "a new text could not be kept; its readings have no value");
                for (at, sensor, text, _) in new {
                    if let Some(codes) = self.codes.get_mut(&sensor) {
                        codes.remove(&text);
                        self.count -= 1;
                    }
                    if let Some(cell) = poll.cells.get_mut(at) {
                        *cell = RawCell::Missing(Cause::TextNotKept);
                    }
                }
            }
        }
    }

    /// Tells the page the words of a sensor, and of `changes` which are gone.
    fn show(
        &mut self,
        sensor: SensorId,
        changes: &[(i64, Option<String>)],
        words: SensorWords,
    ) -> Vec<(i64, Arc<str>)> {
        let words: Vec<(i64, Arc<str>)> = words
            .into_iter()
            .map(|(number, text)| (number, Arc::from(text)))
            .collect();
        self.count += words.len();
        let gone = changes.iter().filter(|(_, text)| text.is_none());
        let gone = gone.map(|(number, _)| (*number, None));
        let shown = words.iter();
        let shown = shown.map(|(number, text)| (*number, Some(Arc::clone(text))));
        self.health.worded(sensor, gone.chain(shown));
        words
    }

    /// All changes in one transaction.
    async fn write(&self, changes: Vec<(SensorId, Changes)>) -> Result<(), StorageError> {
        let record = RecordRef {
            kind: RecordKind::Gateway,
            id: self.gateway.0,
        };
        self.storage
            .records(move |tx| {
                for (sensor, changes) in changes {
                    for words in changes.chunks(WORDS_PER_EVENT_MAX) {
                        let words = words.to_vec();
                        tx.append(NewEvent {
                            id: None,
                            actor: Actor::System("edge-agent".to_owned()),
                            record,
                            body: Body::Gateway(GatewayEvent::Worded { sensor, words }),
                        })?;
                    }
                }
                Ok(())
            })
            .await
    }
}

/// What has to be said so that `wanted` counts and no longer `known`.
fn difference(known: &SensorWords, wanted: &SensorWords) -> Changes {
    let gone = known.keys().filter(|number| !wanted.contains_key(number));
    let gone = gone.map(|number| (*number, None));
    let other = wanted
        .iter()
        .filter(|(number, text)| known.get(number) != Some(text))
        .map(|(number, text)| (*number, Some(text.clone())));
    gone.chain(other).collect()
}

/// Where the search for a text's code begins (PROTOCOL §5.6). From the text and not from a count, so
/// that a box that was put back from a copy gives no code a second time.
fn first_code(text: &str) -> i64 {
    let hash = digest(&SHA256, text.as_bytes());
    let first = hash.as_ref().iter().take(6);
    first.fold(0, |code, byte| (code << 8) | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::open_storage;
    use crate::config::Config;
    use crate::pipeline::SensorSpec;
    use protocol::reading::{Quality, RawKind, Reading};
    use protocol::time::{ClockState, Timestamp};
    use std::path::Path;
    use std::time::Duration;
    use tokio::sync::mpsc;

    fn config(folder: &Path) -> Config {
        let text = r#"
            [gateway]
            data_dir = "data"
            [[port]]
            name = "p"
            protocol = "modbus"
            [[device]]
            name = "scanner"
            port = "p"
            [[device.sensor]]
            name = "batch"
            [[device.sensor]]
            name = "state"
            enum = { 0 = "stopped", 1 = "running" }
        "#;
        Config::parse(&folder.join("edge.toml"), text).unwrap()
    }

    fn group(config: &Config) -> GroupSpec {
        let device = &config.devices[0];
        let mut group = GroupSpec::new(device, Duration::from_secs(1));
        let sensors = device.sensors.iter();
        let mut specs: Vec<_> = sensors
            .map(|sensor| SensorSpec::new(sensor, RawKind::Int))
            .collect();
        specs[0].words = Words::Texts;
        group.sensors = Arc::new(specs);
        group
    }

    /// An opening of the store with the texts of one group.
    struct Box1 {
        storage: Storage,
        health: Arc<Health>,
        texts: Texts,
        group: GroupSpec,
        _drained: tokio::task::JoinHandle<()>,
    }

    impl Box1 {
        async fn open(folder: &Path, change: impl Fn(&mut GroupSpec)) -> Self {
            let config = config(folder);
            let (committed, mut batches) = mpsc::channel(16);
            let drained = tokio::spawn(async move { while batches.recv().await.is_some() {} });
            let (storage, _) = open_storage(&config, committed).unwrap();
            let health = Arc::new(Health::new(Timestamp(0)));
            let mut group = group(&config);
            change(&mut group);
            let mut texts = Texts::new(&storage, &health);
            texts.add([&group].into_iter()).await.unwrap();
            Self {
                storage,
                health,
                texts,
                group,
                _drained: drained,
            }
        }

        fn sensor(&self, at: usize) -> SensorId {
            let path = self.group.path(&self.group.sensors[at]);
            SensorId::derive(self.storage.gateway_id(), &path)
        }

        /// What becomes of one text, and what is told of the device.
        async fn keep(&mut self, text: &str) -> (RawCell, Option<DeviceReport>) {
            let group = TextGroup::of(&self.group, self.storage.gateway_id()).unwrap();
            let mut poll = RawPoll {
                group: 0,
                time: Timestamp(1),
                clock: ClockState::Synchronised,
                cells: vec![RawCell::Text(text.into()), RawCell::Value(Raw::Int(1))],
            };
            let report = self.texts.keep(&group, &mut poll).await;
            assert_eq!(poll.cells[1], RawCell::Value(Raw::Int(1)));
            (poll.cells.remove(0), report)
        }

        /// What the page shows for a value.
        fn shown(&self, at: usize, value: f64) -> Option<String> {
            let reading = Reading {
                sensor: self.sensor(at),
                time: Timestamp(1),
                value: Some(value),
                quality: Quality::Good,
                clock: ClockState::Synchronised,
            };
            self.health.text(&reading).map(|text| text.to_string())
        }

        async fn stored(&self) -> HashMap<SensorId, SensorWords> {
            let sensors = vec![self.sensor(0), self.sensor(1)];
            self.storage.words(sensors).await.unwrap()
        }
    }

    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "a code has 48 bits"
    )]
    fn number(cell: &RawCell) -> f64 {
        match cell {
            RawCell::Value(Raw::Int(code)) => *code as f64,
            other => panic!("{other:?} is no code"),
        }
    }

    #[tokio::test]
    async fn a_text_has_its_code_on_the_disk_before_its_reading_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Box1::open(folder.path(), |_| {}).await;
        let (a, _) = first.keep("LOT-17").await;
        // On the disk already: nothing was flushed.
        let stored = first.stored().await;
        let texts: Vec<&str> = stored[&first.sensor(0)]
            .values()
            .map(String::as_str)
            .collect();
        assert_eq!(texts, ["LOT-17"]);
        let (b, _) = first.keep("").await;
        let (again, report) = first.keep("LOT-17").await;
        assert_eq!(a, again);
        assert_ne!(a, b);
        assert!(report.is_none());
        assert_eq!(first.shown(0, number(&a)).as_deref(), Some("LOT-17"));
        assert_eq!(first.shown(0, number(&b)).as_deref(), Some(""));
        assert_eq!(first.shown(0, 0.5), None);
        let (long, _) = first.keep(&"x".repeat(65)).await;
        assert_eq!(long, RawCell::Missing(Cause::BadAnswer));
        let (longest, _) = first.keep(&"é".repeat(32)).await;
        assert_eq!(first.shown(0, number(&longest)), Some("é".repeat(32)));
        first.storage.close().await.unwrap();
        let mut second = Box1::open(folder.path(), |_| {}).await;
        assert_eq!(second.shown(0, number(&a)).as_deref(), Some("LOT-17"));
        assert_eq!(second.keep("LOT-17").await.0, a);
        assert_eq!(second.stored().await[&second.sensor(0)].len(), 3);
    }

    #[tokio::test]
    async fn another_box_in_the_same_place_gives_a_text_the_same_code() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut one = Box1::open(one.path(), |_| {}).await;
        let mut two = Box1::open(two.path(), |_| {}).await;
        drop(one.keep("first").await);
        assert_eq!(one.keep("LOT-17").await.0, two.keep("LOT-17").await.0);
        // The first six bytes of the SHA-256 of "abc" (FIPS 180-4, its best known example).
        let abc = RawCell::Value(Raw::Int(0xBA78_16BF_8F01));
        assert_eq!(two.keep("abc").await.0, abc);
    }

    #[tokio::test]
    async fn a_full_sensor_is_told_and_its_known_texts_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut full = Box1::open(folder.path(), |_| {}).await;
        let known = full.keep("known").await.0;
        let sensor = full.sensor(0);
        let codes = full.texts.codes.get_mut(&sensor).unwrap();
        for (code, at) in (0_i64..).zip(1..SENSOR_TEXTS_MAX) {
            codes.insert(Arc::from(format!("text {at}")), code);
        }
        let (cell, report) = full.keep("one too many").await;
        assert_eq!(cell, RawCell::Missing(Cause::TextNotKept));
        let report = report.unwrap();
        assert_eq!(
            (report.device.as_str(), report.state),
            ("scanner", DeviceState::Error)
        );
        assert!(
            report
                .words
                .contains("a further text of batch (at most 4096"),
            "{}",
            report.words
        );
        assert_eq!(full.keep("known").await.0, known);
        let (cell, report) = full.keep("another one").await;
        assert_eq!(cell, RawCell::Missing(Cause::TextNotKept));
        assert!(report.is_none(), "it is told once");
        // And stays beside what the driver says from now on.
        let told = |state, words: &str| DeviceReport {
            device: "scanner".to_owned(),
            time: Timestamp(2),
            state,
            words: words.to_owned(),
        };
        let beside = full.texts.beside(told(DeviceState::Ok, "It answers."));
        assert_eq!(beside.state, DeviceState::Error);
        let beside = full
            .texts
            .beside(told(DeviceState::Silent, "Nothing came."));
        assert_eq!(beside.state, DeviceState::Silent);
        assert!(beside.words.starts_with("Nothing came. There is no room"));
        assert_eq!(full.texts.beside(beside.clone()), beside, "said once");
    }

    #[tokio::test]
    async fn a_text_that_cannot_be_written_down_is_no_reading_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut full = Box1::open(folder.path(), |_| {}).await;
        full.storage.close().await.unwrap();
        assert_eq!(
            full.keep("LOT-17").await.0,
            RawCell::Missing(Cause::TextNotKept)
        );
        assert!(full.texts.codes[&full.sensor(0)].is_empty());
    }

    #[tokio::test]
    async fn the_words_of_states_are_those_of_the_configuration_and_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let words = |pairs: &[(i64, &str)]| -> SensorWords {
            let pairs = pairs.iter();
            pairs.map(|(at, text)| (*at, (*text).to_owned())).collect()
        };
        let first = Box1::open(folder.path(), |_| {}).await;
        assert_eq!(first.shown(1, 1.0).as_deref(), Some("running"));
        let stored = first.stored().await;
        assert_eq!(
            stored[&first.sensor(1)],
            words(&[(0, "stopped"), (1, "running")])
        );
        let events = |state: crate::storage::SyncState| -> u64 {
            state.events.iter().map(|own| own.last).sum()
        };
        let before = events(first.storage.sync_state().await.unwrap());
        first.storage.close().await.unwrap();
        let second = Box1::open(folder.path(), |_| {}).await;
        let after = events(second.storage.sync_state().await.unwrap());
        assert_eq!(before, after, "nothing changed: no event");
        // The configuration changes while the box runs.
        let mut second = second;
        Arc::make_mut(&mut second.group.sensors)[1].words = Words::Fixed(words(&[(1, "an")]));
        let changed = second.group.clone();
        second.texts.add([&changed].into_iter()).await.unwrap();
        assert_eq!(second.shown(1, 1.0).as_deref(), Some("an"));
        assert_eq!(second.shown(1, 0.0), None);
        assert_eq!(second.texts.count, 1);
        second.storage.close().await.unwrap();
        let wanted = words(&[(1, "läuft"), (-2, "fault")]);
        let third = Box1::open(folder.path(), |group| {
            Arc::make_mut(&mut group.sensors)[1].words = Words::Fixed(wanted.clone());
        })
        .await;
        assert_eq!(third.stored().await[&third.sensor(1)], wanted);
        assert_eq!(third.shown(1, 0.0), None);
        assert_eq!(third.shown(1, -2.0).as_deref(), Some("fault"));
    }

    #[tokio::test]
    async fn words_of_sensors_that_are_gone_leave_their_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = Box1::open(folder.path(), |_| {}).await;
        let before = one.keep("before").await.0;
        assert_eq!(one.texts.count, 3);
        one.texts.keep_only(&HashSet::from([one.sensor(1)]));
        assert_eq!(one.texts.count, 2);
        one.texts.add([&one.group].into_iter()).await.unwrap();
        assert_eq!((one.texts.count, one.keep("before").await.0), (3, before));
    }
}
