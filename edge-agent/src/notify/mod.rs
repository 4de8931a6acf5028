//! Tells people without any internet: which channel, whom, in what order, until somebody acknowledges
//! (README beside the code). What is told comes from `alerts`; the page and the command line ask and
//! try through a `Handle`. Never judges a value, never changes a record but by an event.

mod desk;
mod gsm;
mod http;
mod ladder;
mod lamp;
mod matter;
mod mqtt;
mod plan;
mod record;
mod seat;
mod secret;
mod smtp;
mod speaker;
mod webhook;
mod words;

pub use matter::Outcome;
pub use seat::{QUEUE_MAX, Status};

use crate::alerts::Notice;
use crate::clock;
use crate::config::{ChannelConfig, Config, NotifyConfig, Section, suggestion};
use crate::drivers::PortHandles;
use crate::storage::Storage;
use desk::Desk;
use jiff::tz::TimeZone;
use matter::{Matter, Message, Part, Recipient};
use plan::{Plan, Wants, Way};
use ring::rand::{SecureRandom as _, SystemRandom};
use seat::{Channel, Queue};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use uuid::{Builder, Uuid};
use words::{LANGUAGES, Language};

/// Questions of the page that wait.
const REQUESTS_MAX: usize = 8;

/// The sorts of channels, as `kind = "…"` names them.
pub const KINDS: &[&str] = &["gsm", "lamp", "mqtt", "smtp", "speaker", "webhook"];

/// Why a channel could not be tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// There is none.
    #[error("there is no channel \"{channel}\"; {known}")]
    NoChannel {
        /// As asked.
        channel: String,
        /// Which there are.
        known: String,
    },
    /// It goes to a person, and none was named.
    #[error(
        "channel \"{channel}\" needs a person with a {what}; name one, or write to = […] in its table"
    )]
    NoPerson {
        /// The channel.
        channel: String,
        /// What the person must have.
        what: &'static str,
    },
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// Everything that the configuration says of telling people, checked and ready to run.
pub struct Built {
    channels: Vec<(ChannelConfig, Box<dyn Channel>)>,
    plan: Plan,
    language: Language,
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Built")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// Makes the channels and the ladders. What is wrong is noted in the configuration's list of problems:
/// whoever calls this checks that list afterwards.
pub fn build(config: &NotifyConfig, ports: &PortHandles) -> Built {
    let mut section = config.section.clone();
    let language = section.choice("language", LANGUAGES).unwrap_or_default();
    let zone = match section.text("time_zone") {
        None => TimeZone::UTC,
        Some(text) => plan::zone(&text).unwrap_or_else(|| {
            let words =
                "is not a time zone of this box; write for example \"Europe/Berlin\" or \"+01:00\"";
            section.problem("time_zone", words);
            TimeZone::UTC
        }),
    };
    section.finish();
    let mut ways = BTreeMap::new();
    let mut channels = Vec::new();
    for channel in &config.channels {
        let mut section = channel.section.clone();
        if let Some((built, wants, lamp)) = one(channel, &mut section, ports) {
            let per_minute = channel.per_minute.unwrap_or(match channel.kind.as_str() {
                "webhook" | "mqtt" | "lamp" => 600,
                _ => 6,
            });
            let way = Way {
                wants,
                lamp,
                severity: channel.severity,
                quiet: channel.quiet.clone(),
                per_minute,
                attempts: channel.attempts,
                to: channel.to.clone(),
            };
            ways.insert(channel.name.clone(), way);
            channels.push((channel.clone(), built));
        }
        section.finish();
    }
    Built {
        channels,
        plan: Plan::new(config, ways, zone),
        language,
    }
}

type Made = (Box<dyn Channel>, Wants, Option<plan::OffWhen>);

fn one(channel: &ChannelConfig, section: &mut Section, ports: &PortHandles) -> Option<Made> {
    Some(match channel.kind.as_str() {
        "speaker" => (Box::new(speaker::read(section)?), Wants::Nobody, None),
        "gsm" => (Box::new(gsm::read(section)?), Wants::Phone, None),
        "smtp" => (Box::new(smtp::read(section)?), Wants::Email, None),
        "webhook" => (Box::new(webhook::read(section)?), Wants::Nobody, None),
        "mqtt" => (
            Box::new(mqtt::read(section, &channel.name)?),
            Wants::Nobody,
            None,
        ),
        "lamp" => {
            let (lamp, off) = lamp::read(section, ports.clone())?;
            (Box::new(lamp), Wants::Nobody, Some(off))
        }
        other => {
            let advice = suggestion(other, KINDS.iter().copied());
            section.problem(
                "kind",
                &format!("\"{other}\" is no sort of channel; {advice}"),
            );
            return None;
        }
    })
}

/// Notes what is wrong with the tables of channels, for whoever only checks a configuration.
pub fn check(config: &Config) {
    drop(build(&config.notify, &PortHandles::default()));
}

/// A channel for the page.
#[derive(Clone, Debug)]
struct ChannelState {
    config: ChannelConfig,
    queue: Queue,
}

/// A channel as it is now.
#[derive(Clone, Debug)]
pub struct ChannelView {
    /// Name.
    pub name: String,
    /// Sort.
    pub kind: String,
    /// Messages that wait.
    pub waiting: usize,
    /// How it is.
    pub status: Status,
}

/// What the desk is asked.
enum Request {
    Test {
        message: Message,
        answer: oneshot::Sender<Outcome>,
    },
    Change(Built, oneshot::Sender<()>),
}

/// What the desk shows.
#[derive(Clone, Debug)]
struct Shared {
    states: Arc<RwLock<Vec<ChannelState>>>,
    plan: Arc<RwLock<(Plan, Language)>>,
}

/// How others reach the channels; clones are the same.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    shared: Shared,
}

/// Starts telling people; also the task, which ends when `stop` turns true.
pub async fn start(
    built: Built,
    storage: Storage,
    notices: mpsc::Receiver<Notice>,
    stop: watch::Receiver<bool>,
) -> (Handle, JoinHandle<()>) {
    let (requests, asked) = mpsc::channel(REQUESTS_MAX);
    let shared = Shared {
        states: Arc::default(),
        plan: Arc::new(RwLock::new((built.plan.clone(), built.language))),
    };
    let desk = Desk::open(built, storage, shared.clone()).await;
    let handle = Handle { requests, shared };
    (handle, tokio::spawn(desk.run(notices, asked, stop)))
}

impl Handle {
    /// The channels as they are now, by name.
    pub fn channels(&self) -> Vec<ChannelView> {
        let states = self
            .shared
            .states
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let view = |state: &ChannelState| ChannelView {
            name: state.config.name.clone(),
            kind: state.config.kind.clone(),
            waiting: state.queue.depth(),
            status: state.queue.status(),
        };
        states.iter().map(view).collect()
    }

    /// Goes on with another configuration.
    pub async fn change(&self, built: Built) {
        let (answer, done) = oneshot::channel();
        if self
            .requests
            .send(Request::Change(built, answer))
            .await
            .is_ok()
        {
            drop(done.await);
        }
    }

    /// Sends a test by a channel, to this person where it needs one; says how it ended. It waits behind
    /// what the channel is doing.
    ///
    /// # Errors
    /// When it cannot even be tried.
    pub async fn test(&self, channel: &str, person: Option<&str>) -> Result<Outcome, NotifyError> {
        let message = {
            let plan = self
                .shared
                .plan
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            test_message(&plan.0, plan.1, channel, person)?
        };
        let (answer, outcome) = oneshot::channel();
        let request = Request::Test { message, answer };
        self.requests
            .send(request)
            .await
            .map_err(|_| NotifyError::Stopping)?;
        outcome.await.map_err(|_| NotifyError::Stopping)
    }
}

fn test_message(
    plan: &Plan,
    language: Language,
    channel: &str,
    person: Option<&str>,
) -> Result<Message, NotifyError> {
    let way = plan.way(channel).ok_or_else(|| NotifyError::NoChannel {
        channel: channel.to_owned(),
        known: suggestion(channel, plan.ways().keys().map(String::as_str)),
    })?;
    let now = clock::now();
    let what = match way.wants {
        Wants::Nobody => None,
        Wants::Phone => Some("telephone number"),
        Wants::Email => Some("mail address"),
    };
    let to = match what {
        None => None,
        Some(what) => {
            let named = person.map(|person| vec![person.to_owned()]);
            let people = named.unwrap_or_else(|| plan.on_duty(&way.to, now));
            let reached = people.into_iter().find_map(|name| {
                let address = plan.address(&name, way.wants)?;
                Some(Recipient { name, address })
            });
            Some(reached.ok_or_else(|| NotifyError::NoPerson {
                channel: channel.to_owned(),
                what,
            })?)
        }
    };
    let id = random_id();
    Ok(Message {
        id,
        channel: channel.to_owned(),
        to,
        call: false,
        attempt: 1,
        round: 0,
        parts: vec![Part {
            job: id,
            matter: Matter::test(id, language.test().to_owned(), now),
            code: 0,
        }],
    })
}

fn random_id() -> Uuid {
    let mut random = [0; 16];
    if SystemRandom::new().fill(&mut random).is_err() {
        random = u128::from(clock::monotonic().0.unsigned_abs()).to_be_bytes();
    }
    Builder::from_random_bytes(random).into_uuid()
}
