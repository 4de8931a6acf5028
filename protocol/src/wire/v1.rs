//! The frozen messages of version 1 (PROTOCOL §4). A released struct is never edited: a change is
//! a new struct with a new version, and golden bytes keep this one readable for ever.

mod bundle;
mod contents;

pub use bundle::{BundleHeadV1, BundlePieceV1, BundleStateV1};

pub use contents::{
    ChunkV1, ContentEndV1, ContentsHeldV1, ContentsV1, HeldContentV1, OfferedContentV1,
};

mod down;

pub use down::{CommandResultV1, CommandV1, DocumentStateV1, DocumentV1, ResultAckV1};

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

/// A hash over a numbered sequence of events: `chain(n)` is the first 16 bytes of
/// SHA-256(`chain(n - 1)` followed by the bytes of event `n`), `chain(0)` is zero (PROTOCOL §5.1).
pub type Chain = [u8; 16];

/// First word of a gateway on lane 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HelloV1 {
    /// Oldest and newest protocol number it speaks.
    pub protocol: (u16, u16),
    /// What it can do beyond that: the bits of `sync::features`.
    pub features: u64,
    /// Must be the one in its certificate.
    pub gateway: Uuid,
    /// Version of the program.
    pub build: String,
    /// Its wall clock.
    pub time_us: i64,
    /// State of that clock (0 synchronised, 1 holdover, 2 untrusted).
    pub clock: u8,
    /// Hash of its catalog (crc32c of the encoded catalog).
    pub catalog_hash: u32,
    /// The incarnation that it writes in now.
    pub incarnation: u32,
    /// Every incarnation of its own events, oldest first, and the highest number it holds.
    #[serde(deserialize_with = "at_most::<{ limits::INCARNATIONS_MAX }, _, _>")]
    pub events: Vec<(u32, u64)>,
    /// Highest number of the hub's events that it holds, and the chain up to there.
    pub down: (u64, Chain),
}

/// The hub's answer on lane 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WelcomeV1 {
    /// Protocol number that counts.
    pub protocol: u16,
    /// What both sides can do: the bits that hello and hub have in common.
    pub features: u64,
    /// The hub's wall clock.
    pub time_us: i64,
    /// Of each incarnation in the hello: the highest contiguous number of events that the hub
    /// holds, and the chain up to there.
    #[serde(deserialize_with = "at_most::<{ limits::INCARNATIONS_MAX }, _, _>")]
    pub events: Vec<(u32, u64, Chain)>,
    /// The hub's events for this gateway are sent from the one after this on: what the hello
    /// said, or 0 when the hub's sequence is another than the gateway holds.
    pub down_after: u64,
    /// Whether the hub wants the catalog again.
    pub want_catalog: bool,
    /// Bytes that may be on the way, unacknowledged, on lanes 1, 3, 4 and 5.
    pub windows: (u32, u32, u32, u32),
}

/// What the box holds of streams of readings, on lane 0; answered by `Received`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfferV1 {
    /// The streams.
    #[serde(deserialize_with = "at_most::<{ limits::STREAMS_PER_OFFER_MAX }, _, _>")]
    pub streams: Vec<OfferedV1>,
    /// Whether these, and those offered before on this connection, are all it holds.
    pub last: bool,
}

/// One stream that a box holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedV1 {
    /// Incarnation that wrote it.
    pub incarnation: u32,
    /// The stream.
    pub stream: u32,
    /// Highest sequence number.
    pub last: u64,
    /// First 8 bytes of the SHA-256 of its schema.
    pub schema: [u8; 8],
}

/// What the hub holds of the streams of an `Offer`, in its order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceivedV1 {
    /// The streams.
    #[serde(deserialize_with = "at_most::<{ limits::STREAMS_PER_OFFER_MAX }, _, _>")]
    pub streams: Vec<HeldV1>,
}

/// What the hub holds of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldV1 {
    /// Incarnation that wrote it.
    pub incarnation: u32,
    /// The stream.
    pub stream: u32,
    /// Whether the hub lacks its schema.
    pub want_schema: bool,
    /// Closed ranges. One that is left out is only sent again.
    #[serde(deserialize_with = "at_most::<{ limits::RANGES_PER_HELD_MAX }, _, _>")]
    pub ranges: Vec<(u64, u64)>,
}

/// How much may be on the way on a lane from now on: the hub's admission control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowV1 {
    /// Number of the lane.
    pub lane: u8,
    /// Unacknowledged bytes.
    pub bytes: u32,
}

/// Events of the gateway that its own store no longer has: it was replaced or restored. Down on
/// lane 1, dense from `first_seq`; answered by `OwnHeld`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnEventsV1 {
    /// Incarnation of the events.
    pub incarnation: u32,
    /// Number of the first one.
    pub first_seq: u64,
    /// Each as `wire::encode_event`.
    #[serde(deserialize_with = "at_most::<{ limits::EVENTS_PER_FRAME_MAX }, _, _>")]
    pub events: Vec<Vec<u8>>,
}

/// The box holds its own events of an incarnation up to here again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnHeldV1 {
    /// The incarnation.
    pub incarnation: u32,
    /// Highest contiguous number.
    pub seq: u64,
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
    /// Up: incarnation of the events. Down: 0.
    pub incarnation: u32,
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

/// A piece of a frame that is too long for the lane's window: the pieces of a frame follow each
/// other on their lane, and the frame counts as one, after its last piece.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PieceV1 {
    /// Whether the frame is whole with this piece.
    pub last: bool,
    /// Bytes of the frame, its length field included.
    pub bytes: Vec<u8>,
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

/// Frames of one lane that are done with (committed, or taken when they are pieces), counted from
/// the start of the connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AckV1 {
    /// Number of the lane.
    pub lane: u8,
    /// How many data frames of it, in order.
    pub frames: u64,
    /// What was in them and could not be taken: incarnation, stream, first, last, why.
    #[serde(deserialize_with = "at_most::<{ limits::BLOCKS_PER_FRAME_MAX }, _, _>")]
    pub refused: Vec<(u32, u32, u64, u64, String)>,
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

/// A box asks for a new certificate for itself (own connection, ALPN `cfe-renew/1`, with the
/// certificate that it has, which may be past its last day).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenewV1 {
    /// PKCS #10 request in DER (RFC 2986), signed by the new key made on the box.
    pub request: Vec<u8>,
    /// Version of the program.
    pub build: String,
}

/// The hub's answer: the new certificate, and whom to trust from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenewedV1 {
    /// The client certificate in DER.
    pub certificate: Vec<u8>,
    /// The hub's CA certificates in DER, the one that signs first.
    #[serde(deserialize_with = "at_most::<{ limits::AUTHORITIES_MAX }, _, _>")]
    pub authorities: Vec<Vec<u8>>,
}

/// First word of a file that a box writes for its hub (PROTOCOL §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportV1 {
    /// Counts the files of this box.
    pub number: u64,
}

/// What the writer of a file has and did not write into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftV1 {
    /// Events.
    pub events: u64,
    /// Polls.
    pub polls: u64,
}

/// Last word of a file: the writer's signature over all before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndV1 {
    /// The writer's certificate (DER).
    pub certificate: Vec<u8>,
    /// ECDSA on P-256 with SHA-256, DER, over `exchange::to_sign`.
    pub signature: Vec<u8>,
}

impl EndV1 {
    /// Its number.
    pub const KIND: u16 = 66;
}

/// First word of the hub's answer to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerV1 {
    /// The box that wrote the file.
    pub gateway: Uuid,
    /// The file's number.
    pub number: u64,
    /// SHA-256 of the file before its End.
    pub export: [u8; 32],
    /// The hub's events that the box said it holds.
    pub down: u64,
    /// The hub's wall clock.
    pub time_us: i64,
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
    Offer(OfferV1),
    Received(ReceivedV1),
    Window(WindowV1),
    OwnHeld(OwnHeldV1),
    Contents(ContentsV1),
    ContentsHeld(ContentsHeldV1),
    ContentEnd(ContentEndV1),
    DocumentState(DocumentStateV1),
    CommandResult(CommandResultV1),
    ResultAck(ResultAckV1),
    Events(EventsV1),
    OwnEvents(OwnEventsV1),
    Reference(ReferenceV1),
    Document(DocumentV1),
    Command(CommandV1),
    BundleHead(BundleHeadV1),
    BundlePiece(BundlePieceV1),
    BundleState(BundleStateV1),
    Blocks(BlocksV1),
    Piece(PieceV1),
    Gap(GapV1),
    Chunk(ChunkV1),
    Enrol(EnrolV1),
    Enrolled(EnrolledV1),
    Renew(RenewV1),
    Renewed(RenewedV1),
    Export(ExportV1),
    Left(LeftV1),
    End(EndV1),
    Answer(AnswerV1),
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
    8 Offer; 9 Received; 10 Window; 11 OwnHeld;
    12 Contents; 13 ContentsHeld; 14 ContentEnd;
    16 Events; 17 OwnEvents; 18 Reference; 19 Document; 20 Command;
    21 DocumentState; 22 CommandResult; 23 ResultAck;
    24 BundleHead; 25 BundlePiece; 26 BundleState;
    32 Blocks; 33 Piece; 34 Gap;
    40 Chunk;
    48 Enrol; 49 Enrolled; 50 Renew; 51 Renewed;
    64 Export; 65 Left; 66 End; 67 Answer;
}
