//! Tests of the store through its public face. A crash is a copy of the files of an open store.

mod attachments;
mod bridge;
mod commands;
mod damage;
mod holes;
mod inspect;
mod quota;
mod random;
mod readings;
mod records;
mod retention;
mod rollups;
mod sync;

use super::*;
use protocol::block;
use protocol::id::SensorId;
use protocol::reading::{Cell, Column, Quality, Raw, RawKind};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use uuid::Uuid;

/// Every look at the clock is a millisecond later than the one before.
static CLOCK_US: AtomicI64 = AtomicI64::new(1_800_000_000_000_000);

fn now() -> Timestamp {
    Timestamp(CLOCK_US.fetch_add(1_000, Ordering::Relaxed))
}

fn clock() -> ClockState {
    ClockState::Synchronised
}

fn options(folder: &Path) -> StorageOptions {
    StorageOptions {
        folder: folder.to_owned(),
        commit_tick: Duration::from_millis(2),
        seal_after: Duration::from_secs(3_600),
        buffer_bytes_max: 64 << 20,
        core_bytes_max: 1 << 30,
        ballast_bytes: 0,
        attachments_bytes_max: 1 << 30,
        keep: Keep::default(),
        disk: Disk::of,
        queue_polls_max: 8_192,
        now,
        clock,
    }
}

/// An open store, and what came out of its channel.
struct Store {
    storage: Storage,
    opened: Opened,
    committed: mpsc::Receiver<Committed>,
}

impl Store {
    fn open(folder: &Path) -> Self {
        Self::open_with(options(folder))
    }

    fn open_with(options: StorageOptions) -> Self {
        let (sender, committed) = mpsc::channel(64);
        let (storage, opened) = Storage::open(options, sender).unwrap();
        Self {
            storage,
            opened,
            committed,
        }
    }

    /// Pushes, waits until all is committed, gives what the channel said.
    async fn store(&mut self, stream: StreamId, polls: &[Poll]) -> Vec<(u64, Poll)> {
        for poll in polls {
            self.storage.push(stream, poll.clone()).unwrap();
        }
        let mut stored = Vec::new();
        while stored.len() < polls.len() {
            let committed = self.committed.recv().await.unwrap();
            for batch in committed.batches {
                assert_eq!(batch.stream, stream);
                stored.extend((batch.first_seq..).zip(batch.polls.iter().cloned()));
            }
        }
        stored
    }

    /// Everything of a stream as the uplink would read it, in small steps.
    async fn read_all(&self, stream: StreamId, bytes_max: usize) -> Vec<(u64, Poll)> {
        let mut all = Vec::new();
        let mut next_seq = 1;
        loop {
            let blocks = self
                .storage
                .blocks(stream, next_seq, u64::MAX >> 1, bytes_max);
            let blocks = blocks.await.unwrap();
            if blocks.is_empty() {
                return all;
            }
            for bytes in blocks {
                let block = block::decode(&bytes).unwrap();
                assert!(block.header.first_seq >= next_seq);
                next_seq = block.header.last_seq() + 1;
                all.extend((block.header.first_seq..).zip(block.polls));
            }
        }
    }

    /// Closes the store and opens it again.
    async fn reopen(self, folder: &Path) -> Self {
        self.storage.close().await.unwrap();
        Self::open(folder)
    }
}

/// The state that a power cut would leave behind.
fn crash_copy(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if !name.to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), copy.path().join(name)).unwrap();
        }
    }
    copy
}

/// All of the box's own events, of all openings of its store.
async fn own_events(storage: &Storage) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    for own in storage.sync_state().await.unwrap().events {
        let events = storage.events_after(own.incarnation, 0, usize::MAX).await;
        all.extend(events.unwrap());
    }
    all
}

fn sensor(number: u128) -> SensorId {
    SensorId(Uuid::from_u128(number))
}

/// A group of sensors numbered from `first` on.
fn group(name: &str, first: u128, columns: u128) -> GroupSchema {
    let column = |number| Column {
        sensor: sensor(number),
        raw: RawKind::Int,
        scale: 0.1,
        offset: 0.0,
    };
    GroupSchema {
        name: name.to_owned(),
        period_us: 1_000_000,
        columns: (first..first + columns).map(column).collect(),
    }
}

/// One poll a second from `first` on: value = second × 10 + column, so scaled second + column / 10.
fn polls(first: i64, count: i64, columns: i64) -> Vec<Poll> {
    let poll = |second: i64| Poll {
        time: Timestamp(second * 1_000_000 + (second * 7_919) % 3_000),
        clock: ClockState::Synchronised,
        cells: (0..columns)
            .map(|column| Cell::Value(Raw::Int(second * 10 + column), Quality::Good))
            .collect(),
    };
    (first..first + count).map(poll).collect()
}

/// Polls that do not compress.
fn noise(count: usize, columns: usize, seed: u64) -> Vec<Poll> {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut second = i64::try_from(seed).unwrap() * 1_000_000;
    let mut poll = || {
        second += 1;
        Poll {
            time: Timestamp(second * 1_000_000),
            clock: ClockState::Synchronised,
            cells: (0..columns)
                .map(|_| Cell::Value(Raw::Int(next().cast_signed() >> 1), Quality::Good))
                .collect(),
        }
    };
    (0..count).map(|_| poll()).collect()
}

fn numbered(polls: &[Poll]) -> Vec<(u64, Poll)> {
    (1..).zip(polls.iter().cloned()).collect()
}
