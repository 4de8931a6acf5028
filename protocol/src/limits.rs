//! Every limit of the wire, the blocks and the sessions, in one place, and what happens at it.
//! Never a tuning knob of one machine: those stand in the programs' configuration.

mod at_most;

pub(crate) use at_most::at_most;

/// Longest frame, header included. A longer one is refused before anything is allocated and
/// closes the connection.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Most authorities that a box trusts at the same time: the one that signs and the one before it.
pub const AUTHORITIES_MAX: usize = 4;
/// Longest chunk of a lane where lanes share one stream of bytes: what an alert may have to wait
/// for. A longer one closes the connection.
pub const CHUNK_BYTES_MAX: usize = 4 << 10;
/// Longest body of one event. A longer one is refused where it is made.
pub const EVENT_BODY_BYTES_MAX: usize = 64 << 10;
/// Longest free text of a person (comment, note, reason), in bytes. Longer text is refused.
pub const TEXT_BYTES_MAX: usize = 8 << 10;
/// Longest name (site, gateway, device, sensor, asset, person), in bytes.
pub const NAME_BYTES_MAX: usize = 120;
/// Longest text of a sensor (a text in registers, a barcode, the word of a state), in bytes of
/// UTF-8. A driver delivers none that is longer.
pub const SENSOR_TEXT_BYTES_MAX: usize = 64;
/// Most different texts of one text sensor. A further one is a bad reading, and the device's report
/// says so.
pub const SENSOR_TEXTS_MAX: usize = 4_096;
/// Most words of all sensors of a gateway that are kept in memory, texts and words of states
/// together. At the limit a further text is refused as if its sensor had too many.
pub const GATEWAY_WORDS_MAX: usize = 65_536;
/// Most words in one event.
pub const WORDS_PER_EVENT_MAX: usize = 256;
/// Most columns of one poll group. A device with more sensors is split into groups.
pub const GROUP_COLUMNS_MAX: usize = 256;
/// Most polls of one block: a fuller block is refused by the decoder, never made by the encoder.
pub const BLOCK_POLLS_MAX: usize = 1_024;
/// Most cells (polls times columns) of one block, so that a short hostile block cannot make the
/// decoder allocate more than this many cells. A block with more is neither made nor read.
pub const BLOCK_CELLS_MAX: usize = 262_144;
/// Most polls of a block in the small layout, whose cells may take no bytes at all. A block with
/// more is written in columns; the decoder refuses it otherwise.
pub const BLOCK_SMALL_POLLS_MAX: usize = 64;
/// Polls at which an open group is sealed into a block.
pub const BLOCK_POLLS_SEAL: usize = 600;
/// Longest encoded block. A frame holds at least one.
pub const BLOCK_BYTES_MAX: usize = 900 << 10;
/// Bytes that may be on the way, not yet acknowledged, per lane. More waits in the store.
pub const LANE_IN_FLIGHT_BYTES_MAX: usize = 256 << 10;
/// Most facts in one frame of events.
pub const EVENTS_PER_FRAME_MAX: usize = 256;
/// Most blocks in one frame. The sender begins another frame.
pub const BLOCKS_PER_FRAME_MAX: usize = 4_096;
/// Most ports, devices, assets of a catalog, and most limits of a sensor. A longer catalog is
/// refused by the receiver.
pub const CATALOG_LIST_MAX: usize = 10_000;
/// Most poll groups (streams) of one gateway in one incarnation.
pub const STREAMS_MAX: usize = 4_096;
/// Most streams of one offer; the sender offers the rest when that one is answered.
pub const STREAMS_PER_OFFER_MAX: usize = 256;
/// Most ranges told of one stream; one that is left out is only sent again.
pub const RANGES_PER_HELD_MAX: usize = 128;
/// Most incarnations in a hello. The oldest are left out: their events are long at the hub.
pub const INCARNATIONS_MAX: usize = 4_096;
/// Longest content of an attachment. A longer one is refused where it is added, and by the hub.
pub const ATTACHMENT_BYTES_MAX: u64 = 16 << 20;
/// Most contents in one offer; the sender offers the rest when that one is answered.
pub const CONTENTS_PER_OFFER_MAX: usize = 256;
/// Most contents that a connection offers; further ones are offered on the next.
pub const CONTENTS_MAX: usize = 4_096;
/// Longest piece of a frame on a lane that is paced; longest chunk of a content.
pub const PIECE_BYTES_MAX: usize = 16 << 10;
/// Most ranges kept per stream beyond the contiguous prefix; the oldest hole is then given up to
/// the sender's retry: nothing is lost, a range is only sent again.
pub const RANGES_PER_STREAM_MAX: usize = 4_096;
/// How far ahead of its own clock a writer follows another's logical clock.
pub const HLC_AHEAD_MS_MAX: u64 = 5 * 60 * 1_000;
/// Most readings around an alert kept with its work order, per sensor.
pub const SNAPSHOT_POINTS_MAX: usize = 240;
/// Most tasks in one event, and steps of one checklist.
pub const TASKS_PER_EVENT_MAX: usize = 200;
/// Most choices of one task.
pub const TASK_CHOICES_MAX: usize = 50;
/// Most tasks of one order; further ones are a line of its history and no task.
pub const TASKS_PER_ORDER_MAX: usize = 1_000;
/// Most events of one record that a fold takes; further ones are stored and counted, not folded.
pub const EVENTS_PER_RECORD_MAX: usize = 10_000;
/// Most points of one series; who asks for more gets this many.
pub const SERIES_POINTS_MAX: usize = 10_000;
/// Most people in a site's reference list.
pub const PEOPLE_MAX: usize = 1_000;
/// Longest encoded site bundle. A longer one is not made: the change at the hub is refused. One that
/// is announced longer is refused by the box before any of it is sent.
pub const BUNDLE_BYTES_MAX: usize = 4 << 20;
/// Longest piece of a bundle in one frame.
pub const BUNDLE_PIECE_BYTES_MAX: usize = 32 << 10;
/// Bytes of a bundle that may be on the way before the box told how far it has it.
pub const BUNDLE_AHEAD_BYTES_MAX: usize = 128 << 10;
/// Most assets of a site. A further one is refused at the hub; a bundle with more cannot be read.
pub const ASSETS_MAX: usize = 10_000;
/// Most spare parts of a site; at the limit as with assets.
pub const PARTS_MAX: usize = 10_000;
/// Most checklists of a site; at the limit as with assets.
pub const CHECKLISTS_MAX: usize = 1_000;
/// Most steps of a checklist; at the limit as with assets.
pub const CHECKLIST_STEPS_MAX: usize = 200;
/// Most choices of a step; at the limit as with assets.
pub const STEP_CHOICES_MAX: usize = 50;
/// Most failure codes of a site; at the limit as with assets.
pub const FAILURE_CODES_MAX: usize = 5_000;
/// Most memory that one check of a PIN may take, in KiB. A bundle that asks for more is refused.
pub const PIN_MEMORY_KIB_MAX: u32 = 8 << 10;
/// Most passes of one check of a PIN. A bundle that asks for more is refused.
pub const PIN_PASSES_MAX: u32 = 8;
/// Longest configuration document. A longer one is refused at the hub; one that comes all the same
/// ends the connection.
pub const DOCUMENT_BYTES_MAX: usize = 512 << 10;
/// Most commands of a gateway that have no result yet; a further one is refused at the hub. As many
/// results are kept on the box until the hub has them.
pub const COMMANDS_MAX: usize = 256;
/// Most arguments of a command.
pub const COMMAND_ARGUMENTS_MAX: usize = 16;

const _: () = assert!(BLOCK_BYTES_MAX + 1_024 < FRAME_BYTES_MAX);
const _: () = assert!(BLOCK_POLLS_MAX * GROUP_COLUMNS_MAX <= BLOCK_CELLS_MAX);
const _: () = assert!(BLOCK_SMALL_POLLS_MAX <= BLOCK_POLLS_MAX);
const _: () = assert!(BLOCK_POLLS_SEAL <= BLOCK_POLLS_MAX);
const _: () = assert!(EVENT_BODY_BYTES_MAX + 1_024 < FRAME_BYTES_MAX);
const _: () = assert!(WORDS_PER_EVENT_MAX * (SENSOR_TEXT_BYTES_MAX + 16) < EVENT_BODY_BYTES_MAX);
const _: () = assert!(TEXT_BYTES_MAX < EVENT_BODY_BYTES_MAX);
const _: () = assert!(DOCUMENT_BYTES_MAX + 1_024 < FRAME_BYTES_MAX);
