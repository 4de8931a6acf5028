//! What one poll of a group of sensors brought: time, values, quality.
//! Never scales by itself what is stored: columns keep raw register integers, and the scale
//! stands in the group's schema.

use crate::id::SensorId;
use crate::time::{ClockState, Timestamp};
use serde::{Deserialize, Serialize};

/// Why a value is not plainly good. The discriminants are on the wire: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Cause {
    /// The device did not answer in time.
    NoAnswer = 1,
    /// The port could not be opened or the connection broke.
    NoConnection = 2,
    /// The device refused the request (Modbus exception).
    DeviceError = 3,
    /// The device does not have the register.
    NoSuchAddress = 4,
    /// The answer could not be understood.
    BadAnswer = 5,
    /// The raw value is the device's sign for "not available", or not a number.
    NotAvailable = 6,
    /// Outside the range of the sensor.
    OutOfRange = 7,
    /// The clock of the box was not trusted.
    ClockUntrusted = 8,
    /// A text that the box has no code for, and no room for a further one.
    TextNotKept = 9,
}

impl Cause {
    /// All causes, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::NoAnswer,
        Self::NoConnection,
        Self::DeviceError,
        Self::NoSuchAddress,
        Self::BadAnswer,
        Self::NotAvailable,
        Self::OutOfRange,
        Self::ClockUntrusted,
        Self::TextNotKept,
    ];

    /// The number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::NoAnswer => 1,
            Self::NoConnection => 2,
            Self::DeviceError => 3,
            Self::NoSuchAddress => 4,
            Self::BadAnswer => 5,
            Self::NotAvailable => 6,
            Self::OutOfRange => 7,
            Self::ClockUntrusted => 8,
            Self::TextNotKept => 9,
        }
    }

    /// From the number on the wire.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.code() == code)
    }

    /// In plain words, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoAnswer => "the device does not answer",
            Self::NoConnection => "no connection to the device",
            Self::DeviceError => "the device refused the request",
            Self::NoSuchAddress => "the device does not have this register",
            Self::BadAnswer => "the answer could not be understood",
            Self::NotAvailable => "the device says: not available",
            Self::OutOfRange => "outside the sensor's range",
            Self::ClockUntrusted => "the box's clock was not set",
            Self::TextNotKept => "the box could not keep the text: too many different ones",
        }
    }
}

/// How far a reading may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "cause")]
pub enum Quality {
    /// Plainly usable.
    Good,
    /// A value is there, with a doubt.
    Uncertain(Cause),
    /// No usable value.
    Bad(Cause),
}

impl Quality {
    /// One byte: 0 good, 0x40 + cause uncertain, 0x80 + cause bad.
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Uncertain(cause) => 0x40 | cause.code(),
            Self::Bad(cause) => 0x80 | cause.code(),
        }
    }

    /// From the byte on the wire.
    pub fn from_code(code: u8) -> Option<Self> {
        match code & 0xC0 {
            0 if code == 0 => Some(Self::Good),
            0x40 => Cause::from_code(code & 0x3F).map(Self::Uncertain),
            0x80 => Cause::from_code(code & 0x3F).map(Self::Bad),
            _ => None,
        }
    }
}

/// A value as the device gave it: a register integer, or a float where the register is one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Raw {
    /// Any integer type up to 64 bits; `u64` is kept by its bits in an `i64`.
    Int(i64),
    /// A 32 or 64 bit float.
    Float(f64),
}

/// Equal to the bit, so that a NaN equals itself and a test can compare.
impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        }
    }
}

/// What a column's raw values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RawKind {
    /// Integers.
    Int,
    /// Integers that are unsigned 64 bit: read the `i64` bits as `u64`.
    Uint64,
    /// Floats.
    Float,
}

/// One sensor's part of one poll.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    /// Nothing new worth storing (deadband): there is no reading here.
    Skipped,
    /// A value, good or uncertain.
    Value(Raw, Quality),
    /// A reading without a usable value.
    Missing(Cause),
}

/// One poll of one group: all its sensors at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    /// When the answer came.
    pub time: Timestamp,
    /// State of the clock that gave `time`.
    pub clock: ClockState,
    /// One cell per column of the group's schema.
    pub cells: Vec<Cell>,
}

/// One sensor of a poll group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The sensor.
    pub sensor: SensorId,
    /// What its raw values are.
    pub raw: RawKind,
    /// Engineering value = raw × scale + offset.
    pub scale: f64,
    /// See `scale`.
    pub offset: f64,
}

impl Column {
    /// The engineering value of a raw one.
    pub fn value(&self, raw: Raw) -> f64 {
        to_f64(raw, self.raw) * self.scale + self.offset
    }
}

/// A raw value as a float, before scale and offset.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a reading is shown as f64; beyond 2^53 the last digits are rounded, the raw integer is kept"
)]
pub fn to_f64(raw: Raw, kind: RawKind) -> f64 {
    match (raw, kind) {
        (Raw::Int(value), RawKind::Uint64) => value.cast_unsigned() as f64,
        (Raw::Int(value), _) => value as f64,
        (Raw::Float(value), _) => value,
    }
}

/// The number that a word may stand for: an engineering value that is a whole number.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "a whole number below 2^53 is exactly an i64"
)]
pub fn whole(value: f64) -> Option<i64> {
    let is_whole = value.trunc() == value && value.abs() <= 9_007_199_254_740_992.0;
    is_whole.then_some(value as i64)
}

/// What the columns of a poll group's blocks mean. Never changed once a stream uses it: a
/// changed group is a new stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSchema {
    /// `device @ period`, for people.
    pub name: String,
    /// Time between polls, in microseconds.
    pub period_us: u64,
    /// The sensors, in the order of a poll's cells.
    pub columns: Vec<Column>,
}

/// One reading in engineering units, as pages and rules see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The sensor.
    pub sensor: SensorId,
    /// When.
    pub time: Timestamp,
    /// Engineering value; `None` when quality is bad.
    pub value: Option<f64>,
    /// How far it may be used.
    pub quality: Quality,
    /// State of the clock.
    pub clock: ClockState,
}

/// The readings of one poll, skipped cells left out.
pub fn readings<'a>(schema: &'a GroupSchema, poll: &'a Poll) -> impl Iterator<Item = Reading> + 'a {
    schema
        .columns
        .iter()
        .zip(&poll.cells)
        .filter_map(|(column, cell)| {
            let (value, quality) = match *cell {
                Cell::Skipped => return None,
                Cell::Value(raw, quality) => (Some(column.value(raw)), quality),
                Cell::Missing(cause) => (None, Quality::Bad(cause)),
            };
            Some(Reading {
                sensor: column.sensor,
                time: poll.time,
                value,
                quality,
                clock: poll.clock,
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quality_has_one_code_and_comes_back() {
        let mut all = vec![Quality::Good];
        for cause in Cause::ALL {
            all.extend([Quality::Uncertain(cause), Quality::Bad(cause)]);
        }
        let codes: std::collections::BTreeSet<u8> = all.iter().map(|q| q.code()).collect();
        assert_eq!(codes.len(), all.len());
        for quality in all {
            assert_eq!(Quality::from_code(quality.code()), Some(quality));
        }
        assert_eq!(Quality::from_code(0x80), None);
    }

    #[test]
    fn only_whole_numbers_may_have_a_word() {
        for (value, expected) in [
            (0.0, Some(0)),
            (-3.0, Some(-3)),
            (0.5, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (281_474_976_710_655.0, Some(281_474_976_710_655)),
            (1e300, None),
        ] {
            assert_eq!(whole(value), expected, "{value}");
        }
    }

    #[test]
    fn a_u64_above_the_signed_range_keeps_its_value() {
        assert!((to_f64(Raw::Int(-1), RawKind::Uint64) - 18_446_744_073_709_551_615.0).abs() < 1.0);
    }
}
