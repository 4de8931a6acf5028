//! The task round the ladders: what the judge, people and channels say goes in, what comes out is
//! saved and handed to the channels. Never waits for a channel.

mod channels;
mod compare;

use super::ladder::{Entry, Ladder, Now, Output};
use super::matter::{Message, Outcome};
use super::record;
use super::seat::{News, Order, Queue, until_stop};
use super::words::Language;
use super::{Built, Request, Shared};
use crate::alerts::Notice;
use crate::clock;
use crate::storage::{Delivery, DeliveryEnd, Storage};
use compare::{matter, taken_up};
use protocol::id::AlertId;
use protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// News of channels that wait to be looked at.
const NEWS_MAX: usize = 64;
/// A disk that does not take the state within this delays no message: it is saved with the next change.
const SAVE_WAIT: Duration = Duration::from_millis(500);
/// Notices that are taken together before anything is saved.
const TOGETHER_MAX: usize = 64;

/// A channel at work.
struct Running {
    queue: Queue,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    config: crate::config::ChannelConfig,
}

/// The desk.
pub(super) struct Desk {
    ladder: Ladder,
    storage: Storage,
    language: Language,
    running: BTreeMap<String, Running>,
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    /// What is to be written down with the next save.
    log: Vec<Delivery>,
    /// What is to be noted in the history of alerts.
    noted: Vec<(AlertId, protocol::event::Notified)>,
    shared: Shared,
    is_dirty: bool,
}

impl Desk {
    /// Takes up what was saved and starts the channels.
    pub(super) async fn open(built: Built, storage: Storage, shared: Shared) -> Self {
        let ladder = taken_up(&storage, built.plan).await;
        let mut desk = Self {
            ladder,
            storage,
            language: built.language,
            running: BTreeMap::new(),
            news: mpsc::channel(NEWS_MAX),
            log: Vec::new(),
            noted: Vec::new(),
            shared,
            is_dirty: true,
        };
        for channel in built.channels {
            desk.start(channel);
        }
        desk.know();
        desk.show();
        desk.compare(true).await;
        desk
    }

    /// Runs until `stop` turns true.
    pub(super) async fn run(
        mut self,
        mut notices: mpsc::Receiver<Notice>,
        mut requests: mpsc::Receiver<Request>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut changes = self.storage.changes();
        let mut bundle = self.storage.bundle_changes();
        loop {
            self.act().await;
            let sleep = until(self.ladder.wake());
            tokio::select! {
                Some(notice) = notices.recv() => {
                    self.take(notice);
                    for _ in 0..TOGETHER_MAX {
                        let Ok(notice) = notices.try_recv() else { break };
                        self.take(notice);
                    }
                }
                change = changes.recv() => self.changed(change).await,
                Ok(()) = bundle.changed() => self.know(),
                Some(news) = self.news.1.recv() => self.heard(news).await,
                Some(request) = requests.recv() => self.answer(request).await,
                () = tokio::time::sleep(sleep) => {}
                () = until_stop(&mut stop) => break,
            }
        }
        self.end().await;
    }

    /// Lets the channels end what they do, and saves.
    async fn end(mut self) {
        for running in self.running.values() {
            running.stop.send_replace(true);
        }
        let running = std::mem::take(&mut self.running);
        for (name, running) in running {
            let longest = running.config.timeout;
            let abort = running.task.abort_handle();
            if tokio::time::timeout(longest.min(Duration::from_secs(5)), running.task)
                .await
                .is_err()
            {
                // It hangs; what it was to send is sent after the next start.
                abort.abort();
                tracing::warn!(channel = name, "the channel did not end in time");
            }
        }
        while let Ok(news) = self.news.1.try_recv() {
            self.heard(news).await;
        }
        self.save(clock_now()).await;
    }

    fn take(&mut self, notice: Notice) {
        self.ladder.tell(matter(notice), clock_now());
        self.is_dirty = true;
    }

    /// Does what the ladders say.
    async fn act(&mut self) {
        let now = clock_now();
        let outputs = self.ladder.poll(now);
        self.is_dirty |= !outputs.is_empty();
        if self.is_dirty || !self.log.is_empty() {
            self.save(now).await;
        }
        for output in outputs {
            self.put(output);
        }
        if !self.noted.is_empty() {
            let noted = std::mem::take(&mut self.noted);
            record::noted(&self.storage, noted).await;
        }
    }

    fn put(&mut self, output: Output) {
        match output {
            Output::Send(message) => {
                let Some(running) = self.running.get(&message.channel) else {
                    return;
                };
                if let Some((dropped, waits)) = running.queue.push(Order::Send(message, None)) {
                    let words = "its queue was full of more urgent ones".to_owned();
                    let outcome = Outcome::Refused(words);
                    if let Some(waits) = waits {
                        drop(waits.send(outcome.clone()));
                    }
                    self.ended(&dropped, &outcome, clock::now());
                }
            }
            Output::Withdraw { channel, message } => {
                let running = self.running.get(&channel);
                let message = running.and_then(|running| running.queue.withdraw(message));
                if let Some(message) = message {
                    self.ended(&message, &Outcome::Withdrawn, clock::now());
                }
            }
            Output::Lamp { channel, on } => {
                if let Some(running) = self.running.get(&channel) {
                    running.queue.push(Order::Lamp(on));
                }
            }
            Output::Unreachable(entry) => self.unreachable(entry),
        }
    }

    fn unreachable(&mut self, entry: Entry) {
        tracing::warn!(
            channel = entry.channel,
            to = entry.to,
            "nobody told: {}",
            entry.words
        );
        let now = clock::now();
        if let Some(alert) = entry.matter.alert {
            let to = entry.to.clone();
            let words = entry.words.clone();
            self.noted
                .push((alert, record::event(&entry.channel, to, false, words)));
        }
        self.log.push(Delivery {
            message: Uuid::new_v5(&entry.matter.id, entry.channel.as_bytes()),
            alert: entry.matter.alert,
            channel: entry.channel,
            person: entry.to,
            severity: entry.matter.severity,
            title: entry.matter.headline(),
            round: 0,
            attempt: 1,
            ended: DeliveryEnd::GivenUp,
            words: entry.words,
            time: now,
            latency_us: now.micros_since(entry.matter.time),
        });
    }

    /// One try ended: into the log, into the history of its alerts, back into the ladders.
    fn ended(&mut self, message: &Message, outcome: &Outcome, time: Timestamp) {
        let verdict = self.ladder.ended(message, outcome, clock_now());
        let (ended, words) = match outcome {
            Outcome::Delivered(words) => (DeliveryEnd::Delivered, words.as_str()),
            Outcome::Failed(words) if verdict.again => (DeliveryEnd::Failed, words.as_str()),
            Outcome::Failed(words) | Outcome::Refused(words) => {
                (DeliveryEnd::GivenUp, words.as_str())
            }
            Outcome::Withdrawn => (DeliveryEnd::Withdrawn, "somebody acknowledged before"),
        };
        if matches!(ended, DeliveryEnd::Failed | DeliveryEnd::GivenUp) {
            tracing::warn!(
                channel = message.channel,
                attempt = message.attempt,
                "not told: {words}"
            );
        }
        let person = message
            .to
            .as_ref()
            .map(|to| to.name.clone())
            .unwrap_or_default();
        if verdict.noted {
            let delivered = ended == DeliveryEnd::Delivered;
            let alerts = message.parts.iter().filter_map(|part| part.matter.alert);
            let event = record::event(
                &message.channel,
                person.clone(),
                delivered,
                words.to_owned(),
            );
            self.noted
                .extend(alerts.map(|alert| (alert, event.clone())));
        }
        let head = message.head();
        self.log.push(Delivery {
            message: message.id,
            alert: head.and_then(|matter| matter.alert),
            channel: message.channel.clone(),
            person,
            severity: message.severity(),
            title: message.subject(self.language),
            round: message.round,
            attempt: message.attempt,
            ended,
            words: words.to_owned(),
            time,
            latency_us: time.micros_since(message.since()),
        });
    }

    async fn heard(&mut self, news: News) {
        match news {
            News::Ended(message, outcome, time) => self.ended(&message, &outcome, time),
            News::Acknowledged { alert, by, channel } => {
                self.acknowledge(vec![alert], &by, &channel).await;
            }
            News::Answered { from, text } => {
                let found = self.ladder.plan().person_of(&from);
                let Some(person) = found.map(str::to_owned) else {
                    tracing::warn!(
                        from,
                        "an answer of a number that no person has is not followed"
                    );
                    return;
                };
                let alerts = self.ladder.answer(&person, &text);
                if alerts.is_empty() {
                    tracing::warn!(person, "an answer names nothing that this person was told");
                }
                self.acknowledge(alerts, &person, "SMS").await;
            }
        }
    }

    /// Writes the acknowledgement down; the change of the record then ends the telling.
    async fn acknowledge(&mut self, alerts: Vec<AlertId>, by: &str, how: &str) {
        for alert in alerts {
            if let Err(error) = record::acknowledge(&self.storage, alert, by, how).await {
                tracing::error!(%error, by, "an acknowledgement could not be stored; it is to be repeated");
            }
        }
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Test { message, answer } => match self.running.get(&message.channel) {
                Some(running) => {
                    if let Some((dropped, waits)) =
                        running.queue.push(Order::Send(message, Some(answer)))
                    {
                        let outcome = Outcome::Refused("its queue is full".to_owned());
                        if let Some(waits) = waits {
                            drop(waits.send(outcome.clone()));
                        }
                        self.ended(&dropped, &outcome, clock::now());
                    }
                }
                None => drop(answer.send(Outcome::Refused("there is no such channel".to_owned()))),
            },
            Request::Change(built, done) => {
                self.change(built).await;
                if done.send(()).is_err() {
                    tracing::debug!("who asked for other channels has gone");
                }
            }
        }
    }

    async fn save(&mut self, now: Now) {
        let Ok(state) = postcard::to_allocvec(&self.ladder.save(now)) else {
            return;
        };
        let log = std::mem::take(&mut self.log);
        let saved = self.storage.note_deliveries(log.clone(), state);
        self.is_dirty = match tokio::time::timeout(SAVE_WAIT, saved).await {
            Ok(Ok(())) => false,
            Ok(Err(error)) => {
                tracing::warn!(%error, "who was told could not be written down; it is tried again with the next change");
                self.log = log;
                self.log.truncate(NEWS_MAX);
                false
            }
            // It is written when the disk comes to it.
            Err(_) => false,
        };
    }
}

fn clock_now() -> Now {
    Now {
        wall: clock::now(),
        up: clock::monotonic().0,
    }
}

/// How long until then by the clock that only runs forward.
fn until(wake: Option<i64>) -> Duration {
    const LONGEST: Duration = Duration::from_secs(3_600);
    let Some(wake) = wake else { return LONGEST };
    let left = wake.saturating_sub(clock::monotonic().0);
    Duration::from_micros(u64::try_from(left).unwrap_or(0)).min(LONGEST)
}
