//! `[notify]`, `[[person]]`, `[[shift]]`, `[[channel]]` and `[[ladder]]`: who is told what, when and by
//! which way. What one sort of channel adds stays in its `Section`, which its file reads and finishes.
//! Never sends anything; never from a document of the hub, for these tables hold passwords, devices
//! and programs of this box.

use super::device::{good_name, limited, own_name};
use super::section::Section;
use super::value;
use protocol::event::Severity;
use protocol::smtp::is_mail_address;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Most channels; further ones are a problem.
pub const CHANNELS_MAX: usize = 32;
/// Most people; further ones are a problem.
pub const PEOPLE_MAX: usize = 500;
/// Most shifts; further ones are a problem.
pub const SHIFTS_MAX: usize = 64;
/// Most ladders; further ones are a problem.
pub const LADDERS_MAX: usize = 32;
/// Most steps of one ladder; further ones are a problem.
pub const STEPS_MAX: usize = 16;
/// Most names in one list of these tables; further ones are a problem.
pub const NAMES_MAX: usize = 64;

const AFTER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(7 * 86_400);
const REPEAT: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(86_400);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;

/// Stands in lists of people for those whom the hub's bundle says to be on call.
pub const ON_CALL: &str = "@on-call";

/// The days of a week as they are written, Monday first.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const SEVERITIES: &[(&str, Severity)] = &[
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

const TOPICS: &[(&str, Topic)] = &[
    ("raised", Topic::Raised),
    ("again", Topic::Again),
    ("cleared", Topic::Cleared),
    ("flood", Topic::Flood),
    ("order", Topic::Order),
];

/// Everything about telling people.
#[derive(Clone, Debug)]
pub struct NotifyConfig {
    /// The rest of `[notify]`: the room of the channels reads and finishes it.
    pub section: Section,
    /// Who can be told.
    pub people: Vec<PersonConfig>,
    /// Who is on duty when.
    pub shifts: Vec<ShiftConfig>,
    /// The ways.
    pub channels: Vec<ChannelConfig>,
    /// In which order.
    pub ladders: Vec<LadderConfig>,
}

/// `[[person]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonConfig {
    /// As the hub and the page call this person.
    pub name: String,
    /// `+` and digits.
    pub phone: Option<String>,
    /// A mail address.
    pub email: Option<String>,
}

/// `[[shift]]`: people who are on duty at certain times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShiftConfig {
    /// Its name; no person has it.
    pub name: String,
    /// Whether it begins on a day, Monday first.
    pub days: [bool; 7],
    /// Begin and end in the time of the site; the end may be on the next day.
    pub hours: Hours,
    /// Who.
    pub people: Vec<String>,
}

/// A part of the day in minutes since midnight; over midnight where `from` is not below `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// First minute.
    pub from: u16,
    /// The minute after the last one.
    pub until: u16,
}

/// `[[channel]]`: a way to people.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// Its name, unlike that of any other channel.
    pub name: String,
    /// The word of its sort; the room of the channels knows which there are.
    pub kind: String,
    /// What is less urgent does not go this way.
    pub severity: Severity,
    /// When only what is critical goes this way.
    pub quiet: Vec<Hours>,
    /// Messages in a minute; what is above waits and is told together. Critical ones do not wait.
    /// `None`: as its sort has it.
    pub per_minute: Option<u16>,
    /// Tries of one message.
    pub attempts: u8,
    /// Longest time for one try.
    pub timeout: Duration,
    /// People and shifts that are told where a step names none.
    pub to: Vec<String>,
    /// The channel's own keys.
    pub section: Section,
}

impl ChannelConfig {
    /// Whether its table says the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.section.table().same(other.section.table())
    }
}

/// `[[ladder]]`: who is told first, and who next when nobody acknowledges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LadderConfig {
    /// Its name.
    pub name: String,
    /// What is less urgent is not its concern.
    pub severity: Severity,
    /// Tags of assets that are its concern (`P-7`, `P-*`); empty: all.
    pub assets: Vec<String>,
    /// Rules that are its concern; empty: all.
    pub rules: Vec<String>,
    /// What it tells.
    pub topics: Vec<Topic>,
    /// Its steps, in the order of `after`; never empty.
    pub steps: Vec<StepConfig>,
}

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// An alert was raised.
    Raised,
    /// It still waits for somebody.
    Again,
    /// It is over.
    Cleared,
    /// A flood of alerts began or ended, or one chatters.
    Flood,
    /// A work order was opened.
    Order,
}

/// `[[ladder.step]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepConfig {
    /// How long after the alert, unless somebody acknowledged it.
    pub after: Duration,
    /// Names of channels; they exist.
    pub channels: Vec<String>,
    /// Names of people and shifts; they exist.
    pub to: Vec<String>,
    /// Told again in this time until somebody acknowledges it.
    pub repeat: Option<Duration>,
    /// A telephone also rings.
    pub call: bool,
}

/// The tables that `notify` reads: only the box's own file has them.
pub(super) const TABLES: [&str; 4] = ["person", "shift", "channel", "ladder"];

/// Reads all of them.
pub(super) fn read(top: &mut Section) -> NotifyConfig {
    let section = top.section_or_empty("notify");
    let mut names = BTreeSet::new();
    let people: Vec<PersonConfig> = limited(top, "person", PEOPLE_MAX)
        .into_iter()
        .filter_map(|section| person(section, &mut names))
        .collect();
    let persons = names.clone();
    let shifts: Vec<ShiftConfig> = limited(top, "shift", SHIFTS_MAX)
        .into_iter()
        .filter_map(|section| shift(section, &mut names, &persons))
        .collect();
    names.insert(ON_CALL.to_owned());
    let mut own = BTreeSet::new();
    let channels: Vec<ChannelConfig> = limited(top, "channel", CHANNELS_MAX)
        .into_iter()
        .filter_map(|section| channel(section, &mut own, &names))
        .collect();
    let mut ladders = BTreeSet::new();
    let ladders = limited(top, "ladder", LADDERS_MAX)
        .into_iter()
        .filter_map(|section| ladder(section, &mut ladders, (&own, &names)))
        .collect();
    NotifyConfig {
        section,
        people,
        shifts,
        channels,
        ladders,
    }
}

fn person(mut section: Section, names: &mut BTreeSet<String>) -> Option<PersonConfig> {
    let name = own_name(&mut section, names);
    let phone = section.text("phone").and_then(|text| {
        let good = phone_number(&text);
        if good.is_none() {
            let words = "is not a telephone number; write it with the country's code, for example \
                         \"+4915112345678\"";
            section.problem("phone", words);
        }
        good
    });
    let email = section.text("email").filter(|text| {
        let good = is_mail_address(text);
        if !good {
            section.problem(
                "email",
                "is not a mail address; write for example \"anna@plant.lan\"",
            );
        }
        good
    });
    section.finish();
    Some(PersonConfig {
        name: name?,
        phone,
        email,
    })
}

/// A telephone number as it is dialled, from what people write: spaces, dashes, dots, brackets and
/// slashes go. `None` when it is none.
pub fn phone_number(text: &str) -> Option<String> {
    let number: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/'))
        .collect();
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let good = (3..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    good.then_some(number)
}

fn shift(
    mut section: Section,
    names: &mut BTreeSet<String>,
    persons: &BTreeSet<String>,
) -> Option<ShiftConfig> {
    let name = own_name(&mut section, names);
    let days = section.text_list("days");
    let days = match days {
        None => Some([true; 7]),
        Some(days) => days_of(&section, &days),
    };
    let text = section
        .text("hours")
        .unwrap_or_else(|| "00:00-24:00".to_owned());
    let hours = hours(&section, "hours", &text);
    let people = names_of(&mut section, "people", ("person", persons));
    if people.is_empty() && !section.has("people") {
        section.missing("people", "people = [\"Anna Berg\"]");
    }
    section.finish();
    Some(ShiftConfig {
        name: name?,
        days: days?,
        hours: hours?,
        people,
    })
}

fn days_of(section: &Section, days: &[String]) -> Option<[bool; 7]> {
    let mut on = [false; 7];
    for day in days {
        let at = DAYS.iter().position(|known| known == day);
        let Some(on) = at.and_then(|at| on.get_mut(at)) else {
            let words = format!("{} is not a day", value::quoted(day));
            section.unknown("days", &words, day, DAYS);
            return None;
        };
        *on = true;
    }
    Some(on)
}

fn hours(section: &Section, key: &str, text: &str) -> Option<Hours> {
    let found = parse_hours(text);
    if found.is_none() {
        let words = format!(
            "{} is not a part of a day; write for example \"22:00-06:00\"",
            value::quoted(text)
        );
        section.problem(key, &words);
    }
    found
}

fn parse_hours(text: &str) -> Option<Hours> {
    let minute = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        let all = hour.checked_mul(60)?.checked_add(minute)?;
        (minute < 60 && all <= DAY_MINUTES).then_some(all)
    };
    let (from, until) = text.split_once('-')?;
    let (from, until) = (minute(from)?, minute(until)?);
    (from < DAY_MINUTES).then_some(Hours { from, until })
}

impl Hours {
    /// Whether they run over midnight.
    pub const fn is_over_midnight(self) -> bool {
        self.from >= self.until
    }
}

fn channel(
    mut section: Section,
    own: &mut BTreeSet<String>,
    names: &BTreeSet<String>,
) -> Option<ChannelConfig> {
    let name = own_name(&mut section, own);
    let kind = section.required_text("kind");
    let severity = section
        .choice("severity", SEVERITIES)
        .unwrap_or(Severity::Low);
    let quiet = section.text_list("quiet").unwrap_or_default();
    let quiet = quiet
        .iter()
        .filter_map(|text| hours(&section, "quiet", text))
        .collect();
    let per_minute = section.integer("per_minute", 1..=6_000);
    let attempts = section.integer("attempts", 1..=20).unwrap_or(5);
    let timeout = section.duration("timeout", TIMEOUT);
    let to = names_of(&mut section, "to", ("person or shift", names));
    Some(ChannelConfig {
        name: name?,
        kind: kind?,
        severity,
        quiet,
        per_minute,
        attempts,
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
        to,
        section,
    })
}

fn ladder(
    mut section: Section,
    own: &mut BTreeSet<String>,
    (channels, names): (&BTreeSet<String>, &BTreeSet<String>),
) -> Option<LadderConfig> {
    let name = own_name(&mut section, own);
    let severity = section.choice("severity", SEVERITIES).unwrap_or_default();
    let assets = section.text_list("assets").unwrap_or_default();
    let rules = section.text_list("rules").unwrap_or_default();
    let topics = topics(&mut section);
    if !section.has("step") {
        section.problem(
            "step",
            "is missing; add a [[ladder.step]] below this ladder",
        );
    }
    let mut steps: Vec<StepConfig> = limited(&mut section, "step", STEPS_MAX)
        .into_iter()
        .filter_map(|section| step(section, channels, names))
        .collect();
    steps.sort_by_key(|step| step.after);
    section.finish();
    Some(LadderConfig {
        name: name?,
        severity,
        assets,
        rules,
        topics,
        steps,
    })
    .filter(|ladder| !ladder.steps.is_empty())
}

fn topics(section: &mut Section) -> Vec<Topic> {
    let Some(words) = section.text_list("tell") else {
        return vec![Topic::Raised, Topic::Again, Topic::Flood];
    };
    let mut topics = Vec::new();
    for word in words {
        if let Some((_, topic)) = TOPICS.iter().find(|(known, _)| *known == word) {
            topics.push(*topic);
        } else {
            let complaint = format!("{} cannot be told", value::quoted(&word));
            let known = TOPICS.iter().map(|(word, _)| *word);
            section.unknown("tell", &complaint, &word, known);
        }
    }
    topics
}

fn step(
    mut section: Section,
    channels: &BTreeSet<String>,
    names: &BTreeSet<String>,
) -> Option<StepConfig> {
    let after = section.duration("after", AFTER).unwrap_or_default();
    let ways = names_of(&mut section, "channels", ("[[channel]]", channels));
    if !section.has("channels") {
        section.missing("channels", "channels = [\"hall speaker\"]");
    }
    let to = names_of(&mut section, "to", ("person or shift", names));
    let repeat = section.duration("repeat", REPEAT);
    let call = section.boolean("call").unwrap_or(false);
    section.finish();
    (!ways.is_empty()).then_some(StepConfig {
        after,
        channels: ways,
        to,
        repeat,
        call,
    })
}

/// A list of names that exist; others are noted and left out.
fn names_of(
    section: &mut Section,
    key: &'static str,
    (what, known): (&str, &BTreeSet<String>),
) -> Vec<String> {
    let mut names = section.text_list(key).unwrap_or_default();
    if names.len() > NAMES_MAX {
        let words = format!(
            "has {} names; at most {NAMES_MAX} are possible",
            names.len()
        );
        section.problem(key, &words);
        names.truncate(NAMES_MAX);
    }
    names.retain(|name| {
        let is_known = known.contains(name);
        if !is_known && good_name(section, key, name) {
            let words = format!("there is no {what} with the name {}", value::quoted(name));
            section.unknown(key, &words, name, known.iter().map(String::as_str));
        }
        is_known
    });
    names
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::path::Path;

    const PLANT: &str = r#"
[[person]]
name = "Anna Berg"
phone = "+49 151 1234-5678"
email = "anna@plant.lan"

[[shift]]
name = "night"
days = ["mon", "fri"]
hours = "22:00-06:00"
people = ["Anna Berg"]

[[channel]]
name = "modem"
kind = "gsm"
severity = "high"
quiet = ["12:00-13:00"]
per_minute = 2
timeout = "40s"

[[ladder]]
name = "maintenance"

[[ladder.step]]
after = "10m"
channels = ["modem"]
to = ["night"]
call = true

[[ladder.step]]
channels = ["modem"]
to = ["Anna Berg"]
repeat = "5m"
"#;

    fn words(text: &str) -> String {
        let read = Config::parse(Path::new("edge.toml"), text);
        read.map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn people_shifts_channels_and_ladders_are_read() {
        let config = Config::draft_text(Path::new("edge.toml"), PLANT.to_owned()).unwrap();
        let notify = &config.notify;
        assert_eq!(notify.people[0].phone.as_deref(), Some("+4915112345678"));
        let night = &notify.shifts[0];
        assert_eq!(night.days, [true, false, false, false, true, false, false]);
        assert_eq!((night.hours.from, night.hours.until), (22 * 60, 6 * 60));
        assert!(night.hours.is_over_midnight());
        let modem = &notify.channels[0];
        assert_eq!(modem.severity, Severity::High);
        assert_eq!(
            modem.quiet[0],
            Hours {
                from: 720,
                until: 780
            }
        );
        assert_eq!((modem.per_minute, modem.attempts), (Some(2), 5));
        assert_eq!(modem.timeout, Duration::from_secs(40));
        let steps = &notify.ladders[0].steps;
        // In the order of their times.
        assert_eq!(steps[0].repeat, Some(Duration::from_secs(300)));
        assert!(steps[1].call);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (wrong, right, told) in [
            ("kind = \"gsm\"", "", "key \"kind\": is missing"),
            (
                "to = [\"night\"]",
                "to = [\"nihgt\"]",
                "did you mean \"night\"?",
            ),
            ("\"22:00-06:00\"", "\"22-6\"", "is not a part of a day"),
            ("[\"mon\", \"fri\"]", "[\"mo\"]", "is not a day"),
            ("+49 151 1234-5678", "Anna", "is not a telephone number"),
            ("anna@plant.lan", "anna", "is not a mail address"),
            (
                "channels = [\"modem\"]\nto = [\"night\"]",
                "channels = [\"modme\"]",
                "did you mean",
            ),
        ] {
            let text = words(&PLANT.replace(wrong, right));
            assert!(text.contains(told), "{right}: {text}");
            assert!(text.contains("edge.toml:"), "{text}");
        }
    }

    #[test]
    fn a_document_of_the_hub_may_not_say_how_people_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("edge.toml");
        std::fs::write(&file, "").unwrap();
        let config = Config::draft_with(&file, "the document", PLANT).unwrap();
        let problems = config.problems.check().unwrap_err().to_string();
        assert!(problems.contains("only its own file may say"), "{problems}");
    }
}
