//! What is known of the time in one boot of the machine: a clock that was never set counts on from
//! where it began, until something tells the true time; then all of its stamps are off by the same
//! difference. Never reads a clock: what the clocks say are arguments.

use protocol::time::{ClockState, Correction, EARLIEST, Timestamp};
use serde::{Deserialize, Serialize};

/// A wall clock that moves by more than this against the monotonic one was set by somebody.
const STEP_US: i64 = 10_000_000;

/// What the clocks of the machine say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Since the machine was started, through restarts of the program.
    pub boot_us: i64,
    /// The wall clock.
    pub wall: Timestamp,
    /// A time service or the configuration says that the wall clock is right.
    pub disciplined: bool,
    /// A clock with a battery ran on while the machine was off.
    pub has_battery: bool,
    /// At the start the machine sets its clock to the time it saved last.
    pub is_restored: bool,
}

/// One boot. Kept in the store, so that a later run of the program in the same boot goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Boot {
    /// The system's name for it.
    pub id: String,
    /// Until the time is known it is taken to be this, plus the time since the boot.
    pub base_us: i64,
    known: Option<Known>,
}

/// The true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// To be added to the time since the boot; follows the wall clock where that is right.
    offset_us: i64,
    /// The wall clock is still wrong: the hub told the time.
    by_hub: bool,
    /// What stamps of this boot were off by before, when there may be such.
    shift_us: Option<i64>,
}

impl Look {
    fn offset_us(&self) -> i64 {
        self.wall.micros_since(Timestamp(self.boot_us))
    }

    fn is_plausible(&self) -> bool {
        self.wall >= EARLIEST
    }
}

impl Boot {
    /// At the start of the program. `saved` is what the store kept, of this boot or an earlier one;
    /// `last` the newest time that this box wrote down itself.
    pub(super) fn begin(id: String, look: &Look, saved: Option<Self>, last: Timestamp) -> Self {
        if let Some(mut boot) = saved.filter(|saved| saved.id == id) {
            boot.look(look);
            return boot;
        }
        let ran_on = look.has_battery || (!look.is_restored && look.wall >= last);
        let is_right = look.is_plausible() && (look.disciplined || ran_on);
        Self {
            id,
            base_us: look.offset_us(),
            known: is_right.then_some(Known {
                offset_us: look.offset_us(),
                by_hub: false,
                shift_us: None,
            }),
        }
    }

    /// To be called every second or so.
    pub(super) fn look(&mut self, look: &Look) {
        if !look.is_plausible() {
            return;
        }
        let moved_us = look.offset_us().saturating_sub(self.base_us);
        match &mut self.known {
            None if look.disciplined || moved_us.saturating_abs() > STEP_US => {
                self.become_known(look.offset_us(), false);
            }
            None => {}
            Some(known) => {
                let off_us = look.offset_us().saturating_sub(known.offset_us);
                if known.by_hub && !look.disciplined && off_us.saturating_abs() > STEP_US {
                    return;
                }
                known.by_hub = false;
                known.offset_us = look.offset_us();
            }
        }
    }

    /// The hub said what time it is. Counts only while nothing nearer says it.
    pub(super) fn learn(&mut self, look: &Look, hub: Timestamp) {
        if hub < EARLIEST {
            return;
        }
        let offset_us = hub.micros_since(Timestamp(look.boot_us));
        match &mut self.known {
            None => self.become_known(offset_us, true),
            Some(known) if known.by_hub => known.offset_us = offset_us,
            Some(_) => {}
        }
    }

    fn become_known(&mut self, offset_us: i64, by_hub: bool) {
        self.known = Some(Known {
            offset_us,
            by_hub,
            shift_us: Some(offset_us.saturating_sub(self.base_us)),
        });
    }

    /// Time and how far it may be trusted.
    pub(super) fn stamp(&self, look: &Look) -> (Timestamp, ClockState) {
        let counted = |offset_us| Timestamp(look.boot_us).plus_micros(offset_us);
        match &self.known {
            None => (counted(self.base_us), ClockState::Untrusted),
            Some(known) if known.by_hub || !look.is_plausible() => {
                (counted(known.offset_us), ClockState::Holdover)
            }
            Some(_) if look.disciplined => (look.wall, ClockState::Synchronised),
            Some(_) => (look.wall, ClockState::Holdover),
        }
    }

    /// Whether the time is known.
    pub(super) const fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// Once the time is known: what stamps of this boot were off by that were taken before.
    pub(super) fn correction(&self, look: &Look) -> Option<Correction> {
        let counted = |boot_us| Timestamp(self.base_us).plus_micros(boot_us);
        Some(Correction {
            from: counted(0),
            until: counted(look.boot_us),
            shift_us: self.known?.shift_us?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    /// 2026-11-22.
    const TRUE_US: i64 = 1_795_305_600 * SECOND;

    fn look(boot_s: i64, wall_us: i64) -> Look {
        Look {
            boot_us: boot_s * SECOND,
            wall: Timestamp(wall_us),
            disciplined: false,
            has_battery: false,
            is_restored: false,
        }
    }

    fn shift_us(boot: &Boot) -> Option<i64> {
        Some(boot.correction(&look(0, 0))?.shift_us)
    }

    fn begin(look: &Look) -> Boot {
        Boot::begin("a".to_owned(), look, None, Timestamp(0))
    }

    #[test]
    fn a_clock_in_1970_counts_on_and_is_bridged_when_it_is_set() {
        let mut boot = begin(&look(20, 25 * SECOND));
        assert_eq!(
            boot.stamp(&look(60, 65 * SECOND)),
            (Timestamp(65 * SECOND), ClockState::Untrusted)
        );
        let set = look(100, TRUE_US + 100 * SECOND);
        // Not looked at yet: the stamps stay those of one clock.
        assert_eq!(boot.stamp(&set).0, Timestamp(105 * SECOND));
        boot.look(&set);
        assert_eq!(shift_us(&boot), Some(TRUE_US - 5 * SECOND));
        assert_eq!(boot.stamp(&set), (set.wall, ClockState::Holdover));
        // What was stamped at 60 s of the boot, moved by the shift, is when it was.
        let moved = 65 * SECOND + shift_us(&boot).unwrap();
        assert_eq!(moved, TRUE_US + 60 * SECOND);
    }

    #[test]
    fn the_shift_is_fixed_once_whatever_the_clock_does_afterwards() {
        let mut boot = begin(&look(20, 20 * SECOND));
        boot.look(&look(30, TRUE_US + 30 * SECOND));
        let shift = shift_us(&boot);
        boot.look(&look(40, TRUE_US + 4_000 * SECOND));
        boot.learn(&look(50, TRUE_US), Timestamp(TRUE_US));
        boot.look(&look(60, 5 * SECOND));
        assert_eq!(shift_us(&boot), shift);
        // Set back to 1970 by somebody: time goes on as it was known last.
        let (time, clock) = boot.stamp(&look(60, 5 * SECOND));
        assert_eq!(time, Timestamp(TRUE_US + 4_020 * SECOND));
        assert_eq!(clock, ClockState::Holdover);
    }

    #[test]
    fn a_restored_clock_is_not_believed_until_it_is_set_or_told() {
        let restored = |boot_s, wall| Look {
            is_restored: true,
            ..look(boot_s, wall)
        };
        let mut boot = begin(&restored(10, TRUE_US - 86_400 * SECOND));
        assert!(!boot.is_known());
        boot.look(&restored(20, TRUE_US - 86_390 * SECOND));
        assert!(!boot.is_known(), "it only ran on");
        let mut by_service = boot.clone();
        by_service.look(&Look {
            disciplined: true,
            ..restored(30, TRUE_US - 86_377 * SECOND)
        });
        assert_eq!(shift_us(&by_service), Some(3 * SECOND));
        boot.learn(&restored(30, TRUE_US - 86_380 * SECOND), Timestamp(TRUE_US));
        assert_eq!(shift_us(&boot), Some(86_380 * SECOND));
        let later = restored(40, TRUE_US - 86_370 * SECOND);
        let told = Timestamp(TRUE_US + 10 * SECOND);
        assert_eq!(boot.stamp(&later), (told, ClockState::Holdover));
        // At last the wall clock is set too: it is followed from then on.
        let set = restored(50, TRUE_US + 21 * SECOND);
        boot.look(&set);
        assert_eq!(boot.stamp(&set).0, set.wall);
        assert_eq!(shift_us(&boot), Some(86_380 * SECOND));
    }

    #[test]
    fn a_battery_a_time_service_or_a_clock_that_ran_on_is_believed() {
        let battery = Look {
            has_battery: true,
            is_restored: true,
            ..look(10, TRUE_US)
        };
        assert!(begin(&battery).is_known());
        assert!(begin(&look(10, TRUE_US)).is_known());
        let last = Timestamp(TRUE_US + SECOND);
        let behind = Boot::begin("a".to_owned(), &look(10, TRUE_US), None, last);
        assert!(!behind.is_known(), "it shows a time before what it wrote");
        let empty = Look {
            has_battery: true,
            ..look(10, 10 * SECOND)
        };
        assert!(!begin(&empty).is_known(), "the battery is flat");
    }

    #[test]
    fn a_restart_in_the_same_boot_goes_on_and_a_new_boot_begins_anew() {
        let first = begin(&look(20, 20 * SECOND));
        let again = Boot::begin(
            "a".to_owned(),
            &look(90, 90 * SECOND),
            Some(first.clone()),
            Timestamp(0),
        );
        assert_eq!(again, first);
        let set = look(95, TRUE_US + 95 * SECOND);
        let bridged = Boot::begin("a".to_owned(), &set, Some(first.clone()), Timestamp(0));
        assert_eq!(shift_us(&bridged), Some(TRUE_US));
        let other = look(5, 5 * SECOND);
        let other = Boot::begin("b".to_owned(), &other, Some(bridged), Timestamp(TRUE_US));
        assert_eq!((other.is_known(), shift_us(&other)), (false, None));
    }
}
