//! The four views of the live screen: tags, buses, alerts, uplink. Never changes the model.

use super::model::{Model, Tag};
use super::parts::{ago, figure, padded_start, short_path, since, spark};
use super::view::Look;
use crate::cli::status::rounded;
use crate::cli::words::{items, text, time, word};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState, Wrap};
use serde_json::Value;

/// Columns from which on a trend and a cause have room.
const WIDE: u16 = 76;
/// Columns from which on a trend has room for all its values.
const VERY_WIDE: u16 = 110;

fn head_row(cells: &[&str]) -> Row<'static> {
    let cells: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
    Row::new(cells).style(Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED))
}

/// Draws a table with a selected row; gives the rows that are to be seen.
fn table(
    frame: &mut Frame<'_>,
    area: Rect,
    selected: usize,
    head: &[&str],
    (rows, widths): (Vec<Row<'_>>, Vec<Constraint>),
) -> std::ops::Range<usize> {
    let count = rows.len();
    let page = usize::from(area.height.saturating_sub(1));
    // The selected row in the middle, as far as there are rows.
    let from = selected
        .saturating_sub(page / 2)
        .min(count.saturating_sub(page));
    let table = Table::new(rows, widths)
        .header(head_row(head))
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new()
        .with_offset(from)
        .with_selected((count > 0).then_some(selected));
    frame.render_stateful_widget(table, area, &mut state);
    from..from.saturating_add(page).min(count)
}

pub(super) fn tags(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) -> Vec<String> {
    let tags = model.tags();
    let trend = match area.width {
        narrow if narrow < WIDE => 0,
        wide if wide < VERY_WIDE => 16,
        _ => 24,
    };
    // Value, unit, quality, age and the blanks between.
    let rest = 36 + if trend > 0 { trend + 1 } else { 0 };
    let longest = tags.iter().map(|tag| tag.path.chars().count()).max();
    let longest = u16::try_from(longest.unwrap_or(0)).unwrap_or(u16::MAX);
    let path = area.width.saturating_sub(rest).min(longest).max(12);
    let rows = tags
        .iter()
        .map(|tag| tag_row(tag, model, look, (usize::from(path), usize::from(trend))))
        .collect();
    let mut widths: Vec<Constraint> = [path, 10, 7, 9, 6].map(Constraint::Length).to_vec();
    let mut head = vec!["TAG", "     VALUE", "UNIT", "QUALITY", "AGE"];
    if trend > 0 {
        head.push("TREND");
        // A cause takes what is left.
        widths.push(Constraint::Min(trend));
    }
    let shown = table(frame, area, model.selected(), &head, (rows, widths));
    let ids = tags.iter().skip(shown.start).take(shown.len());
    ids.map(|tag| tag.id.clone()).collect()
}

fn tag_row(tag: &Tag, model: &Model, look: Look, (path, trend): (usize, usize)) -> Row<'static> {
    let value = tag.value.map_or_else(|| "-".to_owned(), figure);
    let stale = tag.is_stale(model.now);
    let quality = if stale && tag.quality == "good" {
        "stale"
    } else {
        &tag.quality
    };
    let age = tag
        .time
        .map_or_else(|| "-".to_owned(), |time| ago(model.now.micros_since(time)));
    let drawn = match model.trend(&tag.id) {
        // Why a value is bad says more than how it was.
        _ if !tag.cause.is_empty() => tag.cause.clone(),
        Some(values) => {
            let older = values.len().saturating_sub(trend);
            spark(values.iter().copied().skip(older), look.blocks)
        }
        None => String::new(),
    };
    Row::new(vec![
        Cell::from(short_path(&tag.path, path)),
        Cell::from(padded_start(&value, 10)),
        Cell::from(tag.unit.clone()),
        Cell::from(quality.to_owned()).style(look.word(quality)),
        Cell::from(age),
        Cell::from(drawn),
    ])
}

/// Share of the requests since the start that brought no good answer.
fn errors_percent(unit: &Value) -> String {
    let count = |pointer| unit.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
    let errors = ["/timeouts", "/garbled", "/lost"]
        .map(count)
        .iter()
        .sum::<f64>();
    match count("/requests") {
        0.0 => "-".to_owned(),
        requests => format!("{:.1}", errors / requests * 100.0),
    }
}

pub(super) fn buses(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    let units: Vec<Row<'_>> = model
        .buses()
        .iter()
        .flat_map(|port| {
            items(port, "/units").iter().map(|unit| {
                let number = |pointer: &str| unit.pointer(pointer).and_then(Value::as_f64);
                let tenth = |pointer| number(pointer).map_or("-".to_owned(), |n| format!("{n:.1}"));
                Row::new(vec![
                    text(port, "/port"),
                    text(unit, "/unit"),
                    tenth("/requests_per_s"),
                    errors_percent(unit),
                    text(unit, "/timeouts"),
                    tenth("/turnaround_ms/mean"),
                    tenth("/utilisation_percent"),
                ])
            })
        })
        .collect();
    let most = area.height / 2;
    let height = u16::try_from(units.len() + 2).unwrap_or(u16::MAX).min(most);
    let [above, below] =
        Layout::vertical([Constraint::Length(height), Constraint::Min(1)]).areas(area);
    if units.is_empty() {
        frame.render_widget(Paragraph::new("No bus statistics yet."), above);
    } else {
        let head = [
            "PORT",
            "UNIT",
            "REQ/S",
            "ERRORS %",
            "TIMEOUTS",
            "ANSWER MS",
            "BUS %",
        ];
        let widths = [16, 5, 7, 9, 9, 10, 7].map(Constraint::Length).to_vec();
        table(frame, above, 0, &head, (units, widths));
    }
    let devices = items(model.status(), "/devices");
    let rows = devices.iter().map(|device| {
        let state = text(device, "/state");
        Row::new(vec![
            Cell::from(text(device, "/name")),
            Cell::from(text(device, "/port")),
            Cell::from(state.clone()).style(look.word(&state)),
            Cell::from(since(device, "/since", model.now)),
            Cell::from(text(device, "/words")),
        ])
    });
    let widths = vec![
        Constraint::Length(16),
        Constraint::Length(12),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Min(10),
    ];
    let head = ["DEVICE", "PORT", "STATE", "FOR", "WHAT IT SAYS"];
    table(
        frame,
        below,
        model.selected(),
        &head,
        (rows.collect(), widths),
    );
}

pub(super) fn alerts(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    if model.alerts().is_empty() {
        frame.render_widget(Paragraph::new("There is no alert."), area);
        return;
    }
    let rows = model.alerts().iter().map(|alert| {
        let (severity, state) = (text(alert, "/severity"), text(alert, "/state"));
        let value = alert.pointer("/value").and_then(Value::as_f64);
        Row::new(vec![
            Cell::from(severity.clone()).style(look.word(&severity)),
            Cell::from(state.clone()).style(look.word(&state)),
            Cell::from(since(alert, "/raised_at", model.now)),
            Cell::from(padded_start(&value.map_or("-".to_owned(), figure), 9)),
            Cell::from(text(alert, "/unit/symbol")),
            Cell::from(text(alert, "/title")),
        ])
    });
    let widths = vec![
        Constraint::Length(9),
        Constraint::Length(13),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Min(10),
    ];
    let head = ["SEVERITY", "STATE", "FOR", "    VALUE", "UNIT", "WHAT"];
    table(
        frame,
        area,
        model.selected(),
        &head,
        (rows.collect(), widths),
    );
}

pub(super) fn uplink(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    let status = model.status();
    let state = text(status, "/link/state");
    let clock = since(status, "/link/since", model.now);
    let head = match state.as_str() {
        "connected" => format!("The uplink stands for {clock}."),
        "not_enrolled" => "The box works alone.".to_owned(),
        _ => {
            format!("No uplink for {clock}. The box goes on: nothing is lost while there is room.")
        }
    };
    let mut shown = vec![Line::styled(head, look.word(&state)), Line::default()];
    let facts = uplink_facts(status).into_iter();
    shown.extend(facts.map(|(name, value)| Line::from(format!("{name:13}{value}"))));
    let warnings = items(status, "/store/warnings").iter();
    let warnings = warnings.filter_map(Value::as_str);
    shown.extend(warnings.map(|warning| Line::styled(warning.to_owned(), look.word("bad"))));
    frame.render_widget(Paragraph::new(shown).wrap(Wrap { trim: false }), area);
}

fn uplink_facts(status: &Value) -> [(&'static str, String); 11] {
    let t = |pointer: &str| text(status, pointer);
    let bytes = |pointer| rounded(status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0));
    let since = time(status, "/link/since");
    let room = match t("/link/room_days") {
        none if none == "-" => "how long it lasts is not known yet".to_owned(),
        days => format!("{days} more days at this rate"),
    };
    let (readings, events) = (t("/link/waiting_readings"), t("/link/waiting_events"));
    let (files, size) = (
        t("/link/waiting_attachments"),
        bytes("/link/waiting_attachment_bytes"),
    );
    let (used, most) = (
        bytes("/store/buffer_bytes"),
        bytes("/store/buffer_bytes_max"),
    );
    let (depth, max) = (t("/queue/depth"), t("/queue/max"));
    let dropped = t("/queue/dropped_polls");
    [
        ("Hub", t("/link/hub")),
        (
            "State",
            format!("{} since {since}", word(status, "/link/state")),
        ),
        ("It says", t("/link/words")),
        ("Waiting", format!("{readings} readings, {events} events")),
        ("Attachments", format!("{files} wait, {size}")),
        ("Room", room),
        ("Store", format!("{used} of {most}")),
        ("Disk", format!("{} % full", t("/store/disk_percent"))),
        (
            "Queue",
            format!("{depth} of {max} polls, {dropped} dropped since the start"),
        ),
        ("Alerts", format!("{} active", t("/alerts_active"))),
        ("Work orders", format!("{} open", t("/orders_open"))),
    ]
}
