//! The deviation detector over a series without a rule: named settings, and one pass that scores each
//! reading. Never holds an alert: the model learns from every reading, also from what stands out.

use super::deviation::{Model, Verdict};
use super::standing::lasted;
use crate::config::DeviationRule;
use protocol::time::Timestamp;
use std::time::Duration;

/// One named setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// What people call it.
    pub name: &'static str,
    /// What it is for.
    pub words: &'static str,
    /// See `DeviationRule`.
    pub score: f64,
    /// See `DeviationRule`.
    pub learn: Duration,
    /// See `DeviationRule`.
    pub quiet: Duration,
}

/// All of them.
pub const PROFILES: [Profile; 2] = [
    Profile {
        name: "default",
        words: "as a rule without keys of its own: at most 0.1 false alarms per sensor and week",
        score: DeviationRule::SCORE,
        learn: DeviationRule::LEARN,
        quiet: DeviationRule::QUIET,
    },
    Profile {
        name: "watchful",
        words: "for looking through recorded data: finds much more, with a few false alarms a week; \
                the setting of the NAB figure",
        score: 1.8,
        learn: Duration::ZERO,
        quiet: Duration::from_secs(8 * 3_600),
    },
];

impl Profile {
    /// The profile of a name.
    pub fn named(name: &str) -> Option<Self> {
        PROFILES.into_iter().find(|profile| profile.name == name)
    }
}

/// A pass over one series. What it says of a reading depends on those before it only.
#[derive(Clone, Debug)]
pub struct Analysis {
    profile: Profile,
    model: Model,
    began: Option<Timestamp>,
    told: Option<Timestamp>,
}

/// What a pass says of a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// What the model says.
    pub verdict: Verdict,
    /// Whether a rule with this setting would tell it.
    pub told: bool,
}

impl Analysis {
    /// Has seen nothing yet.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            model: Model::new(),
            began: None,
            told: None,
        }
    }

    /// Scores the next reading.
    pub fn step(&mut self, value: f64, time: Timestamp) -> Scored {
        let verdict = self.model.step(value, time, false);
        let began = *self.began.get_or_insert(time);
        let quiet = self
            .told
            .filter(|told| !lasted(*told, time, self.profile.quiet));
        let told = verdict.score >= self.profile.score
            && lasted(began, time, self.profile.learn)
            && quiet.is_none();
        if told {
            self.told = Some(time);
        }
        Scored { verdict, told }
    }
}
