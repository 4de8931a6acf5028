//! What the answers of a modem mean: SIM, network, signal, messages that came. Never sends a byte.

use super::super::pdu::{self, Delivered};
use super::{Event, For, Modem};

impl Modem {
    pub(super) fn sim(&mut self, answer: &[String], result: Result<(), String>) {
        let state = answer.iter().find_map(|line| line.strip_prefix("+CPIN:"));
        match (state.map(str::trim), result) {
            (Some("READY"), _) => self.set_up(),
            (Some("SIM PIN"), _) => match self.settings.pin.clone() {
                Some(pin) if !self.pin_tried => {
                    self.pin_tried = true;
                    self.add(&format!("AT+CPIN=\"{pin}\""), For::Pin);
                }
                Some(_) => self.not_ready("the SIM does not take the configured PIN"),
                None => self.not_ready("the SIM wants its PIN; write pin_file ="),
            },
            (Some(other), _) => self.not_ready(&format!(
                "the SIM wants its {other}; put it into a telephone and unlock it"
            )),
            // The card is still busy after it was switched on: asked again with the next look.
            (None, Err(words)) => {
                self.not_ready(&words);
                self.events.push_back(Event::Lost(words));
            }
            (None, Ok(())) => self.not_ready("the modem does not say how the SIM is"),
        }
    }

    pub(super) fn set_up(&mut self) {
        if self.settings.text_mode {
            self.add("AT+CMGF=1", For::Setting);
            self.add("AT+CSCS=\"IRA\"", For::Setting);
        } else {
            self.add("AT+CMGF=0", For::Setting);
        }
        // New messages are kept on the card and told by their place (TS 27.005 section 3.4.1).
        self.add("AT+CNMI=2,1,0,0,0", For::Setting);
        self.look = 0;
    }

    pub(super) fn network(&mut self, answer: &[String], now: i64) {
        let line = answer.iter().find_map(|line| line.strip_prefix("+CREG:"));
        let fields: Vec<&str> = line.unwrap_or_default().split(',').map(str::trim).collect();
        // At home, or with another operator.
        let is_in = matches!(fields.get(1).or(fields.first()), Some(&("1" | "5")));
        match (is_in, self.is_ready) {
            (true, false) => {
                self.is_ready = true;
                self.told = None;
                self.look = now;
            }
            (false, _) => {
                let words = match fields.get(1) {
                    Some(&"3") => "the network refuses this SIM card; is it activated?",
                    _ => "there is no network yet; look at the antenna",
                };
                self.not_ready(words);
            }
            (true, true) => {}
        }
    }

    /// TS 27.007 section 8.5: 0 is -113 dBm or less, each step 2 dB, 99 unknown.
    pub(super) fn signal(&mut self, answer: &[String]) {
        let line = answer.iter().find_map(|line| line.strip_prefix("+CSQ:"));
        let number = line.and_then(|line| line.split(',').next()?.trim().parse::<i16>().ok());
        self.dbm = number
            .filter(|number| (0..=31).contains(number))
            .map(|number| 2 * number - 113);
        if self.is_ready {
            self.events.push_back(Event::Ready { dbm: self.dbm });
        }
    }

    /// All messages that lie on the card, by their place.
    pub(super) fn listed(&mut self, answer: &[String]) {
        let places: Vec<u16> = answer
            .iter()
            .filter_map(|line| {
                line.strip_prefix("+CMGL:")?
                    .split(',')
                    .next()?
                    .trim()
                    .parse()
                    .ok()
            })
            .collect();
        for place in places {
            let line = format!("AT+CMGR={place}");
            if self.waiting.iter().all(|command| command.line != line) {
                self.read(place);
            }
        }
    }

    /// A message that was read from its place.
    pub(super) fn came(&mut self, answer: &[String]) {
        let Some(at) = answer.iter().position(|line| line.starts_with("+CMGR:")) else {
            return;
        };
        let rest = answer.get(at + 1..).unwrap_or_default();
        let message = if self.settings.text_mode {
            let head = answer.get(at).map_or("", String::as_str);
            let mut fields = head.split(',');
            let from = fields
                .nth(1)
                .unwrap_or_default()
                .trim_matches('"')
                .to_owned();
            // A message that was sent from here lies there too, without a sender.
            head.contains("\"REC ").then(|| Delivered {
                from,
                text: rest.join("\n"),
            })
        } else {
            rest.first().and_then(|hex| pdu::delivered(hex))
        };
        self.events.extend(message.map(Event::Came));
    }
}
