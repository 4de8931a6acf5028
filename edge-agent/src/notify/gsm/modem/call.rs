//! A telephone that rings: from dialling to hanging up. Never speaks a word.

use super::{CALL_LOOK_US, Call, For, Modem, TAKEN_US};

impl Modem {
    pub(super) fn dialled(&mut self, result: Result<(), String>, now: i64) {
        match result {
            Ok(()) => {
                self.call = Some(Call {
                    until: now + self.settings.ring_us,
                    look: now + CALL_LOOK_US,
                    rang: false,
                    taken: false,
                    blind: false,
                });
            }
            Err(words) => self.ended(Err(words)),
        }
    }

    /// How the call is (TS 27.007 section 7.18): 0 taken, 3 rings.
    pub(super) fn call_state(&mut self, answer: &[String], result: Result<(), String>, now: i64) {
        let Some(call) = &mut self.call else { return };
        if result.is_err() {
            call.blind = true;
            return;
        }
        let state = answer
            .iter()
            .find_map(|line| line.strip_prefix("+CLCC:")?.split(',').nth(2));
        match state.map(str::trim) {
            Some("0") if !call.taken => {
                call.taken = true;
                call.until = call.until.min(now + TAKEN_US);
            }
            Some("3") => call.rang = true,
            None if call.rang || call.taken => {
                let words = call.words();
                self.call = None;
                self.ended(Ok(words));
            }
            _ => {}
        }
    }

    pub(super) fn hang_up(&mut self) {
        if let Some(call) = &mut self.call {
            call.until = i64::MAX;
            call.look = i64::MAX;
            self.add("ATH", For::HangUp);
        }
    }

    /// The other side, or the network, ended the call; also the end of `ATD` where it fails.
    pub(super) fn call_ended(&mut self, word: &str, now: i64) {
        let is_dialling = self
            .running
            .as_ref()
            .is_some_and(|(command, _)| command.purpose == For::Dial);
        if is_dialling {
            self.running = None;
        }
        match self.call.take() {
            Some(call) if call.rang || call.taken => self.ended(Ok(call.words())),
            None if !is_dialling => return,
            _ => {
                let words = match word {
                    "BUSY" => "the line is busy, or the call was declined",
                    "NO ANSWER" => "nobody took the call",
                    "NO CARRIER" => "the call did not come about",
                    _ => "there is no dial tone",
                };
                self.ended(Err(words.to_owned()));
            }
        }
        self.next(now);
    }
}

impl Call {
    pub(super) fn words(self) -> String {
        let words = match (self.taken, self.rang, self.blind) {
            (true, _, _) => "the call was taken",
            (false, true, _) => "the telephone rang",
            (false, false, true) => "it was dialled; this modem does not say whether it rang",
            (false, false, false) => "it was dialled; it did not ring in that time",
        };
        words.to_owned()
    }
}
