//! From steps whose time has come to messages: who is on duty, what is quiet, how many a minute,
//! what is told together. Never keeps anything of its own.

use super::case::{Case, Entry, JOBS_MAX, Job};
use super::{Ladder, Now, Output, QUIET_LOOK_US};
use crate::config::StepConfig;
use crate::notify::matter::{Message, Part, Recipient};
use crate::notify::plan::{Plan, Wants};
use protocol::event::Severity;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The time that `per_minute` counts in, in microseconds.
const MINUTE_US: i64 = 60_000_000;

/// What one step makes.
#[derive(Default)]
struct Made {
    jobs: Vec<Job>,
    lamps: Vec<String>,
    unreachable: Vec<Entry>,
}

impl Ladder {
    /// Makes the jobs of all steps whose time has come. A step that reaches nobody has the next
    /// one begin, which may be due at once too.
    pub(super) fn fire_due(&mut self, now: Now, out: &mut Vec<Output>) {
        let keys: Vec<Uuid> = self.cases.keys().copied().collect();
        for key in keys {
            while self.fire_one(key, now, out) {}
        }
    }

    /// Fires the first step of a case that is due; whether there was one.
    fn fire_one(&mut self, key: Uuid, now: Now, out: &mut Vec<Output>) -> bool {
        let Some(case) = self.cases.get_mut(&key) else {
            return false;
        };
        let due = |play: &super::Play| play.due.is_some_and(|due| due <= now.up);
        let Some(at) = case.plays.iter().position(due) else {
            return false;
        };
        let Some(play) = case.plays.get_mut(at) else {
            return false;
        };
        let Some(step) = self.plan.step(&play.ladder, play.step).cloned() else {
            play.due = None;
            return true;
        };
        let (ladder, number, round) = (play.ladder.clone(), play.step, play.round);
        // What waits for nobody is told once.
        let repeat = step
            .repeat
            .filter(|_| super::waits_for_somebody(&case.matter));
        let repeat = repeat.and_then(|every| i64::try_from(every.as_micros()).ok());
        play.round = play.round.saturating_add(1);
        play.is_reached = false;
        play.due = repeat.map(|every| now.up.saturating_add(every));
        let mut made = made(&self.plan, case, &step, now);
        for job in &mut made.jobs {
            job.id = job_id(case, &step, job, round);
            (job.case, job.ladder, job.step, job.round) = (key, ladder.clone(), number, round);
        }
        for lamp in made.lamps {
            if !case.lamps.contains(&lamp) {
                case.lamps.push(lamp);
            }
        }
        if made.jobs.is_empty() && !made.unreachable.is_empty() {
            case.hasten(&ladder, number, now.up);
        }
        out.extend(made.unreachable.into_iter().map(Output::Unreachable));
        for job in made.jobs {
            self.add(job, out);
        }
        true
    }

    /// The same message for the same person is made once, though two ladders want it.
    fn add(&mut self, job: Job, out: &mut Vec<Output>) {
        if self.jobs.iter().any(|known| known.id == job.id) {
            return;
        }
        if self.jobs.len() < JOBS_MAX {
            self.jobs.push(job);
            return;
        }
        if let Some(case) = self.cases.get(&job.case) {
            out.push(Output::Unreachable(Entry {
                matter: case.matter.clone(),
                channel: job.channel,
                to: job.person.unwrap_or_default(),
                words: format!("{JOBS_MAX} messages wait already"),
            }));
        }
    }

    /// Sends what is due and may go, the most urgent first.
    pub(super) fn send_due(&mut self, now: Now, out: &mut Vec<Output>) {
        let mut order: Vec<(Severity, i64, Uuid)> = Vec::new();
        let mut next = i64::MAX;
        for job in self.jobs.iter().filter(|job| job.message.is_none()) {
            if job.due > now.up {
                next = next.min(job.due);
            } else if let Some(case) = self.cases.get(&job.case) {
                order.push((case.matter.severity, job.due, job.id));
            }
        }
        if next < i64::MAX {
            self.wake_at(next);
        }
        order.sort_by_key(|(severity, due, id)| (std::cmp::Reverse(*severity), *due, *id));
        let mut done = BTreeSet::new();
        for (severity, _, id) in &order {
            if !done.contains(id) {
                done.extend(self.send_one(*id, *severity, (&order, now), out));
            }
        }
    }

    /// Sends one job, with others for the same person by the same channel when there are more than
    /// may go in this minute; answers which went or have to wait.
    fn send_one(
        &mut self,
        id: Uuid,
        severity: Severity,
        (order, now): (&[(Severity, i64, Uuid)], Now),
        out: &mut Vec<Output>,
    ) -> Vec<Uuid> {
        let Some(job) = self.jobs.iter().find(|job| job.id == id) else {
            return vec![id];
        };
        let (channel, person) = (job.channel.clone(), job.person.clone());
        let Some(way) = self.plan.way(&channel) else {
            return vec![id];
        };
        let is_critical = severity == Severity::Critical;
        if !is_critical && self.plan.is_quiet(way, now.wall) {
            self.wake_at(now.up + QUIET_LOOK_US);
            return vec![id];
        }
        let most = usize::from(way.per_minute);
        let sent = self.sent.entry(channel.clone()).or_default();
        while sent.front().is_some_and(|time| *time <= now.up - MINUTE_US) {
            sent.pop_front();
        }
        let left = most.saturating_sub(sent.len());
        if left == 0 && !is_critical {
            let next = sent.front().map_or(now.up, |first| *first + MINUTE_US);
            self.wake_at(next);
            return vec![id];
        }
        if sent.len() >= most {
            sent.pop_front();
        }
        sent.push_back(now.up);
        let same =
            |job: &&Job| job.message.is_none() && job.channel == channel && job.person == person;
        let waiting: BTreeSet<Uuid> = self.jobs.iter().filter(same).map(|job| job.id).collect();
        let mut together: Vec<Uuid> = order
            .iter()
            .filter(|(other, _, id)| *other < Severity::Critical && waiting.contains(id))
            .map(|(_, _, id)| *id)
            .collect();
        if is_critical || together.len() <= left {
            together = vec![id];
        }
        out.extend(self.message(&together).map(Output::Send));
        together
    }

    /// One message of these jobs, the most urgent first.
    fn message(&mut self, ids: &[Uuid]) -> Option<Message> {
        let mut parts = Vec::new();
        let mut message: Option<Message> = None;
        for id in ids {
            let Some(job) = self.jobs.iter_mut().find(|job| job.id == *id) else {
                continue;
            };
            let Some(case) = self.cases.get(&job.case) else {
                continue;
            };
            let first = ids.first().copied().unwrap_or(*id);
            job.message = Some(first);
            parts.push(Part {
                job: job.id,
                matter: case.matter.clone(),
                code: case.code,
            });
            let message = message.get_or_insert_with(|| Message {
                id: first,
                channel: job.channel.clone(),
                to: job
                    .person
                    .clone()
                    .zip(job.address.clone())
                    .map(|(name, address)| Recipient { name, address }),
                call: false,
                attempt: job.attempt,
                round: job.round,
                parts: Vec::new(),
            });
            message.call |= job.call;
        }
        message.map(|message| Message { parts, ..message })
    }

    fn wake_at(&mut self, time: i64) {
        self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
    }
}

/// Follows from the matter, the person, the way and the place in time: two ladders with the same
/// step make the same job.
fn job_id(case: &Case, step: &StepConfig, job: &Job, round: u16) -> Uuid {
    let person = job.person.as_deref().unwrap_or_default();
    let after = step.after.as_micros();
    let name = format!("{}\n{person}\n{after}\n{round}", job.channel);
    Uuid::new_v5(&case.matter.id, name.as_bytes())
}

/// What a step makes for a case at this time; the jobs are not numbered yet.
fn made(plan: &Plan, case: &Case, step: &StepConfig, now: Now) -> Made {
    let mut made = Made::default();
    for channel in &step.channels {
        let Some(way) = plan
            .way(channel)
            .filter(|way| case.matter.severity >= way.severity)
        else {
            continue;
        };
        if way.lamp.is_some() {
            if case.matter.alert.is_some() {
                made.lamps.push(channel.clone());
            }
            continue;
        }
        let job = |person: Option<String>, address: Option<String>| Job {
            id: Uuid::nil(),
            case: Uuid::nil(),
            ladder: String::new(),
            step: 0,
            round: 0,
            channel: channel.clone(),
            person,
            address,
            call: step.call,
            attempt: 1,
            due: now.up,
            message: None,
        };
        if way.wants == Wants::Nobody {
            made.jobs.push(job(None, None));
            continue;
        }
        let names = if step.to.is_empty() {
            &way.to
        } else {
            &step.to
        };
        let people = plan.on_duty(names, now.wall);
        let mut unreachable = |to: &str, words: String| {
            made.unreachable.push(Entry {
                matter: case.matter.clone(),
                channel: channel.clone(),
                to: to.to_owned(),
                words,
            });
        };
        if people.is_empty() {
            let words = match names.as_slice() {
                [] => "neither the step nor the channel says who is told".to_owned(),
                names => format!("nobody of {} is on duty", names.join(", ")),
            };
            unreachable("", words);
        }
        for person in people {
            if let Some(address) = plan.address(&person, way.wants) {
                made.jobs.push(job(Some(person), Some(address)));
            } else {
                let what = match way.wants {
                    Wants::Email => "mail address",
                    _ => "telephone number",
                };
                unreachable(&person, format!("no {what} of this person is configured"));
            }
        }
    }
    made
}
