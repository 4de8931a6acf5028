//! `[[port]]`, `[[device]]` and `[[device.sensor]]`: the keys that all protocols share. What a
//! protocol adds stays in the `Section`, which its driver reads and finishes.
//! Never knows a protocol.

use super::rule::Limits;
use super::section::{Amount, Section};
use super::template::Templates;
use super::value;
use protocol::limits::{NAME_BYTES_MAX, SENSOR_TEXT_BYTES_MAX};
use protocol::unit::Unit;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Most ports; further ones are a problem.
pub const PORTS_MAX: usize = 256;
/// Most devices; further ones are a problem.
pub const DEVICES_MAX: usize = 2_000;
/// Most sensors of all devices together; further ones are a problem.
pub const SENSORS_MAX: usize = 20_000;

/// Most words of one sensor's `enum`; further ones are a problem.
const WORDS_MAX: usize = 256;
/// Most words of the `enum`s of all sensors together; further ones are a problem.
const WORDS_OF_ALL_MAX: usize = 16_384;

const POLL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(86_400);
const SILENCE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
const POLL_DEFAULT: Duration = Duration::from_secs(1);
const SILENCE_DEFAULT: Duration = Duration::from_secs(60);

/// `[[port]]`: a bus or an endpoint.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// Its name, unlike that of any other port.
    pub name: String,
    /// The word of its protocol, for example `modbus-tcp`. The driver room knows which there are.
    pub protocol: String,
    /// The protocol's own keys. Its folder reads them and calls `finish`.
    pub section: Section,
}

impl DeviceConfig {
    /// Assets that it and its sensors name; some of them more than once.
    pub fn assets(&self) -> impl Iterator<Item = &str> {
        let sensors = self.sensors.iter().map(|sensor| &sensor.asset);
        let all = std::iter::once(&self.asset).chain(sensors);
        all.filter_map(Option::as_deref)
    }
}

/// `[[device]]`: a unit on a port.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Its name, unlike that of any other device.
    pub name: String,
    /// Name of the port it is on; that port exists.
    pub port: String,
    /// Tag of the machine that it measures.
    pub asset: Option<String>,
    /// Time between polls, for sensors that do not say otherwise.
    pub poll: Duration,
    /// What it measures; never empty.
    pub sensors: Vec<SensorConfig>,
    /// The protocol's own keys. Its folder reads them and calls `finish`.
    pub section: Section,
}

/// `[[device.sensor]]`: one measured quantity.
#[derive(Clone, Debug)]
pub struct SensorConfig {
    /// Its name, unlike that of any other sensor of the device.
    pub name: String,
    /// Tag of the machine or part that it measures: its own, else the device's.
    pub asset: Option<String>,
    /// Time between polls.
    pub poll: Duration,
    /// Engineering value = raw × scale + offset; never 0.
    pub scale: f64,
    /// See `scale`.
    pub offset: f64,
    /// Unit of the engineering value.
    pub unit: Unit,
    /// Engineering values outside are stored as uncertain.
    pub range: Option<(f64, f64)>,
    /// Engineering values beyond are held at the limit and stored as uncertain.
    pub clamp: Option<(f64, f64)>,
    /// What some values mean, for people: `0 = "stopped"`.
    pub words: BTreeMap<i64, String>,
    /// Thinning; a share only where there is a range.
    pub deadband: Deadband,
    /// A reading is stored at least this often even when nothing moves.
    pub max_silence: Duration,
    /// When nothing is thinned.
    pub watch: Watch,
    /// The protocol's own keys. Its folder reads them and calls `finish`.
    pub section: Section,
}

/// How changes of one sensor are thinned out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deadband {
    /// Every reading is stored.
    Off,
    /// Stored when it moved by more than this, in engineering units.
    Absolute(f64),
    /// Stored when it moved by more than this share of the sensor's range (0.01 = 1 %).
    OfRange(f64),
}

/// When nothing is thinned, so that the rules see what they would see without a deadband: it must
/// not hide that a limit was crossed, nor that an alert cleared, nor stretch a delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watch {
    /// The lowest value above which an alert of some rule stays; infinite where there is none.
    pub above: f64,
    /// The highest value below which an alert of some rule stays; infinite where there is none.
    pub below: f64,
    /// Nor for so long after such a value: the longest off-delay.
    pub after: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            above: f64::INFINITY,
            below: f64::NEG_INFINITY,
            after: Duration::ZERO,
        }
    }
}

impl Watch {
    /// Whether a value may raise an alert of some rule or keep it.
    pub fn is_beyond(&self, value: f64) -> bool {
        value > self.above || value < self.below
    }

    pub(super) fn add(&mut self, limits: &Limits) {
        let high = limits.high.map(|high| high - limits.deadband);
        let low = limits.low.map(|low| low + limits.deadband);
        self.above = self.above.min(high.unwrap_or(f64::INFINITY));
        self.below = self.below.max(low.unwrap_or(f64::NEG_INFINITY));
        self.after = self.after.max(limits.off_delay);
    }
}

impl DeviceConfig {
    /// `device/sensor`: what rules and people call a sensor.
    pub fn path(&self, sensor: &SensorConfig) -> String {
        format!("{}/{}", self.name, sensor.name)
    }
}

pub(super) fn ports(top: &mut Section) -> Vec<PortConfig> {
    let sections = limited(top, "port", PORTS_MAX);
    let mut names = BTreeSet::new();
    let mut ports = Vec::new();
    for mut section in sections {
        let name = own_name(&mut section, &mut names);
        let protocol = section.required_text("protocol");
        if let (Some(name), Some(protocol)) = (name, protocol) {
            ports.push(PortConfig {
                name,
                protocol,
                section,
            });
        }
    }
    ports
}

pub(super) fn devices(
    top: &mut Section,
    ports: &[PortConfig],
    templates: &mut Templates,
) -> Vec<DeviceConfig> {
    let sections = limited(top, "device", DEVICES_MAX);
    let mut names = BTreeSet::new();
    let mut devices = Vec::new();
    let mut room = SENSORS_MAX;
    for mut section in sections {
        let name = own_name(&mut section, &mut names);
        let port = port_of(&mut section, ports);
        let on = ports
            .iter()
            .find(|known| Some(&known.name) == port.as_ref());
        section = templates.expand(section, on.map(|port| port.protocol.as_str()));
        let asset = asset(&mut section);
        let poll = section.duration("poll", POLL).unwrap_or(POLL_DEFAULT);
        let sensors = sensors(&mut section, asset.as_ref(), poll, &mut room);
        // A device with a problem stays in the draft, so that a rule for it is not one more.
        if let Some(name) = name {
            let port = port.unwrap_or_default();
            devices.push(DeviceConfig {
                name,
                port,
                asset,
                poll,
                sensors,
                section,
            });
        }
    }
    limit_words(&devices);
    devices
}

/// Notes the first sensor whose words are beyond those that all may have together.
fn limit_words(devices: &[DeviceConfig]) {
    let mut room = WORDS_OF_ALL_MAX;
    for sensor in devices.iter().flat_map(|device| &device.sensors) {
        let Some(left) = room.checked_sub(sensor.words.len()) else {
            let words = format!("all sensors together have at most {WORDS_OF_ALL_MAX} words");
            sensor.section.problem("enum", &words);
            return;
        };
        room = left;
    }
}

/// Whether a text may be the name of something; notes the problem if not.
pub(super) fn good_name(section: &Section, key: &str, name: &str) -> bool {
    let wrong = if name.trim().is_empty() {
        "is empty; write a name"
    } else if name.len() > NAME_BYTES_MAX {
        "is longer than 120 bytes; write a shorter name"
    } else if name.contains(['/', '|']) || name.chars().any(char::is_control) {
        "has a character that names cannot have (/ | or a control character); write another one"
    } else if name.trim() != name {
        "begins or ends with a space; remove it"
    } else {
        return true;
    };
    section.problem(key, &format!("{} {wrong}", value::quoted(name)));
    false
}

/// Reads the `name` of a section and notes when another one of its kind has it.
pub(super) fn own_name(section: &mut Section, names: &mut BTreeSet<String>) -> Option<String> {
    let name = section.required_text("name")?;
    if !good_name(section, "name", &name) {
        return None;
    }
    if !names.insert(name.clone()) {
        section.problem(
            "name",
            &format!(
                "{} is used twice; give each its own name",
                value::quoted(&name)
            ),
        );
        return None;
    }
    Some(name)
}

/// The tables of a list, no more than the limit.
pub(super) fn limited(parent: &mut Section, key: &'static str, count_max: usize) -> Vec<Section> {
    let mut sections = parent.sections(key);
    if sections.len() > count_max {
        let words = format!(
            "there are {} of them; at most {count_max} are possible",
            sections.len()
        );
        parent.problem(key, &words);
        sections.truncate(count_max);
    }
    sections
}

fn port_of(section: &mut Section, ports: &[PortConfig]) -> Option<String> {
    let name = section.required_text("port")?;
    if ports.iter().any(|port| port.name == name) {
        return Some(name);
    }
    let words = format!(
        "there is no [[port]] with the name {}",
        value::quoted(&name)
    );
    section.unknown(
        "port",
        &words,
        &name,
        ports.iter().map(|port| port.name.as_str()),
    );
    None
}

fn asset(section: &mut Section) -> Option<String> {
    section
        .text("asset")
        .filter(|asset| good_name(section, "asset", asset))
}

fn sensors(
    device: &mut Section,
    asset: Option<&String>,
    poll: Duration,
    room: &mut usize,
) -> Vec<SensorConfig> {
    if !device.has("sensor") {
        device.problem(
            "sensor",
            "is missing; add a [[device.sensor]] below this device",
        );
    }
    let sections = limited(device, "sensor", *room);
    *room -= sections.len();
    let mut names = BTreeSet::new();
    let sensors = sections.into_iter().filter_map(|mut section| {
        let name = own_name(&mut section, &mut names);
        let mut sensor = sensor(section, name.clone().unwrap_or_default(), poll);
        sensor.asset = sensor.asset.or_else(|| asset.cloned());
        name.is_some().then_some(sensor)
    });
    let mut sensors: Vec<SensorConfig> = sensors.collect();
    // Kept as long as the agent runs, and there may be thousands.
    sensors.shrink_to_fit();
    if let [first, others @ ..] = sensors.as_mut_slice() {
        for sensor in others {
            sensor.section.share_keys(&first.section);
        }
    }
    sensors
}

fn sensor(mut section: Section, name: String, poll: Duration) -> SensorConfig {
    // For people only: whoever exports the tags has it.
    drop(section.text("description"));
    let asset = asset(&mut section);
    let poll = section.duration("poll", POLL).unwrap_or(poll);
    let scale = section.float("scale").unwrap_or(1.0);
    if scale == 0.0 {
        section.problem(
            "scale",
            "0 would make every value the same; write for example 0.1",
        );
    }
    let offset = section.float("offset").unwrap_or(0.0);
    let unit = Unit::parse(&section.text("unit_name").unwrap_or_default());
    let range = section.float_pair("range");
    let clamp = section.float_pair("clamp");
    let words = section.words("enum", WORDS_MAX, SENSOR_TEXT_BYTES_MAX);
    let deadband = match section.amount("deadband") {
        Some(Amount::Absolute(size)) if size > 0.0 => Deadband::Absolute(size),
        Some(Amount::Share(share)) if share > 0.0 => Deadband::OfRange(share),
        _ => Deadband::Off,
    };
    if matches!(deadband, Deadband::OfRange(_)) && !section.has("range") {
        let words =
            "is a share of the range and there is no range; add for example range = [0.0, 150.0]";
        section.problem("deadband", words);
    }
    let max_silence = section
        .duration("max_silence", SILENCE)
        .unwrap_or(SILENCE_DEFAULT);
    SensorConfig {
        name,
        asset,
        poll,
        scale,
        offset,
        unit,
        range,
        clamp,
        words: words.unwrap_or_default(),
        deadband,
        max_silence,
        watch: Watch::default(),
        section,
    }
}
