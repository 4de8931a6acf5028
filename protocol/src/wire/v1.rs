//! The frozen messages of version 1 (PROTOCOL §4). A released struct is never edited: a change is
//! a new struct with a new version, and golden bytes keep this one readable for ever.

use super::{Frame, WireError, from_bytes, to_bytes};
use crate::id::Origin;
use crate::limits::{self, at_most};
use crate::time::Hlc;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An event (PROTOCOL §5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of event::Event")]
pub struct EventV1 {
    pub id: Uuid,
    pub origin: Origin,
    pub incarnation: u32,
    pub seq: u64,
    pub hlc: Hlc,
    pub based_on: Hlc,
    pub time_us: i64,
    pub clock: u8,
    pub person: bool,
    pub actor: String,
    pub user: Option<Uuid>,
    pub record_kind: u8,
    pub record: Uuid,
    pub kind: u16,
    pub version: u8,
    pub body: Vec<u8>,
}

/// First word of a gateway on lane 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HelloV1 {
    /// Oldest and newest protocol number it speaks.
    pub protocol: (u16, u16),
    /// Must be the one in its certificate.
    pub gateway: Uuid,
    /// Version of the program.
    pub build: String,
    /// Incarnation of its events.
    pub core_incarnation: u32,
    /// Incarnation of its readings.
    pub buffer_incarnation: u32,
    /// Highest number of its own events.
    pub events_last: u64,
    /// Highest number of the hub's events that it holds.
    pub down_mark: u64,
    /// Its wall clock.
    pub time_us: i64,
    /// State of that clock (0 synchronised, 1 holdover, 2 untrusted).
    pub clock: u8,
    /// Hash of its catalog (crc32c of the encoded catalog).
    pub catalog_hash: u32,
    /// Each stream and its highest sequence number.
    #[serde(deserialize_with = "at_most::<{ limits::STREAMS_MAX }, _, _>")]
    pub streams: Vec<(u32, u64)>,
}

/// The hub's answer on lane 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WelcomeV1 {
    /// Protocol number that counts.
    pub protocol: u16,
    /// The hub's wall clock.
    pub time_us: i64,
    /// Highest contiguous event number that the hub holds of this incarnation.
    pub events_mark: u64,
    /// Highest number of the hub's events for this gateway.
    pub down_last: u64,
    /// Whether the hub wants the catalog again.
    pub want_catalog: bool,
    /// Streams whose schema the hub lacks.
    #[serde(deserialize_with = "at_most::<{ limits::STREAMS_MAX }, _, _>")]
    pub want_schemas: Vec<u32>,
    /// What the hub holds of each stream (closed ranges).
    #[serde(deserialize_with = "at_most::<{ limits::STREAMS_MAX }, _, _>")]
    pub received: Vec<(u32, Vec<(u64, u64)>)>,
}

/// What a stream's columns mean; sent before its first block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaV1 {
    /// Incarnation of the readings.
    pub incarnation: u32,
    /// The stream.
    pub stream: u32,
    /// `wire::encode_schema`.
    pub schema: Vec<u8>,
}

/// What the gateway measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CatalogV1 {
    /// `wire::encode_catalog`.
    pub catalog: Vec<u8>,
}

/// Events in order, dense from `first_seq`. Up: the gateway's own; down: the hub's numbering for
/// this gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventsV1 {
    /// Number of the first one.
    pub first_seq: u64,
    /// Each as `wire::encode_event`.
    #[serde(deserialize_with = "at_most::<{ limits::EVENTS_PER_FRAME_MAX }, _, _>")]
    pub events: Vec<Vec<u8>>,
}

/// Blocks of readings, live or from the backlog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlocksV1 {
    /// Incarnation of the readings.
    pub incarnation: u32,
    /// Each as `block::encode`.
    #[serde(deserialize_with = "at_most::<{ limits::BLOCKS_PER_FRAME_MAX }, _, _>")]
    pub blocks: Vec<Vec<u8>>,
}

/// Polls that the gateway no longer has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GapV1 {
    /// Incarnation of the readings.
    pub incarnation: u32,
    /// The stream.
    pub stream: u32,
    /// First missing sequence number.
    pub first_seq: u64,
    /// Last missing sequence number.
    pub last_seq: u64,
}

/// Frames of one lane that are committed, counted from the start of the connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AckV1 {
    /// Number of the lane.
    pub lane: u8,
    /// How many data frames of it are committed, in order.
    pub frames: u64,
    /// What was in them and could not be taken: stream, first, last, why.
    #[serde(deserialize_with = "at_most::<{ limits::BLOCKS_PER_FRAME_MAX }, _, _>")]
    pub refused: Vec<(u32, u64, u64, String)>,
}

/// The hub's events up to here are stored on the box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DownAckV1 {
    /// Highest contiguous number.
    pub seq: u64,
}

/// Why this connection ends, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefuseV1 {
    /// See `sync::Refusal`.
    pub code: u16,
    /// In words.
    pub words: String,
    /// When to come again, in seconds; `None`: not before something changed.
    pub retry_after_s: Option<u32>,
}

/// Reference data of the site: names and people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceV1 {
    /// The gateway's name.
    pub gateway_name: String,
    /// Prefix of numbers made on the box.
    pub gateway_code: String,
    /// The site.
    pub site: Uuid,
    /// Its name.
    pub site_name: String,
    /// People who can be named on the box: id and name, at most `limits::PEOPLE_MAX`.
    #[serde(deserialize_with = "at_most::<{ limits::PEOPLE_MAX }, _, _>")]
    pub people: Vec<(Uuid, String)>,
}

/// A box asks for its certificate (own connection, ALPN `cfe-enrol/1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnrolV1 {
    /// The secret part of the claim token.
    pub token: Vec<u8>,
    /// The id that the box gave itself.
    pub gateway: Uuid,
    /// PKCS #10 request in DER (RFC 2986), signed by the key made on the box.
    pub request: Vec<u8>,
    /// Version of the program.
    pub build: String,
}

/// The hub's answer: who the box is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnrolledV1 {
    /// The client certificate in DER.
    pub certificate: Vec<u8>,
    /// The hub's CA certificate in DER.
    pub authority: Vec<u8>,
    /// Names of gateway and site, people.
    pub reference: ReferenceV1,
}

/// Any message of version 1.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant holds the message of its name")]
pub enum Message {
    Hello(HelloV1),
    Welcome(WelcomeV1),
    Schema(SchemaV1),
    Catalog(CatalogV1),
    Ack(AckV1),
    DownAck(DownAckV1),
    Refuse(RefuseV1),
    Events(EventsV1),
    Reference(ReferenceV1),
    Blocks(BlocksV1),
    Gap(GapV1),
    Enrol(EnrolV1),
    Enrolled(EnrolledV1),
    /// A type or version that this build does not know: skipped by the receiver.
    Unknown {
        kind: u16,
        version: u8,
    },
}

macro_rules! numbered {
    ($($kind:literal $name:ident;)*) => {
        impl Message {
            /// The message in its frame.
            pub fn encode(&self) -> Result<Vec<u8>, WireError> {
                let (kind, body) = match self {
                    $(Self::$name(body) => ($kind, to_bytes(stringify!($name), body)?),)*
                    Self::Unknown { .. } => return Err(WireError::Encode { what: "an unknown message" }),
                };
                Frame { kind, version: 1, body }.encode()
            }

            /// The message that a frame holds.
            pub fn decode(frame: &Frame) -> Result<Self, WireError> {
                match (frame.kind, frame.version) {
                    $(($kind, 1) => from_bytes(&frame.body, $kind, 1).map(Self::$name),)*
                    (kind, version) => Ok(Self::Unknown { kind, version }),
                }
            }
        }
    };
}

// The numbers are on the wire (PROTOCOL §4): append only.
numbered! {
    1 Hello; 2 Welcome; 3 Schema; 4 Catalog; 5 Ack; 6 DownAck; 7 Refuse;
    16 Events; 18 Reference;
    32 Blocks; 34 Gap;
    48 Enrol; 49 Enrolled;
}
