//! What a rule's alerts do beyond being raised and cleared, `[alarms]` and `[[asset]]`.
//! Never decides about an alert: `alerts` does.

use super::condition::Condition;
use super::device::{good_name, limited};
use super::section::Section;
use super::tree::{Table, Value};
use super::value::quoted;
use protocol::event::Criticality;
use protocol::limits::CATALOG_LIST_MAX;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// Deepest chain of assets: a plant has fewer levels (ISO 14224 names nine).
const LEVELS_MAX: usize = 16;

const CRITICALITIES: &[(&str, Criticality)] = &[
    ("A", Criticality::A),
    ("B", Criticality::B),
    ("C", Criticality::C),
    ("D", Criticality::D),
];
const OUTAGES: &[(&str, Outage)] = &[("asset", Outage::Asset), ("device", Outage::Device)];

/// What the alerts of one rule do. Keys of its `[[rule]]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlarmConfig {
    /// An alert stays until a person resets it, even when the value is back.
    pub latch: bool,
    /// Told again after this long without acknowledgement, or while it still stands.
    pub re_alarm: Option<Duration>,
    /// Group of rules of which the first to be raised is marked.
    pub first_out: Option<String>,
    /// Not told while this holds.
    pub suppress_while: Option<SuppressWhile>,
    /// While it is abnormal this is down, and what belongs to it is not told.
    pub outage: Option<Outage>,
}

/// A condition under which a rule's alerts are not told.
#[derive(Clone, Debug, PartialEq)]
pub struct SuppressWhile {
    /// As it is written.
    pub words: String,
    /// What it means.
    pub condition: Condition,
    /// How much longer it holds after its end: the machine starts.
    pub start_up: Duration,
}

/// What is down while a rule is abnormal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// The asset of its sensor, and every asset below it.
    Asset,
    /// The device of its sensor.
    Device,
}

/// `[alarms]`: what holds for all rules. The defaults are the figures of ISA-18.2 and EEMUA 191.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmsConfig {
    /// Longest time that something may be shelved.
    pub shelve_max: Duration,
    /// Most notices in an hour; beyond it low and medium ones are held back and told together. High
    /// and critical ones are always told, and count.
    pub notices_per_hour: usize,
    /// A flood begins when there are more alerts than this in ten minutes.
    pub flood_begins_above: usize,
    /// It ends when there are fewer than this.
    pub flood_ends_below: usize,
    /// So many activations in `chatter_within` are chattering.
    pub chatter: usize,
    /// See `chatter`.
    pub chatter_within: Duration,
    /// Calm again when nothing crossed the limit for this long.
    pub chatter_calm: Duration,
    /// How much longer suppression holds when its cause is over: what stood still needs a moment.
    pub release_after: Duration,
    /// People who follow the alerts at the same time: figures of the load are for one.
    pub operators: usize,
}

impl Default for AlarmsConfig {
    fn default() -> Self {
        Self {
            shelve_max: 8 * HOUR,
            notices_per_hour: 6,
            flood_begins_above: 10,
            flood_ends_below: 5,
            chatter: 3,
            chatter_within: MINUTE,
            chatter_calm: 5 * MINUTE,
            release_after: Duration::from_secs(30),
            operators: 1,
        }
    }
}

/// `[[asset]]`: what is maintained, as far as the box needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetConfig {
    /// Its tag at the site, as devices and sensors name it.
    pub tag: String,
    /// What people call it; the tag where none is given.
    pub name: String,
    /// How much depends on it; none: as its parent.
    pub criticality: Option<Criticality>,
    /// The tag of what it is a part of; that may have no `[[asset]]` of its own.
    pub parent: Option<String>,
}

/// Names that a condition may use.
pub(super) struct Names<'a> {
    pub sensors: &'a dyn Fn(&str) -> bool,
    pub rules: &'a BTreeSet<String>,
}

/// The keys of a rule that this file knows.
pub(super) fn of_rule(section: &mut Section, rule: Option<&str>, names: &Names<'_>) -> AlarmConfig {
    let latch = section.boolean("latch").unwrap_or(false);
    let re_alarm = section.duration("re_alarm", MINUTE..=WEEK);
    let group = section.text("first_out");
    let first_out = group.filter(|group| good_name(section, "first_out", group));
    let suppress_while = suppress_while(section, rule, names);
    let outage = section.choice("outage", OUTAGES);
    AlarmConfig {
        latch,
        re_alarm,
        first_out,
        suppress_while,
        outage,
    }
}

fn suppress_while(
    section: &mut Section,
    rule: Option<&str>,
    names: &Names<'_>,
) -> Option<SuppressWhile> {
    let start_up = section.duration("start_up", Duration::ZERO..=24 * HOUR);
    let Some(words) = section.text("suppress_while") else {
        if start_up.is_some() && !section.has("suppress_while") {
            let words = "stands without suppress_while, after whose end it counts; add for example \
                         suppress_while = \"pump/running < 1\"";
            section.problem("start_up", words);
        }
        return None;
    };
    let condition = match Condition::parse(&words) {
        Ok(condition) => condition,
        Err(error) => {
            section.problem("suppress_while", &format!("{}: {error}", quoted(&words)));
            return None;
        }
    };
    let mut wrong = Vec::new();
    let mut wrong_rule = None;
    condition.each(
        &mut |sensor| {
            if !(names.sensors)(sensor) {
                wrong.push(format!("there is no sensor {}", quoted(sensor)));
            }
        },
        &mut |other| {
            if Some(other) == rule {
                wrong_rule = Some("a rule cannot wait for itself; name another one".to_owned());
            } else if !names.rules.contains(other) {
                wrong_rule = Some(format!("there is no rule {}", quoted(other)));
            }
        },
    );
    wrong.extend(wrong_rule);
    for words in &wrong {
        section.problem("suppress_while", words);
    }
    wrong.is_empty().then(|| SuppressWhile {
        words,
        condition,
        start_up: start_up.unwrap_or(Duration::ZERO),
    })
}

/// The names of a list of tables, before they are read.
pub(super) fn names_of(table: &Table, list: &str) -> BTreeSet<String> {
    let items = match table.get(list).map(|entry| &entry.item.value) {
        Some(Value::List(items)) => items.as_slice(),
        _ => &[],
    };
    let name = |item: &super::tree::Item| {
        let Value::Table(table) = &item.value else {
            return None;
        };
        match &table.get("name")?.item.value {
            Value::Text(name) => Some(name.clone()),
            _ => None,
        }
    };
    items.iter().filter_map(name).collect()
}

/// `[alarms]`
pub(super) fn alarms(mut section: Section) -> AlarmsConfig {
    let default = AlarmsConfig::default();
    let mut duration = |key, range: RangeInclusive<Duration>, default| {
        section.duration(key, range).unwrap_or(default)
    };
    let shelve_max = duration("shelve_max", MINUTE..=WEEK, default.shelve_max);
    let within = duration("chatter_within", MINUTE / 6..=HOUR, default.chatter_within);
    let calm = duration("chatter_calm", MINUTE / 6..=24 * HOUR, default.chatter_calm);
    let release = duration(
        "release_after",
        Duration::ZERO..=HOUR,
        default.release_after,
    );
    let mut count =
        |key, range: RangeInclusive<i64>, default| section.integer(key, range).unwrap_or(default);
    let notices_per_hour = count("notices_per_hour", 3..=1_000, default.notices_per_hour);
    let begins = count("flood_begins_above", 1..=1_000, default.flood_begins_above);
    let ends = count("flood_ends_below", 1..=1_000, default.flood_ends_below);
    let chatter = count("chatter", 2..=100, default.chatter);
    let operators = count("operators", 1..=100, default.operators);
    if ends > begins {
        let words =
            "is above flood_begins_above: a flood would end as it begins; write a lower one";
        section.problem("flood_ends_below", words);
    }
    section.finish();
    AlarmsConfig {
        shelve_max,
        notices_per_hour,
        flood_begins_above: begins,
        flood_ends_below: ends,
        chatter,
        chatter_within: within,
        chatter_calm: calm,
        release_after: release,
        operators,
    }
}

/// `[[asset]]`
pub(super) fn assets(top: &mut Section) -> Vec<AssetConfig> {
    let mut sections = limited(top, "asset", CATALOG_LIST_MAX);
    let mut tags = BTreeSet::new();
    let mut assets = Vec::new();
    for section in &mut sections {
        let tag = section.required_text("tag");
        let tag = tag.filter(|tag| good_name(section, "tag", tag));
        let name = section.text("name");
        let criticality = section.choice("criticality", CRITICALITIES);
        let parent = section.text("parent");
        let Some(tag) = tag else { continue };
        if !tags.insert(tag.clone()) {
            let words = format!("{} is used twice; give each its own tag", quoted(&tag));
            section.problem("tag", &words);
            continue;
        }
        assets.push(AssetConfig {
            name: name.unwrap_or_else(|| tag.clone()),
            tag,
            criticality,
            parent,
        });
    }
    let parents: BTreeMap<String, Option<String>> = assets
        .iter()
        .map(|asset| (asset.tag.clone(), asset.parent.clone()))
        .collect();
    for section in sections {
        check_parent(&section, &parents);
        section.finish();
    }
    assets
}

fn check_parent(section: &Section, parents: &BTreeMap<String, Option<String>>) {
    let Some(Value::Text(tag)) = section.table().get("tag").map(|entry| &entry.item.value) else {
        return;
    };
    let mut at = Some(tag);
    for _ in 0..=LEVELS_MAX {
        match at {
            None => return,
            Some(tag) => at = parents.get(tag).and_then(Option::as_ref),
        }
    }
    let words = format!("leads back to itself, or has more than {LEVELS_MAX} levels above it");
    section.problem("parent", &words);
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Outage};
    use std::path::Path;
    use std::time::Duration;

    const PLANT: &str = "[[port]]\nname = \"p\"\nprotocol = \"x\"\n[[device]]\nname = \"d\"\n\
        port = \"p\"\n[[device.sensor]]\nname = \"t\"\n";
    const RULE: &str = "[[rule]]\nname = \"hot\"\nsensor = \"d/t\"\nhigh = 80.0\n";

    fn read(rest: &str) -> Result<Config, String> {
        let text = format!("{PLANT}{RULE}{rest}");
        Config::parse(Path::new("e"), &text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_alerts_do_is_read() {
        let config = read(
            "latch = true\nre_alarm = \"2h\"\nfirst_out = \"g\"\noutage = \"device\"\n\
             suppress_while = \"d/t < 1 or alert later\"\nstart_up = \"3m\"\n\
             [[rule]]\nname = \"later\"\nsensor = \"d/t\"\nlow = 1.0\n\
             [alarms]\nshelve_max = \"1h\"\nnotices_per_hour = 12\n",
        )
        .unwrap();
        let alarm = &config.rules[0].alarm;
        assert!(alarm.latch);
        assert_eq!(alarm.re_alarm, Some(Duration::from_secs(7_200)));
        assert_eq!(
            (alarm.first_out.as_deref(), alarm.outage),
            (Some("g"), Some(Outage::Device))
        );
        let suppress = alarm.suppress_while.as_ref().unwrap();
        assert_eq!(suppress.start_up, Duration::from_secs(180));
        assert_eq!(config.alarms.notices_per_hour, 12);
        assert_eq!(config.alarms.shelve_max, Duration::from_secs(3_600));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_key() {
        for (rest, key, says) in [
            (
                "suppress_while = \"d/x < 1\"\n",
                "suppress_while",
                "no sensor",
            ),
            (
                "suppress_while = \"alert gone\"\n",
                "suppress_while",
                "no rule",
            ),
            (
                "suppress_while = \"alert hot\"\n",
                "suppress_while",
                "wait for itself",
            ),
            ("suppress_while = \"d/t\"\n", "suppress_while", "comparison"),
            ("start_up = \"3m\"\n", "start_up", "without suppress_while"),
            ("outage = \"plant\"\n", "outage", "asset"),
            (
                "[alarms]\nflood_ends_below = 20\n",
                "flood_ends_below",
                "above flood_begins_above",
            ),
            (
                "[[asset]]\ntag = \"A\"\nparent = \"A\"\n",
                "parent",
                "leads back to itself",
            ),
            (
                "[[asset]]\ntag = \"A\"\n[[asset]]\ntag = \"A\"\n",
                "tag",
                "used twice",
            ),
            (
                "[[asset]]\ntag = \"A\"\ncriticality = \"E\"\n",
                "criticality",
                "A",
            ),
        ] {
            let error = read(rest).unwrap_err();
            assert!(
                error.contains(key) && error.contains(says),
                "{rest}: {error}"
            );
        }
    }
}
