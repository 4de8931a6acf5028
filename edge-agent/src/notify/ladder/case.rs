//! What the ladder remembers of one alert, one step and one message, and how that is saved. Never
//! decides anything.

use super::{Ladder, Now};
use crate::notify::matter::Matter;
use crate::notify::plan::Plan;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

/// Most alerts that wait for somebody; see `Ladder::make_room` for what goes when there are more.
pub(in crate::notify) const CASES_MAX: usize = 500;
/// Most messages that wait or are on their way; further ones are told as unreachable.
pub(in crate::notify) const JOBS_MAX: usize = 2_000;
/// Matters that are known to have been told; the oldest are forgotten.
pub(super) const SEEN_MAX: usize = 1_024;
/// Codes that answers name alerts by: 1 to this.
pub(super) const CODES: u16 = 999;
/// People who are remembered to have been told of one alert.
const PEOPLE_MAX: usize = 64;
/// Longest time without a running agent that counts as time that passed, in microseconds: after a
/// longer one the clock may have been set.
const AWAY_US_MAX: i64 = 24 * 3_600 * 1_000_000;
/// Version of what is saved.
const VERSION: u8 = 1;

/// An alert, or something else that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Case {
    pub matter: Matter,
    pub began: i64,
    /// What answers name it by; 0: none.
    pub code: u16,
    /// It is over, and waits for somebody all the same.
    pub cleared: bool,
    pub plays: Vec<Play>,
    /// Who was told.
    pub people: Vec<String>,
    /// When somebody was told last.
    pub told_at: i64,
    /// Lamps that are on for it.
    pub lamps: Vec<String>,
}

/// A step of a ladder on its way for one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Play {
    pub ladder: String,
    pub step: u16,
    /// How often it was told.
    pub round: u16,
    /// When it is told next.
    pub due: Option<i64>,
    /// Somebody was reached in this round.
    pub is_reached: bool,
}

/// One message for one person by one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    pub id: Uuid,
    /// Key of its case.
    pub case: Uuid,
    pub ladder: String,
    pub step: u16,
    pub round: u16,
    pub channel: String,
    pub person: Option<String>,
    pub address: Option<String>,
    pub call: bool,
    /// Number of the next or the running try, from 1.
    pub attempt: u8,
    pub due: i64,
    /// The message that it is on its way in.
    pub message: Option<Uuid>,
}

/// What a step could not tell somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify) struct Entry {
    /// What was to be told.
    pub matter: Matter,
    /// By which channel.
    pub channel: String,
    /// Whom; empty: nobody was there to be told.
    pub to: String,
    /// Why not.
    pub words: String,
}

impl Case {
    pub(super) const fn new(matter: Matter, plays: Vec<Play>, code: u16, now: i64) -> Self {
        Self {
            matter,
            began: now,
            code,
            cleared: false,
            plays,
            people: Vec::new(),
            told_at: 0,
            lamps: Vec::new(),
        }
    }

    /// Somebody was told.
    pub(super) fn told(&mut self, person: Option<&str>, now: i64) {
        self.told_at = now;
        if let Some(person) = person
            && self.people.len() < PEOPLE_MAX
            && !self.people.iter().any(|known| known == person)
        {
            self.people.push(person.to_owned());
        }
    }

    /// A job of a step got there.
    pub(super) fn reached(&mut self, job: &Job) {
        let mut plays = self.plays.iter_mut();
        if let Some(play) = plays.find(|play| play.is(&job.ladder, job.step)) {
            play.is_reached = true;
        }
    }

    /// The last job of a round ended without getting there: when none of the others did either, the
    /// next step does not wait for its time.
    pub(super) fn unreached(&mut self, job: &Job, now: i64) {
        let play = self
            .plays
            .iter()
            .find(|play| play.is(&job.ladder, job.step));
        if play.is_some_and(|play| play.is_reached) {
            return;
        }
        self.hasten(&job.ladder, job.step, now);
    }

    /// The next step of a ladder that was not told yet is told now.
    pub(super) fn hasten(&mut self, ladder: &str, after: u16, now: i64) {
        let next = self.plays.iter_mut().find(|play| {
            play.ladder == ladder && play.step > after && play.round == 0 && play.due.is_some()
        });
        if let Some(next) = next {
            next.due = next.due.map(|due| due.min(now));
        }
    }
}

impl Play {
    pub(super) fn new(ladder: &str, step: u16, due: i64) -> Self {
        Self {
            ladder: ladder.to_owned(),
            step,
            round: 0,
            due: Some(due),
            is_reached: false,
        }
    }

    pub(super) fn is(&self, ladder: &str, step: u16) -> bool {
        self.ladder == ladder && self.step == step
    }
}

impl Job {
    pub(super) fn is_of_same_step(&self, other: &Self) -> bool {
        self.case == other.case && self.ladder == other.ladder && self.step == other.step
    }
}

/// What survives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::notify) struct Saved {
    version: u8,
    /// Both clocks when it was saved.
    wall: i64,
    up: i64,
    cases: Vec<(Uuid, Case)>,
    jobs: Vec<Job>,
    seen: VecDeque<Uuid>,
    next_code: u16,
}

impl Ladder {
    /// What is to be kept.
    pub(in crate::notify) fn save(&self, now: Now) -> Saved {
        let cases = self.cases.iter().map(|(key, case)| (*key, case.clone()));
        Saved {
            version: VERSION,
            wall: now.wall.0,
            up: now.up,
            cases: cases.collect(),
            jobs: self.jobs.clone(),
            seen: self.seen.clone(),
            next_code: self.next_code,
        }
    }

    /// Goes on with what was kept. Time that passed meanwhile counts, at most a day. What was on
    /// its way when the agent ended is sent again, under its old id: nobody knows whether it got
    /// there.
    pub(in crate::notify) fn restore(plan: Plan, saved: Saved, now: Now) -> Self {
        let mut ladder = Self::new(plan.clone());
        if saved.version != VERSION {
            return ladder;
        }
        let away = now.wall.0.saturating_sub(saved.wall).clamp(0, AWAY_US_MAX);
        let moved = |time: i64| {
            let before = saved.up.saturating_sub(time);
            now.up.saturating_sub(before).saturating_sub(away)
        };
        ladder.cases = saved
            .cases
            .into_iter()
            .take(CASES_MAX)
            .map(|(key, mut case)| {
                case.began = moved(case.began);
                case.told_at = moved(case.told_at);
                for play in &mut case.plays {
                    play.due = play.due.map(moved);
                }
                (key, case)
            })
            .collect::<BTreeMap<_, _>>();
        ladder.jobs = saved.jobs.into_iter().take(JOBS_MAX).collect();
        for job in &mut ladder.jobs {
            job.due = moved(job.due);
            job.message = None;
        }
        ladder.seen = saved.seen;
        ladder.next_code = saved.next_code;
        ladder.change_plan(plan);
        ladder
    }
}
