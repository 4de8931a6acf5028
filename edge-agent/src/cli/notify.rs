//! `notify`: the channels of the running agent, a test of one, and who was told what. Never sends
//! anything itself.

use super::bus::escaped;
use super::client::Client;
use super::table::table;
use super::words::{items, text, time, word};
use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum Notify {
    /// Show the channels and how they are.
    Channels,
    /// Send a test by one channel and say how it ended.
    Test {
        /// Name of the channel.
        channel: String,
        /// Person whom it goes to, for a modem or mail; else whom the channel's table names.
        #[arg(long, value_name = "PERSON")]
        to: Option<String>,
    },
    /// Show who was told what, newest first.
    Log {
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
}

impl Notify {
    pub(super) fn run(self, client: &mut Client) -> anyhow::Result<(Value, String)> {
        match self {
            Self::Channels => {
                let answer = client.get("/channels")?;
                let words = channels(items(&answer, "/data"));
                Ok((answer, words))
            }
            Self::Log { limit } => {
                let answer = client.get(&format!("/deliveries?limit={limit}"))?;
                let words = log(items(&answer, "/data"));
                Ok((answer, words))
            }
            Self::Test { channel, to } => {
                let path = format!("/channels/{}/test", escaped(&channel));
                let answer = client.post_patiently(&path, &json!({"to": to}))?;
                let words = text(&answer, "/words");
                if answer.get("delivered") == Some(&Value::Bool(true)) {
                    return Ok((answer, format!("Delivered by {channel}: {words}.")));
                }
                bail!("not delivered by {channel}: {words}")
            }
        }
    }
}

fn channels(channels: &[Value]) -> String {
    if channels.is_empty() {
        return "No channel is configured: nobody is told but by the page. docs/notifications.md \
                says how."
            .to_owned();
    }
    let row = |channel: &Value| {
        let words = match text(channel, "/failure") {
            none if none == "-" => text(channel, "/words"),
            failure => failure,
        };
        vec![
            text(channel, "/name"),
            text(channel, "/kind"),
            text(channel, "/state"),
            time(channel, "/delivered_at"),
            text(channel, "/waiting"),
            text(channel, "/dropped"),
            words,
        ]
    };
    let rows: Vec<_> = channels.iter().map(row).collect();
    let columns = [
        "CHANNEL",
        "KIND",
        "STATE",
        "DELIVERED",
        "WAITING",
        "DROPPED",
        "WORDS",
    ];
    table(&columns, &rows)
}

fn log(deliveries: &[Value]) -> String {
    if deliveries.is_empty() {
        return "Nobody was told anything yet.".to_owned();
    }
    let row = |delivery: &Value| {
        vec![
            time(delivery, "/time"),
            text(delivery, "/channel"),
            text(delivery, "/to"),
            word(delivery, "/outcome"),
            text(delivery, "/attempt"),
            format!("{} ms", text(delivery, "/latency_ms")),
            text(delivery, "/title"),
            text(delivery, "/words"),
        ]
    };
    let rows: Vec<_> = deliveries.iter().map(row).collect();
    let columns = [
        "WHEN", "CHANNEL", "TO", "OUTCOME", "TRY", "AFTER", "TITLE", "WORDS",
    ];
    table(&columns, &rows)
}
