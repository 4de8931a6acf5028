//! A port of instruments as configured: what is asked, how frames are told apart, where each sensor
//! stands in them. Never connects to anything.

use super::escape;
use super::frame::{End, Shape};
use super::sensor::{self, Usual};
use super::shape::{self, piece};
use super::value::{Kind, Point, Separator};
use crate::config::{self as file, Section};
use crate::pipeline::{GroupSpec, SensorSpec, Words};
use crate::transport::{Address, Parity, SerialPlace, SerialSettings, config as transport};
use protocol::limits::GROUP_COLUMNS_MAX;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
/// TCP port where none is written: the first line of common serial servers.
const PORT: u16 = 4_001;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);

/// Reads the tables of `port` and of those `devices` that are on it. What is wrong is noted in
/// the file's list of problems, which the caller checks afterwards; `None` when not even the
/// address of the port can be used.
pub fn read(port: &file::PortConfig, devices: &[file::DeviceConfig]) -> Option<PortConfig> {
    let on_it: Vec<&file::DeviceConfig> = devices
        .iter()
        .filter(|device| device.port == port.name)
        .collect();
    let devices: Vec<DeviceConfig> = on_it.iter().map(|device| read_device(device)).collect();
    let speaker = devices.iter().position(|device| device.speaks);
    if devices.len() > 1
        && let Some(speaker) = speaker.and_then(|at| on_it.get(at))
    {
        let words = "has no request and is not alone on its port: nobody could say whose frames come; \
                     add a request, or a port for it, or make them one device";
        speaker.section.problem("request", words);
    }
    let mut section = port.section.clone();
    let link = read_link(&mut section);
    section.finish();
    Some(PortConfig {
        name: port.name.clone(),
        link: link?,
        devices,
    })
}

fn read_link(section: &mut Section) -> Option<LinkSettings> {
    let is_tcp = section.choice("kind", &[("serial", false), ("tcp", true)]) == Some(true);
    let request_gap = section.duration("request_gap", Duration::ZERO..=MS * 10_000);
    let mut connect_timeout = None;
    let address = if is_tcp {
        connect_timeout = section.duration("connect_timeout", MS * 10..=MS * 60_000);
        transport::tcp(section, PORT)
    } else {
        // What instruments have from their makers more often than anything else.
        let usual = SerialSettings {
            baud: 9_600,
            parity: Parity::None,
            ..SerialSettings::new(SerialPlace::Path(PathBuf::new()))
        };
        transport::serial_or(section, &usual).map(Address::Serial)
    };
    Some(LinkSettings {
        address: address?,
        connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT_DEFAULT),
        request_gap: request_gap.unwrap_or_default(),
    })
}

fn read_device(device: &file::DeviceConfig) -> DeviceConfig {
    let mut section = device.section.clone();
    let mut shape = shape::read(&mut section);
    let separator = piece(&mut section, "separator").unwrap_or_else(|| b",".to_vec());
    let usual = Usual {
        request: sensor::request(&mut section),
        prefix: sensor::prefix(&mut section, &shape).unwrap_or_default(),
        separator: Separator(separator),
        decimal_comma: section.boolean("decimal_comma").unwrap_or(false),
        order: sensor::order(&mut section).unwrap_or_default(),
    };
    let timeout = section.duration("timeout", MS * 10..=MS * 86_400_000);
    let mut groups: Vec<GroupConfig> = Vec::new();
    let mut speaks = false;
    for configured in &device.sensors {
        let Some((request, point)) = sensor::read(configured, &usual, &shape) else {
            continue;
        };
        speaks |= request.is_none();
        add_sensor(&mut groups, device, configured, (request, point));
    }
    let asks = groups
        .iter()
        .flat_map(|group| &group.exchanges)
        .any(|exchange| !exchange.request.is_empty());
    if speaks && asks {
        let words = "is there for some sensors of this device and not for others; write it for all, or make two devices";
        section.problem("request", words);
    }
    let prefixes = groups.iter().flat_map(|group| &group.points);
    let prefixes: Vec<Vec<u8>> = prefixes.map(|point| point.prefix.clone()).collect();
    let is_unknown = prefixes.iter().any(Vec::is_empty);
    if speaks && is_unknown && matches!(shape.end, End::Length(_)) {
        let words = "needs a prefix where nothing is asked: else nobody could say where a frame begins; add for \
                     example prefix = '\\x02'";
        section.problem("length", words);
    }
    if !is_unknown {
        shape.starts = prefixes;
        shape.starts.sort_unstable();
        shape.starts.dedup();
    }
    section.finish();
    DeviceConfig {
        name: device.name.clone(),
        shape,
        timeout: timeout.unwrap_or(TIMEOUT_DEFAULT),
        silence: timeout.filter(|_| speaks),
        speaks,
        groups,
    }
}

/// Puts a sensor into the group that it is read with: of a device that is asked, all of one period;
/// of one that speaks, those of one kind of frame, for each frame is a poll of its own.
fn add_sensor(
    groups: &mut Vec<GroupConfig>,
    device: &file::DeviceConfig,
    sensor: &file::SensorConfig,
    (request, point): (Option<Vec<u8>>, Point),
) {
    let mut spec = SensorSpec::new(sensor, point.kind.raw_kind());
    if point.kind == Kind::Text {
        spec.words = Words::Texts;
    }
    let is_written = sensor.section.has("poll") || device.section.has("poll");
    let spacing = (request.is_none() && is_written).then_some(sensor.poll);
    let fits = |group: &GroupConfig| {
        let kinds = group.exchanges.iter().flat_map(|exchange| &exchange.kinds);
        group.spec.period == sensor.poll
            && group.spacing == spacing
            && group.spec.sensors.len() < GROUP_COLUMNS_MAX
            && (request.is_some() || kinds.clone().all(|kind| kind.prefix == point.prefix))
    };
    let at = groups.iter().position(fits).unwrap_or(groups.len());
    if at == groups.len() {
        groups.push(GroupConfig {
            spec: GroupSpec::new(device, sensor.poll),
            points: Vec::new(),
            exchanges: Vec::new(),
            spacing,
        });
    }
    if let Some(group) = groups.get_mut(at) {
        group.add(spec, request.unwrap_or_default(), point);
    }
}

/// The bytes that a text means, or a noted problem.
pub(super) fn noted_bytes(section: &mut Section, key: &'static str) -> Option<Vec<u8>> {
    let text = section.text(key)?;
    let read = escape::bytes(&text);
    read.inspect_err(|error| section.problem(key, &error.to_string()))
        .ok()
}

/// Notes a key that stands beside another one that says the same thing otherwise.
pub(super) fn refused_beside(section: &Section, key: &str, other: &str) {
    if section.has(key) && section.has(other) {
        section.problem(
            key,
            &format!("stands beside {other}; one of the two is enough"),
        );
    }
}

/// One line or endpoint and what is read through it.
#[derive(Clone, Debug, PartialEq)]
pub struct PortConfig {
    /// Name as configured.
    pub name: String,
    /// How it is reached.
    pub link: LinkSettings,
    /// One that speaks by itself, or any number of those that are asked.
    pub devices: Vec<DeviceConfig>,
}

/// How a port is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSettings {
    /// Where its bytes go.
    pub address: Address,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Pause between an answer and the next request.
    pub request_gap: Duration,
}

/// One instrument.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceConfig {
    /// Name as configured.
    pub name: String,
    /// How its frames are told apart.
    pub shape: Shape,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// How long one that speaks may say nothing; `None` for ever.
    pub silence: Option<Duration>,
    /// It is not asked.
    pub speaks: bool,
    /// Its sensors.
    pub groups: Vec<GroupConfig>,
}

/// Sensors that are polled together.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupConfig {
    /// What the rest of the agent knows of it.
    pub spec: GroupSpec,
    /// How each sensor of `spec` is read, in the same order.
    pub points: Vec<Point>,
    /// What is asked for them.
    pub exchanges: Vec<Exchange>,
    /// Shortest time between two polls of a device that speaks; `None` where each frame is one.
    pub spacing: Option<Duration>,
}

/// One request and the frames that are awaited in answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Empty where nothing is asked.
    pub request: Vec<u8>,
    /// Kinds of frames, told apart by what they begin with.
    pub kinds: Vec<FrameKind>,
}

/// One kind of frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameKind {
    /// What it begins with; anything when empty.
    pub prefix: Vec<u8>,
    /// The sensors that stand in it, by their place in the group.
    pub sensors: Vec<usize>,
}

impl GroupConfig {
    fn add(&mut self, spec: SensorSpec, request: Vec<u8>, point: Point) {
        let sensor = self.points.len();
        let exchanges = &mut self.exchanges;
        let at = exchanges
            .iter()
            .position(|exchange| exchange.request == request);
        let at = at.unwrap_or(exchanges.len());
        if at == exchanges.len() {
            let kinds = Vec::new();
            exchanges.push(Exchange { request, kinds });
        }
        if let Some(exchange) = exchanges.get_mut(at) {
            let kinds = exchange.kinds.iter_mut();
            match kinds.into_iter().find(|kind| kind.prefix == point.prefix) {
                Some(kind) => kind.sensors.push(sensor),
                None => exchange.kinds.push(FrameKind {
                    prefix: point.prefix.clone(),
                    sensors: vec![sensor],
                }),
            }
        }
        Arc::make_mut(&mut self.spec.sensors).push(spec);
        self.points.push(point);
    }
}

impl Exchange {
    /// Which kind a frame is: of those whose prefix it has, the one with the longest.
    pub fn kind_of(&self, frame: &[u8]) -> Option<usize> {
        let kinds = self.kinds.iter().enumerate();
        let fits = kinds.filter(|(_, kind)| frame.starts_with(&kind.prefix));
        fits.max_by_key(|(_, kind)| kind.prefix.len())
            .map(|(at, _)| at)
    }

    /// Whether an answer to one may be taken for an answer to the other.
    pub fn is_like(&self, other: &Self) -> bool {
        self.kinds.iter().any(|kind| {
            let mut others = other.kinds.iter();
            others.any(|other| {
                kind.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&kind.prefix)
            })
        })
    }
}
