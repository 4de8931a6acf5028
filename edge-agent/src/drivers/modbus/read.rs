//! One reading by hand: `edge-agent read tcp://HOST:PORT --unit 1 40001:f32:CDAB`. Shows a value
//! in all four byte orders side by side, so that the right one is seen. Never keeps a connection.

use super::address::{AddressError, PointSpec};
use super::data_type::{DataType, Order};
use super::decode::{Value, decode};
use super::link::{Link, RequestError, Target, TargetError};
use super::plan::{Item, plan};
use protocol::reading::{Raw, RawKind};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Reads every point of one unit once, each in its own request. A point that the unit refuses
/// has its `error` set and the others are read all the same.
///
/// `target` is any form that `Target::parse` reads.
///
/// # Errors
/// When the target is not understood, when a point is not, or when the unit does not answer.
pub async fn read_once(
    target: &str,
    unit: u8,
    points: &[String],
    timeout: Duration,
) -> Result<ReadAnswer, ReadError> {
    let settings = Target::parse(target)?.link.with_timeout(timeout);
    let endpoint = settings.place().to_string();
    let specs: Vec<PointSpec> = points
        .iter()
        .map(|text| {
            PointSpec::parse(text).map_err(|source| ReadError::Point {
                text: text.clone(),
                source,
            })
        })
        .collect::<Result<_, _>>()?;
    let mut link = Link::new(settings);
    let mut answers = Vec::new();
    for (spec, text) in specs.iter().zip(points) {
        answers.push(read_point(&mut link, unit, spec, text).await?);
    }
    Ok(ReadAnswer {
        endpoint,
        unit,
        points: answers,
    })
}

async fn read_point(
    link: &mut Link,
    unit: u8,
    spec: &PointSpec,
    text: &str,
) -> Result<ReadPoint, ReadError> {
    let count = if spec.address.table.is_bits() {
        1
    } else {
        spec.kind.words()
    };
    let item = Item {
        address: spec.address,
        count,
    };
    let mut words = Vec::new();
    let mut error = None;
    let start = Instant::now();
    for block in plan(&[item], super::plan::Limits::default()) {
        match link.read(unit, &block, 0).await {
            Ok(answer) => words = answer,
            Err(refusal) if refusal.is_refusal() => error = Some(refusal.words()),
            Err(source) => {
                return Err(ReadError::Request {
                    remedy: source.remedy(),
                    source,
                });
            }
        }
    }
    let milliseconds = start.elapsed().as_secs_f64() * 1_000.0;
    let value = |order| Some(shown(decode(&words, spec.kind, order).ok()?, spec.kind));
    let unread = decode(&words, spec.kind, spec.order).err();
    let error = error.or_else(|| unread.map(|unread| format!("{unread}.")));
    Ok(ReadPoint {
        point: text.to_owned(),
        address: spec.address.to_string(),
        kind: spec.kind.to_string(),
        order: spec.order,
        value: value(spec.order),
        orders: Order::ALL
            .into_iter()
            .filter_map(|order| {
                Some(OrderValue {
                    order,
                    value: value(order)?,
                })
            })
            .collect(),
        words: words.iter().copied().map(ReadWord::from).collect(),
        milliseconds,
        error,
    })
}

fn shown(value: Value, kind: DataType) -> ReadValue {
    match (value, kind.raw_kind()) {
        (Value::Text(text), _) => ReadValue::Text(text),
        (Value::Number(Raw::Int(value)), RawKind::Uint64) => {
            ReadValue::Unsigned(value.cast_unsigned())
        }
        (Value::Number(Raw::Int(value)), _) => ReadValue::Integer(value),
        (Value::Number(Raw::Float(value)), _) => ReadValue::Float(value),
    }
}

/// What `read_once` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadAnswer {
    /// The port that was asked: `HOST:PORT`, or path and settings of a serial line.
    pub endpoint: String,
    /// The unit.
    pub unit: u8,
    /// In the order asked.
    pub points: Vec<ReadPoint>,
}

/// One point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadPoint {
    /// As asked.
    pub point: String,
    /// `40001 (hr:0)`.
    pub address: String,
    /// `f32`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The order asked for.
    pub order: Order,
    /// The value in that order; `None` when the unit refused.
    pub value: Option<ReadValue>,
    /// The value in every order.
    pub orders: Vec<OrderValue>,
    /// The registers as they came; a bit comes as 0 or 1.
    pub words: Vec<ReadWord>,
    /// From request to answer; the first one includes connecting.
    pub milliseconds: f64,
    /// Why the unit refused, with what to do.
    pub error: Option<String>,
}

/// A value in one byte order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OrderValue {
    /// The order.
    pub order: Order,
    /// The value.
    pub value: ReadValue,
}

/// A number or a text; a float that is no number (NaN, infinite) is `null` in JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ReadValue {
    /// Signed, or unsigned up to 32 bits.
    Integer(i64),
    /// Unsigned 64 bits.
    Unsigned(u64),
    /// A float.
    Float(f64),
    /// A text.
    Text(String),
}

impl std::fmt::Display for ReadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
            // A wrong byte order shows as a number like 4.6e-41: short, and seen at once.
            Self::Float(value) if *value != 0.0 && !(1e-4..1e9).contains(&value.abs()) => {
                write!(f, "{value:e}")
            }
            Self::Float(value) => value.fmt(f),
            Self::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

/// One register, read three ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadWord {
    /// Unsigned.
    pub u16: u16,
    /// Signed.
    pub i16: i16,
    /// `0x01F4`.
    pub hex: String,
}

impl From<u16> for ReadWord {
    fn from(word: u16) -> Self {
        Self {
            u16: word,
            i16: word.cast_signed(),
            hex: format!("0x{word:04X}"),
        }
    }
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not an address of a device.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Not a point.
    #[error("point \"{text}\"")]
    Point {
        /// As given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: AddressError,
    },
    /// The unit did not answer.
    #[error("nothing was read; {remedy}")]
    Request {
        /// What to do.
        remedy: &'static str,
        /// What happened.
        #[source]
        source: RequestError,
    },
}
