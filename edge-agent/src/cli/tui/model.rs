//! What the live screen knows and how keys and news change it. Pure: time and news are arguments.
//! Never draws, never asks the agent.

use crate::cli::words::{items, text, word};
use protocol::time::Timestamp;
use protocol::view::parse_rfc3339;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};

/// Values of one sensor that its trend is drawn from.
pub(super) const TREND_POINTS: usize = 24;
/// Sensors whose values are remembered; beyond it those go that are not on the screen.
const TRENDS_MAX: usize = 400;
/// Longest text that can be typed.
const TYPED_CHARS_MAX: usize = 60;
/// Rows that Page up and Page down move by.
const PAGE_ROWS: usize = 10;

/// The four screens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Tags,
    Buses,
    Alerts,
    Uplink,
}

impl View {
    pub(super) const ALL: [Self; 4] = [Self::Tags, Self::Buses, Self::Alerts, Self::Uplink];

    const fn next(self) -> Self {
        match self {
            Self::Tags => Self::Buses,
            Self::Buses => Self::Alerts,
            Self::Alerts => Self::Uplink,
            Self::Uplink => Self::Tags,
        }
    }
}

/// A key, as far as the screen knows any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Letter(char),
    Enter,
    Escape,
    Delete,
    Tab,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Quit,
}

/// What a key asks of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    /// Acknowledge this alert as this person.
    Acknowledge {
        id: String,
        by: String,
    },
}

/// What came from the agent.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// Everything anew.
    Box(Box<Snapshot>),
    /// Values of a sensor before now, oldest first.
    Trend(String, Vec<f64>),
    /// What became of an action.
    Done(String),
    /// The agent does not answer, with what to do.
    Away(String),
}

/// What the agent told at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) status: Value,
    pub(super) sensors: Vec<Value>,
    pub(super) alerts: Vec<Value>,
    /// Statistics of the buses.
    pub(super) bus: Value,
}

/// One line of the table of tags.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tag {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) value: Option<f64>,
    pub(super) unit: String,
    /// `good`, `uncertain`, `bad`; `-` before the first reading.
    pub(super) quality: String,
    pub(super) cause: String,
    pub(super) time: Option<Timestamp>,
    period_s: u64,
}

impl Tag {
    fn read(sensor: &Value) -> Self {
        let some = |pointer| Some(text(sensor, pointer)).filter(|text| text != "-");
        Self {
            id: text(sensor, "/id"),
            path: text(sensor, "/path"),
            value: sensor.pointer("/value").and_then(Value::as_f64),
            unit: some("/unit/symbol").unwrap_or_default(),
            quality: text(sensor, "/quality"),
            cause: some("/quality_words").unwrap_or_default(),
            time: some("/time").and_then(|time| parse_rfc3339(&time)),
            period_s: sensor
                .pointer("/period_s")
                .and_then(Value::as_u64)
                .unwrap_or(0),
        }
    }

    /// 0: as it should be.
    fn trouble(&self) -> u8 {
        match self.quality.as_str() {
            "good" => 0,
            "uncertain" => 1,
            "bad" => 3,
            _ => 2,
        }
    }

    /// Whether a reading should have come long ago: a value that stays is stored once a minute.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        let longest_s = i64::try_from(self.period_s.saturating_mul(3).max(180)).unwrap_or(i64::MAX);
        self.time
            .is_some_and(|time| now.micros_since(time) / 1_000_000 > longest_s)
    }
}

/// Somebody is about to acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asking {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) by: String,
}

/// The whole screen.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) view: View,
    pub(super) now: Timestamp,
    pub(super) snapshot: Option<Box<Snapshot>>,
    pub(super) away: Option<String>,
    pub(super) note: String,
    pub(super) asking: Option<Asking>,
    pub(super) help: bool,
    /// What paths must hold to be shown.
    pub(super) filter: String,
    pub(super) filtering: bool,
    /// Those in trouble first, instead of by path.
    pub(super) worst_first: bool,
    tags: Vec<Tag>,
    selected: [usize; 4],
    trends: HashMap<String, VecDeque<f64>>,
    person: String,
}

impl Model {
    /// Nothing is known yet; `person` acts unless another name is typed.
    pub(super) fn new(person: String, now: Timestamp) -> Self {
        Self {
            view: View::Tags,
            now,
            snapshot: None,
            away: None,
            note: String::new(),
            asking: None,
            help: false,
            filter: String::new(),
            filtering: false,
            worst_first: false,
            tags: Vec::new(),
            selected: [0; 4],
            trends: HashMap::new(),
            person,
        }
    }

    /// Takes news in.
    pub(super) fn apply(&mut self, news: News) {
        match news {
            News::Box(snapshot) => {
                self.away = None;
                let tags: Vec<Tag> = snapshot.sensors.iter().map(Tag::read).collect();
                for (old, new) in self.tags.iter().zip(&tags) {
                    // A reading that is new since the last look.
                    if let (true, Some(value)) =
                        (old.id == new.id && old.time != new.time, new.value)
                        && let Some(trend) = self.trends.get_mut(&new.id)
                    {
                        trend.push_back(value);
                        let excess = trend.len().saturating_sub(TREND_POINTS);
                        trend.drain(..excess);
                    }
                }
                self.tags = tags;
                self.snapshot = Some(snapshot);
            }
            News::Trend(id, values) => {
                if self.trends.len() >= TRENDS_MAX {
                    self.trends.clear();
                }
                let from = values.len().saturating_sub(TREND_POINTS);
                let values = values.into_iter().skip(from);
                self.trends.insert(id, values.collect());
            }
            News::Done(words) => self.note = words,
            News::Away(words) => self.away = Some(words),
        }
    }

    /// The tags to be shown, in their order.
    pub(super) fn tags(&self) -> Vec<&Tag> {
        let filter = self.filter.to_lowercase();
        let mut tags: Vec<&Tag> = self
            .tags
            .iter()
            .filter(|tag| tag.path.to_lowercase().contains(&filter))
            .collect();
        if self.worst_first {
            tags.sort_by_key(|tag| std::cmp::Reverse((tag.trouble(), tag.is_stale(self.now))));
        }
        tags
    }

    /// How many tags there are in all, and how many of them are not good.
    pub(super) fn tag_counts(&self) -> (usize, usize) {
        let bad = self.tags.iter().filter(|tag| tag.trouble() > 0);
        (self.tags.len(), bad.count())
    }

    /// Values of a sensor, oldest first; `None` when nobody asked for them yet.
    pub(super) fn trend(&self, id: &str) -> Option<&VecDeque<f64>> {
        self.trends.get(id)
    }

    /// Alerts that are not closed, as they came.
    pub(super) fn alerts(&self) -> &[Value] {
        self.snapshot
            .as_ref()
            .map_or(&[], |snapshot| &snapshot.alerts)
    }

    /// The status; null before the first.
    pub(super) fn status(&self) -> &Value {
        self.snapshot
            .as_ref()
            .map_or(&Value::Null, |snapshot| &snapshot.status)
    }

    /// Ports with their units.
    pub(super) fn buses(&self) -> &[Value] {
        self.snapshot
            .as_ref()
            .map_or(&[], |snapshot| items(&snapshot.bus, "/data"))
    }

    fn rows(&self) -> usize {
        match self.view {
            View::Tags => self.tags().len(),
            View::Buses => items(self.status(), "/devices").len(),
            View::Alerts => self.alerts().len(),
            View::Uplink => 0,
        }
    }

    fn slot(&mut self) -> &mut usize {
        let [tags, buses, alerts, uplink] = &mut self.selected;
        match self.view {
            View::Tags => tags,
            View::Buses => buses,
            View::Alerts => alerts,
            View::Uplink => uplink,
        }
    }

    /// The selected row of the view, within what there is.
    pub(super) fn selected(&self) -> usize {
        let [tags, buses, alerts, uplink] = self.selected;
        let selected = match self.view {
            View::Tags => tags,
            View::Buses => buses,
            View::Alerts => alerts,
            View::Uplink => uplink,
        };
        selected.min(self.rows().saturating_sub(1))
    }

    /// Takes a key in.
    pub(super) fn key(&mut self, key: Key) -> Option<Action> {
        if key == Key::Quit {
            return Some(Action::Quit);
        }
        if self.asking.is_some() {
            return self.asking_key(key);
        }
        if self.filtering {
            match key {
                Key::Enter => self.filtering = false,
                Key::Escape => {
                    self.filtering = false;
                    self.filter.clear();
                }
                other => typed(&mut self.filter, other),
            }
            return None;
        }
        if self.help {
            self.help = false;
            return None;
        }
        self.note.clear();
        match key {
            Key::Letter('q') => return Some(Action::Quit),
            Key::Escape if self.filter.is_empty() => return Some(Action::Quit),
            Key::Escape => self.filter.clear(),
            Key::Letter('?' | 'h') => self.help = true,
            Key::Tab => self.view = self.view.next(),
            Key::Letter('1') => self.view = View::Tags,
            Key::Letter('2') => self.view = View::Buses,
            Key::Letter('3') => self.view = View::Alerts,
            Key::Letter('4') => self.view = View::Uplink,
            Key::Letter('/') => {
                self.view = View::Tags;
                self.filtering = true;
            }
            Key::Letter('s') => self.worst_first = !self.worst_first,
            Key::Letter('a') => self.ask(),
            other => self.move_selection(other),
        }
        None
    }

    fn move_selection(&mut self, key: Key) {
        let last = self.rows().saturating_sub(1);
        let at = self.selected();
        *self.slot() = match key {
            Key::Up | Key::Letter('k') => at.saturating_sub(1),
            Key::Down | Key::Letter('j') => at.saturating_add(1).min(last),
            Key::PageUp => at.saturating_sub(PAGE_ROWS),
            Key::PageDown => at.saturating_add(PAGE_ROWS).min(last),
            Key::Home => 0,
            Key::End => last,
            _ => at,
        };
    }

    fn ask(&mut self) {
        if self.view != View::Alerts {
            "Go to the alerts (3) and choose one.".clone_into(&mut self.note);
            return;
        }
        let Some(alert) = self.alerts().get(self.selected()) else {
            "There is no alert.".clone_into(&mut self.note);
            return;
        };
        if !matches!(text(alert, "/acknowledged_at").as_str(), "-") {
            self.note = format!(
                "{} acknowledged it already.",
                text(alert, "/acknowledged_by")
            );
            return;
        }
        let (id, title) = (text(alert, "/id"), word(alert, "/title"));
        let by = self.person.clone();
        self.asking = Some(Asking { id, title, by });
    }

    fn asking_key(&mut self, key: Key) -> Option<Action> {
        let mut asking = self.asking.take()?;
        match key {
            Key::Escape => return None,
            Key::Enter if !asking.by.trim().is_empty() => {
                self.person.clone_from(&asking.by);
                let (id, by) = (asking.id, asking.by.trim().to_owned());
                return Some(Action::Acknowledge { id, by });
            }
            Key::Enter => {}
            other => typed(&mut asking.by, other),
        }
        self.asking = Some(asking);
        None
    }
}

fn typed(text: &mut String, key: Key) {
    match key {
        Key::Letter(letter) if text.chars().count() < TYPED_CHARS_MAX => text.push(letter),
        Key::Delete => drop(text.pop()),
        _ => {}
    }
}
