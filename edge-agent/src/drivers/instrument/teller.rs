//! What is told of one instrument, and when: each change once. A frame that does not fit is told with
//! its bytes, the further ones are counted until several in a row have fitted. Never does I/O.

use crate::drivers::{DeviceReport, DeviceState};
use protocol::time::Timestamp;

/// Good frames in a row after which one that did not fit is forgotten.
const GOOD_MIN: u32 = 3;

/// The state of one instrument.
#[derive(Debug)]
pub(super) struct Teller {
    device: String,
    /// What holds now.
    now: Option<(DeviceState, String)>,
    /// State and words that were told last.
    told: Option<(DeviceState, String)>,
    /// Frames that did not fit, since the start.
    misfits: u64,
    /// What did not fit, until enough have fitted since.
    misfit: Option<String>,
    good_in_row: u32,
}

impl Teller {
    pub(super) const fn new(device: String) -> Self {
        Self {
            device,
            now: None,
            told: None,
            misfits: 0,
            misfit: None,
            good_in_row: 0,
        }
    }

    /// Nothing comes from it, or nothing of use.
    pub(super) fn failing(&mut self, state: DeviceState, words: String) {
        self.now = Some((state, words));
    }

    /// A frame did not fit.
    pub(super) fn misfit(&mut self, words: String) {
        self.misfits = self.misfits.saturating_add(1);
        self.good_in_row = 0;
        self.misfit.get_or_insert(words);
    }

    /// A frame fitted.
    pub(super) fn good(&mut self) {
        self.good_in_row = self.good_in_row.saturating_add(1);
        if self.good_in_row >= GOOD_MIN {
            self.misfit = None;
        }
    }

    /// Something comes from it; `words` say what is to be said of a device that is well.
    pub(super) fn living(&mut self, words: &str) {
        self.now = Some(match &self.misfit {
            Some(misfit) => (DeviceState::Error, misfit.clone()),
            None if self.misfits == 0 => (DeviceState::Ok, words.to_owned()),
            None => {
                let many = if self.misfits == 1 { "frame" } else { "frames" };
                let count = format!(" {} {many} did not fit since the start.", self.misfits);
                (DeviceState::Ok, format!("{words}{count}"))
            }
        });
    }

    /// What is to be told, if anything is new.
    pub(super) fn report(&mut self, time: Timestamp) -> Option<DeviceReport> {
        let now = self.now.clone()?;
        // How many did not fit is told with the next change of state.
        let is_told = self
            .told
            .as_ref()
            .is_some_and(|told| told.0 == now.0 && (now.0 == DeviceState::Ok || told.1 == now.1));
        if is_told {
            return None;
        }
        self.told = Some(now.clone());
        Some(DeviceReport {
            device: self.device.clone(),
            time,
            state: now.0,
            words: now.1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misfit_is_told_once_with_its_bytes_and_forgotten_after_three_good_frames() {
        let mut teller = Teller::new("scale".into());
        let time = Timestamp::from_millis(1);
        let mut step = |misfit: Option<&str>| {
            match misfit {
                Some(words) => teller.misfit(words.to_owned()),
                None => teller.good(),
            }
            teller.living("It answers.");
            let report = teller.report(time);
            report.map(|report| (report.state, report.words))
        };
        let told = |state, words: &str| Some((state, words.to_owned()));
        assert_eq!(step(None), told(DeviceState::Ok, "It answers."));
        assert_eq!(step(None), None);
        assert_eq!(step(Some("first")), told(DeviceState::Error, "first"));
        for words in ["second", "third"] {
            assert_eq!(step(Some(words)), None);
        }
        assert_eq!((step(None), step(None)), (None, None));
        let counted = "It answers. 3 frames did not fit since the start.";
        assert_eq!(step(None), told(DeviceState::Ok, counted));
        assert_eq!(step(Some("fourth")), told(DeviceState::Error, "fourth"));
        teller.failing(DeviceState::Silent, "nothing".into());
        assert_eq!(teller.report(time).unwrap().state, DeviceState::Silent);
        assert_eq!((teller.report(time), teller.misfits), (None, 4));
    }
}
