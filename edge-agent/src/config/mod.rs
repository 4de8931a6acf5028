//! The configuration file as typed values, with every default in this one room. Tables that belong
//! to a protocol stay opaque: the driver's folder reads them through `Section`.
//! Never opens a port, never looks at another file but device templates, never takes a value from the
//! environment.

mod alarm;
mod assets;
mod condition;
mod copy;
mod device;
mod diff;
mod hub;
mod in_use;
mod notify;
mod plant;
mod problem;
mod rule;
mod section;
mod template;
mod tree;
mod value;
mod web;

pub use alarm::{AlarmConfig, AlarmsConfig, AssetConfig, Outage, SuppressWhile};
pub use assets::{Assets, priority};
pub use condition::{Comparison, Condition, TERMS_MAX};
pub use copy::Written;
pub use device::{
    DEVICES_MAX, Deadband, DeviceConfig, PORTS_MAX, PortConfig, SENSORS_MAX, SensorConfig, Watch,
};
pub use diff::{
    Difference, DifferenceView, FateView, KeyChange, KeyView, Kind, PartChange, PartView, PortFate,
    What,
};
pub use hub::{HubConfig, ProxyConfig};
pub use in_use::{DeviceInUse, InUse, PortInUse};
pub use notify::{
    CHANNELS_MAX, ChannelConfig, DAYS, Hours, LADDERS_MAX, LadderConfig, NAMES_MAX, NotifyConfig,
    ON_CALL, PEOPLE_MAX, PersonConfig, SHIFTS_MAX, STEPS_MAX, ShiftConfig, StepConfig, Topic,
    phone_number,
};
pub use problem::{ConfigError, PROBLEMS_MAX, Problem, Problems};
pub use rule::{
    DeviationRule, FlatRule, Limits, PatternRule, RULES_MAX, RateRule, RuleConfig, RuleKind,
    StaleRule, StateRule, TrendRule, WorkOrderConfig,
};
pub use section::{Amount, LIST_MAX, Section};
pub use template::{About, Found, SHIPPED, TEMPLATE_BYTES_MAX, Templates};
pub use value::{
    nearest, parse_bytes, parse_duration, quoted, show_bytes, show_duration, suggestion,
};
pub use web::WebConfig;

use in_use::Source;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml::de::DeTable;
use tree::Table;

/// Largest file that is read. A larger one is refused unread.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// One gateway as its owner configured it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The box itself.
    pub gateway: GatewayConfig,
    /// Where the hub is; none: the box works alone.
    pub hub: Option<HubConfig>,
    /// What is kept on disk.
    pub storage: StorageConfig,
    /// The queue between drivers and storage.
    pub queue: QueueConfig,
    /// The page for staff.
    pub web: WebConfig,
    /// Buses and endpoints, in the order of the file.
    pub ports: Vec<PortConfig>,
    /// Devices with their sensors, in the order of the file.
    pub devices: Vec<DeviceConfig>,
    /// Alert rules, in the order of the file.
    pub rules: Vec<RuleConfig>,
    /// What holds for the alerts of all rules.
    pub alarms: AlarmsConfig,
    /// Assets of which more is known than their tag.
    pub assets: Vec<AssetConfig>,
    /// How people are told.
    pub notify: NotifyConfig,
    /// What was found wrong until now. Drivers add theirs while they read their tables; whoever
    /// starts them calls `check` on this afterwards. It holds the text of the file, so that the
    /// configuration is best dropped when everything was made from it.
    pub problems: Problems,
    /// The file as it was read.
    pub local: LocalFile,
    tables: Tables,
    source: Source,
}

/// A configuration file as it was read, with the templates of its folder that it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// Its text.
    pub text: Arc<str>,
    /// Texts of templates by name; without those that are shipped.
    pub templates: BTreeMap<String, String>,
}

/// The tables as they are written: what differs is told from these.
#[derive(Clone, Debug)]
struct Tables {
    local: Arc<Table>,
    /// Where ports, devices and rules are: in the file, or in a document of the hub.
    plant: Arc<Table>,
    /// Where people, channels and ladders are: always in the file.
    telling: Arc<Table>,
}

impl Config {
    /// What runs when this configuration is replaced by another one without a restart: the other's
    /// plant, and what holds from start to end of the agent from this one.
    #[must_use]
    pub fn with_plant_of(&self, next: Self) -> Self {
        let tables = Tables {
            local: Arc::clone(&self.tables.local),
            ..next.tables
        };
        Self {
            gateway: self.gateway.clone(),
            hub: self.hub.clone(),
            storage: self.storage.clone(),
            queue: self.queue.clone(),
            web: self.web.clone(),
            notify: NotifyConfig {
                section: self.notify.section.clone(),
                ..next.notify
            },
            tables,
            ..next
        }
    }
}

/// `[gateway]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Folder for everything the box keeps. A relative path counts from the file's folder.
    pub data_dir: PathBuf,
    /// What people call the box; none: the hub or the host names it.
    pub name: Option<String>,
    /// Prefix of work-order numbers until the hub gives one.
    pub code: String,
    /// Something else than this box's time service disciplines the clock (PTP, GPS).
    pub clock_trusted: bool,
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Longest time between two commits of readings: what a power cut can cost.
    pub commit_tick: Duration,
    /// Bytes that readings may take on disk; beyond it the oldest make room.
    pub buffer_bytes_max: u64,
    /// Age at which an open poll group is sealed into a block, full or not.
    pub seal_after: Duration,
    /// Age at which readings go that the hub has; none: when their room is needed.
    pub keep_raw: Option<Duration>,
    /// Age at which statistics by minute go.
    pub keep_minutes: Duration,
    /// Age at which statistics by hour go.
    pub keep_hours: Duration,
    /// Age at which statistics by day go.
    pub keep_days: Duration,
    /// Bytes that alerts, work orders and other events may take on disk; they are never given up.
    pub core_bytes_max: u64,
    /// Bytes set aside on the disk for events on a full disk.
    pub ballast_bytes: u64,
    /// Bytes that photos and documents of work orders may take; those that the hub has make room.
    pub attachments_bytes_max: u64,
}

/// `[queue]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Polls that may wait for storage; more are dropped and recorded as a gap.
    pub polls_max: usize,
}

impl Config {
    /// Reads a file and checks what this room knows of it.
    ///
    /// # Errors
    /// `ConfigError` with every problem found. The drivers' own keys are not looked at yet.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::draft(path)?;
        config.problems.check()?;
        Ok(config)
    }

    /// Reads a file as far as it can be read. Tables with problems are left out or hold defaults,
    /// and `problems` has the words: for whoever lets the drivers look too and then shows all.
    ///
    /// # Errors
    /// Only when the file cannot be read or is not TOML.
    pub fn draft(path: &Path) -> Result<Self, ConfigError> {
        let text = file_text(path, FILE_BYTES_MAX)?.into();
        Self::draft_of(path, text, Templates::beside(path), None)
    }

    /// Like `draft`, with what the plant is from a document of the hub, which is called `name` in
    /// problems. Those tables of the file are not looked at, and `problems` are the document's.
    ///
    /// # Errors
    /// When the file or the document cannot be read at all, or the rest of the file has problems.
    pub fn draft_with(path: &Path, name: &str, document: &str) -> Result<Self, ConfigError> {
        let text = file_text(path, FILE_BYTES_MAX)?.into();
        Self::draft_of(path, text, Templates::beside(path), Some((name, document)))
    }

    /// Like `draft`, or like `draft_with` where there is a document, of a file that was kept.
    ///
    /// # Errors
    /// See these.
    pub fn draft_local(
        path: &Path,
        local: &LocalFile,
        document: Option<(&str, &str)>,
    ) -> Result<Self, ConfigError> {
        let templates = Templates::with_kept(path, &local.templates);
        Self::draft_of(path, Arc::clone(&local.text), templates, document)
    }

    /// Like `load`, from text; `file` is only named in problems, and for relative paths and
    /// templates.
    ///
    /// # Errors
    /// See `load`.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let config = Self::draft_text(file, text.to_owned())?;
        config.problems.check()?;
        Ok(config)
    }

    fn draft_text(file: &Path, text: String) -> Result<Self, ConfigError> {
        Self::draft_of(file, text.into(), Templates::beside(file), None)
    }

    fn draft_of(
        file: &Path,
        text: Arc<str>,
        templates: Templates,
        document: Option<(&str, &str)>,
    ) -> Result<Self, ConfigError> {
        let (problems, top) = open(file, text)?;
        let Some((name, document)) = document else {
            return Ok(Self::read(file, (problems, top), None, templates));
        };
        let (of_document, plant) = open(Path::new(name), document)?;
        let mut config = Self::read(file, (problems, top), Some(plant), templates);
        config.source.document = Some(Arc::new((name.to_owned(), document.to_owned())));
        config.problems.check()?;
        config.problems = of_document;
        if config.devices.is_empty() {
            let words = "the document has no device: the box would measure nothing any more";
            config.problems.add(&(0..0), "", "device", words.to_owned());
        }
        Ok(config)
    }

    /// What the plant is comes from `plant` where there is one, else from the file.
    fn read(
        file: &Path,
        (problems, mut top): (Problems, Section),
        plant: Option<Section>,
        mut templates: Templates,
    ) -> Self {
        let base = file.parent().unwrap_or(Path::new(""));
        let tables = Tables {
            local: Arc::clone(top.table()),
            telling: Arc::clone(top.table()),
            plant: Arc::clone(plant.as_ref().unwrap_or(&top).table()),
        };
        let gateway = gateway(top.section_or_empty("gateway"), base);
        let hub = top.section("hub").and_then(hub::read);
        let storage = storage(top.section_or_empty("storage"));
        let queue = queue(top.section_or_empty("queue"));
        let web = web::web(top.section_or_empty("web"), base);
        let notify = notify::read(&mut top);
        let plant = match plant {
            None => plant::read(&mut top, &mut templates),
            Some(mut document) => {
                for key in PLANT {
                    top.pass_over(key);
                }
                for key in FIXED {
                    document.refuse(key, NOT_OF_THE_HUB);
                }
                for key in notify::TABLES {
                    document.refuse(key, NOT_TOLD_BY_THE_HUB);
                }
                let tables = plant::read(&mut document, &mut templates);
                document.finish();
                tables
            }
        };
        top.finish();
        let local = LocalFile {
            text: Arc::clone(problems.text()),
            templates: templates.used(),
        };
        Self {
            gateway,
            hub,
            storage,
            queue,
            web,
            ports: plant.ports,
            devices: plant.devices,
            rules: plant.rules,
            alarms: plant.alarms,
            assets: plant.assets,
            notify,
            problems,
            local,
            tables,
            source: Source {
                file: file.to_owned(),
                document: None,
            },
        }
    }
}

/// The tables that say what the plant is.
const PLANT: [&str; 5] = ["port", "device", "rule", "alarms", "asset"];
/// The tables that say how the box is reached and kept: they hold from start to end of the agent.
const FIXED: [&str; 6] = ["gateway", "hub", "storage", "queue", "web", "notify"];
/// What is said of a table that a document may not have.
const NOT_OF_THE_HUB: &str = "says how this box is reached and kept, which only its own file may say; \
    leave it out of the document";

/// The same of one that says how people are told.
const NOT_TOLD_BY_THE_HUB: &str = "says how people are told here, with devices and passwords of this box, \
    which only its own file may say; leave it out of the document";

/// The text of a file as its top table.
fn open(file: &Path, text: impl Into<Arc<str>>) -> Result<(Problems, Section), ConfigError> {
    let problems = Problems::new(file, text);
    match top_of(&problems) {
        Some(top) => Ok((problems, top)),
        None => Err(problems.to_error()),
    }
}

/// The top table of a file; `None` when it is not TOML, which is noted.
fn top_of(problems: &Problems) -> Option<Section> {
    match DeTable::parse(problems.text()) {
        Ok(table) => {
            let table = Table::from(table.into_inner());
            Some(Section::top(problems.clone(), table))
        }
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            problems.add(&span, "", "", format!("not TOML: {}", error.message()));
            None
        }
    }
}

fn file_text(path: &Path, bytes_max: u64) -> Result<String, ConfigError> {
    let read_error = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(read_error)?;
    let mut bytes = Vec::new();
    let size = file
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(read_error)?;
    if u64::try_from(size).unwrap_or(u64::MAX) > bytes_max {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            bytes_max,
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let problems = Problems::new(path, text);
        let words = "this is not UTF-8 text; save the file as UTF-8".to_owned();
        problems.add(&(valid..valid), "", "", words);
        problems.to_error()
    })
}

fn gateway(mut section: Section, base: &Path) -> GatewayConfig {
    let data_dir = path(&mut section, "data_dir", base);
    let data_dir = data_dir.unwrap_or_else(|| "/var/lib/edge-agent".into());
    let name = section
        .text("name")
        .filter(|name| device::good_name(&section, "name", name));
    let code = section
        .text("code")
        .filter(|code| device::good_name(&section, "code", code))
        .unwrap_or_else(|| "WO".to_owned());
    let clock_trusted = section.boolean("clock_trusted").unwrap_or(false);
    section.finish();
    GatewayConfig {
        data_dir,
        name,
        code,
        clock_trusted,
    }
}

/// A path; a relative one counts from `base`.
fn path(section: &mut Section, key: &'static str, base: &Path) -> Option<PathBuf> {
    let text = section.text(key)?;
    if text.is_empty() {
        section.problem(key, "is empty; write a path");
        return None;
    }
    Some(base.join(text))
}

fn storage(mut section: Section) -> StorageConfig {
    let hour = Duration::from_secs(3_600);
    let commit_tick = commit_tick(&mut section);
    let buffer_bytes_max = section
        .bytes("buffer_max", 10_000_000..=1_000_000_000_000)
        .unwrap_or(2_000_000_000);
    let seal_after = section
        .duration("seal_after", hour / 360..=hour * 24)
        .unwrap_or(hour);
    let day = hour * 24;
    let mut keep = |key| section.duration(key, hour..=day * 36_500);
    let (keep_raw, keep_minutes) = (keep("keep_raw"), keep("keep_minutes"));
    let (keep_hours, keep_days) = (keep("keep_hours"), keep("keep_days"));
    let core_bytes_max = section.bytes("events_max", 10_000_000..=100_000_000_000);
    let ballast_bytes = section.bytes("ballast", 0..=1_000_000_000);
    let attachments = section.bytes("attachments_max", 0..=1_000_000_000_000);
    section.finish();
    StorageConfig {
        commit_tick,
        buffer_bytes_max,
        seal_after,
        keep_raw,
        keep_minutes: keep_minutes.unwrap_or(day * 60),
        keep_hours: keep_hours.unwrap_or(day * 730),
        keep_days: keep_days.unwrap_or(day * 3_650),
        core_bytes_max: core_bytes_max.unwrap_or(1_000_000_000),
        ballast_bytes: ballast_bytes.unwrap_or(16_000_000),
        attachments_bytes_max: attachments.unwrap_or(250_000_000),
    }
}

/// `commit_tick`, or what `flash_saver` makes of it.
fn commit_tick(section: &mut Section) -> Duration {
    let ms = Duration::from_millis(1);
    let saver = section.boolean("flash_saver").unwrap_or(false);
    if saver && section.has("commit_tick") {
        let words = "means a commit_tick of \"10s\", and commit_tick is written too; leave one out";
        section.problem("flash_saver", words);
    }
    let written = section.duration("commit_tick", ms * 50..=ms * 10_000);
    written.unwrap_or(if saver { ms * 10_000 } else { ms * 1_000 })
}

fn queue(mut section: Section) -> QueueConfig {
    let polls_max = section
        .integer("polls_max", 16..=1_000_000)
        .unwrap_or(4_096);
    section.finish();
    QueueConfig { polls_max }
}

#[cfg(test)]
pub(crate) mod tests;
