//! Lanes over one stream of bytes, for a link that carries no QUIC (PROTOCOL §1.4): chunks, the
//! most urgent lane first, and a ping that keeps the path open and measures it.
//! Never waits and never sends by itself: bytes and `now` in, bytes and frames out.

use crate::limits::CHUNK_BYTES_MAX;
use crate::sync::Lane;
use crate::time::Timestamp;
use crate::wire::{Frame, FrameReader, WireError};
use std::collections::{BTreeMap, VecDeque};

const HEAD_BYTES: usize = 3;
const PING: u8 = 0xFE;
const PONG: u8 = 0xFF;
const PING_BYTES: usize = 12;
/// A path that is in use is measured this often.
const MEASURE_US: i64 = 1_000_000;
/// Silence that ends a connection until the other side has said what is normal for it, and at most.
const SILENCE_US: i64 = 60_000_000;
const SILENCE_US_MAX: i64 = 300_000_000;

/// One end of a stream that carries lanes.
#[derive(Debug)]
pub struct Mux {
    /// Time between two pings of this end; none: it only answers.
    ping_us: Option<i64>,
    pinged: Option<Timestamp>,
    /// Something was sent that no ping has measured yet.
    unmeasured: bool,
    heard: Timestamp,
    silence_us: i64,
    round_trip_us: Option<i64>,
    answers: VecDeque<[u8; PING_BYTES]>,
    waiting: BTreeMap<Lane, VecDeque<u8>>,
    received: Vec<u8>,
    lanes: BTreeMap<Lane, FrameReader>,
}

impl Mux {
    /// An end that pings every `ping_us` microseconds (the box), or only answers (the hub).
    pub fn new(ping_us: Option<i64>, now: Timestamp) -> Self {
        Self {
            ping_us,
            pinged: None,
            unmeasured: false,
            heard: now,
            silence_us: ping_us.map_or(SILENCE_US, silence_us),
            round_trip_us: None,
            answers: VecDeque::new(),
            waiting: BTreeMap::new(),
            received: Vec::new(),
            lanes: BTreeMap::new(),
        }
    }

    /// Takes bytes of a lane to be sent. The sender looks at [`Mux::waiting_bytes`] first.
    pub fn push(&mut self, lane: Lane, bytes: &[u8]) {
        self.waiting.entry(lane).or_default().extend(bytes);
    }

    /// Bytes that were taken and not yet given out.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// The next chunk to be written: pings, then the most urgent lane that has something. Asked
    /// for only when the last one has gone out, so that what is urgent waits for one chunk at most.
    pub fn poll_transmit(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(chunk(PONG, &answer));
        }
        if let Some(every_us) = self.ping_us.filter(|_| self.ping_at() <= now) {
            self.pinged = Some(now);
            self.unmeasured = false;
            let every_ms = u32::try_from(every_us / 1_000).unwrap_or(u32::MAX);
            let mut ping = [0; PING_BYTES];
            let (sent, every) = ping.split_at_mut(8);
            sent.copy_from_slice(&now.0.to_le_bytes());
            every.copy_from_slice(&every_ms.to_le_bytes());
            return Some(chunk(PING, &ping));
        }
        let urgent = |lane: &Lane| std::cmp::Reverse(lane.priority());
        let (lane, bytes) = self
            .waiting
            .iter_mut()
            .filter(|(_, bytes)| !bytes.is_empty())
            .min_by_key(|(lane, _)| urgent(lane))?;
        let part: Vec<u8> = bytes.drain(..bytes.len().min(CHUNK_BYTES_MAX)).collect();
        self.unmeasured = true;
        Some(chunk(lane.number(), &part))
    }

    /// Takes bytes that came. What they hold is asked for with [`Mux::poll_frame`].
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Timestamp) {
        self.heard = now;
        self.received.extend_from_slice(bytes);
    }

    /// The next whole frame of any lane, until there is none: only then are further bytes taken.
    pub fn poll_frame(&mut self, now: Timestamp) -> Result<Option<(Lane, Frame)>, WireError> {
        loop {
            for (lane, reader) in &mut self.lanes {
                if let Some(frame) = reader.next_frame()? {
                    return Ok(Some((*lane, frame)));
                }
            }
            if !self.next_chunk(now)? {
                return Ok(None);
            }
        }
    }

    /// When [`Mux::handle_timeout`] or [`Mux::poll_transmit`] is to be called at the latest.
    pub fn poll_timeout(&self) -> Timestamp {
        let silent = self.heard.plus_micros(self.silence_us);
        self.ping_us.map_or(silent, |_| silent.min(self.ping_at()))
    }

    /// Whether the other end has been silent for too long: the connection is dead.
    pub fn is_dead(&self, now: Timestamp) -> bool {
        now.micros_since(self.heard) >= self.silence_us
    }

    /// How long the last ping took there and back, queues on the way included.
    pub fn round_trip_us(&self) -> Option<i64> {
        self.round_trip_us
    }

    fn ping_at(&self) -> Timestamp {
        match (self.pinged, self.ping_us) {
            (Some(last), Some(every)) if self.unmeasured => last.plus_micros(every.min(MEASURE_US)),
            (Some(last), Some(every)) => last.plus_micros(every),
            _ => self.heard,
        }
    }

    /// Looks at one chunk; answers whether there was a whole one.
    fn next_chunk(&mut self, now: Timestamp) -> Result<bool, WireError> {
        let Some((&[channel, low, high], rest)) = self.received.split_first_chunk() else {
            return Ok(false);
        };
        let length = usize::from(u16::from_le_bytes([low, high]));
        if length > CHUNK_BYTES_MAX {
            return Err(WireError::OverLimit {
                what: "the length of a chunk",
                max: CHUNK_BYTES_MAX,
            });
        }
        let Some(bytes) = rest.get(..length) else {
            return Ok(false);
        };
        match (channel, <[u8; PING_BYTES]>::try_from(bytes)) {
            (PING, Ok(ping)) => {
                let every = ping.last_chunk::<4>().copied().unwrap_or_default();
                self.silence_us = silence_us(i64::from(u32::from_le_bytes(every)) * 1_000);
                // Who asks without waiting for the answers gets the last one only.
                self.answers.clear();
                self.answers.push_back(ping);
            }
            (PONG, Ok(pong)) => {
                let sent = pong.first_chunk::<8>().copied().unwrap_or_default();
                let sent = Timestamp(i64::from_le_bytes(sent));
                if Some(sent) <= self.pinged {
                    self.round_trip_us = Some(now.micros_since(sent).max(0));
                }
            }
            // A lane or a word of a newer program: passed over.
            (number, _) => {
                if let Some(lane) = Lane::from_number(number) {
                    self.lanes.entry(lane).or_default().push(bytes);
                }
            }
        }
        self.received.drain(..HEAD_BYTES + length);
        Ok(true)
    }
}

/// Two and a half times the normal silence, within bounds.
fn silence_us(every_us: i64) -> i64 {
    (every_us.saturating_mul(5) / 2).clamp(1_000_000, SILENCE_US_MAX)
}

fn chunk(channel: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut chunk = Vec::with_capacity(HEAD_BYTES + bytes.len());
    chunk.push(channel);
    chunk.extend(length.to_le_bytes());
    chunk.extend_from_slice(bytes);
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn frame(kind: u16, bytes: usize) -> Frame {
        Frame {
            kind,
            version: 1,
            body: vec![7; bytes],
        }
    }

    fn all(mux: &mut Mux) -> Vec<u8> {
        std::iter::from_fn(|| mux.poll_transmit(NOW))
            .flatten()
            .collect()
    }

    proptest! {
        #[test]
        fn every_lane_comes_back_in_its_order_however_the_bytes_are_cut(
            sent in prop::collection::vec((0_u8..5, 0_usize..9_000), 1..20),
            cut in 1_usize..5_000,
        ) {
            let mut from = Mux::new(None, NOW);
            let mut expected: BTreeMap<Lane, Vec<Frame>> = BTreeMap::new();
            for (kind, (lane, bytes)) in (0_u16..).zip(sent) {
                let lane = Lane::from_number(lane).unwrap();
                from.push(lane, &frame(kind, bytes).encode().unwrap());
                expected.entry(lane).or_default().push(frame(kind, bytes));
            }
            let bytes = all(&mut from);
            let mut to = Mux::new(None, NOW);
            let mut got: BTreeMap<Lane, Vec<Frame>> = BTreeMap::new();
            for part in bytes.chunks(cut) {
                to.handle_bytes(part, NOW);
                while let Some((lane, frame)) = to.poll_frame(NOW).unwrap() {
                    got.entry(lane).or_default().push(frame);
                }
            }
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut mux = Mux::new(Some(1_000_000), NOW);
            mux.handle_bytes(&bytes, NOW);
            while let Ok(Some(_)) = mux.poll_frame(NOW) {}
            while mux.poll_transmit(NOW).is_some() {}
        }
    }

    #[test]
    fn what_is_urgent_waits_for_one_chunk_at_most() {
        let mut mux = Mux::new(None, NOW);
        mux.push(Lane::Backlog, &vec![0; FRAME_BYTES_MAX]);
        let first = mux.poll_transmit(NOW).unwrap();
        assert_eq!(first.len(), HEAD_BYTES + CHUNK_BYTES_MAX);
        mux.push(Lane::Live, &[3; 10]);
        mux.push(Lane::Events, &[1; 10]);
        let lanes: Vec<u8> = (0..3).map(|_| mux.poll_transmit(NOW).unwrap()[0]).collect();
        assert_eq!(lanes, [1, 3, 4]);
        assert_eq!(mux.waiting_bytes(), FRAME_BYTES_MAX - 2 * CHUNK_BYTES_MAX);
    }

    #[test]
    fn a_ping_measures_the_way_and_tells_how_long_silence_is_normal() {
        let mut edge = Mux::new(Some(10_000_000), NOW);
        let mut hub = Mux::new(None, NOW);
        let ping = edge.poll_transmit(NOW).unwrap();
        assert_eq!(edge.poll_transmit(NOW), None);
        hub.handle_bytes(&ping, NOW);
        assert_eq!(hub.poll_frame(NOW), Ok(None));
        let later = NOW.plus_micros(80_000);
        edge.handle_bytes(&hub.poll_transmit(later).unwrap(), later);
        assert_eq!(edge.poll_frame(later), Ok(None));
        assert_eq!(edge.round_trip_us(), Some(80_000));
        // Idle: the next one when the path has to be kept open; in use: soon.
        assert_eq!(edge.poll_timeout(), NOW.plus_micros(10_000_000));
        edge.push(Lane::Live, &[1]);
        assert_eq!(edge.poll_transmit(later).unwrap()[0], 3);
        assert_eq!(edge.poll_timeout(), NOW.plus_micros(MEASURE_US));
        for (mux, heard) in [(&edge, later), (&hub, NOW)] {
            assert!(!mux.is_dead(heard.plus_micros(24_999_999)));
            assert!(mux.is_dead(heard.plus_micros(25_000_000)));
        }
    }

    #[test]
    fn a_chunk_over_its_limit_is_refused_and_an_unknown_channel_is_passed_over() {
        let mut mux = Mux::new(None, NOW);
        mux.handle_bytes(&chunk(77, b"of the future"), NOW);
        mux.handle_bytes(&chunk(1, &frame(9, 1).encode().unwrap()), NOW);
        assert_eq!(mux.poll_frame(NOW), Ok(Some((Lane::Events, frame(9, 1)))));
        mux.handle_bytes(&[0, 0xFF, 0xFF], NOW);
        assert!(matches!(
            mux.poll_frame(NOW),
            Err(WireError::OverLimit { .. })
        ));
    }
}
