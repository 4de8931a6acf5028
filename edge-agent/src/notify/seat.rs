//! The place of one channel: a bounded queue of what it is to send, and what it tells back. A channel
//! that hangs or fails fills its own queue and delays no other.

use super::matter::{Message, Outcome};
use super::words::Language;
use protocol::event::Severity;
use protocol::id::AlertId;
use protocol::time::Timestamp;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use uuid::Uuid;

/// Messages that wait for one channel. Full: the oldest of the least urgent goes, and is counted.
pub const QUEUE_MAX: usize = 64;

/// What a channel is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Send this. Who tries the channel waits for the outcome.
    Send(Message, Option<oneshot::Sender<Outcome>>),
    /// A lamp is to be on or off.
    Lamp(bool),
}

/// What a channel tells.
#[derive(Debug)]
pub(super) enum News {
    /// One try ended.
    Ended(Message, Outcome, Timestamp),
    /// A person answered by telephone.
    Answered {
        /// The number.
        from: String,
        /// What they wrote.
        text: String,
    },
    /// Somebody acknowledged an alert by this channel.
    Acknowledged {
        /// The alert.
        alert: AlertId,
        /// Who.
        by: String,
        /// By which channel.
        channel: String,
    },
}

/// How a channel is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// When somebody was reached last.
    pub delivered_at: Option<Timestamp>,
    /// When a try failed last, and why.
    pub failed: Option<(Timestamp, String)>,
    /// What it says of itself: the signal of a modem, why it cannot send.
    pub words: String,
    /// It says that it cannot send now.
    pub is_down: bool,
    /// Messages that its queue had no room for.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Order>,
    /// The message that is being sent.
    running: Option<Uuid>,
    /// The message that nobody needs any more though it is being sent.
    withdrawn: Option<Uuid>,
    status: Status,
}

/// The queue and the state of one channel; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    inner: Arc<Mutex<Inner>>,
    came: Arc<Notify>,
    withdrawn: Arc<Notify>,
}

impl Queue {
    /// Hands something over; answers the message that had to go for it.
    pub(super) fn push(&self, order: Order) -> Option<(Message, Option<oneshot::Sender<Outcome>>)> {
        let dropped = self.with(|inner| {
            if matches!(order, Order::Lamp(_)) {
                // Only the newest state of a lamp counts.
                inner
                    .waiting
                    .retain(|order| !matches!(order, Order::Lamp(_)));
            }
            inner.waiting.push_back(order);
            if inner.waiting.len() <= QUEUE_MAX {
                return None;
            }
            inner.status.dropped += 1;
            let rank = |(at, order): (usize, &Order)| match order {
                Order::Send(message, _) => Some((message.severity(), at)),
                Order::Lamp(_) => None,
            };
            let least: Option<(Severity, usize)> =
                inner.waiting.iter().enumerate().filter_map(rank).min();
            match inner.waiting.remove(least?.1)? {
                Order::Send(message, waits) => Some((message, waits)),
                Order::Lamp(_) => None,
            }
        });
        self.came.notify_one();
        dropped
    }

    /// Nobody needs this message any more: it leaves the queue, and one that is being sent is told.
    pub(super) fn withdraw(&self, message: Uuid) -> Option<Message> {
        let found = self.with(|inner| {
            let mut waiting = inner.waiting.iter();
            let at =
                waiting.position(|order| matches!(order, Order::Send(one, _) if one.id == message));
            match (at.and_then(|at| inner.waiting.remove(at)), inner.running) {
                (Some(Order::Send(message, _)), _) => Ok(message),
                (_, running) => {
                    inner.withdrawn = Some(message);
                    Err(running == Some(message))
                }
            }
        });
        match found {
            Ok(message) => Some(message),
            Err(is_running) => {
                if is_running {
                    self.withdrawn.notify_one();
                }
                None
            }
        }
    }

    /// How the channel is.
    pub(super) fn status(&self) -> Status {
        self.with(|inner| inner.status.clone())
    }

    /// Messages that wait.
    pub(super) fn depth(&self) -> usize {
        self.with(|inner| inner.waiting.len())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one channel works with.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    /// Name of the channel.
    pub name: String,
    /// Language of its messages.
    pub language: Language,
    /// Longest time for one try.
    pub timeout: Duration,
    /// What it is to do.
    pub queue: Queue,
    /// Who hears what came of it.
    pub news: mpsc::Sender<News>,
    /// Turns true when the channel is to end.
    pub stop: watch::Receiver<bool>,
    /// The wall clock.
    pub now: fn() -> Timestamp,
}

impl Seat {
    /// The next thing to do; `None` when the channel is to end.
    pub(super) async fn next(&mut self) -> Option<Order> {
        loop {
            if *self.stop.borrow() {
                return None;
            }
            let order = self.queue.with(|inner| {
                let order = inner.waiting.pop_front();
                inner.running = match &order {
                    Some(Order::Send(message, _)) => Some(message.id),
                    _ => None,
                };
                order
            });
            if order.is_some() {
                return order;
            }
            tokio::select! {
                () = self.queue.came.notified() => {}
                _ = self.stop.changed() => {}
            }
        }
    }

    /// Returns when nobody needs the message any more that is being sent.
    pub(super) async fn withdrawn(&self) {
        loop {
            let told = self.queue.withdrawn.notified();
            let is_withdrawn = self
                .queue
                .with(|inner| inner.running.is_some() && inner.running == inner.withdrawn);
            if is_withdrawn {
                return;
            }
            told.await;
        }
    }

    /// Tells how a message ended.
    pub(super) async fn ended(
        &self,
        message: Message,
        outcome: Outcome,
        waits: Option<oneshot::Sender<Outcome>>,
    ) {
        let now = (self.now)();
        self.queue.with(|inner| {
            inner.running = None;
            match &outcome {
                Outcome::Delivered(_) => {
                    inner.status.delivered_at = Some(now);
                    inner.status.failed = None;
                }
                Outcome::Failed(words) | Outcome::Refused(words) => {
                    inner.status.failed = Some((now, words.clone()));
                }
                Outcome::Withdrawn => {}
            }
        });
        if let Some(waits) = waits {
            // Who tried it may have gone.
            drop(waits.send(outcome.clone()));
        }
        self.tell(News::Ended(message, outcome, now)).await;
    }

    /// Tells something.
    pub(super) async fn tell(&self, news: News) {
        if self.news.send(news).await.is_err() {
            tracing::debug!(
                channel = self.name,
                "the agent is stopping: news were not taken"
            );
        }
    }

    /// What the channel says of itself.
    pub(super) fn set_words(&self, words: &str, is_down: bool) {
        let changed = self.queue.with(|inner| {
            let changed = inner.status.is_down != is_down;
            words.clone_into(&mut inner.status.words);
            inner.status.is_down = is_down;
            changed
        });
        match (changed, is_down) {
            (true, true) => tracing::warn!(channel = self.name, "{words}"),
            (true, false) => tracing::info!(channel = self.name, "{words}"),
            (false, _) => {}
        }
    }
}

/// Returns when it is to end.
pub(super) async fn until_stop(stop: &mut watch::Receiver<bool>) {
    // An error: the agent is gone, which is an end too.
    drop(stop.wait_for(|stop| *stop).await);
}

/// What runs in a task of its own.
pub(super) type Task<'a, T = ()> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A channel.
pub(super) trait Channel: Send + 'static {
    /// Serves its queue until it is to end.
    fn run(self: Box<Self>, seat: Seat) -> Task<'static>;
}

/// A channel that sends one message after the other and has nothing else to do.
pub(super) trait Sends: Send + 'static {
    /// Sends one message. Given up when it takes too long, or when it is withdrawn and
    /// `STOPS_WHEN_WITHDRAWN`.
    fn send<'a>(&'a mut self, message: &'a Message, seat: &'a Seat) -> Task<'a, Outcome>;

    /// Whether it ends what it does when nobody needs it any more.
    const STOPS_WHEN_WITHDRAWN: bool = false;
}

impl<T: Sends> Channel for T {
    fn run(self: Box<Self>, seat: Seat) -> Task<'static> {
        Box::pin(one_by_one(*self, seat))
    }
}

async fn one_by_one<T: Sends>(mut channel: T, mut seat: Seat) {
    while let Some(order) = seat.next().await {
        let Order::Send(message, waits) = order else {
            continue;
        };
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(seat.timeout, channel.send(&message, &seat)) => {
                outcome.unwrap_or_else(|_| {
                    let wait = crate::config::show_duration(seat.timeout);
                    Outcome::Failed(format!("no answer within {wait}"))
                })
            }
            () = seat.withdrawn(), if T::STOPS_WHEN_WITHDRAWN => Outcome::Withdrawn,
        };
        seat.ended(message, outcome, waits).await;
    }
}
