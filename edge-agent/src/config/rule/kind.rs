//! What a `[[rule]]` looks for: the keys of each kind of rule. A rule says its kind by `kind =`, or
//! by the keys that only one kind has. Never judges a reading: `analysis` does.

use super::{About, DELAY, Known, Limits};
use crate::config::section::Section;
use crate::config::value::{quoted, show_duration};
use protocol::event::AlertKind;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Most states that one rule names.
const STATES_MAX: usize = 256;
/// Most rules that one pattern looks at.
const PATTERN_OF_MAX: usize = 16;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const SPAN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(31 * 86_400);
const LONG: RangeInclusive<Duration> = MINUTE..=Duration::from_secs(366 * 86_400);

/// What a rule looks for.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleKind {
    /// A value beyond a limit.
    Threshold(Limits),
    /// A state in which the device should not be.
    State(StateRule),
    /// A value that rises or falls too much in a given time.
    Rate(RateRule),
    /// A value that does not move.
    Flat(FlatRule),
    /// No usable reading.
    Stale(StaleRule),
    /// A value unlike what the sensor usually shows.
    Deviation(DeviationRule),
    /// A value that goes towards a limit, or changes too fast over a long time.
    Trend(TrendRule),
    /// Alerts of other rules that come again or one after another.
    Pattern(PatternRule),
}

/// Which states are abnormal.
#[derive(Clone, Debug, PartialEq)]
pub struct StateRule {
    /// Whole numbers; never empty.
    pub states: Vec<i64>,
    /// Abnormal is each of `states`; else each other one.
    pub abnormal: bool,
    /// Abnormal without a break for this long before it is told.
    pub on_delay: Duration,
    /// Normal without a break for this long before it is told.
    pub off_delay: Duration,
}

/// How fast a value may change. At least one of `rises` and `falls` is there.
#[derive(Clone, Debug, PartialEq)]
pub struct RateRule {
    /// Most that it may rise within the time, in its unit; above 0.
    pub rises: Option<f64>,
    /// Most that it may fall within the time, in its unit; above 0.
    pub falls: Option<f64>,
    /// The time.
    pub within: Duration,
}

/// How long a value may stand still.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlatRule {
    /// It stands still while highest and lowest are no further apart; never negative.
    pub span: f64,
    /// For this long before it is told.
    pub lasts: Duration,
}

/// How long a sensor may be silent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StaleRule {
    /// Without a usable reading for this long before it is told.
    pub after: Duration,
}

/// How unusual a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviationRule {
    /// The score from which it is told: see `analysis::deviation`.
    pub score: f64,
    /// Nothing is told before so long a time was seen.
    pub learn: Duration,
    /// After an alert the next one comes no sooner.
    pub quiet: Duration,
}

/// How fast a value may go where. At least one of `per_hour` and `reaches` is there.
#[derive(Clone, Debug, PartialEq)]
pub struct TrendRule {
    /// The slope is that of this time.
    pub window: Duration,
    /// Steepest slope that is told, in the unit of the sensor per hour, up or down; above 0.
    pub per_hour: Option<f64>,
    /// The limit that it must not reach.
    pub reaches: Option<f64>,
    /// It is told when it would be there within this time.
    pub ahead: Duration,
}

/// Which alerts make a pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct PatternRule {
    /// Names of the rules; never empty.
    pub of: Vec<String>,
    /// The alerts come in the order of `of`, each once; else any of them counts.
    pub in_order: bool,
    /// So many alerts, or so many rounds of the order, make the pattern.
    pub times: u32,
    /// Within this time.
    pub within: Duration,
}

impl RuleKind {
    /// Whether it learns what is usual, and can be told to learn anew.
    pub const fn learns(&self) -> bool {
        matches!(self, Self::Deviation(_) | Self::Trend(_))
    }

    /// What its alerts are called.
    pub const fn alert_kind(&self) -> AlertKind {
        match self {
            Self::Threshold(_) => AlertKind::Threshold,
            Self::State(_) => AlertKind::State,
            Self::Rate(_) => AlertKind::Rate,
            Self::Flat(_) => AlertKind::Flat,
            Self::Stale(_) => AlertKind::Stale,
            Self::Deviation(_) => AlertKind::Deviation,
            Self::Trend(_) => AlertKind::Trend,
            Self::Pattern(_) => AlertKind::Pattern,
        }
    }

    /// The limits of a value, of a rule that has such.
    pub const fn limits(&self) -> Option<&Limits> {
        match self {
            Self::Threshold(limits) => Some(limits),
            _ => None,
        }
    }
}

/// The words of `kind =`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Threshold,
    State,
    Rate,
    Flat,
    Stale,
    Deviation,
    Trend,
    Pattern,
}

const WORDS: &[(&str, Word)] = &[
    ("threshold", Word::Threshold),
    ("state", Word::State),
    ("rate", Word::Rate),
    ("flat", Word::Flat),
    ("stale", Word::Stale),
    ("deviation", Word::Deviation),
    ("trend", Word::Trend),
    ("pattern", Word::Pattern),
];

/// Keys that only one kind has.
const TELLING: &[(&str, Word)] = &[
    ("states", Word::State),
    ("not_states", Word::State),
    ("rises", Word::Rate),
    ("falls", Word::Rate),
    ("flat_for", Word::Flat),
    ("stale_after", Word::Stale),
    ("per_hour", Word::Trend),
    ("reaches", Word::Trend),
    ("of", Word::Pattern),
    ("of_asset", Word::Pattern),
];

/// The kind of a rule: as it says, else by its keys, else limits.
pub(super) fn word(section: &mut Section) -> Option<Word> {
    let telling = TELLING.iter().find(|(key, _)| section.has(key));
    let by_keys = telling.map_or(Word::Threshold, |(_, word)| *word);
    if section.has("kind") {
        section.choice("kind", WORDS)
    } else {
        section.pass_over("kind");
        Some(by_keys)
    }
}

/// The keys of a kind. `about` is the sensor, where there is one.
pub(super) fn read(
    section: &mut Section,
    word: Word,
    about: Option<&About>,
    known: &Known,
) -> Option<RuleKind> {
    match word {
        Word::Threshold => super::limits(section).map(RuleKind::Threshold),
        Word::State => state(section).map(RuleKind::State),
        Word::Rate => rate(section).map(RuleKind::Rate),
        Word::Flat => flat(section, about).map(RuleKind::Flat),
        Word::Stale => stale(section, about).map(RuleKind::Stale),
        Word::Deviation => Some(RuleKind::Deviation(deviation(section))),
        Word::Trend => trend(section).map(RuleKind::Trend),
        Word::Pattern => pattern(section, known).map(RuleKind::Pattern),
    }
}

fn state(section: &mut Section) -> Option<StateRule> {
    let abnormal = section.has("states");
    let key = if abnormal { "states" } else { "not_states" };
    if abnormal {
        section.refuse("not_states", "stands beside states; leave one out");
    }
    let states = section.integer_list(key);
    if !section.has(key) {
        section.missing("states", "states = [3, 4]");
    }
    let on_delay = section.duration("on_delay", DELAY).unwrap_or_default();
    let off_delay = section.duration("off_delay", DELAY).unwrap_or_default();
    let states = states?;
    if states.is_empty() || states.len() > STATES_MAX {
        let words = format!("there are {} states; write 1 to {STATES_MAX}", states.len());
        section.problem(key, &words);
        return None;
    }
    Some(StateRule {
        states,
        abnormal,
        on_delay,
        off_delay,
    })
}

fn above_zero(section: &mut Section, key: &'static str) -> Option<f64> {
    let number = section.float(key)?;
    if number > 0.0 {
        return Some(number);
    }
    section.problem(key, "is not above zero; write how much, without a sign");
    None
}

fn rate(section: &mut Section) -> Option<RateRule> {
    let rises = above_zero(section, "rises");
    let falls = above_zero(section, "falls");
    let within = section.duration("within", SPAN);
    if !section.has("rises") && !section.has("falls") {
        section.missing("rises", "rises = 5.0");
    }
    if !section.has("within") {
        section.missing("within", "within = \"10m\"");
    }
    (rises.is_some() || falls.is_some()).then_some(())?;
    Some(RateRule {
        rises,
        falls,
        within: within?,
    })
}

/// The longest time between two stored readings of a sensor that works.
fn silence(about: &About) -> Duration {
    about.poll * 2 + about.max_silence.unwrap_or_default()
}

/// Notes a time that readings of the sensor are too seldom for.
fn long_enough(section: &Section, key: &str, time: Duration, least: Duration, about: &About) {
    if time < least {
        let words = format!(
            "{} is too short: the sensor is read every {}{}; write {} or more",
            show_duration(time),
            show_duration(about.poll),
            about
                .max_silence
                .map_or_else(String::new, |silence| format!(
                    " and, while it does not move, stored every {}",
                    show_duration(silence)
                )),
            show_duration(least),
        );
        section.problem(key, &words);
    }
}

fn flat(section: &mut Section, about: Option<&About>) -> Option<FlatRule> {
    let span = section.float("flat_within").unwrap_or(0.0);
    if span < 0.0 {
        section.problem("flat_within", "is below zero; write 0 or more");
    }
    let lasts = section.duration("flat_for", SPAN);
    if !section.has("flat_for") {
        section.missing("flat_for", "flat_for = \"1h\"");
    }
    if let (Some(lasts), Some(about)) = (lasts, about) {
        long_enough(section, "flat_for", lasts, silence(about) * 4, about);
    }
    Some(FlatRule {
        span,
        lasts: lasts?,
    })
}

fn stale(section: &mut Section, about: Option<&About>) -> Option<StaleRule> {
    let after = section.duration("stale_after", SPAN);
    if !section.has("stale_after") {
        section.missing("stale_after", "stale_after = \"5m\"");
    }
    if let (Some(after), Some(about)) = (after, about) {
        long_enough(section, "stale_after", after, silence(about), about);
    }
    Some(StaleRule { after: after? })
}

fn deviation(section: &mut Section) -> DeviationRule {
    let score = section.float("score").unwrap_or(DeviationRule::SCORE);
    if !(1.0..=DeviationRule::SCORE_MAX).contains(&score) {
        let words = format!(
            "{score} is outside the allowed range; write 1.0 to {:.1}, higher for fewer alerts",
            DeviationRule::SCORE_MAX
        );
        section.problem("score", &words);
    }
    let learn = section.duration("learn", HOUR..=DAY * 90);
    let quiet = section.duration("quiet", Duration::ZERO..=DAY * 7);
    DeviationRule {
        score,
        learn: learn.unwrap_or(DeviationRule::LEARN),
        quiet: quiet.unwrap_or(DeviationRule::QUIET),
    }
}

impl DeviationRule {
    /// The score from which a deviation is told where a rule does not say another one.
    pub const SCORE: f64 = 5.0;
    /// The highest score there is.
    pub const SCORE_MAX: f64 = 12.0;
    /// How long it learns where a rule does not say otherwise: each weekday once.
    pub const LEARN: Duration = Duration::from_secs(7 * 86_400);
    /// The time between two alerts where a rule does not say another one.
    pub const QUIET: Duration = Duration::from_secs(8 * 3_600);
}

fn trend(section: &mut Section) -> Option<TrendRule> {
    let window = section.duration("window", MINUTE * 10..=DAY * 90);
    if !section.has("window") {
        section.missing("window", "window = \"1d\"");
    }
    let per_hour = above_zero(section, "per_hour");
    let reaches = section.float("reaches");
    let ahead = section.duration("ahead", LONG).unwrap_or(DAY * 7);
    if !section.has("per_hour") && !section.has("reaches") {
        section.missing("reaches", "reaches = 80.0");
    }
    (per_hour.is_some() || reaches.is_some()).then_some(())?;
    Some(TrendRule {
        window: window?,
        per_hour,
        reaches,
        ahead,
    })
}

fn pattern(section: &mut Section, known: &Known) -> Option<PatternRule> {
    let of = if section.has("of_asset") {
        section.refuse("of", "stands beside of_asset; leave one out");
        let asset = section.text("of_asset")?;
        let of = known.rules_of_asset(&asset);
        if of.is_empty() {
            let words = format!(
                "no rule of another kind is for a sensor of the asset {}",
                quoted(&asset)
            );
            section.unknown("of_asset", &words, &asset, known.assets());
        }
        of
    } else {
        let of = section.text_list("of").unwrap_or_default();
        if !section.has("of") {
            section.missing("of", "of = [\"name of a rule\"]");
        }
        for name in &of {
            if !known.rules.contains_key(name) {
                let words = format!("there is no rule {} that is no pattern", quoted(name));
                let names = known.rules.keys().map(String::as_str);
                section.unknown("of", &words, name, names);
                return None;
            }
        }
        of
    };
    let in_order = !section.has("of_asset") && section.boolean("in_order").unwrap_or(false);
    let times = section.integer("times", 1..=64);
    let times = times.unwrap_or(if in_order { 1 } else { 3 });
    let within = section.duration("within", SPAN).unwrap_or(DAY);
    if of.is_empty() {
        return None;
    }
    if of.len() > PATTERN_OF_MAX {
        let words = format!("names {} rules; at most {PATTERN_OF_MAX}", of.len());
        section.problem(if section.has("of") { "of" } else { "of_asset" }, &words);
        return None;
    }
    Some(PatternRule {
        of,
        in_order,
        times,
        within,
    })
}
