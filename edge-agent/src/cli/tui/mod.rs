//! `tui`: the running box on one screen: live tags, buses and devices, alerts, and how long there has
//! been no uplink. Talks to the agent's own interface like every other command. Never reads the store,
//! never changes anything but what its person acknowledges.

mod feed;
mod model;
mod parts;
#[cfg(test)]
mod tests;
mod view;
mod views;

use super::client::Client;
use super::{Output, told};
use crate::clock;
use crate::config::{Config, parse_duration};
use anyhow::{Context as _, bail};
use clap::Args;
use feed::Request;
use model::{Action, Key, Model};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::json;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use view::Look;

/// Ages on the screen move on at least this often.
const TICK: Duration = Duration::from_millis(250);
/// News that wait for the screen; the thread that asks waits for room.
const NEWS_MAX: usize = 64;
/// Requests that wait for the thread that asks; a key more is not heard.
const REQUESTS_MAX: usize = 16;

#[derive(Debug, Args)]
#[command(
    after_help = "Keys: 1 tags, 2 buses, 3 alerts, 4 uplink; a acknowledges an alert; ? shows all.\n\
    Works from 80 x 24 characters; without colours where NO_COLOR is set.\n\
    With --json it prints what it would show, once.\n\n\
    Example:\n  edge-agent tui --by \"Eva Meier\"\n  ssh box edge-agent tui"
)]
pub(super) struct Tui {
    /// Who acknowledges; else the name of the user who is signed in here.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// How often to ask the agent.
    #[arg(long, value_name = "TIME", value_parser = every, default_value = "1s")]
    every: Duration,
}

fn every(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|every| (Duration::from_millis(200)..=Duration::from_secs(60)).contains(every))
        .ok_or_else(|| "write 200ms to 60s".to_owned())
}

impl Tui {
    pub(super) fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        let config = Config::draft(file).map_err(told)?;
        let mut client = Client::new(&config);
        let first = feed::snapshot(&mut client)?;
        if output.json {
            let json = json!({
                "status": first.status, "sensors": first.sensors, "alerts": first.alerts,
                "bus": first.bus,
            });
            return output.answer(&json, "");
        }
        if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
            bail!("this needs a terminal; `edge-agent status` and `tui --json` do not");
        }
        let person = self.by.or_else(|| std::env::var("USER").ok());
        let mut model = Model::new(person.unwrap_or_default(), clock::now());
        model.apply(model::News::Box(Box::new(first)));
        let (ask, requests) = sync_channel(REQUESTS_MAX);
        let (tell, news) = sync_channel(NEWS_MAX);
        let every = self.every;
        // It ends when the screen is gone.
        std::thread::spawn(move || feed::run(client, every, &requests, &tell));
        let mut terminal = ratatui::try_init().context("taking the terminal over")?;
        let ended = show(&mut terminal, model, look(), &ask, &news);
        ratatui::try_restore().context("giving the terminal back")?;
        ended
    }
}

/// What this terminal can show.
fn look() -> Look {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL")
        .or_else(|| set("LC_CTYPE"))
        .or_else(|| set("LANG"));
    let is_utf8 = |locale: String| {
        locale
            .to_ascii_lowercase()
            .replace('-', "")
            .contains("utf8")
    };
    Look {
        colours: set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb"),
        blocks: locale.is_some_and(is_utf8),
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    mut model: Model,
    look: Look,
    ask: &SyncSender<Request>,
    news: &Receiver<model::News>,
) -> anyhow::Result<()> {
    let mut looked_at = Vec::new();
    loop {
        while let Ok(news) = news.try_recv() {
            model.apply(news);
        }
        model.now = clock::now();
        let mut shown = Vec::new();
        terminal
            .draw(|frame| shown = view::draw(frame, &model, look))
            .context("drawing the screen")?;
        if shown != looked_at && ask.try_send(Request::Look(shown.clone())).is_ok() {
            looked_at = shown;
        }
        // All keys that are there, then one picture: who holds a key down does not wait.
        let mut wait = TICK;
        while event::poll(wait).context("waiting for a key")? {
            wait = Duration::ZERO;
            let Event::Key(pressed) = event::read().context("reading a key")? else {
                continue;
            };
            let action = key(pressed).and_then(|key| model.key(key));
            if action == Some(Action::Quit) {
                return Ok(());
            }
            if let Some(Action::Acknowledge { id, by }) = action
                && ask.try_send(Request::Acknowledge { id, by }).is_err()
            {
                "The agent is slow: press the key again.".clone_into(&mut model.note);
            }
        }
    }
}

/// A key of the terminal as the screen knows it.
fn key(pressed: KeyEvent) -> Option<Key> {
    if pressed.kind == KeyEventKind::Release {
        return None;
    }
    let control = pressed.modifiers.contains(KeyModifiers::CONTROL);
    Some(match pressed.code {
        KeyCode::Char('c' | 'd') if control => Key::Quit,
        KeyCode::Char(_) if control => return None,
        KeyCode::Char(letter) => Key::Letter(letter),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace | KeyCode::Delete => Key::Delete,
        KeyCode::Tab => Key::Tab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}
