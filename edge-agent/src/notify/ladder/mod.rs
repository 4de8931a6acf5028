//! Who is told what next. A value: matters, acknowledgements, ends of deliveries and the time come
//! in; messages, withdrawals and states of lamps come out. What it remembers can be saved and taken up
//! again, so that after a crash nobody is told twice who need not be, and nothing is forgotten.
//! Never sends anything, never reads a clock.
//!
//! An alert is a *case* until somebody acknowledges it. Each step of each ladder that it concerns
//! is a *play* with its time; when that comes, the step makes *jobs*: one message for one person by
//! one channel. Delays run on a clock that only runs forward, so that a clock that is set escalates
//! nothing; shifts and quiet hours follow the wall clock of the site.

mod case;
mod send;
#[cfg(test)]
mod tests;

pub(super) use case::{CASES_MAX, Entry, Saved};

use super::matter::{Matter, Message, Outcome, Sort};
use super::plan::{OffWhen, Plan};
use crate::config::{LadderConfig, Topic};
use case::{Case, Job, Play, SEEN_MAX};
use protocol::event::Severity;
use protocol::id::AlertId;
use protocol::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

/// Waits after the first, second, ... try that failed; the last one stays. In microseconds.
const RETRY_US: [i64; 5] = [10_000_000, 30_000_000, 60_000_000, 120_000_000, 300_000_000];
/// While something waits for the end of quiet hours, it is looked at again this often.
const QUIET_LOOK_US: i64 = 15_000_000;

/// Both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Now {
    /// The wall clock, for shifts and quiet hours.
    pub wall: Timestamp,
    /// A clock that only runs forward, in microseconds, for delays.
    pub up: i64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Send this.
    Send(Message),
    /// Nobody needs this any more: take it out of the queue, stop speaking.
    Withdraw {
        /// Name of the channel.
        channel: String,
        /// The message.
        message: Uuid,
    },
    /// A lamp is to be on or off.
    Lamp {
        /// Name of the channel.
        channel: String,
        /// Whether it is to be on.
        on: bool,
    },
    /// A step could not tell somebody; for the log.
    Unreachable(Entry),
}

/// What came of one try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// It is tried again.
    pub again: bool,
    /// To be noted in the history of the alert: the first delivery, or the end of all tries.
    pub noted: bool,
}

/// The ladders at work.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    plan: Plan,
    cases: BTreeMap<Uuid, Case>,
    jobs: Vec<Job>,
    seen: VecDeque<Uuid>,
    next_code: u16,
    /// When messages were sent lately, by channel.
    sent: BTreeMap<String, VecDeque<i64>>,
    lamps: BTreeMap<String, bool>,
    /// Cases that had no room.
    dropped: u64,
    wake: Option<i64>,
}

impl Ladder {
    /// With nothing to tell.
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            cases: BTreeMap::new(),
            jobs: Vec::new(),
            seen: VecDeque::new(),
            next_code: 0,
            sent: BTreeMap::new(),
            lamps: BTreeMap::new(),
            dropped: 0,
            wake: None,
        }
    }

    /// Another configuration: steps that are gone are not gone any further; what is on its way by a
    /// channel that is gone is dropped.
    pub(super) fn change_plan(&mut self, plan: Plan) {
        self.jobs.retain(|job| plan.way(&job.channel).is_some());
        for case in self.cases.values_mut() {
            case.plays
                .retain(|play| plan.step(&play.ladder, play.step).is_some());
            case.lamps.retain(|lamp| plan.way(lamp).is_some());
        }
        self.lamps.retain(|lamp, _| plan.way(lamp).is_some());
        self.plan = plan;
    }

    /// What was handed to these channels and did not end is handed over again: they were ended.
    pub(super) fn put_back(&mut self, channels: &[String]) {
        for job in self
            .jobs
            .iter_mut()
            .filter(|job| channels.contains(&job.channel))
        {
            job.message = None;
        }
    }

    /// Takes up whom the hub knows.
    pub(super) fn know(&mut self, bundle: &protocol::bundle::Bundle) {
        self.plan.know(bundle);
    }

    /// The configuration that counts.
    pub(super) const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Something is to be told. The same matter counts once.
    pub(super) fn tell(&mut self, matter: Matter, now: Now) {
        if self.seen.contains(&matter.id) {
            return;
        }
        if self.seen.len() >= SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(matter.id);
        if matter.sort == Sort::Cleared
            && let Some(alert) = matter.alert
        {
            self.cleared(alert);
        }
        let plays = self.plays(&matter, now);
        if plays.is_empty() {
            return;
        }
        let key = key_of(&matter);
        let code = match self.cases.remove(&key) {
            Some(before) => before.code,
            None if waits_for_somebody(&matter) => self.new_code(),
            None => 0,
        };
        self.make_room(matter.severity);
        self.cases
            .insert(key, Case::new(matter, plays, code, now.up));
    }

    /// Whether this alert is being told, or was.
    pub(super) fn knows(&self, alert: AlertId) -> bool {
        self.cases.contains_key(&alert.0)
    }

    /// Alerts that wait for somebody.
    pub(super) fn waiting(&self) -> Vec<AlertId> {
        let alerts = self
            .cases
            .values()
            .filter(|case| waits_for_somebody(&case.matter));
        alerts.filter_map(|case| case.matter.alert).collect()
    }

    /// Somebody took notice, by whatever way: nobody is told any more.
    pub(super) fn acknowledged(&mut self, alert: AlertId, out: &mut Vec<Output>) {
        if self.cases.remove(&alert.0).is_some() {
            self.end_jobs(alert.0, out);
        }
    }

    /// The alert is over: nobody further is told. A lamp may go on to wait for somebody.
    pub(super) fn cleared(&mut self, alert: AlertId) {
        if let Some(case) = self.cases.get_mut(&alert.0) {
            case.cleared = true;
            case.plays.clear();
            self.jobs
                .retain(|job| job.case != alert.0 || job.message.is_some());
        }
    }

    /// One try of a message ended.
    pub(super) fn ended(&mut self, message: &Message, outcome: &Outcome, now: Now) -> Verdict {
        let mut verdict = Verdict::default();
        for part in &message.parts {
            let Some(at) = self.jobs.iter().position(|job| job.id == part.job) else {
                // Withdrawn meanwhile: if it got there all the same, that is noted.
                verdict.noted |= matches!(outcome, Outcome::Delivered(_)) && message.round == 0;
                continue;
            };
            let one = self.job_ended(at, outcome, now);
            verdict.again |= one.again;
            verdict.noted |= one.noted;
        }
        self.forget_done();
        verdict
    }

    fn job_ended(&mut self, at: usize, outcome: &Outcome, now: Now) -> Verdict {
        let Some(job) = self.jobs.get_mut(at) else {
            return Verdict::default();
        };
        let attempts = self.plan.way(&job.channel).map_or(1, |way| way.attempts);
        let case = self.cases.get_mut(&job.case);
        if matches!(outcome, Outcome::Failed(_))
            && job.attempt < attempts
            && case.as_ref().is_some_and(|case| !case.cleared)
        {
            let wait = RETRY_US.get(usize::from(job.attempt.saturating_sub(1)));
            job.due = now.up + wait.or(RETRY_US.last()).copied().unwrap_or(0);
            job.attempt += 1;
            job.message = None;
            return Verdict {
                again: true,
                noted: false,
            };
        }
        let job = self.jobs.remove(at);
        let first = job.round == 0;
        let Some(case) = case else {
            return Verdict::default();
        };
        match outcome {
            Outcome::Delivered(_) => {
                case.told(job.person.as_deref(), now.up);
                case.reached(&job);
            }
            Outcome::Withdrawn => return Verdict::default(),
            Outcome::Failed(_) | Outcome::Refused(_) => {
                let more = self.jobs.iter().any(|other| other.is_of_same_step(&job));
                if !more {
                    case.unreached(&job, now.up);
                }
            }
        }
        Verdict {
            again: false,
            noted: first,
        }
    }

    /// What an answer of a person acknowledges: `OK` what they were told last, `OK 17` that one,
    /// `OK ALL` all that they were told.
    pub(super) fn answer(&self, person: &str, text: &str) -> Vec<AlertId> {
        let mut words = text.split_whitespace().map(str::to_ascii_uppercase);
        let first = words.next().unwrap_or_default();
        let first = first.trim_end_matches(['.', ',', '!']);
        if !matches!(first, "OK" | "ACK" | "JA" | "YES" | "OUI" | "SI") {
            return Vec::new();
        }
        let told = self.cases.values().filter(|case| {
            waits_for_somebody(&case.matter) && case.people.iter().any(|known| known == person)
        });
        let alert = |case: &Case| case.matter.alert;
        match words.next().as_deref() {
            None => told
                .max_by_key(|case| case.told_at)
                .and_then(alert)
                .into_iter()
                .collect(),
            Some("ALL" | "ALLE" | "TOUT" | "TODO") => told.filter_map(alert).collect(),
            Some(code) => {
                let code = code.trim_start_matches('#').parse::<u16>().ok();
                let mut cases = self.cases.values();
                let found = cases.find(|case| Some(case.code) == code && case.code > 0);
                found.and_then(alert).into_iter().collect()
            }
        }
    }

    /// Cases that were dropped because there was no room.
    #[cfg(test)]
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// When it wants to be asked again, by the clock that only runs forward.
    pub(super) const fn wake(&self) -> Option<i64> {
        self.wake
    }

    /// What is to be done now.
    pub(super) fn poll(&mut self, now: Now) -> Vec<Output> {
        let mut out = Vec::new();
        self.wake = None;
        self.fire_due(now, &mut out);
        self.send_due(now, &mut out);
        self.forget_done();
        self.lamps(&mut out);
        let dues = self.cases.values().flat_map(|case| &case.plays);
        let dues = dues.filter_map(|play| play.due);
        let soonest = dues.chain(self.wake).min();
        self.wake = soonest;
        out
    }

    /// The steps that concern a matter, each with its time.
    fn plays(&self, matter: &Matter, now: Now) -> Vec<Play> {
        let concerned = self
            .plan
            .ladders()
            .iter()
            .filter(|ladder| concerns(ladder, matter));
        let all = concerned.flat_map(|ladder| {
            let steps = (0_u16..).zip(&ladder.steps);
            // What waits for nobody is told once, to those of the first step.
            let steps = steps.take(if waits_for_somebody(matter) {
                usize::MAX
            } else {
                1
            });
            steps.map(|(step, config)| {
                let after = i64::try_from(config.after.as_micros()).unwrap_or(i64::MAX);
                Play::new(&ladder.name, step, now.up.saturating_add(after))
            })
        });
        all.collect()
    }

    fn new_code(&mut self) -> u16 {
        for _ in 0..case::CODES {
            self.next_code = self.next_code % case::CODES + 1;
            if self.cases.values().all(|case| case.code != self.next_code) {
                break;
            }
        }
        self.next_code
    }

    /// Full: what is over goes first, then the least urgent, of these the oldest; one that is more
    /// urgent than the new one never goes for it, the oldest of the same urgency does.
    fn make_room(&mut self, severity: Severity) {
        if self.cases.len() < CASES_MAX {
            return;
        }
        let rank = |case: &Case| (!case.cleared, case.matter.severity, case.began);
        let least = self.cases.iter().min_by_key(|(_, case)| rank(case));
        if let Some((key, _)) = least {
            let key = *key;
            self.cases.remove(&key);
            self.jobs.retain(|job| job.case != key);
            self.dropped += 1;
            tracing::error!(
                ?severity,
                "too many alerts wait for somebody; the least urgent is not told any more"
            );
        }
    }

    /// Ends what is on its way for a case.
    fn end_jobs(&mut self, case: Uuid, out: &mut Vec<Output>) {
        let (ended, rest): (Vec<Job>, Vec<Job>) = std::mem::take(&mut self.jobs)
            .into_iter()
            .partition(|job| job.case == case);
        self.jobs = rest;
        for job in ended {
            let Some(message) = job.message else { continue };
            // What also tells of something else goes on.
            if self.jobs.iter().all(|other| other.message != Some(message)) {
                out.push(Output::Withdraw {
                    channel: job.channel,
                    message,
                });
            }
        }
    }

    /// Cases that wait for nobody and have nothing more to tell.
    fn forget_done(&mut self) {
        let jobs = &self.jobs;
        self.cases.retain(|key, case| {
            waits_for_somebody(&case.matter)
                || case.plays.iter().any(|play| play.due.is_some())
                || jobs.iter().any(|job| job.case == *key)
        });
    }

    /// Which lamps are to be on; told when that changes.
    fn lamps(&mut self, out: &mut Vec<Output>) {
        for (name, way) in self.plan.ways() {
            let Some(off) = way.lamp else { continue };
            let on = self.cases.values().any(|case| {
                case.lamps.contains(name) && !(case.cleared && off == OffWhen::Cleared)
            });
            if self.lamps.insert(name.clone(), on) != Some(on) {
                out.push(Output::Lamp {
                    channel: name.clone(),
                    on,
                });
            }
        }
    }
}

/// An alert that is not acknowledged waits for somebody; all else is only told.
fn waits_for_somebody(matter: &Matter) -> bool {
    matches!(matter.sort, Sort::Raised | Sort::Again) && matter.alert.is_some()
}

/// An alert has one case, however often it comes again.
fn key_of(matter: &Matter) -> Uuid {
    match matter.alert {
        Some(alert) if waits_for_somebody(matter) => alert.0,
        _ => matter.id,
    }
}

fn concerns(ladder: &LadderConfig, matter: &Matter) -> bool {
    let topic = match matter.sort {
        Sort::Raised => Topic::Raised,
        Sort::Again => Topic::Again,
        Sort::Cleared => Topic::Cleared,
        Sort::Flood => Topic::Flood,
        Sort::Order => Topic::Order,
        Sort::Test => return false,
    };
    let asset = matter.asset.as_deref();
    let rule = matter.rule.as_deref();
    // A flood is of no single asset: whoever hears of any of them hears of it.
    let is_flood = matter.sort == Sort::Flood && asset.is_none();
    ladder.topics.contains(&topic)
        && (matter.severity >= ladder.severity || is_flood)
        && (is_flood || ladder.assets.is_empty() || fits(&ladder.assets, asset))
        && (is_flood || ladder.rules.is_empty() || fits(&ladder.rules, rule))
}

/// Whether a name is one of these; `P-*` stands for all that begin with `P-`.
fn fits(patterns: &[String], name: Option<&str>) -> bool {
    let Some(name) = name else { return false };
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => pattern == name,
        })
}
