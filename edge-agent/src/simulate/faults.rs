//! What a simulated unit does wrong, to order: `2 late 1500ms every 20`. Pure: it counts requests.
//! Never touches a register: a fault spoils the way of an answer, not its value.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Longest delay that can be ordered.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Never answers.
    Dead,
    /// Answers so much later.
    Late(Duration),
    /// Bytes that mean nothing come before the answer.
    Noise,
    /// The checksum of the answer is wrong; over Modbus TCP, which has none, its header.
    Checksum,
    /// Refuses with this exception code.
    Exception(u8),
    /// Closes the connection; a serial line vanishes for two seconds, like an adapter that is pulled.
    Disconnect,
}

/// A fault and how often it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Often {
    /// What.
    pub fault: Fault,
    /// At one request in so many, from 1.
    pub every: u32,
}

/// `UNIT FAULT`, as a person orders it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The unit; `None` for all.
    pub unit: Option<u8>,
    /// What is wrong from now on; `None` for nothing.
    pub fault: Option<Often>,
}

/// What was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not understood: {why}. Write a unit or all, then dead, late 1500ms, slow 200ms, \
     noise, crc, exception 4, disconnect or ok, and at will every 20"
)]
pub struct OrderError {
    text: String,
    why: &'static str,
}

/// The faults of all units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    all: Option<Counted>,
    units: BTreeMap<u8, Option<Counted>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    often: Often,
    requests: u32,
}

impl Faults {
    /// Follows an order. One for all units replaces those of single ones.
    pub(super) fn order(&mut self, order: Order) {
        let counted = order.fault.map(|often| Counted { often, requests: 0 });
        if let Some(unit) = order.unit {
            self.units.insert(unit, counted);
        } else {
            self.all = counted;
            self.units.clear();
        }
    }

    /// Counts one request to `unit` and says what goes wrong with it.
    pub(super) fn strike(&mut self, unit: u8) -> Option<Fault> {
        let counted = match self.units.get_mut(&unit) {
            Some(own) => own.as_mut(),
            None => self.all.as_mut(),
        }?;
        counted.requests = counted.requests.wrapping_add(1);
        let strikes = counted.requests.is_multiple_of(counted.often.every);
        strikes.then_some(counted.often.fault)
    }

    /// As orders, one on each line.
    pub(super) fn words(&self) -> String {
        let all = self.all.map(|counted| Order {
            unit: None,
            fault: Some(counted.often),
        });
        let own = self.units.iter().map(|(unit, counted)| Order {
            unit: Some(*unit),
            fault: counted.map(|counted| counted.often),
        });
        let orders = all.into_iter().chain(own).map(|order| order.to_string());
        let orders: Vec<String> = orders.collect();
        orders.join("\n")
    }
}

impl FromStr for Order {
    type Err = OrderError;

    fn from_str(text: &str) -> Result<Self, OrderError> {
        let wrong = |why| OrderError {
            text: text.trim().to_owned(),
            why,
        };
        let mut words = text.split_whitespace();
        let unit = match words.next() {
            Some("all") => None,
            Some(word) => Some(word.parse().map_err(|_| wrong("the unit is a number"))?),
            None => return Err(wrong("it is empty")),
        };
        let fault = words.next().ok_or_else(|| wrong("the fault is missing"))?;
        let mut delay = || {
            let word = words.next().ok_or_else(|| wrong("the time is missing"))?;
            time(word).ok_or_else(|| wrong("a time is for example 200ms or 2s, at most 600s"))
        };
        let fault = match fault {
            "ok" => None,
            "dead" => Some(Fault::Dead),
            "late" | "slow" => Some(Fault::Late(delay()?)),
            "noise" => Some(Fault::Noise),
            "crc" => Some(Fault::Checksum),
            "exception" => {
                let code = words.next().and_then(|word| word.parse().ok());
                let code = code.ok_or_else(|| wrong("an exception has a number, 1 to 255"))?;
                Some(Fault::Exception(code))
            }
            "disconnect" => Some(Fault::Disconnect),
            _ => return Err(wrong("there is no such fault")),
        };
        let every =
            match (words.next(), words.next(), words.next()) {
                (None, ..) => 1,
                (Some("every"), Some(number), None) => number
                    .parse()
                    .ok()
                    .filter(|every| *every > 0)
                    .ok_or_else(|| wrong("every is followed by a number from 1"))?,
                _ => return Err(wrong("there is more than it should have")),
            };
        let fault = fault.map(|fault| Often { fault, every });
        Ok(Self { unit, fault })
    }
}

fn time(word: &str) -> Option<Duration> {
    let time = match word.strip_suffix("ms") {
        Some(number) => Duration::from_millis(number.parse().ok()?),
        None => Duration::from_secs(word.strip_suffix('s')?.parse().ok()?),
    };
    (time <= DELAY_MAX).then_some(time)
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Some(unit) => write!(f, "{unit} ")?,
            None => f.write_str("all ")?,
        }
        let Some(Often { fault, every }) = self.fault else {
            return f.write_str("ok");
        };
        match fault {
            Fault::Dead => f.write_str("dead")?,
            Fault::Late(delay) => write!(f, "late {}ms", delay.as_millis())?,
            Fault::Noise => f.write_str("noise")?,
            Fault::Checksum => f.write_str("crc")?,
            Fault::Exception(code) => write!(f, "exception {code}")?,
            Fault::Disconnect => f.write_str("disconnect")?,
        }
        if every > 1 {
            write!(f, " every {every}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_said_alike() {
        for text in [
            "2 dead",
            "all late 1500ms every 20",
            "255 noise every 3",
            "1 crc",
            "3 exception 4",
            "7 disconnect every 100",
            "7 ok",
        ] {
            assert_eq!(text.parse::<Order>().unwrap().to_string(), text);
        }
        let slow: Order = "  1 slow 2s ".parse().unwrap();
        assert_eq!(slow.to_string(), "1 late 2000ms");
    }

    #[test]
    fn what_is_not_understood_is_told_with_what_would_be() {
        for (text, why) in [
            ("", "it is empty"),
            ("pump dead", "the unit is a number"),
            ("1", "the fault is missing"),
            ("1 sleepy", "no such fault"),
            ("1 late", "the time is missing"),
            ("1 late 2", "200ms or 2s"),
            ("1 late 601s", "at most 600s"),
            ("1 exception", "has a number"),
            ("1 dead every 0", "a number from 1"),
            ("1 dead every 2 days", "more than it should"),
        ] {
            let error = text.parse::<Order>().unwrap_err().to_string();
            assert!(
                error.contains(why) && error.contains("late 1500ms"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_fault_strikes_as_often_as_ordered_and_only_its_unit() {
        let mut faults = Faults::default();
        faults.order("2 late 1s every 3".parse().unwrap());
        let strikes: Vec<bool> = (0..6).map(|_| faults.strike(2).is_some()).collect();
        assert_eq!(strikes, [false, false, true, false, false, true]);
        assert_eq!(faults.strike(1), None);
        faults.order("all dead".parse().unwrap());
        assert_eq!(faults.strike(2), Some(Fault::Dead));
        faults.order("2 ok".parse().unwrap());
        assert_eq!(
            (faults.strike(2), faults.strike(1)),
            (None, Some(Fault::Dead))
        );
        assert_eq!(faults.words(), "all dead\n2 ok");
    }
}
