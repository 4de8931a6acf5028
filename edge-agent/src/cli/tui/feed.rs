//! The thread that asks the running agent for the live screen: everything anew at each turn, trends
//! of what is on the screen, actions of the person. Never draws. Its queues are bounded: news wait for
//! the screen, a request that finds the queue full is dropped and the key has to be pressed again.

use super::model::{News, Snapshot, TREND_POINTS};
use crate::cli::client::{Client, list_of};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// Trends that are asked for at one turn: the agent has other work.
const TRENDS_PER_TURN: usize = 12;
/// Sensors of which a trend was asked for; then all are forgotten and asked for anew.
const ASKED_MAX: usize = 400;

/// What the screen wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Acknowledge an alert as a person.
    Acknowledge { id: String, by: String },
    /// These sensors are on the screen.
    Look(Vec<String>),
}

/// Everything at this moment.
pub(super) fn snapshot(client: &mut Client) -> anyhow::Result<Snapshot> {
    Ok(Snapshot {
        status: client.get("/status")?,
        sensors: client.list("/sensors")?,
        alerts: list_of(client, "/alerts", false)?,
        // An agent of an older version has none.
        bus: client.get("/bus").unwrap_or(Value::Null),
    })
}

/// Asks every `every`, or less often when the agent is slow; ends when the screen is gone.
pub(super) fn run(
    mut client: Client,
    every: Duration,
    requests: &Receiver<Request>,
    news: &SyncSender<News>,
) {
    let mut asked = HashSet::new();
    let mut look = Vec::new();
    loop {
        let begin = Instant::now();
        let told = match snapshot(&mut client) {
            Ok(snapshot) => News::Box(Box::new(snapshot)),
            Err(error) => News::Away(format!("{error:#}")),
        };
        let is_away = matches!(told, News::Away(_));
        if news.send(told).is_err() {
            return;
        }
        // Never more than half of the time: a large box takes a while to tell everything.
        let until = Instant::now() + every.max(begin.elapsed());
        loop {
            if !is_away && trends(&mut client, &look, &mut asked, news).is_err() {
                return;
            }
            match requests.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Request::Look(ids)) => look = ids,
                Ok(Request::Acknowledge { id, by }) => {
                    let told = acknowledge(&mut client, &id, &by);
                    if news.send(News::Done(told)).is_err() {
                        return;
                    }
                    break;
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

fn acknowledge(client: &mut Client, id: &str, by: &str) -> String {
    let path = format!("/alerts/{id}/actions/acknowledge");
    match client.post(&path, &json!({"by": by})) {
        Ok(_) => format!("Acknowledged as {by}."),
        Err(error) => format!("{error:#}"),
    }
}

/// Values of the sensors on the screen that were not asked for before.
fn trends(
    client: &mut Client,
    look: &[String],
    asked: &mut HashSet<String>,
    news: &SyncSender<News>,
) -> Result<(), ()> {
    let new: Vec<&String> = look.iter().filter(|id| !asked.contains(*id)).collect();
    for id in new.into_iter().take(TRENDS_PER_TURN) {
        if asked.len() >= ASKED_MAX {
            asked.clear();
        }
        asked.insert(id.clone());
        // What cannot be had now is drawn from what comes.
        let values = client
            .get(&format!("/sensors/{id}/readings?points={TREND_POINTS}"))
            .map_or_else(|_| Vec::new(), |answer| means(&answer));
        news.send(News::Trend(id.clone(), values)).map_err(|_| ())?;
    }
    Ok(())
}

fn means(answer: &Value) -> Vec<f64> {
    let points = answer.get("points").and_then(Value::as_array);
    let mean = |point: &Value| point.get(1).and_then(Value::as_f64);
    points.into_iter().flatten().filter_map(mean).collect()
}
