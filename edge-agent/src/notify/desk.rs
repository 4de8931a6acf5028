//! The task round the ladders: what the judge, people and channels say goes in, what comes out is
//! saved and handed to the channels. Never waits for a channel.

use super::ladder::{Entry, Ladder, Now, Output, Saved};
use super::matter::{Matter, Message, Outcome, Sort};
use super::plan::Plan;
use super::record;
use super::seat::{Channel, News, Order, Queue, Seat, until_stop};
use super::words::Language;
use super::{Built, ChannelState, Request, Shared};
use crate::alerts::{Notice, NoticeKind};
use crate::clock;
use crate::storage::{Delivery, DeliveryEnd, PAGE_MAX, Page, RecordChange, Storage};
use protocol::alert::{Alert, AlertState};
use protocol::event::{AlertEvent, Body, RecordKind, Severity};
use protocol::id::AlertId;
use protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
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

    fn start(&mut self, (config, channel): (crate::config::ChannelConfig, Box<dyn Channel>)) {
        let (stop, stopped) = watch::channel(false);
        let queue = Queue::default();
        let seat = Seat {
            name: config.name.clone(),
            language: self.language,
            timeout: config.timeout,
            queue: queue.clone(),
            news: self.news.0.clone(),
            stop: stopped,
            now: clock::now,
        };
        let running = Running {
            queue,
            stop,
            task: tokio::spawn(channel.run(seat)),
            config: config.clone(),
        };
        self.running.insert(config.name, running);
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

    async fn changed(&mut self, change: Result<RecordChange, broadcast::error::RecvError>) {
        let change = match change {
            Ok(change) => change,
            // What was missed is looked up.
            Err(_) => return self.compare(false).await,
        };
        if change.record.kind != RecordKind::Alert {
            return;
        }
        let alert = AlertId(change.record.id);
        let is_seen = change.events.iter().any(|event| {
            matches!(
                event.body,
                Body::Alert(
                    AlertEvent::Acknowledged { .. }
                        | AlertEvent::Reset { .. }
                        | AlertEvent::Superseded { .. }
                )
            )
        });
        let is_over = change
            .events
            .iter()
            .any(|event| matches!(event.body, Body::Alert(AlertEvent::Cleared { .. })));
        if is_seen {
            self.seen(alert);
        }
        if is_over {
            self.ladder.cleared(alert);
            self.is_dirty = true;
        }
    }

    fn seen(&mut self, alert: AlertId) {
        let mut outputs = Vec::new();
        self.ladder.acknowledged(alert, &mut outputs);
        self.is_dirty = true;
        for output in outputs {
            self.put(output);
        }
    }

    /// Holds what is remembered against the records: what was acknowledged meanwhile is told no more,
    /// and at the start what is urgent and was never told is told.
    async fn compare(&mut self, at_start: bool) {
        for id in self.ladder.waiting() {
            match self.storage.alert(id).await {
                Ok(Some(alert)) => match alert.state() {
                    AlertState::Active => {}
                    AlertState::Cleared => self.ladder.cleared(id),
                    AlertState::Acknowledged | AlertState::Closed => self.seen(id),
                },
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "an alert could not be looked up"),
            }
        }
        if at_start {
            let mut page = Page {
                open_only: true,
                limit: PAGE_MAX,
                after: None,
            };
            while let Ok(alerts) = self.storage.alerts(page).await {
                page.after = alerts.last().map(|alert| (alert.raised_at, alert.id.0));
                for alert in &alerts {
                    self.catch_up(alert);
                }
                if alerts.len() < PAGE_MAX {
                    break;
                }
            }
        }
        self.is_dirty = true;
    }

    /// An urgent alert that was written down and whose notice was lost with the power.
    fn catch_up(&mut self, alert: &Alert) {
        let raised = &alert.raised;
        let waits = alert.state() == AlertState::Active && !self.ladder.knows(alert.id);
        if !waits || raised.severity < Severity::High {
            return;
        }
        let matter = Matter {
            // As the judge names it: what was told is not told again.
            id: Uuid::new_v5(&alert.id.0, b"notice:raised"),
            sort: Sort::Raised,
            alert: Some(alert.id),
            severity: raised.severity,
            title: raised.title.clone(),
            words: String::new(),
            asset: raised.asset.clone(),
            rule: Some(raised.rule.clone()),
            time: alert.raised_at,
        };
        self.ladder.tell(matter, clock_now());
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

    /// Goes on with another configuration: channels whose table is the same go on.
    async fn change(&mut self, built: Built) {
        let Built {
            channels,
            plan,
            language,
            ..
        } = built;
        let ended = self.ended_by(&channels, language);
        for name in &ended {
            let Some(running) = self.running.remove(name) else {
                continue;
            };
            running.stop.send_replace(true);
            let abort = running.task.abort_handle();
            if tokio::time::timeout(Duration::from_secs(5), running.task)
                .await
                .is_err()
            {
                abort.abort();
            }
        }
        while let Ok(news) = self.news.1.try_recv() {
            self.heard(news).await;
        }
        self.language = language;
        self.ladder.change_plan(plan);
        self.know();
        // What they did not come to is sent by their successors.
        self.ladder.put_back(&ended);
        for channel in channels {
            if !self.running.contains_key(&channel.0.name) {
                self.start(channel);
            }
        }
        self.show();
        self.is_dirty = true;
    }

    /// The channels that do not go on as they are.
    fn ended_by(
        &self,
        next: &[(crate::config::ChannelConfig, Box<dyn Channel>)],
        language: Language,
    ) -> Vec<String> {
        let same = |running: &Running| {
            language == self.language
                && next
                    .iter()
                    .any(|(config, _)| config.is_same(&running.config))
        };
        let ended = self.running.iter().filter(|(_, running)| !same(running));
        ended.map(|(name, _)| name.clone()).collect()
    }

    /// Takes up whom the hub knows.
    fn know(&mut self) {
        if let Some(bundle) = self.storage.bundle() {
            self.ladder.know(&bundle);
        }
        let plan = self.ladder.plan().clone();
        *self
            .shared
            .plan
            .write()
            .unwrap_or_else(PoisonError::into_inner) = (plan, self.language);
    }

    /// For the page.
    fn show(&self) {
        let states = self.running.values().map(|running| ChannelState {
            config: running.config.clone(),
            queue: running.queue.clone(),
        });
        *self
            .shared
            .states
            .write()
            .unwrap_or_else(PoisonError::into_inner) = states.collect();
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

async fn taken_up(storage: &Storage, plan: Plan) -> Ladder {
    let saved = match storage.telling().await {
        Ok(Some(bytes)) => postcard::from_bytes::<Saved>(&bytes).ok(),
        Ok(None) => None,
        Err(error) => {
            tracing::warn!(%error, "what was told before this start is not known");
            None
        }
    };
    match saved {
        Some(saved) => Ladder::restore(plan, saved, clock_now()),
        None => Ladder::new(plan),
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

fn matter(notice: Notice) -> Matter {
    Matter {
        id: notice.id,
        sort: match notice.kind {
            NoticeKind::Raised => Sort::Raised,
            NoticeKind::Again => Sort::Again,
            NoticeKind::Cleared => Sort::Cleared,
            NoticeKind::FloodBegan | NoticeKind::FloodEnded | NoticeKind::Chattering => Sort::Flood,
            NoticeKind::OrderOpened => Sort::Order,
        },
        alert: notice.alert,
        severity: notice.severity,
        title: notice.title,
        words: notice.words,
        asset: notice.asset,
        rule: notice.rule,
        time: notice.time,
    }
}
