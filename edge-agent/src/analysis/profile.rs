//! Named settings of the deviation detector, for whoever runs it over a series without a rule.
//! Never more than settings: the detector is the same.

use crate::config::DeviationRule;
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
        score: 1.5,
        learn: Duration::ZERO,
        quiet: Duration::from_secs(8 * 3_600),
    },
];

impl Profile {
    /// The profile of a name.
    pub fn named(name: &str) -> Option<Self> {
        PROFILES.into_iter().find(|profile| profile.name == name)
    }

    /// As a rule.
    pub const fn rule(&self) -> DeviationRule {
        DeviationRule {
            score: self.score,
            learn: self.learn,
            quiet: self.quiet,
        }
    }
}
