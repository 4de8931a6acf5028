//! `[[rule]]`: limits on a sensor, and the work order that an alert opens.
//! Never judges a reading: `analysis` does.

use super::device::{DeviceConfig, Watch, good_name, limited, own_name};
use super::section::Section;
use super::value;
use protocol::event::{Severity, WorkType};
use protocol::unit::Unit;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Most rules; further ones are a problem.
pub const RULES_MAX: usize = 20_000;

const DELAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(7 * 86_400);
const WINDOW: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);
const BEFORE_DEFAULT: Duration = Duration::from_secs(600);
const AFTER_DEFAULT: Duration = Duration::from_secs(120);

const SEVERITIES: &[(&str, Severity)] = &[
    ("critical", Severity::Critical),
    ("high", Severity::High),
    ("medium", Severity::Medium),
    ("low", Severity::Low),
];

const WORK_TYPES: &[(&str, WorkType)] = &[
    ("corrective", WorkType::Corrective),
    ("preventive", WorkType::Preventive),
    ("predictive", WorkType::Predictive),
    ("inspection", WorkType::Inspection),
    ("calibration", WorkType::Calibration),
    ("improvement", WorkType::Improvement),
    ("safety", WorkType::Safety),
    ("emergency", WorkType::Emergency),
];

/// `[[rule]]`: when to alert.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleConfig {
    /// Its name, unlike that of any other rule. An alert is known by it: renaming a rule ends its
    /// open alert.
    pub name: String,
    /// `device/sensor`; that sensor exists.
    pub sensor: String,
    /// Unit of the limits: that of the sensor.
    pub unit: Unit,
    /// Asset of the sensor.
    pub asset: Option<String>,
    /// The limits.
    pub limits: Limits,
    /// How urgent.
    pub severity: Severity,
    /// One line for people; the name where none is given.
    pub title: String,
    /// The order that an alert opens, if it opens one.
    pub work_order: Option<WorkOrderConfig>,
}

/// When a value is abnormal. At least one of `high` and `low` is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Abnormal above this.
    pub high: Option<f64>,
    /// Abnormal below this.
    pub low: Option<f64>,
    /// Normal again only this far inside the limit; never negative.
    pub deadband: f64,
    /// Abnormal without a break for this long before it is told.
    pub on_delay: Duration,
    /// Normal without a break for this long before it is told.
    pub off_delay: Duration,
}

/// `[rule.work_order]`: the order that an alert opens.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkOrderConfig {
    /// One line; that of the rule where none is given.
    pub title: String,
    /// 1 (most urgent) to 5; by severity (critical 1 to low 4) where none is given.
    pub priority: u8,
    /// What is failing, in a word that rules may share: alerts of one asset with the same word
    /// join one order. The rule's name where none is given.
    pub failure_mode: String,
    /// What sort of work.
    pub work_type: WorkType,
    /// Readings from this long before the alarm are kept with the order.
    pub before: Duration,
    /// Readings until this long after the alarm are kept with the order.
    pub after: Duration,
}

/// What rules may refer to.
#[derive(Default)]
struct Known {
    devices: BTreeSet<String>,
    sensors: BTreeMap<String, About>,
}

/// What a rule needs to know of its sensor.
struct About {
    unit: Unit,
    asset: Option<String>,
}

/// Reads the rules and tells each sensor beyond which values it is watched.
pub(super) fn rules(top: &mut Section, devices: &mut [DeviceConfig]) -> Vec<RuleConfig> {
    let mut known = Known::default();
    for device in &*devices {
        known.devices.insert(device.name.clone());
        for sensor in &device.sensors {
            let about = About {
                unit: sensor.unit.clone(),
                asset: sensor.asset.clone(),
            };
            known.sensors.insert(device.path(sensor), about);
        }
    }
    let mut names = BTreeSet::new();
    let rules: Vec<RuleConfig> = limited(top, "rule", RULES_MAX)
        .into_iter()
        .filter_map(|section| rule(section, &known, &mut names))
        .collect();
    watch(&rules, devices);
    rules
}

fn watch(rules: &[RuleConfig], devices: &mut [DeviceConfig]) {
    let mut watches: BTreeMap<&str, Watch> = BTreeMap::new();
    for rule in rules {
        watches.entry(&rule.sensor).or_default().add(&rule.limits);
    }
    for device in devices {
        let name = device.name.clone();
        for sensor in &mut device.sensors {
            if let Some(watch) = watches.get(format!("{name}/{}", sensor.name).as_str()) {
                sensor.watch = *watch;
            }
        }
    }
}

fn rule(mut section: Section, known: &Known, names: &mut BTreeSet<String>) -> Option<RuleConfig> {
    let name = own_name(&mut section, names);
    let sensor = sensor_of(&mut section, known);
    let limits = limits(&mut section);
    let severity = section.choice("severity", SEVERITIES).unwrap_or_default();
    let title = section
        .text("title")
        .or_else(|| name.clone())
        .unwrap_or_default();
    let unit = section.text("unit_name").map(|unit| Unit::parse(&unit));
    let order = section.section("work_order");
    let order = order.map(|order| work_order(order, name.as_deref(), &title, severity));
    if let (Some(unit), Some((path, about))) = (&unit, &sensor)
        && *unit != about.unit
    {
        let words = format!(
            "the limits are in {}, but {path} is measured in {}; write the limits in {}",
            unit.code(),
            about.unit.code(),
            about.unit.code()
        );
        section.problem("unit_name", &words);
    }
    section.finish();
    let (sensor, about) = sensor?;
    Some(RuleConfig {
        name: name?,
        sensor,
        unit: about.unit.clone(),
        asset: about.asset.clone(),
        limits: limits?,
        severity,
        title,
        work_order: order,
    })
}

fn sensor_of<'a>(section: &mut Section, known: &'a Known) -> Option<(String, &'a About)> {
    let path = section.required_text("sensor")?;
    if let Some(about) = known.sensors.get(&path) {
        return Some((path, about));
    }
    unknown_sensor(section, &path, known);
    None
}

/// Looks for the nearest among the sensors of the device, if that is known, else among the
/// devices: what was meant is rarely elsewhere.
fn unknown_sensor(section: &Section, path: &str, known: &Known) {
    let words = format!("there is no sensor {}", value::quoted(path));
    let Some((device, _)) = path.split_once('/') else {
        let words = format!("{words}; write device/sensor, for example \"pump-7/bearing_temp\"");
        return section.problem("sensor", &words);
    };
    let prefix = format!("{device}/");
    let mut of_device = known
        .sensors
        .range(prefix.clone()..)
        .map(|(path, _)| path.as_str())
        .take_while(|path| path.starts_with(&prefix))
        .peekable();
    if of_device.peek().is_some() {
        return section.unknown("sensor", &words, path, of_device);
    }
    let devices = known.devices.iter().map(String::as_str);
    let words = format!("{words}, nor a device {}", value::quoted(device));
    section.unknown("sensor", &words, device, devices);
}

fn limits(section: &mut Section) -> Option<Limits> {
    let high = section.float("high");
    let low = section.float("low");
    let deadband = section.float("deadband").unwrap_or(0.0);
    let on_delay = section
        .duration("on_delay", DELAY)
        .unwrap_or(Duration::ZERO);
    let off_delay = section
        .duration("off_delay", DELAY)
        .unwrap_or(Duration::ZERO);
    if !section.has("high") && !section.has("low") {
        section.problem(
            "high",
            "there is no limit; add high = or low =, for example high = 80.0",
        );
    }
    if deadband < 0.0 {
        section.problem("deadband", "is below zero; write 0 or more");
    }
    if let (Some(high), Some(low)) = (high, low)
        && high - deadband.max(0.0) <= low + deadband.max(0.0)
    {
        let words = "between low and high, the deadband taken off at both, there is nothing left; \
                     write a lower low, a higher high or a smaller deadband";
        section.problem("low", words);
        return None;
    }
    (high.is_some() || low.is_some()).then_some(Limits {
        high,
        low,
        deadband,
        on_delay,
        off_delay,
    })
}

fn work_order(
    mut section: Section,
    rule: Option<&str>,
    title: &str,
    severity: Severity,
) -> WorkOrderConfig {
    let by_severity = match severity {
        Severity::Critical => 1,
        Severity::High => 2,
        Severity::Medium => 3,
        Severity::Low => 4,
    };
    let title = section.text("title").unwrap_or_else(|| title.to_owned());
    let priority = section.integer("priority", 1..=5).unwrap_or(by_severity);
    let failure_mode = section
        .text("failure_mode")
        .filter(|mode| good_name(&section, "failure_mode", mode));
    let failure_mode = failure_mode.unwrap_or_else(|| rule.unwrap_or_default().to_owned());
    let work_type = section.choice("type", WORK_TYPES).unwrap_or_default();
    let before = section.duration("before", WINDOW).unwrap_or(BEFORE_DEFAULT);
    let after = section.duration("after", WINDOW).unwrap_or(AFTER_DEFAULT);
    section.finish();
    WorkOrderConfig {
        title,
        priority,
        failure_mode,
        work_type,
        before,
        after,
    }
}
