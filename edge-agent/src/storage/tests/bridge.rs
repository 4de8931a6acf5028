//! Stamps from before the time was known: held, moved once, and never out of order.

use super::records::{alert_id, append, on_alert, raised};
use super::*;
use protocol::event::{AlertEvent, Event};
use protocol::rollup::Level;
use protocol::time::Correction;
use protocol::wire;

const SECOND: i64 = 1_000_000;
/// 2026-11-22 as the true time of the machine's start.
const BOOT: i64 = 1_795_305_600 * SECOND;
/// More than one block of each.
const POLLS: i64 = 1_500;

fn early() -> Timestamp {
    Timestamp(1_400 * SECOND)
}

fn unset() -> ClockState {
    ClockState::Untrusted
}

fn untrusted(folder: &Path) -> StorageOptions {
    StorageOptions {
        now: early,
        clock: unset,
        ..options(folder)
    }
}

fn by() -> Correction {
    Correction {
        from: Timestamp(0),
        until: Timestamp(2_000 * SECOND),
        shift_us: BOOT,
    }
}

fn early_polls(first: i64, count: i64) -> Vec<Poll> {
    let mut polls = polls(first, count, 2);
    for poll in &mut polls {
        poll.clock = ClockState::Untrusted;
    }
    polls
}

/// What `polls` are when they are moved.
fn moved(mut polls: Vec<Poll>) -> Vec<Poll> {
    for poll in &mut polls {
        poll.time = poll.time.plus_micros(BOOT);
        poll.clock = ClockState::Corrected;
    }
    polls
}

async fn correct(storage: &Storage) {
    let clock = ("boot 1".to_owned(), Vec::new());
    let state = ("judge".to_owned(), b"moved".to_vec());
    storage.correct(clock, by(), state).await.unwrap();
}

async fn all_moved(storage: &Storage) {
    let mut held = storage.held();
    let free = held.wait_for(|held| *held == Held::default());
    drop(
        tokio::time::timeout(Duration::from_secs(30), free)
            .await
            .unwrap(),
    );
}

/// A run of the program in a boot whose time is not known: readings, and an alert.
async fn first_run(folder: &Path) -> (Store, StreamId) {
    let mut store = Store::open_with(untrusted(folder));
    let storage = store.storage.clone();
    let waits = storage.hold("boot 1".to_owned(), b"clock".to_vec(), false);
    assert!(waits.await.unwrap());
    let stream = storage.register_group(group("a", 1, 2)).await.unwrap();
    store.store(stream, &early_polls(1, POLLS)).await;
    append(&storage, on_alert(alert_id(1), raised()))
        .await
        .unwrap();
    let comment = AlertEvent::Commented {
        text: "seen".to_owned(),
    };
    append(&storage, on_alert(alert_id(1), comment))
        .await
        .unwrap();
    (store, stream)
}

fn events(stored: &[(u64, Vec<u8>)]) -> Vec<Event> {
    let decoded = stored
        .iter()
        .map(|(_, bytes)| wire::decode_event(bytes).unwrap());
    decoded.collect()
}

/// Polls in the minutes of the one group.
async fn in_minutes(storage: &Storage) -> u64 {
    let count = |db: &rusqlite::Connection| {
        let mut count = 0;
        let span = (Timestamp(0), Timestamp(BOOT * 2));
        let column = (crate::storage::rollups::groups(db)?[0].id, 0);
        crate::storage::rollups::each_bucket(db, Level::Day, column, span, |_, day| {
            count += u64::from(day.count);
        })?;
        Ok(count)
    };
    storage.read_buffer(count).await.unwrap()
}

#[tokio::test]
async fn readings_and_events_are_held_and_moved_once() {
    let folder = TempDir::new().unwrap();
    let (store, stream) = first_run(folder.path()).await;
    let storage = &store.storage;
    let mut state = storage.sync_state().await.unwrap();
    assert_eq!(state.streams.len(), 1);
    state.leave_out(&storage.held().borrow());
    assert_eq!((state.streams.len(), state.events.len()), (0, 0));
    // What is on its way still when the time becomes known is moved as it comes.
    let late = early_polls(POLLS + 1, 20);
    correct(storage).await;
    for poll in &late {
        storage.push(stream, poll.clone()).unwrap();
    }
    storage.flush().await.unwrap();
    all_moved(storage).await;
    let expected = numbered(&moved(early_polls(1, POLLS + 20)));
    assert_eq!(store.read_all(stream, 1 << 20).await, expected);
    let moved_events = events(&own_events(storage).await);
    for event in &moved_events {
        assert_eq!(event.time, Timestamp(1_400 * SECOND + BOOT));
        assert_eq!(event.clock, ClockState::Corrected);
    }
    let mut chain = Default::default();
    for (_, bytes) in own_events(storage).await {
        chain = wire::chain(&chain, &bytes);
    }
    let incarnation = store.opened.incarnation;
    assert_eq!(storage.chain_at(incarnation, 2).await.unwrap(), Some(chain));
    let alert = storage.alert(alert_id(1)).await.unwrap().unwrap();
    assert_eq!(alert.raised_at, Timestamp(1_400 * SECOND + BOOT));
    assert_eq!(alert.raised.since, Timestamp(BOOT), "times within it too");
    // Sealed with the next ones, the late ones count as well; the rest counts once.
    assert_eq!(in_minutes(storage).await, POLLS.unsigned_abs());
    correct(storage).await;
    all_moved(storage).await;
    assert_eq!(store.read_all(stream, 1 << 20).await, expected);
    assert_eq!(events(&own_events(storage).await), moved_events);
    assert_eq!(in_minutes(storage).await, POLLS.unsigned_abs() + 20);
    let saved = storage.load_state("judge".to_owned()).await.unwrap();
    assert_eq!(saved, Some(b"moved".to_vec()));
    // What is judged late is moved when it is written.
    let late = append(storage, on_alert(alert_id(2), raised()))
        .await
        .unwrap();
    assert_eq!(late.clock, ClockState::Corrected);
}

#[tokio::test]
async fn a_crash_in_the_middle_moves_the_rest_at_the_next_start_and_nothing_twice() {
    let folder = TempDir::new().unwrap();
    let (mut store, _) = first_run(folder.path()).await;
    // Enough blocks that it takes several steps.
    for number in 0..24_u128 {
        let schema = group("more", 10 + 2 * number, 2);
        let stream = store.storage.register_group(schema).await.unwrap();
        store.store(stream, &early_polls(1, 700)).await;
    }
    correct(&store.storage).await;
    let crashes = [crash_copy(folder.path()), crash_copy(folder.path())];
    all_moved(&store.storage).await;
    let expected: Vec<_> = all(&store).await;
    for crashed in crashes {
        let again = Store::open(crashed.path());
        assert_eq!(all(&again).await, expected);
        assert_eq!(*again.storage.held().borrow(), Held::default());
        let clocks = expected.iter().flatten().map(|(_, poll)| poll.clock);
        assert!(
            clocks
                .into_iter()
                .all(|clock| clock == ClockState::Corrected)
        );
    }
}

async fn all(store: &Store) -> Vec<Vec<(u64, Poll)>> {
    let mut all = Vec::new();
    for stream in 1..=25 {
        all.push(store.read_all(StreamId(stream), 1 << 20).await);
    }
    all
}

#[tokio::test]
async fn an_earlier_run_of_the_same_boot_is_moved_too_and_another_boot_never() {
    let folder = TempDir::new().unwrap();
    let (store, stream) = first_run(folder.path()).await;
    store.storage.close().await.unwrap();
    // Again in the same boot: still held, and what the clock knew is there.
    let second = Store::open_with(untrusted(folder.path()));
    let (saved, _) = second.storage.saved_clock().await.unwrap();
    assert_eq!(saved, Some(b"clock".to_vec()));
    let waits = second.storage.hold("boot 1".to_owned(), Vec::new(), false);
    assert!(waits.await.unwrap());
    assert_eq!(second.storage.held().borrow().polls.len(), 2);
    second.storage.close().await.unwrap();
    let other = crash_copy(folder.path());
    let third = Store::open(folder.path());
    third
        .storage
        .hold("boot 1".to_owned(), Vec::new(), true)
        .await
        .unwrap();
    correct(&third.storage).await;
    all_moved(&third.storage).await;
    let expected = numbered(&moved(early_polls(1, POLLS)));
    assert_eq!(third.read_all(stream, 1 << 20).await, expected);
    // The power went before the time was known: nothing waits, nothing is moved, nothing is lost.
    let off = Store::open(other.path());
    let waits = off.storage.hold("boot 2".to_owned(), Vec::new(), true);
    assert!(!waits.await.unwrap());
    correct(&off.storage).await;
    assert_eq!(
        off.read_all(stream, 1 << 20).await,
        numbered(&early_polls(1, POLLS))
    );
    let kept = events(&own_events(&off.storage).await);
    assert_eq!((kept.len(), kept[0].clock), (2, ClockState::Untrusted));
    assert_eq!(*off.storage.held().borrow(), Held::default());
}
