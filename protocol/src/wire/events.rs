//! Events as bytes (PROTOCOL §5). A body that this build cannot read is kept as it came.

use super::{WireError, from_bytes, to_bytes, v1};
use crate::event::{Actor, Body, Event, RecordKind, RecordRef};
use crate::id::{EventId, Origin, UserId};
use crate::limits::EVENT_BODY_BYTES_MAX;
use crate::time::{ClockState, Timestamp};

const VERSION: u8 = 1;
/// Number of this type in error texts.
const KIND: u16 = 0x0202;
const BODY_ALERT: u16 = 1;
const BODY_WORK_ORDER: u16 = 2;
const BODY_GATEWAY: u16 = 3;
const BODY_ALARM_POINT: u16 = 4;
const BODY_ASSET: u16 = 5;
const BODY_STOCK: u16 = 6;

/// An event as stored and sent: version byte, then the body.
pub fn encode_event(event: &Event) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![VERSION];
    bytes.extend(to_bytes("an event", &to_wire(event)?)?);
    Ok(bytes)
}

/// The inverse of [`encode_event`].
pub fn decode_event(bytes: &[u8]) -> Result<Event, WireError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => from_wire(from_bytes(body, KIND, VERSION)?),
        Some((version, _)) => Err(WireError::BadBody {
            kind: KIND,
            version: *version,
        }),
        None => Err(WireError::FrameTooShort { bytes: 0 }),
    }
}

/// The body of an event as it is stored and sent, without its kind and version.
pub fn encode_body(of: &Body) -> Result<Vec<u8>, WireError> {
    body(of).map(|(_, _, bytes)| bytes)
}

/// Kind, version and bytes of a body.
fn body(of: &Body) -> Result<(u16, u8, Vec<u8>), WireError> {
    Ok(match of {
        Body::Alert(body) => (BODY_ALERT, 1, to_bytes("an alert event", body)?),
        Body::WorkOrder(body) => (BODY_WORK_ORDER, 1, to_bytes("a work order event", body)?),
        Body::Gateway(body) => (BODY_GATEWAY, 1, to_bytes("a gateway event", body)?),
        Body::AlarmPoint(body) => (BODY_ALARM_POINT, 1, to_bytes("an alarm point event", body)?),
        Body::Asset(body) => (BODY_ASSET, 1, to_bytes("an asset event", body)?),
        Body::Stock(body) => (BODY_STOCK, 1, to_bytes("a stock event", body)?),
        Body::Unknown {
            kind,
            version,
            bytes,
        } => (*kind, *version, bytes.clone()),
    })
}

fn to_wire(event: &Event) -> Result<v1::EventV1, WireError> {
    let (kind, version, body) = body(&event.body)?;
    if body.len() > EVENT_BODY_BYTES_MAX {
        return Err(WireError::OverLimit {
            what: "an event",
            max: EVENT_BODY_BYTES_MAX,
        });
    }
    let (person, actor, user) = match &event.actor {
        Actor::System(name) => (false, name.clone(), None),
        Actor::Person(name, user) => (true, name.clone(), user.map(|user| user.0)),
    };
    Ok(v1::EventV1 {
        id: event.id.0,
        origin: event.origin,
        incarnation: event.incarnation,
        seq: event.seq,
        hlc: event.hlc,
        based_on: event.based_on,
        time_us: event.time.0,
        clock: clock_code(event.clock),
        person,
        actor,
        user,
        record_kind: event.record.kind.code(),
        record: event.record.id,
        kind,
        version,
        body,
    })
}

fn from_wire(wire: v1::EventV1) -> Result<Event, WireError> {
    let bad = WireError::BadBody {
        kind: KIND,
        version: VERSION,
    };
    if wire.body.len() > EVENT_BODY_BYTES_MAX {
        return Err(WireError::OverLimit {
            what: "an event",
            max: EVENT_BODY_BYTES_MAX,
        });
    }
    let known = match (wire.kind, wire.version) {
        (BODY_ALERT, 1) => from_bytes(&wire.body, KIND, 1).ok().map(Body::Alert),
        (BODY_WORK_ORDER, 1) => from_bytes(&wire.body, KIND, 1).ok().map(Body::WorkOrder),
        (BODY_GATEWAY, 1) => from_bytes(&wire.body, KIND, 1).ok().map(Body::Gateway),
        (BODY_ALARM_POINT, 1) => from_bytes(&wire.body, KIND, 1).ok().map(Body::AlarmPoint),
        (BODY_ASSET, 1) => from_bytes(&wire.body, KIND, 1).ok().map(Body::Asset),
        (BODY_STOCK, 1) => from_bytes(&wire.body, KIND, 1).ok().map(Body::Stock),
        _ => None,
    };
    let body = known.unwrap_or(Body::Unknown {
        kind: wire.kind,
        version: wire.version,
        bytes: wire.body,
    });
    let Some(clock) = clock_from(wire.clock) else {
        return Err(bad);
    };
    Ok(Event {
        id: EventId(wire.id),
        origin: wire.origin,
        incarnation: wire.incarnation,
        seq: wire.seq,
        hlc: wire.hlc,
        based_on: wire.based_on,
        time: Timestamp(wire.time_us),
        clock,
        actor: if wire.person {
            Actor::Person(wire.actor, wire.user.map(UserId))
        } else {
            Actor::System(wire.actor)
        },
        record: RecordRef {
            kind: RecordKind::from_code(wire.record_kind),
            id: wire.record,
        },
        body,
    })
}

/// The number of a clock state on the wire.
pub const fn clock_code(clock: ClockState) -> u8 {
    match clock {
        ClockState::Synchronised => 0,
        ClockState::Holdover => 1,
        ClockState::Untrusted => 2,
        ClockState::Corrected => 3,
    }
}

pub(crate) const fn clock_from(code: u8) -> Option<ClockState> {
    match code {
        0 => Some(ClockState::Synchronised),
        1 => Some(ClockState::Holdover),
        2 => Some(ClockState::Untrusted),
        3 => Some(ClockState::Corrected),
        _ => None,
    }
}

impl Origin {
    /// Text for a store's column: `hub` or the gateway's id.
    pub fn key(self) -> String {
        match self {
            Self::Hub => "hub".to_owned(),
            Self::Gateway(id) => id.to_string(),
        }
    }
}
