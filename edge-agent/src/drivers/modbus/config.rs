//! A Modbus port as configured: devices, their groups of sensors, how each is read.
//! Never connects to anything.

use super::address::{Address, Base, Table};
use super::bus_device::Measure;
use super::data_type::{DataType, Order};
use super::frame::Framing;
use super::link::LinkSettings;
use super::plan::{Item, Limits};
use super::release::Release;
use super::target::{PORT, PORT_TLS};
use crate::config::{self as file, Section};
use crate::pipeline::{GroupSpec, SensorSpec, Watch, Words};
use crate::transport::{Address as Port, config as transport};
use protocol::limits::GROUP_COLUMNS_MAX;
use protocol::reading::{Raw, RawKind};
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
/// What stands for `timeout` when it is not written.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);
const UNIT_DEFAULT: u8 = 1;

/// Reads the tables of `port` and of those `devices` that are on it. What is wrong is noted in
/// the file's list of problems, which the caller checks afterwards; `None` when not even the
/// address of the port can be used.
pub fn read(port: &file::PortConfig, devices: &[file::DeviceConfig]) -> Option<PortConfig> {
    let devices = devices
        .iter()
        .filter(|device| device.port == port.name)
        .map(read_device);
    let devices: Vec<DeviceConfig> = devices.collect();
    let mut section = port.section.clone();
    let link = read_link(&mut section);
    let retries = section.integer("retries", 0..=10).unwrap_or(0);
    section.finish();
    Some(PortConfig {
        name: port.name.clone(),
        link: link?,
        retries,
        devices,
    })
}

/// What `kind` says: where the bytes go, and what stands round a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Tls,
    RtuOverTcp,
    AsciiOverTcp,
    Serial,
    Ascii,
}

fn read_link(section: &mut Section) -> Option<LinkSettings> {
    let kinds = [
        ("tcp", Kind::Tcp),
        ("tls", Kind::Tls),
        ("rtu_over_tcp", Kind::RtuOverTcp),
        ("ascii_over_tcp", Kind::AsciiOverTcp),
        ("serial", Kind::Serial),
        ("ascii", Kind::Ascii),
    ];
    let kind = section.choice("kind", &kinds).unwrap_or(Kind::Tcp);
    let address = match kind {
        Kind::Tcp | Kind::RtuOverTcp | Kind::AsciiOverTcp => transport::tcp(section, PORT),
        Kind::Tls => transport::tls(section, PORT_TLS),
        Kind::Serial | Kind::Ascii => transport::serial(section).map(Port::Serial),
    };
    let framing = match kind {
        Kind::Tcp | Kind::Tls => Framing::Mbap,
        Kind::RtuOverTcp | Kind::Serial => Framing::Rtu,
        Kind::AsciiOverTcp | Kind::Ascii => Framing::Ascii,
    };
    let timeout = section
        .duration("timeout", MS * 10..=MS * 60_000)
        .unwrap_or(TIMEOUT_DEFAULT);
    let pause = Duration::ZERO..=MS * 10_000;
    let request_gap = section
        .duration("request_gap", pause.clone())
        .unwrap_or_default();
    let mut turnaround = Duration::ZERO;
    let mut frame_gap = None;
    let mut late_window = timeout;
    if framing != Framing::Mbap {
        turnaround = section
            .duration("turnaround", pause.clone())
            .unwrap_or_default();
        if section.text("frame_gap").is_some_and(|text| text != "auto") {
            frame_gap = section.duration("frame_gap", pause);
        }
        late_window = section
            .duration("late_window", Duration::ZERO..=MS * 60_000)
            .unwrap_or(timeout);
    }
    let connect_timeout = if matches!(kind, Kind::Serial | Kind::Ascii) {
        None
    } else {
        section.duration("connect_timeout", MS * 10..=MS * 60_000)
    };
    Some(LinkSettings {
        timeout,
        connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT_DEFAULT),
        request_gap,
        turnaround,
        frame_gap,
        late_window,
        ..LinkSettings::new(address?, framing)
    })
}

fn read_device(device: &file::DeviceConfig) -> DeviceConfig {
    let mut section = device.section.clone();
    if section.choice("kind", &[("unit", false), ("bus", true)]) == Some(true) {
        section.finish();
        return read_bus(device);
    }
    let defaults = Limits::default();
    let unit = section.integer("unit", 0..=255).unwrap_or(UNIT_DEFAULT);
    let limits = Limits {
        max_gap: section
            .integer("max_gap", 0..=125)
            .unwrap_or(defaults.max_gap),
        max_regs: section
            .integer("max_regs", 1..=125)
            .unwrap_or(defaults.max_regs),
        max_bits: section
            .integer("max_bits", 1..=2_000)
            .unwrap_or(defaults.max_bits),
        one_per_request: section
            .boolean("one_per_request")
            .unwrap_or(defaults.one_per_request),
    };
    let order = parsed(&mut section, "order").unwrap_or_default();
    let base = match section.integer("address_base", 0..=1) {
        Some(1_u8) => Base::One,
        _ => Base::Zero,
    };
    let write = section.text_list("write").unwrap_or_default();
    let write = write
        .iter()
        .filter_map(|text| noted(&section, "write", Release::parse(text, base)))
        .collect();
    section.finish();
    let mut groups: Vec<GroupConfig> = Vec::new();
    for sensor in &device.sensors {
        let Some(point) = read_point(sensor, (order, base), limits) else {
            continue;
        };
        let mut spec = SensorSpec::new(sensor, point.kind.raw_kind());
        if point.kind.is_text() {
            spec.words = Words::Texts;
        }
        add_sensor(&mut groups, device, (sensor.poll, spec), |group| {
            group.points.push(point);
        });
    }
    for group in &mut groups {
        // Kept as long as the port runs.
        group.points.shrink_to_fit();
        Arc::make_mut(&mut group.spec.sensors).shrink_to_fit();
    }
    DeviceConfig {
        name: device.name.clone(),
        source: Source::Unit(unit),
        limits,
        write,
        groups,
    }
}

/// A device that is the port itself: its sensors are figures of the bus.
fn read_bus(device: &file::DeviceConfig) -> DeviceConfig {
    let mut groups: Vec<GroupConfig> = Vec::new();
    for sensor in &device.sensors {
        let mut section = sensor.section.clone();
        if !section.has("address") {
            section.missing("address", "address = \"utilisation\"");
        }
        let measure: Option<Measure> = parsed(&mut section, "address");
        section.finish();
        if let Some(measure) = measure {
            let spec = SensorSpec::new(sensor, RawKind::Float);
            add_sensor(&mut groups, device, (sensor.poll, spec), |group| {
                group.measures.push(measure);
            });
        }
    }
    DeviceConfig {
        name: device.name.clone(),
        source: Source::Bus,
        limits: Limits::default(),
        write: Vec::new(),
        groups,
    }
}

/// Puts a sensor into the group of its period that has room, or into a new one; `put` adds how it is
/// read.
fn add_sensor(
    groups: &mut Vec<GroupConfig>,
    device: &file::DeviceConfig,
    (period, spec): (Duration, SensorSpec),
    put: impl FnOnce(&mut GroupConfig),
) {
    let open = groups
        .iter_mut()
        .find(|group| group.spec.period == period && group.spec.sensors.len() < GROUP_COLUMNS_MAX);
    if let Some(group) = open {
        Arc::make_mut(&mut group.spec.sensors).push(spec);
        put(group);
        return;
    }
    let mut group = GroupConfig {
        spec: GroupSpec {
            device: device.name.clone(),
            asset: device.asset.clone(),
            period,
            sensors: Arc::new(vec![spec]),
        },
        points: Vec::new(),
        measures: Vec::new(),
    };
    put(&mut group);
    groups.push(group);
}

/// `None` when the sensor cannot be read; the problem is noted.
fn read_point(
    sensor: &file::SensorConfig,
    (order, base): (Order, Base),
    limits: Limits,
) -> Option<Point> {
    let mut section = sensor.section.clone();
    let table: Option<Table> = parsed(&mut section, "table");
    let text = section.text_or_integer("address");
    if !section.has("address") {
        section.missing("address", "address = 40001");
    }
    let address = text.and_then(|text| {
        let read = Address::parse_from(&text, table, base);
        noted(&section, "address", read)
    });
    let written: Option<DataType> = parsed(&mut section, "type");
    let order = parsed(&mut section, "order").unwrap_or(order);
    let nan = section.integer_list("nan").unwrap_or_default();
    let unreadable = section.has("type") && written.is_none();
    let point = address.filter(|_| !unreadable).and_then(|address| {
        let kind = written.unwrap_or(DataType::default_for(address.table));
        noted(
            &section,
            if written.is_some() { "type" } else { "address" },
            kind.check(address),
        )?;
        let nan = nan.into_iter().map(Raw::Int).collect();
        Some(Point {
            address,
            kind,
            order,
            nan,
        })
    });
    if let Some(point) = &point
        && !point.address.table.is_bits()
        && point.kind.words() > limits.max_regs
    {
        let words = point.kind.words();
        section.problem(
            "type",
            &format!(
                "takes {words} registers, but max_regs of the device is {}",
                limits.max_regs
            ),
        );
    }
    if point.as_ref().is_some_and(|point| point.kind.is_text()) {
        refuse_numbers(&section);
        if sensor.watch != Watch::default() {
            let words = "is a text, and a rule has limits for it; remove the rule or read a number";
            section.problem("type", words);
        }
    }
    section.finish();
    point
}

/// Notes the keys of a number that a text sensor has.
fn refuse_numbers(section: &Section) {
    let keys = ["scale", "offset", "range", "clamp", "enum", "nan"];
    for key in keys.into_iter().filter(|key| section.has(key)) {
        section.problem(key, "has no meaning for a text; leave it out");
    }
}

/// A text of the section in its own type, or a noted problem.
fn parsed<T>(section: &mut Section, key: &'static str) -> Option<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text = section.text(key)?;
    noted(section, key, text.parse())
}

fn noted<T, E: std::fmt::Display>(section: &Section, key: &str, read: Result<T, E>) -> Option<T> {
    read.inspect_err(|error| section.problem(key, &error.to_string()))
        .ok()
}

/// One line or endpoint and what is read through it.
#[derive(Clone, Debug, PartialEq)]
pub struct PortConfig {
    /// Name as configured.
    pub name: String,
    /// How it is talked to.
    pub link: LinkSettings,
    /// Further tries after a request that failed.
    pub retries: u32,
    /// What is polled.
    pub devices: Vec<DeviceConfig>,
}

/// One device: a unit, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceConfig {
    /// Name as configured.
    pub name: String,
    /// Whom it is read from.
    pub source: Source,
    /// How far its registers are read together.
    pub limits: Limits,
    /// What may be written; mostly nothing.
    pub write: Vec<Release>,
    /// Its sensors by period.
    pub groups: Vec<GroupConfig>,
}

/// Whom a device is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A unit, by its number in the request.
    Unit(u8),
    /// The port itself.
    Bus,
}

impl DeviceConfig {
    /// The unit; `None` for the port itself.
    pub const fn unit(&self) -> Option<u8> {
        match self.source {
            Source::Unit(unit) => Some(unit),
            Source::Bus => None,
        }
    }
}

/// Sensors that are polled together.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupConfig {
    /// What the rest of the agent knows of it.
    pub spec: GroupSpec,
    /// How each sensor of `spec` is read, in the same order; empty where the port itself is read.
    pub points: Vec<Point>,
    /// Which figure of the port each sensor is; empty where a unit is read.
    pub measures: Vec<Measure>,
}

/// How one sensor is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Where.
    pub address: Address,
    /// What.
    pub kind: DataType,
    /// Order of the bytes.
    pub order: Order,
    /// Raw values that mean "not available".
    pub nan: Vec<Raw>,
}

impl Point {
    /// What the planner needs to know.
    pub fn item(&self) -> Item {
        let count = if self.address.table.is_bits() {
            1
        } else {
            self.kind.words()
        };
        Item {
            address: self.address,
            count,
        }
    }
}

/// `hr:0 f32 CDAB`: table and offset as they stand in the request, and what is read there.
impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (table, offset) = (self.address.table.prefix(), self.address.offset);
        write!(f, "{table}:{offset} {}", self.kind)?;
        if self.order == Order::default() {
            return Ok(());
        }
        write!(f, " {}", self.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::transport::rs485::{Echo, Mode};
    use std::path::Path;

    fn read_all(text: &str) -> (Option<PortConfig>, Vec<String>) {
        let config = Config::parse(Path::new("edge.toml"), text).unwrap();
        let port = read(&config.ports[0], &config.devices);
        let problems = match config.problems.check() {
            Ok(()) => Vec::new(),
            Err(error) => error.to_string().lines().map(str::to_owned).collect(),
        };
        (port, problems)
    }

    const PLANT: &str = r#"
[[port]]
name = "line-a"
protocol = "modbus"
address = "10.0.0.5"
[[device]]
name = "pump-7"
port = "line-a"
unit = 7
order = "CDAB"
poll = "2s"
  [[device.sensor]]
  name = "temperature"
  address = 30071
  type = "f32"
  nan = [-999]
  [[device.sensor]]
  name = "pressure"
  address = "hr:5"
  type = "i16"
  order = "ABCD"
  [[device.sensor]]
  name = "running"
  address = 10001
  poll = "500ms"
"#;

    #[test]
    fn sensors_of_one_period_are_one_group_and_keys_have_their_defaults() {
        let (port, problems) = read_all(PLANT);
        assert_eq!(problems, Vec::<String>::new());
        let port = port.unwrap();
        assert_eq!(port.link.place().to_string(), "10.0.0.5:502");
        assert_eq!(port.link.timeout, Duration::from_secs(1));
        let device = &port.devices[0];
        assert_eq!((device.unit(), device.limits), (Some(7), Limits::default()));
        let names = |group: &GroupConfig| {
            group
                .spec
                .sensors
                .iter()
                .map(|sensor| sensor.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(device.groups.len(), 2);
        assert_eq!(names(&device.groups[0]), ["temperature", "pressure"]);
        assert_eq!(device.groups[0].spec.period, Duration::from_secs(2));
        assert_eq!(names(&device.groups[1]), ["running"]);
        let temperature = &device.groups[0].points[0];
        assert_eq!(temperature.order, Order::Cdab);
        assert_eq!(temperature.nan, [Raw::Int(-999)]);
        assert_eq!(device.groups[0].points[1].order, Order::Abcd);
        assert_eq!(device.groups[1].points[0].kind, DataType::Bool);
    }

    #[test]
    fn more_sensors_than_a_group_holds_are_split() {
        let more = |at| format!("[[device.sensor]]\nname = \"s{at}\"\naddress = \"hr:{at}\"\n");
        let text = PLANT.to_owned() + &(0..300).map(more).collect::<String>();
        let (port, problems) = read_all(&text);
        assert_eq!(problems, Vec::<String>::new());
        let sizes: Vec<usize> = port.unwrap().devices[0]
            .groups
            .iter()
            .map(|group| group.points.len())
            .collect();
        assert_eq!(sizes, [256, 1, 46]);
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_the_remedy() {
        let text = PLANT
            .replace(
                "address = \"10.0.0.5\"",
                "address = \"10.0.0.5:x\"\ntimout = \"1s\"",
            )
            .replace("unit = 7", "unit = 300")
            .replace("address = 30071", "address = 71")
            .replace("order = \"ABCD\"", "order = \"ACBD\"")
            .replace(
                "address = 10001",
                "address = 10001\n  type = \"u16\"\n  tabel = \"coil\"",
            );
        let (port, problems) = read_all(&text);
        assert!(port.is_none());
        for (at, words) in [
            (
                "edge.toml:5:1: port \"line-a\", key \"address\"",
                "10.0.0.5:502",
            ),
            (
                "edge.toml:6:1: port \"line-a\", key \"timout\"",
                "did you mean \"timeout\"",
            ),
            (
                "edge.toml:10:1: device \"pump-7\", key \"unit\"",
                "0 to 255",
            ),
            ("edge.toml:15:3:", "write hr:71"),
            ("edge.toml:22:3:", "ABCD, CDAB, BADC or DCBA"),
            ("edge.toml:26:3:", "leave type out or write bool"),
            ("edge.toml:27:3:", "did you mean \"table\""),
        ] {
            let told = problems
                .iter()
                .any(|line| line.starts_with(at) && line.contains(words));
            assert!(told, "{at} … {words} is not in\n{}", problems.join("\n"));
        }
        assert_eq!(problems.len(), 7, "{}", problems.join("\n"));
    }

    #[test]
    fn the_port_itself_is_a_device_with_figures() {
        let bus = "[[device]]\nname = \"bus\"\nport = \"line-a\"\nkind = \"bus\"\npoll = \"1m\"\n\
            [[device.sensor]]\nname = \"load\"\naddress = \"utilisation\"\n\
            [[device.sensor]]\nname = \"pump\"\naddress = \"errors:7\"\n";
        let (port, problems) = read_all(&format!("{PLANT}{bus}"));
        assert_eq!(problems, Vec::<String>::new());
        let device = &port.unwrap().devices[1];
        assert_eq!((device.source, device.groups.len()), (Source::Bus, 1));
        assert_eq!(device.groups[0].measures.len(), 2);
        let wrong = bus
            .replace("errors:7", "load")
            .replace("poll =", "unit = 1\npoll =");
        let (_, problems) = read_all(&format!("{PLANT}{wrong}"));
        assert_eq!(problems.len(), 2, "{}", problems.join("\n"));
        assert!(
            problems[1].contains("no figure of a bus"),
            "{}",
            problems[1]
        );
    }

    fn port_of(keys: &str) -> (Option<PortConfig>, Vec<String>) {
        read_all(&PLANT.replace("address = \"10.0.0.5\"\n", keys))
    }

    #[test]
    fn each_kind_of_port_has_its_address_and_its_frames() {
        for (keys, place, framing) in [
            ("address = \"plc\"", "plc:502", Framing::Mbap),
            (
                "kind = \"rtu_over_tcp\"\naddress = \"plc:4001\"",
                "plc:4001",
                Framing::Rtu,
            ),
            (
                "kind = \"ascii_over_tcp\"\naddress = \"plc\"",
                "plc:502",
                Framing::Ascii,
            ),
            (
                "kind = \"tls\"\naddress = \"plc\"\nca_file = \"/etc/ca.pem\"",
                "plc:802",
                Framing::Mbap,
            ),
            (
                "kind = \"serial\"\npath = \"/dev/ttyS1\"\nbaud = 9600\nparity = \"N\"",
                "/dev/ttyS1 (9600 8N1)",
                Framing::Rtu,
            ),
            (
                "kind = \"ascii\"\nmatch = { usb_serial = \"FT*\" }\ndata = 7",
                "the serial port with USB serial number FT* (19200 7E1)",
                Framing::Ascii,
            ),
        ] {
            let (port, problems) = port_of(&format!("{keys}\n"));
            assert_eq!(problems, Vec::<String>::new(), "{keys}");
            let link = port.unwrap().link;
            assert_eq!(
                (link.place().to_string().as_str(), link.framing),
                (place, framing)
            );
        }
    }

    #[test]
    fn times_of_a_serial_line_follow_its_rate_or_what_is_written() {
        let link = |keys: &str| {
            let keys = format!("kind = \"serial\"\npath = \"/dev/ttyS1\"\n{keys}\n");
            let (port, problems) = port_of(&keys);
            assert_eq!(problems, Vec::<String>::new());
            port.unwrap().link
        };
        // 3.5 characters of 11 bits at 9600, and the fixed silence above 19200.
        assert_eq!(
            link("baud = 9600").silence(),
            Duration::from_nanos(4_010_415)
        );
        assert_eq!(
            link("baud = 115200").silence(),
            Duration::from_micros(1_750)
        );
        assert_eq!(link("frame_gap = \"20ms\"").silence(), MS * 20);
        assert_eq!(link("frame_gap = \"auto\"").frame_gap, None);
        assert_eq!(link("timeout = \"300ms\"").late_window, MS * 300);
        assert_eq!(link("late_window = \"50ms\"").late_window, MS * 50);
        let rs485 =
            "rs485 = { mode = \"rts\", rts_on_send = false, delay_after = \"2ms\", echo = \"on\" }";
        let Port::Serial(serial) = link(rs485).address else {
            panic!("a serial line")
        };
        let found = serial.rs485;
        assert_eq!((found.mode, found.echo), (Mode::Rts, Echo::On));
        assert_eq!((found.rts_on_send, found.delay_after), (false, MS * 2));
    }

    #[test]
    fn what_does_not_fit_the_kind_of_port_is_told() {
        for (keys, told) in [
            ("kind = \"rtu\"\naddress = \"x\"", "did you mean"),
            ("kind = \"serial\"", "match = { usb_serial"),
            (
                "kind = \"serial\"\npath = \"/dev/ttyS1\"\nbaud = 1",
                "300 to 4000000",
            ),
            (
                "kind = \"serial\"\npath = \"/dev/ttyS1\"\nparity = \"even\"",
                "there is: N, E, O",
            ),
            (
                "kind = \"serial\"\npath = \"/dev/ttyS1\"\naddress = \"x\"",
                "not known here",
            ),
            (
                "kind = \"serial\"\npath = \"/dev/ttyS1\"\nmatch = { by_path = \"1-1\" }",
                "one of the two",
            ),
            ("kind = \"serial\"\nmatch = { }", "usb_serial"),
            ("kind = \"tls\"\naddress = \"plc\"", "ca_file = "),
            (
                "kind = \"tls\"\naddress = \"plc\"\nca_file = \"ca.pem\"",
                "begin it with /",
            ),
            (
                "kind = \"tls\"\naddress = \"plc\"\nca_file = \"/c\"\nkey_file = \"/k\"",
                "needs certificate_file",
            ),
            ("address = \"plc\"\nbaud = 9600", "not known here"),
        ] {
            let (_, problems) = port_of(&format!("{keys}\n"));
            let all = problems.join("\n");
            assert!(all.contains(told), "{keys}: {told} is not in\n{all}");
        }
    }

    #[test]
    fn texts_and_the_base_of_bare_numbers() {
        let text = PLANT
            .replace(
                "unit = 7",
                "unit = 7\naddress_base = 1\none_per_request = true",
            )
            .replace("address = \"hr:5\"", "address = 6\n  table = \"holding\"")
            .replace("type = \"i16\"", "type = \"STR:16\"\n  deadband = 0.5");
        let (port, problems) = read_all(&text);
        assert_eq!(problems, Vec::<String>::new());
        let device = &port.unwrap().devices[0];
        assert!(device.limits.one_per_request);
        let point = &device.groups[0].points[1];
        assert_eq!(point.address, Address::parse("hr:5", None).unwrap());
        assert_eq!((point.kind, point.item().count), (DataType::Text(16), 8));
        assert_eq!(device.groups[0].spec.sensors[1].words, Words::Texts);
        assert_eq!(device.groups[0].spec.sensors[1].raw, RawKind::Int);
        let other = text.replace(
            "deadband = 0.5",
            "scale = 2\n  offset = 1\n  range = [0, 1]\n  clamp = [0, 1]\n  nan = [0]\n  \
             enum = { 0 = \"off\" }",
        );
        let (_, problems) = read_all(&other);
        assert_eq!(problems.len(), 6, "{}", problems.join("\n"));
        for problem in problems {
            assert!(problem.contains("has no meaning for a text"), "{problem}");
        }
        let rule = "[[rule]]\nname = \"r\"\nsensor = \"pump-7/pressure\"\nhigh = 5.0\n";
        let (_, problems) = read_all(&(text + rule));
        assert_eq!(problems.len(), 1, "{}", problems.join("\n"));
        assert!(
            problems[0].contains("a rule has limits for it"),
            "{}",
            problems[0]
        );
    }

    #[test]
    fn a_sensor_without_an_address_and_a_value_too_long_for_the_device_are_told() {
        let text = PLANT
            .replace("unit = 7", "max_regs = 1")
            .replace("  address = \"hr:5\"\n", "");
        let (_, problems) = read_all(&text);
        assert_eq!(problems.len(), 2, "{}", problems.join("\n"));
        assert!(
            problems[0].contains("takes 2 registers, but max_regs"),
            "{}",
            problems[0]
        );
        assert!(
            problems[1].contains("add for example address = 40001"),
            "{}",
            problems[1]
        );
    }
}
