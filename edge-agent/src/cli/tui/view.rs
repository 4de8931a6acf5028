//! Draws the live screen: a head with the state of the box, one of four views, a foot with the keys.
//! Every state has a word; colour only underlines it and can be missing. Never changes the model.

use super::model::{Model, View};
use super::parts::{lines_needed, since};
use super::views::{alerts, buses, tags, uplink};
use crate::cli::words::{items, text, time, word};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};
use serde_json::Value;

/// Most lines of the note.
const NOTE_LINES_MAX: usize = 3;
/// The column at which the words of devices and alerts begin, about.
const WORDS_AT: usize = 49;
/// A smaller window shows only that it is too small.
const LEAST: (u16, u16) = (40, 10);

/// How the screen may look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Colours; without them bold, reverse and words tell all.
    pub(super) colours: bool,
    /// Trends in blocks; else in plain characters.
    pub(super) blocks: bool,
}

impl Look {
    fn tone(self, colour: Color) -> Style {
        if self.colours {
            Style::new().fg(colour)
        } else {
            Style::new().add_modifier(Modifier::BOLD)
        }
    }

    /// A word of the interface in its tone.
    pub(super) fn word(self, word: &str) -> Style {
        match word {
            "bad" | "silent" | "error" | "refused" | "critical" => self.tone(Color::Red),
            "uncertain" | "offline" | "high" | "active" | "stale" => self.tone(Color::Yellow),
            _ => Style::new(),
        }
    }
}

/// Draws everything; gives the sensors that are on the screen.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, look: Look) -> Vec<String> {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let words = format!(
            "Make the window larger: at least {} x {}.",
            LEAST.0, LEAST.1
        );
        frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), area);
        return Vec::new();
    }
    let (words, style) = note_line(model, look, usize::from(area.width));
    let lines = lines_needed(&words, usize::from(area.width)).clamp(1, NOTE_LINES_MAX);
    let note_height = u16::try_from(lines).unwrap_or(1);
    let [head, tabs, body, note, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(note_height),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head_lines(model, look)), head);
    frame.render_widget(Paragraph::new(tab_line(model)), tabs);
    let mut shown = Vec::new();
    if model.snapshot.is_none() {
        let words = model.away.as_deref().unwrap_or("Asking the agent …");
        frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), body);
    } else {
        match model.view {
            View::Tags => shown = tags(frame, body, model, look),
            View::Buses => buses(frame, body, model, look),
            View::Alerts => alerts(frame, body, model, look),
            View::Uplink => uplink(frame, body, model, look),
        }
    }
    let words = Paragraph::new(words).wrap(Wrap { trim: true });
    frame.render_widget(words.style(style), note);
    let keys_words = key_line(model, area.width);
    let dim = Style::new().add_modifier(Modifier::REVERSED);
    frame.render_widget(Paragraph::new(keys_words).style(dim), keys);
    if model.help {
        help(frame, area);
    }
    if let Some(asking) = &model.asking {
        let words = format!(
            "Acknowledge \"{}\"\n\nYour name: {}_\n\nEnter: acknowledge   Esc: not",
            asking.title, asking.by
        );
        popup(frame, area, "Acknowledge", &words);
    }
    shown
}

fn head_lines(model: &Model, look: Look) -> Vec<Line<'static>> {
    let status = model.status();
    let first = format!(
        "{} ({})  version {}  {}  clock {}",
        text(status, "/gateway/name"),
        text(status, "/gateway/code"),
        text(status, "/version"),
        time(status, "/now"),
        word(status, "/clock"),
    );
    let state = text(status, "/link/state");
    let uplink = match state.as_str() {
        "connected" => "Uplink connected".to_owned(),
        "not_enrolled" if text(status, "/link/hub") == "-" => "Works alone, no hub".to_owned(),
        "not_enrolled" => "Works alone, not enrolled with its hub".to_owned(),
        "-" => "Uplink -".to_owned(),
        _ => format!("NO UPLINK for {}", since(status, "/link/since", model.now)),
    };
    let waiting = format!(
        "{} readings, {} events wait",
        figure_of(status, "/link/waiting_readings"),
        figure_of(status, "/link/waiting_events")
    );
    let devices = items(status, "/devices");
    let silent = devices
        .iter()
        .filter(|device| text(device, "/state") != "ok")
        .count();
    let trouble = match silent {
        0 => format!("all {} devices answer", devices.len()),
        silent => format!("{silent} of {} devices in trouble", devices.len()),
    };
    let mut spans = vec![Span::styled(uplink, look.word(&state)), Span::raw("  ")];
    if state != "not_enrolled" {
        spans.push(Span::raw(format!("{waiting}  ")));
    }
    let style = if silent > 0 {
        look.word("error")
    } else {
        Style::new()
    };
    spans.push(Span::styled(trouble, style));
    vec![
        Line::styled(first, Style::new().add_modifier(Modifier::BOLD)),
        Line::from(spans),
    ]
}

fn figure_of(value: &Value, pointer: &str) -> String {
    text(value, pointer)
}

fn tab_line(model: &Model) -> Line<'static> {
    let (tags, _) = model.tag_counts();
    let spans = View::ALL.into_iter().zip(1..).flat_map(|(view, number)| {
        let name = match view {
            View::Tags => format!("Tags {tags}"),
            View::Buses => "Buses".to_owned(),
            View::Alerts => format!("Alerts {}", model.alerts().len()),
            View::Uplink => "Uplink".to_owned(),
        };
        let style = if view == model.view {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        };
        [
            Span::styled(format!(" {number} {name} "), style),
            Span::raw(" "),
        ]
    });
    Line::from(spans.collect::<Vec<_>>())
}

fn note_line(model: &Model, look: Look, width: usize) -> (String, Style) {
    if model.filtering {
        return (format!("Show paths with: {}_", model.filter), Style::new());
    }
    if let (Some(away), true) = (&model.away, model.snapshot.is_some()) {
        return (format!("OLD DATA: {away}"), look.word("bad"));
    }
    if !model.note.is_empty() {
        return (
            model.note.clone(),
            Style::new().add_modifier(Modifier::BOLD),
        );
    }
    if model.view != View::Tags {
        return (chosen_words(model, width), Style::new());
    }
    let (tags, bad) = model.tag_counts();
    let mut words = match bad {
        0 => format!("All {tags} tags are good."),
        bad => format!("{bad} of {tags} tags are not good."),
    };
    if !model.filter.is_empty() {
        words = format!(
            "Only paths with \"{}\"; Esc shows all. {words}",
            model.filter
        );
    } else if let Some(tag) = model
        .tags()
        .get(model.selected())
        .filter(|tag| !tag.cause.is_empty())
    {
        words = format!("{} is {}: {}. {words}", tag.path, tag.quality, tag.cause);
    }
    (words, Style::new())
}

/// The words of the chosen row, where it has no room for them.
fn chosen_words(model: &Model, width: usize) -> String {
    let (rows, pointer) = match model.view {
        View::Buses => (items(model.status(), "/devices"), "/words"),
        View::Alerts => (model.alerts(), "/title"),
        View::Tags | View::Uplink => return String::new(),
    };
    let chosen = rows.get(model.selected());
    let words = chosen.map_or_else(String::new, |row| text(row, pointer));
    let is_cut = words.chars().count() > width.saturating_sub(WORDS_AT);
    if is_cut { words } else { String::new() }
}

fn key_line(model: &Model, width: u16) -> String {
    let own = match model.view {
        View::Tags if model.worst_first => "  Up/Down choose  / filter  s by path",
        View::Tags => "  Up/Down choose  / filter  s worst first",
        View::Alerts => "  Up/Down choose  a acknowledge",
        View::Buses => "  Up/Down choose",
        View::Uplink => "",
    };
    // What a narrow window cuts off is told by the help.
    let line = format!(" q quit  ? help  Tab 1-4 views{own}");
    format!("{line:width$}", width = usize::from(width))
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let words = "1 2 3 4, Tab  tags, buses, alerts, uplink\n\
                 Up Down k j   choose a row\n\
                 Page, Home, End\n\
                 /             show only paths that hold a text\n\
                 s             bad and old tags first, or by path\n\
                 a             acknowledge the chosen alert\n\
                 q Esc Ctrl-C  quit\n\n\
                 Any key goes on.";
    popup(frame, area, "Keys", words);
}

fn popup(frame: &mut Frame<'_>, area: Rect, title: &str, words: &str) {
    let longest = words
        .lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0);
    let width = u16::try_from(longest + 4)
        .unwrap_or(u16::MAX)
        .min(area.width);
    let height = u16::try_from(words.lines().count() + 2)
        .unwrap_or(u16::MAX)
        .min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(format!(" {title} "));
    let shown = Paragraph::new(words.to_owned())
        .block(block)
        .wrap(Wrap { trim: false });
    frame.render_widget(shown, place);
}
