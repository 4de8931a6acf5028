//! An alert in one plain sentence. Never decides anything.

use super::Alert;
use crate::event::{AlertDescription, AlertRaised, Direction};
use crate::unit::Unit;

impl Alert {
    /// What was found: the words of the detector, or value and limit.
    pub fn words(&self) -> String {
        words(&self.raised, self.described.as_ref())
    }
}

/// What was found: the words of the detector, or value and limit.
pub fn words(raised: &AlertRaised, described: Option<&AlertDescription>) -> String {
    if let Some(described) = described.filter(|described| !described.words.is_empty()) {
        return described.words.clone();
    }
    let unit = Unit::parse(&raised.unit);
    let with_unit = |value: f64| match unit.symbol() {
        "" => show(value),
        symbol => format!("{} {symbol}", show(value)),
    };
    let side = match raised.direction {
        Direction::High => "above",
        Direction::Low => "below",
    };
    let (value, limit) = (with_unit(raised.value), with_unit(raised.limit));
    format!("{value}, {side} its limit of {limit}")
}

/// At most three decimals, for a scaled register is rarely a round number; tiny ones as they are.
fn show(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.001 {
        return value.to_string();
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
