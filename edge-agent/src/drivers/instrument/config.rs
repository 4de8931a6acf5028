//! A port of instruments as configured: what is asked, how frames are told apart, where each sensor
//! stands in them. Never connects to anything.

use super::escape;
use super::frame::{BETWEEN, End, Shape};
use super::shape::{self, piece};
use super::value::{Binary, Condition, Kind, Order, Place, Point, Separator};
use crate::config::{self as file, Section};
use crate::pipeline::{GroupSpec, SensorSpec, Watch, Words};
use crate::transport::{Address, Parity, SerialPlace, SerialSettings, config as transport};
use protocol::limits::GROUP_COLUMNS_MAX;
use std::path::PathBuf;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
/// TCP port where none is written: the first line of common serial servers.
const PORT: u16 = 4_001;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);
/// Longest request.
const REQUEST_BYTES_MAX: usize = 256;
/// Last byte of a frame that a place can name.
const COLUMN_MAX: i64 = 1_024;

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

/// What a device says for those of its sensors that do not say otherwise.
struct Usual {
    request: Option<Vec<u8>>,
    prefix: Vec<u8>,
    separator: Separator,
    decimal_comma: bool,
    order: Order,
}

fn read_device(device: &file::DeviceConfig) -> DeviceConfig {
    let mut section = device.section.clone();
    let mut shape = shape::read(&mut section);
    let separator = piece(&mut section, "separator").unwrap_or_else(|| b",".to_vec());
    let usual = Usual {
        request: request(&mut section),
        prefix: prefix(&mut section, &shape).unwrap_or_default(),
        separator: Separator(separator),
        decimal_comma: section.boolean("decimal_comma").unwrap_or(false),
        order: order(&mut section).unwrap_or_default(),
    };
    let timeout = section.duration("timeout", MS * 10..=MS * 86_400_000);
    let mut groups: Vec<GroupConfig> = Vec::new();
    let mut speaks = false;
    for sensor in &device.sensors {
        let Some((request, point)) = read_sensor(sensor, &usual, &shape) else {
            continue;
        };
        speaks |= request.is_none();
        add_sensor(&mut groups, device, sensor, (request, point));
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

/// What is asked for it and how it is read; `None` when it cannot be, which is noted.
fn read_sensor(
    sensor: &file::SensorConfig,
    usual: &Usual,
    shape: &Shape,
) -> Option<(Option<Vec<u8>>, Point)> {
    let mut section = sensor.section.clone();
    let request = request(&mut section).or_else(|| usual.request.clone());
    let prefix = prefix(&mut section, shape).unwrap_or_else(|| usual.prefix.clone());
    let separator = piece(&mut section, "separator").map(Separator);
    let separator = separator.as_ref().unwrap_or(&usual.separator);
    let place = place(&mut section, separator).unwrap_or(Place::Rest);
    let place = match section.integer("at", 0..=COLUMN_MAX - 1) {
        Some(at) => Place::At(at),
        None => place,
    };
    refused_beside(&section, "at", "field");
    refused_beside(&section, "at", "columns");
    let kind = kind(&mut section, usual);
    let unit_text = section.text("unit_text");
    let nan = section.text_list("nan").unwrap_or_default();
    let condition = section
        .section("match")
        .map(|within| condition(within, separator));
    let point = kind.map(|kind| Point {
        prefix,
        place,
        kind,
        unit_text,
        nan,
        condition: condition.flatten(),
    });
    if let Some(point) = &point {
        check(&section, point, shape);
        if point.kind == Kind::Text {
            refuse_numbers(&section);
            if sensor.watch != Watch::default() {
                let words =
                    "is a text, and a rule has limits for it; remove the rule or read a number";
                section.problem("type", words);
            }
        }
    }
    section.finish();
    Some((request, point?))
}

fn kind(section: &mut Section, usual: &Usual) -> Option<Kind> {
    let decimal_comma = section
        .boolean("decimal_comma")
        .unwrap_or(usual.decimal_comma);
    let order = order(section).unwrap_or(usual.order);
    let Some(word) = section.text("type") else {
        if section.has("at") {
            section.missing("type", "type = \"u16\"");
            return None;
        }
        return Some(Kind::Number { decimal_comma });
    };
    let kind = match word.as_str() {
        "number" => Some(Kind::Number { decimal_comma }),
        "hex" => Some(Kind::Hex),
        "str" => Some(Kind::Text),
        word => Binary::parse(word).map(|binary| Kind::Binary(binary, order)),
    };
    let wrong = match kind {
        None => {
            "is not known here; there are number, hex and str, and for bytes (with at) u8 i8 u16 i16 u24 i24 u32 \
             i32 u64 i64 f32 f64 and bcd:1 to bcd:8"
        }
        Some(Kind::Binary(_, _)) if !section.has("at") => {
            "is a value of bytes; add where its first byte stands, for example at = 2"
        }
        Some(Kind::Number { .. } | Kind::Hex | Kind::Text) if section.has("at") => {
            "is written in letters; use columns = [first, last] in place of at"
        }
        Some(_) => return kind,
    };
    section.problem("type", &format!("\"{word}\" {wrong}"));
    None
}

/// `field` or `columns`.
fn place(section: &mut Section, separator: &Separator) -> Option<Place> {
    let text = section.text_or_integer("field");
    let columns = section.integer_list("columns");
    refused_beside(section, "columns", "field");
    if let Some(text) = text {
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=256).contains(number));
        if number.is_none() {
            section.problem(
                "field",
                "is not the number of a field; the first is 1, the last 256",
            );
        }
        return Some(Place::Field(number?, separator.clone()));
    }
    let columns = columns?;
    let good = match columns.as_slice() {
        [first] => Some((*first, None)),
        [first, last] if last >= first => Some((*first, Some(*last))),
        _ => None,
    };
    let good = good.filter(|(first, last)| {
        let range = 1..=COLUMN_MAX;
        range.contains(first) && last.is_none_or(|last| range.contains(&last))
    });
    let size = |column: i64| usize::try_from(column).unwrap_or(usize::MAX);
    if good.is_none() {
        let words = "is not the first and the last column, counted from 1; write for example [4, 12], or [4] for \
                     all that follows";
        section.problem("columns", words);
    }
    good.map(|(first, last)| Place::Columns(size(first), last.map(size)))
}

/// `match = { field = 1, text = "ST" }`.
fn condition(mut section: Section, separator: &Separator) -> Option<Condition> {
    let place = place(&mut section, separator);
    if !section.has("field") && !section.has("columns") {
        section.missing("field", "field = 1");
    }
    let text = section.required_text("text");
    section.finish();
    Some(Condition {
        place: place?,
        text: text?,
    })
}

/// What a frame of the configured length has no room for.
fn check(section: &Section, point: &Point, shape: &Shape) {
    if let End::Length(length) = shape.end {
        let checksum = shape.checksum.as_ref();
        let room = length
            - checksum
                .map_or(0, |sum| sum.length() + sum.mark.len())
                .min(length);
        if point.frame_min() > room {
            let key = if section.has("at") { "at" } else { "columns" };
            let words =
                format!("ends behind the {room} bytes that a frame has without its checksum");
            section.problem(key, &words);
        }
    }
    let is_number = matches!(point.kind, Kind::Number { .. });
    for key in ["unit_text", "decimal_comma"] {
        if section.has(key) && !is_number {
            section.problem(
                key,
                "has a meaning for type = \"number\" only; leave it out",
            );
        }
    }
}

/// Notes the keys of a number that a text sensor has.
fn refuse_numbers(section: &Section) {
    let keys = ["scale", "offset", "range", "clamp", "enum"];
    for key in keys.into_iter().filter(|key| section.has(key)) {
        section.problem(key, "has no meaning for a text; leave it out");
    }
}

fn order(section: &mut Section) -> Option<Order> {
    let orders = [
        ("ABCD", Order::Abcd),
        ("CDAB", Order::Cdab),
        ("BADC", Order::Badc),
        ("DCBA", Order::Dcba),
    ];
    section.choice("order", &orders)
}

fn request(section: &mut Section) -> Option<Vec<u8>> {
    let bytes = noted_bytes(section, "request")?;
    if bytes.is_empty() || bytes.len() > REQUEST_BYTES_MAX {
        let words = "has no byte or more than 256; leave it out for a device that speaks by itself";
        section.problem("request", words);
        return None;
    }
    Some(bytes)
}

fn prefix(section: &mut Section, shape: &Shape) -> Option<Vec<u8>> {
    let prefix = piece(section, "prefix")?;
    let is_line = matches!(shape.end, End::Terminator(_));
    if is_line && prefix.first().is_some_and(|byte| BETWEEN.contains(byte)) {
        let words = "begins with \\r, \\n or \\0, which are left out before a frame; leave them out here too";
        section.problem("prefix", words);
    }
    if let End::Terminator(terminator) = &shape.end
        && prefix
            .windows(terminator.len())
            .any(|part| part == terminator)
    {
        section.problem("prefix", "has the terminator in it: no frame can begin so");
    }
    Some(prefix)
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
        self.spec.sensors.push(spec);
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
