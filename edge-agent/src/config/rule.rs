//! `[[rule]]`: what is looked for on a sensor, and the work order that an alert opens. The keys of each
//! kind of rule are read in `rule/kind.rs`. Never judges a reading: `analysis` does.

mod kind;

pub use kind::{
    DeviationRule, FlatRule, PatternRule, RateRule, RuleKind, StaleRule, StateRule, TrendRule,
};

use super::alarm::{self, AlarmConfig};
use super::device::{Deadband, DeviceConfig, Watch, good_name, limited, own_name};
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
const COOL_DOWN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30 * 86_400);
const COOL_DOWN_DEFAULT: Duration = Duration::from_secs(86_400);
const PER_DAY_DEFAULT: u32 = 20;
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
    /// `device/sensor`; that sensor exists. Of a pattern: that of the first rule it looks at.
    pub sensor: String,
    /// Unit of the limits: that of the sensor; of a pattern 1.
    pub unit: Unit,
    /// Asset of the sensor.
    pub asset: Option<String>,
    /// What it looks for.
    pub kind: RuleKind,
    /// How urgent.
    pub severity: Severity,
    /// One line for people; the name where none is given.
    pub title: String,
    /// The order that an alert opens, if it opens one.
    pub work_order: Option<WorkOrderConfig>,
    /// What its alerts do beyond that.
    pub alarm: AlarmConfig,
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
    /// How long after its end an order keeps a new one with the same key from being opened.
    pub cool_down: Duration,
    /// Most orders that the rule opens within 24 hours. At the limit an alert is told as ever, and
    /// a line of it says that no order was opened.
    pub per_day_max: u32,
}

/// What rules may refer to.
#[derive(Default)]
struct Known {
    devices: BTreeSet<String>,
    sensors: BTreeMap<String, About>,
    /// Every rule, as far as the file has a name.
    names: BTreeSet<String>,
    /// Sensor and asset of each rule that is no pattern, by its name.
    rules: BTreeMap<String, (String, Option<String>)>,
}

impl Known {
    /// The rules that are no patterns, by name, whose sensor is of an asset.
    fn rules_of_asset(&self, asset: &str) -> Vec<String> {
        let rules = self.rules.iter();
        let of = rules.filter(|(_, (_, of))| of.as_deref() == Some(asset));
        of.map(|(name, _)| name.clone()).collect()
    }

    fn assets(&self) -> Vec<&str> {
        let assets = self.rules.values().filter_map(|(_, of)| of.as_deref());
        let assets: BTreeSet<&str> = assets.collect();
        assets.into_iter().collect()
    }
}

/// What a rule needs to know of its sensor.
struct About {
    unit: Unit,
    asset: Option<String>,
    poll: Duration,
    /// A reading is stored at least so often, where readings are thinned.
    max_silence: Option<Duration>,
}

/// Reads the rules and tells each sensor beyond which values it is watched.
pub(super) fn rules(top: &mut Section, devices: &mut [DeviceConfig]) -> Vec<RuleConfig> {
    let mut known = Known {
        names: alarm::names_of(top.table(), "rule"),
        ..Known::default()
    };
    for device in &*devices {
        known.devices.insert(device.name.clone());
        for sensor in &device.sensors {
            let about = About {
                unit: sensor.unit.clone(),
                asset: sensor.asset.clone(),
                poll: sensor.poll,
                max_silence: (sensor.deadband != Deadband::Off).then_some(sensor.max_silence),
            };
            known.sensors.insert(device.path(sensor), about);
        }
    }
    let mut names = BTreeSet::new();
    let mut read: Vec<(usize, RuleConfig)> = Vec::new();
    let mut patterns = Vec::new();
    // A pattern may look at a rule that stands below it.
    for (at, mut section) in limited(top, "rule", RULES_MAX).into_iter().enumerate() {
        match kind::word(&mut section) {
            Some(kind::Word::Pattern) => patterns.push((at, section)),
            word => {
                let Some(rule) = rule(section, word, &known, &mut names) else {
                    continue;
                };
                let about = (rule.sensor.clone(), rule.asset.clone());
                known.rules.insert(rule.name.clone(), about);
                read.push((at, rule));
            }
        }
    }
    for (at, section) in patterns {
        let rule = rule(section, Some(kind::Word::Pattern), &known, &mut names);
        read.extend(rule.map(|rule| (at, rule)));
    }
    read.sort_by_key(|(at, _)| *at);
    let rules: Vec<RuleConfig> = read.into_iter().map(|(_, rule)| rule).collect();
    watch(&rules, devices);
    rules
}

fn watch(rules: &[RuleConfig], devices: &mut [DeviceConfig]) {
    let mut watches: BTreeMap<&str, Watch> = BTreeMap::new();
    for rule in rules {
        if let Some(limits) = rule.kind.limits() {
            watches.entry(&rule.sensor).or_default().add(limits);
        }
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

fn rule(
    mut section: Section,
    word: Option<kind::Word>,
    known: &Known,
    names: &mut BTreeSet<String>,
) -> Option<RuleConfig> {
    let name = own_name(&mut section, names);
    let is_pattern = word == Some(kind::Word::Pattern);
    let sensor = (!is_pattern)
        .then(|| sensor_of(&mut section, known))
        .flatten();
    let about = sensor.as_ref().map(|(_, about)| *about);
    let kind = word.and_then(|word| kind::read(&mut section, word, about, known));
    let severity = section.choice("severity", SEVERITIES).unwrap_or_default();
    let title = section
        .text("title")
        .or_else(|| name.clone())
        .unwrap_or_default();
    let order = section.section("work_order");
    let order = order.map(|order| work_order(order, name.as_deref(), &title, severity));
    let names = alarm::Names {
        sensors: &|path| known.sensors.contains_key(path),
        rules: &known.names,
    };
    let alarm = alarm::of_rule(&mut section, name.as_deref(), &names);
    if !is_pattern {
        check_unit(&mut section, sensor.as_ref());
    }
    if word.is_some() {
        section.finish();
    }
    let kind = kind?;
    let (sensor, unit, asset) = match (&kind, sensor) {
        (RuleKind::Pattern(pattern), _) => {
            let (sensor, asset) = known.rules.get(pattern.of.first()?)?.clone();
            (sensor, Unit::default(), asset)
        }
        (_, sensor) => {
            let (sensor, about) = sensor?;
            (sensor, about.unit.clone(), about.asset.clone())
        }
    };
    Some(RuleConfig {
        name: name?,
        sensor,
        unit,
        asset,
        kind,
        severity,
        title,
        work_order: order,
        alarm,
    })
}

/// The unit that a rule reminds of is that of its sensor.
fn check_unit(section: &mut Section, sensor: Option<&(String, &About)>) {
    let unit = section.text("unit_name").map(|unit| Unit::parse(&unit));
    if let (Some(unit), Some((path, about))) = (&unit, sensor)
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
    let (low, high) = if section.has("band") {
        let words = "stands beside band; leave one out";
        section.refuse("high", words);
        section.refuse("low", words);
        let band = section.float_pair("band")?;
        (Some(band.0), Some(band.1))
    } else {
        let high = section.float("high");
        (section.float("low"), high)
    };
    let deadband = section.float("deadband").unwrap_or(0.0);
    let on_delay = section
        .duration("on_delay", DELAY)
        .unwrap_or(Duration::ZERO);
    let off_delay = section
        .duration("off_delay", DELAY)
        .unwrap_or(Duration::ZERO);
    if !["high", "low", "band"].iter().any(|key| section.has(key)) {
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
    let cool_down = section
        .duration("cool_down", COOL_DOWN)
        .unwrap_or(COOL_DOWN_DEFAULT);
    let per_day_max = section
        .integer("per_day_max", 1..=1_000)
        .unwrap_or(PER_DAY_DEFAULT);
    section.finish();
    WorkOrderConfig {
        title,
        priority,
        failure_mode,
        work_type,
        before,
        after,
        cool_down,
        per_day_max,
    }
}
