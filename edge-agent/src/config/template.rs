//! Device templates: what a sort of device measures, written once. Those shipped are in the program;
//! a folder `templates/` beside the configuration file adds some or replaces them. What a device
//! itself says wins over its template. Never looks at any file but `templates/NAME.toml`.

mod shipped;

pub use shipped::SHIPPED;

use super::problem::{ConfigError, Problems};
use super::section::Section;
use super::tree::{Entry, Item, Table, Value};
use super::value::{self, suggestion};
use super::{file_text, open};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest template that is read. A larger one is refused unread.
pub const TEMPLATE_BYTES_MAX: u64 = 256 << 10;
/// Longest name of a template.
const NAME_BYTES_MAX: usize = 64;
/// Own templates that are listed; the rest can be used all the same.
const LISTED_MAX: usize = 1_000;

/// Keys that say which device it is: a template cannot know them.
const OF_THE_DEVICE: [&str; 5] = ["name", "port", "asset", "template", "template_only"];

/// Where templates are found, and those that were.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    folder: PathBuf,
    /// Texts that stand for those of the folder.
    kept: BTreeMap<String, String>,
    parsed: BTreeMap<String, Option<Arc<Template>>>,
    used: BTreeMap<String, String>,
}

/// `[template]`: what a template says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Who makes the device.
    pub maker: String,
    /// Which device.
    pub model: String,
    /// In a line, for people.
    pub description: String,
    /// The protocol of a port that it fits.
    pub protocol: String,
    /// Where the registers are from: document with revision and table, or other public texts.
    pub sources: Vec<String>,
}

/// A template as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What people call its file.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Whether it is from the folder beside the configuration.
    pub is_own: bool,
}

#[derive(Clone, Debug)]
struct Template {
    about: About,
    device: Table,
}

impl Templates {
    /// The shipped ones and those of the folder beside `file`.
    pub fn beside(file: &Path) -> Self {
        let folder = file.parent().unwrap_or(Path::new("")).join("templates");
        Self {
            folder,
            ..Self::default()
        }
    }

    /// The same, with texts that stand for those of the folder.
    pub(super) fn with_kept(file: &Path, kept: &BTreeMap<String, String>) -> Self {
        Self {
            kept: kept.clone(),
            ..Self::beside(file)
        }
    }

    /// The texts of own templates that were used.
    pub(super) fn used(self) -> BTreeMap<String, String> {
        self.used
    }

    /// Every name there is, in order; own ones that replace a shipped one once.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten();
        let name = |path: PathBuf| {
            let is_toml = path.extension().is_some_and(|end| end == "toml");
            let name = path.file_stem()?.to_str()?.to_owned();
            (is_toml && is_name(&name)).then_some(name)
        };
        let own = entries.flatten().filter_map(|entry| name(entry.path()));
        let own = own.take(LISTED_MAX);
        let mut names: Vec<String> = own.chain(self.kept.keys().cloned()).collect();
        names.extend(SHIPPED.iter().map(|(name, _)| (*name).to_owned()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// A template by its name; `None` when there is none.
    ///
    /// # Errors
    /// When its file is there and cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<Found>, ConfigError> {
        if !is_name(name) {
            return Ok(None);
        }
        let path = self.folder.join(format!("{name}.toml"));
        if let Some(text) = self.kept.get(name) {
            let (file, text) = (path.display().to_string(), text.clone());
            let is_own = true;
            return Ok(Some(Found { file, text, is_own }));
        }
        match file_text(&path, TEMPLATE_BYTES_MAX) {
            Ok(text) => {
                let file = path.display().to_string();
                let is_own = true;
                return Ok(Some(Found { file, text, is_own }));
            }
            Err(ConfigError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let shipped = SHIPPED.iter().find(|(known, _)| *known == name);
        Ok(shipped.map(|(name, text)| Found {
            file: format!("template {name} (shipped)"),
            text: (*text).to_owned(),
            is_own: false,
        }))
    }

    /// What a template says of itself.
    ///
    /// # Errors
    /// With everything that is wrong with its head, or when it cannot be read.
    pub fn about(&self, name: &str) -> Result<Option<About>, ConfigError> {
        let Some(found) = self.find(name)? else {
            return Ok(None);
        };
        let (problems, top) = open(Path::new(&found.file), found.text)?;
        let template = read(top);
        problems.check()?;
        Ok(Some(template.about))
    }

    /// A device with what its template says and it does not. `protocol` is that of its port.
    pub(super) fn expand(&mut self, mut device: Section, protocol: Option<&str>) -> Section {
        let name = device.text("template");
        let only = device.text_list("template_only");
        let Some(name) = name else {
            if device.has("template_only") && !device.has("template") {
                let words = "is for a device with a template; add for example \
                             template = \"eastron-sdm120\"";
                device.problem("template_only", words);
            }
            return device;
        };
        let Some(template) = self.parsed(&name, &device) else {
            return without_template(&device);
        };
        let wanted = &template.about.protocol;
        if protocol.is_some_and(|protocol| !wanted.is_empty() && protocol != wanted) {
            let words = format!("is for protocol \"{wanted}\", which its port does not speak");
            device.problem("template", &format!("{} {words}", value::quoted(&name)));
        }
        if let Some(only) = &only {
            tell_unknown(&device, &template, only);
        }
        let table = merged(&device, &template, only.as_deref());
        device.with_table(table)
    }

    fn parsed(&mut self, name: &str, device: &Section) -> Option<Arc<Template>> {
        if let Some(known) = self.parsed.get(name) {
            if known.is_none() {
                let words = "could not be used; see what is said of it above";
                device.problem("template", &format!("{} {words}", value::quoted(name)));
            }
            return known.clone();
        }
        let found = match self.find(name) {
            Ok(Some(found)) => found,
            Ok(None) => {
                let names = self.names();
                let advice = suggestion(name, names.iter().map(String::as_str));
                let words = format!("there is no template {}; {advice}", value::quoted(name));
                device.problem("template", &words);
                return None;
            }
            Err(error) => {
                device.problem("template", &with_cause(&error));
                return None;
            }
        };
        if found.is_own {
            self.used.insert(name.to_owned(), found.text.clone());
        }
        let problems = device.problems().of_file(&found.file, found.text);
        let parsed = super::top_of(&problems).map(|top| {
            let mut template = read(top);
            template.device.mark(&problems);
            Arc::new(template)
        });
        self.parsed.insert(name.to_owned(), parsed.clone());
        if parsed.is_none() {
            let words = "is not TOML, so this device has nothing of it";
            device.problem("template", &format!("{} {words}", value::quoted(name)));
        }
        parsed
    }
}

/// A device whose template cannot be used, which is told: that it has no sensors is no further
/// problem.
fn without_template(device: &Section) -> Section {
    let mut table = Table::clone(device.table());
    if table.get("sensor").is_none() {
        table.entries.push(Entry {
            key: "sensor".to_owned(),
            key_span: 0..0,
            item: Item {
                span: 0..0,
                value: Value::List(Vec::new()),
                origin: None,
            },
        });
    }
    device.with_table(table)
}

fn with_cause(error: &ConfigError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(good)
}

/// The head and the device's table of a template.
fn read(mut top: Section) -> Template {
    let mut head = top.section_or_empty("template");
    if !top.has("template") {
        let words = "is missing; add a [template] with maker, model, protocol and source";
        top.problem("template", words);
    }
    let about = About {
        maker: head.text("maker").unwrap_or_default(),
        model: head.text("model").unwrap_or_default(),
        description: head.text("description").unwrap_or_default(),
        protocol: head.text("protocol").unwrap_or_default(),
        sources: head.text_list("source").unwrap_or_default(),
    };
    head.finish();
    let mut device = top.section_or_empty("device");
    for key in OF_THE_DEVICE {
        let words = "says which device it is, which only the configuration can; leave it out";
        device.refuse(key, words);
    }
    top.finish();
    let device = Table::clone(device.table());
    Template { about, device }
}

/// Names that are to be taken and are not there.
fn tell_unknown(device: &Section, template: &Template, only: &[String]) {
    let known: Vec<&str> = sensors(&template.device).filter_map(name_of).collect();
    for name in only.iter().filter(|name| !known.contains(&name.as_str())) {
        let words = format!("the template has no sensor {}", value::quoted(name));
        device.unknown("template_only", &words, name, known.iter().copied());
    }
}

fn sensors(table: &Table) -> impl Iterator<Item = &Item> {
    let list = match table.get("sensor").map(|entry| &entry.item.value) {
        Some(Value::List(list)) => list.as_slice(),
        _ => &[],
    };
    list.iter()
}

fn name_of(item: &Item) -> Option<&str> {
    let Value::Table(table) = &item.value else {
        return None;
    };
    match &table.get("name")?.item.value {
        Value::Text(name) => Some(name),
        _ => None,
    }
}

/// What the device says, then what only the template says. Sensors of the template come first, in
/// its order.
fn merged(device: &Section, template: &Template, only: Option<&[String]>) -> Table {
    let mut own = Table::clone(device.table());
    own.mark(device.problems());
    let wanted = |item: &&Item| {
        let named = |only: &[String]| name_of(item).is_some_and(|n| only.iter().any(|o| o == n));
        only.is_none_or(named)
    };
    let taken: Vec<&Item> = sensors(&template.device).filter(wanted).collect();
    // A device's list that is no list is told by whoever reads it.
    let is_list = own
        .get("sensor")
        .is_none_or(|entry| matches!(entry.item.value, Value::List(_)));
    if is_list {
        let mut list = Vec::new();
        for item in &taken {
            let over =
                sensors(&own).find(|own| name_of(own).is_some() && name_of(own) == name_of(item));
            list.push(over.map_or_else(|| Item::clone(item), |over| laid_over(over, item)));
        }
        let is_new = |own: &&Item| {
            let name = name_of(own);
            name.is_none() || !taken.iter().any(|item| name_of(item) == name)
        };
        list.extend(sensors(&own).filter(is_new).cloned());
        put_sensors(&mut own, list, device.problems());
    }
    let rest = template.device.entries.iter();
    let rest: Vec<Entry> = rest
        .filter(|entry| entry.key != "sensor" && own.get(&entry.key).is_none())
        .cloned()
        .collect();
    own.entries.extend(rest);
    own
}

fn put_sensors(own: &mut Table, list: Vec<Item>, problems: &Problems) {
    let Some(first) = list.first() else { return };
    let span = first.span.clone();
    let item = Item {
        span: span.clone(),
        value: Value::List(list),
        origin: Some(problems.clone()),
    };
    match own.entries.iter_mut().find(|entry| entry.key == "sensor") {
        Some(entry) => entry.item.value = item.value,
        None => own.entries.push(Entry {
            key: "sensor".to_owned(),
            key_span: span,
            item,
        }),
    }
}

/// A sensor of the device with what only the template's says.
fn laid_over(own: &Item, template: &Item) -> Item {
    let (Value::Table(mine), Value::Table(theirs)) = (&own.value, &template.value) else {
        return own.clone();
    };
    let mut table = Table::clone(mine);
    let rest = theirs.entries.iter();
    let rest: Vec<Entry> = rest
        .filter(|entry| mine.get(&entry.key).is_none())
        .cloned()
        .collect();
    table.entries.extend(rest);
    Item {
        value: Value::Table(Arc::new(table)),
        ..own.clone()
    }
}

#[cfg(test)]
mod tests;
