//! What a port says of itself, as sensors like any other: how busy the line is, how much goes wrong on it,
//! how long its units take (`[[device]] kind = "bus"`). Pure. Never asks a unit anything.

use crate::drivers::bus::{BusReport, UnitCounts};
use crate::pipeline::RawCell;
use protocol::reading::{Cause, Raw};
use std::fmt;
use std::str::FromStr;

/// One figure of a port, of all its units or of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    figure: Figure,
    unit: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    /// Percent of the last minute in which a request was under way.
    Utilisation,
    /// Percent of the requests since the last poll that brought no good answer.
    Errors,
    /// Requests since the last poll that nobody answered.
    Timeouts,
    /// Mean time from request to answer since the last poll, in milliseconds.
    Turnaround,
}

const FIGURES: [(&str, Figure); 4] = [
    ("utilisation", Figure::Utilisation),
    ("errors", Figure::Errors),
    ("timeouts", Figure::Timeouts),
    ("turnaround", Figure::Turnaround),
];

/// Why an address names no figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is no figure of a bus; write utilisation, or errors, timeouts or turnaround, of one unit \
     with its number behind: errors:7"
)]
pub struct MeasureError {
    text: String,
}

impl FromStr for Measure {
    type Err = MeasureError;

    fn from_str(text: &str) -> Result<Self, MeasureError> {
        let error = || MeasureError {
            text: text.to_owned(),
        };
        let (word, unit) = match text.split_once(':') {
            Some((word, unit)) => (word, Some(unit.parse().map_err(|_| error())?)),
            None => (text, None),
        };
        let found = FIGURES.into_iter().find(|(name, _)| *name == word);
        let (_, figure) = found.ok_or_else(error)?;
        // A line is busy as a whole.
        if figure == Figure::Utilisation && unit.is_some() {
            return Err(error());
        }
        Ok(Self { figure, unit })
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = FIGURES.into_iter();
        let found = names.find(|(_, figure)| *figure == self.figure);
        f.write_str(found.map_or("", |(name, _)| name))?;
        match self.unit {
            Some(unit) => write!(f, ":{unit}"),
            None => Ok(()),
        }
    }
}

/// A group of such sensors.
#[derive(Debug)]
pub(super) struct BusGroup {
    measures: Vec<Measure>,
    /// What was counted at the last poll.
    before: Option<BusReport>,
}

/// What was counted between two polls.
#[derive(Clone, Copy, Debug, Default)]
struct Between {
    requests: u64,
    good: u64,
    timeouts: u64,
    turnaround_ms: f64,
}

impl BusGroup {
    pub(super) const fn new(measures: Vec<Measure>) -> Self {
        Self {
            measures,
            before: None,
        }
    }

    /// One poll.
    pub(super) fn poll(&mut self, report: BusReport) -> Vec<RawCell> {
        let cells = self.measures.iter().map(|measure| {
            let between = self.between(&report, measure.unit);
            let value = match measure.figure {
                Figure::Utilisation => Some(report.utilisation * 100.0),
                Figure::Timeouts => Some(float(between.timeouts)),
                Figure::Errors => {
                    let bad = float(between.requests.saturating_sub(between.good));
                    (between.requests > 0).then(|| 100.0 * bad / float(between.requests))
                }
                Figure::Turnaround => {
                    (between.good > 0).then(|| between.turnaround_ms / float(between.good))
                }
            };
            value.map_or(RawCell::Missing(Cause::NotAvailable), |value| {
                RawCell::Value(Raw::Float(value))
            })
        });
        let cells = cells.collect();
        self.before = Some(report);
        cells
    }

    fn between(&self, now: &BusReport, unit: Option<u8>) -> Between {
        let wanted = now
            .units
            .iter()
            .filter(|(number, _)| unit.is_none_or(|unit| unit == **number));
        wanted.fold(Between::default(), |sum, (number, counts)| {
            let before = self
                .before
                .as_ref()
                .and_then(|before| before.units.get(number));
            let before = before.copied().unwrap_or_default();
            Between {
                requests: sum.requests + counts.requests - before.requests,
                good: sum.good + good(counts) - good(&before),
                timeouts: sum.timeouts + counts.timeouts - before.timeouts,
                turnaround_ms: sum.turnaround_ms + total_ms(counts) - total_ms(&before),
            }
        })
    }
}

/// Requests to which the unit said something that fits.
const fn good(counts: &UnitCounts) -> u64 {
    counts.answers + counts.exceptions
}

fn total_ms(counts: &UnitCounts) -> f64 {
    counts.turnaround_mean_ms * float(good(counts))
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 do not come up in the life of a box"
)]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn counts(requests: u64, answers: u64, timeouts: u64, mean_ms: f64) -> UnitCounts {
        UnitCounts {
            requests,
            answers,
            timeouts,
            turnaround_mean_ms: mean_ms,
            ..UnitCounts::default()
        }
    }

    fn report(units: &[(u8, UnitCounts)]) -> BusReport {
        BusReport {
            seconds: 60.0,
            utilisation: 0.25,
            requests_per_second: 1.0,
            connections: 1,
            units: units.iter().copied().collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn figures_are_those_since_the_last_poll() {
        let names = [
            "utilisation",
            "errors",
            "errors:7",
            "timeouts:7",
            "turnaround:3",
            "errors:9",
        ];
        let measures = names.map(|name| name.parse::<Measure>().unwrap());
        assert_eq!(measures.map(|measure| measure.to_string()), names);
        let mut group = BusGroup::new(measures.to_vec());
        let value = |value| RawCell::Value(Raw::Float(value));
        let none = RawCell::Missing(Cause::NotAvailable);
        let first = report(&[(3, counts(10, 10, 0, 20.0)), (7, counts(10, 5, 4, 50.0))]);
        let cells = group.poll(first.clone());
        assert_eq!(
            cells,
            [
                value(25.0),
                value(25.0),
                value(50.0),
                value(4.0),
                value(20.0),
                none.clone()
            ]
        );
        // Ten more of unit 3, none of unit 7: the mean of all twenty is 25 ms, that of the ten is 30.
        let second = report(&[(3, counts(20, 20, 0, 25.0)), (7, counts(10, 5, 4, 50.0))]);
        let cells = group.poll(second);
        assert_eq!(
            cells,
            [
                value(25.0),
                value(0.0),
                none.clone(),
                value(0.0),
                value(30.0),
                none
            ]
        );
    }

    #[test]
    fn what_is_no_figure_is_told() {
        for text in [
            "",
            "load",
            "errors:",
            "errors:300",
            "utilisation:7",
            "errors:7:8",
        ] {
            let error = text.parse::<Measure>().unwrap_err().to_string();
            assert!(error.contains("errors:7"), "{text}: {error}");
        }
    }
}
