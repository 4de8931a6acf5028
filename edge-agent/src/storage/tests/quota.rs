//! A buffer that is full: what goes, in which order, and that it is told.

use super::*;
use protocol::event::{Body, GapCause, GatewayEvent};
use protocol::ranges::RangeSet;
use protocol::wire::decode_event;

const QUOTA_BYTES: u64 = 1 << 20;
const COLUMNS: usize = 20;

fn small(folder: &Path) -> StorageOptions {
    StorageOptions {
        buffer_bytes_max: QUOTA_BYTES,
        ..options(folder)
    }
}

/// Every number is held, acknowledged or named as gone; what is held is unchanged.
async fn account(store: &Store, stream: StreamId, all: &[Poll]) -> (RangeSet, RangeSet) {
    let state = store.storage.sync_state().await.unwrap();
    let of_stream = state.streams.iter().find(|s| s.stream == stream).unwrap();
    let mut known = RangeSet::from_pairs(
        of_stream
            .acked
            .pairs()
            .iter()
            .chain(of_stream.gone.pairs())
            .copied(),
    );
    let mut held = RangeSet::new();
    for (seq, poll) in store.read_all(stream, 1 << 20).await {
        assert_eq!(poll, all[usize::try_from(seq).unwrap() - 1]);
        known.insert(seq, seq);
        held.insert(seq, seq);
    }
    assert_eq!(of_stream.last_seq, u64::try_from(all.len()).unwrap());
    assert_eq!(known.missing(1, of_stream.last_seq), []);
    (held, of_stream.gone.clone())
}

async fn gaps(storage: &Storage) -> Vec<(u64, GapCause)> {
    let events = own_events(storage).await;
    let gap = |(_, bytes): &(u64, Vec<u8>)| match decode_event(bytes).unwrap().body {
        Body::Gateway(GatewayEvent::Gap { polls, cause, .. }) => Some((polls, cause)),
        _ => None,
    };
    events.iter().filter_map(gap).collect()
}

#[tokio::test]
async fn unacknowledged_polls_that_have_to_go_are_named() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open_with(small(folder.path()));
    let stream = store
        .storage
        .register_group(group("a", 1, 20))
        .await
        .unwrap();
    // 2 MB of noise into 1 MiB, in sealed portions.
    let all = noise(12_000, COLUMNS, 3);
    for portion in all.chunks(600) {
        store.store(stream, portion).await;
    }
    store.storage.flush().await.unwrap();
    let (held, gone) = account(&store, stream, &all).await;
    assert!(
        gone.count() > 0 && held.count() > 2_500,
        "{gone:?} {held:?}"
    );
    assert_eq!(gone.pairs().len(), 1, "the oldest went");
    assert_eq!(gone.contiguous_to(), gone.count());
    let told = gaps(&store.storage).await;
    assert!(told.iter().all(|(_, cause)| *cause == GapCause::Thinned));
    assert_eq!(
        told.iter().map(|(polls, _)| polls).sum::<u64>(),
        gone.count()
    );
    let stats = store.storage.stats().await.unwrap();
    assert_eq!(stats.dropped_polls, gone.count());
    let bytes = std::fs::metadata(folder.path().join("buffer.db"))
        .unwrap()
        .len();
    assert!(bytes <= QUOTA_BYTES, "{bytes}");

    // It is remembered, and told once only.
    let store = store.reopen(folder.path()).await;
    assert_eq!(account(&store, stream, &all).await.1, gone);
    assert_eq!(gaps(&store.storage).await, told);
}

#[tokio::test]
async fn acknowledged_polls_go_first_and_are_no_loss() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open_with(small(folder.path()));
    let unsent = store
        .storage
        .register_group(group("a", 1, 20))
        .await
        .unwrap();
    let sent = store
        .storage
        .register_group(group("b", 50, 20))
        .await
        .unwrap();
    // The unsent ones are older, and stay.
    let (kept, gone_later) = (noise(1_200, COLUMNS, 5), noise(9_000, COLUMNS, 9));
    for portion in kept.chunks(600) {
        store.store(unsent, portion).await;
    }
    let mut last = 0;
    for portion in gone_later.chunks(600) {
        last = store.store(sent, portion).await.last().unwrap().0;
        store.storage.mark_acked(sent, 1, last).await.unwrap();
    }
    let (held, gone) = account(&store, unsent, &kept).await;
    assert_eq!((held.count(), gone.count()), (1_200, 0));
    let (held, gone) = account(&store, sent, &gone_later).await;
    assert_eq!(gone.count(), 0);
    assert!(held.count() < last && held.count() > 0);
    assert_eq!(gaps(&store.storage).await, []);
    assert_eq!(store.storage.stats().await.unwrap().dropped_polls, 0);
}

#[tokio::test]
async fn a_quota_that_was_lowered_is_reached_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path());
    let stream = store
        .storage
        .register_group(group("a", 1, 20))
        .await
        .unwrap();
    let all = noise(12_000, COLUMNS, 7);
    for portion in all.chunks(600) {
        store.store(stream, portion).await;
    }
    store.storage.close().await.unwrap();
    let mut store = Store::open_with(small(folder.path()));
    let more = noise(600, COLUMNS, 8);
    store.store(stream, &more).await;
    let all: Vec<Poll> = all.into_iter().chain(more).collect();
    assert!(account(&store, stream, &all).await.1.count() > 0);
    store.storage.close().await.unwrap();
    let bytes = std::fs::metadata(folder.path().join("buffer.db"))
        .unwrap()
        .len();
    assert!(bytes <= QUOTA_BYTES, "{bytes}");
}

/// A disk of 40 MB with as much free as a file in the folder says.
fn told_disk(folder: &Path) -> Option<Disk> {
    let free = std::fs::read_to_string(folder.join("free")).ok()?;
    Some(Disk {
        bytes: 40 << 20,
        free_bytes: free.parse().ok()?,
    })
}

#[tokio::test]
async fn on_a_full_disk_readings_go_on_within_their_file_and_events_are_stored() {
    let folder = TempDir::new().unwrap();
    let free = |bytes: u64| std::fs::write(folder.path().join("free"), bytes.to_string()).unwrap();
    let length = |file| std::fs::metadata(folder.path().join(file)).map_or(0, |file| file.len());
    free(30 << 20);
    let mut store = Store::open_with(StorageOptions {
        ballast_bytes: 1 << 20,
        disk: told_disk,
        ..options(folder.path())
    });
    assert_eq!(length("ballast"), 1 << 20);
    let stream = store
        .storage
        .register_group(group("a", 1, 20))
        .await
        .unwrap();
    let all = noise(6_000, COLUMNS, 21);
    let (early, late) = all.split_at(3_000);
    for portion in early.chunks(600) {
        store.store(stream, portion).await;
    }
    free(0);
    let mut lengths = Vec::new();
    for portion in late.chunks(300) {
        // Committed, though the disk is full: who judges the readings sees them.
        store.store(stream, portion).await;
        lengths.push(length("buffer.db"));
    }
    assert_eq!(length("ballast"), 0);
    let stats = store.storage.stats().await.unwrap();
    assert!(stats.disk_full && stats.failures == 0, "{stats:?}");
    assert_eq!(lengths.first(), lengths.last(), "{lengths:?}");
    let (_, gone) = account(&store, stream, &all).await;
    let told = gaps(&store.storage).await;
    assert!(told.iter().all(|(_, cause)| *cause == GapCause::Thinned) && !told.is_empty());
    assert_eq!(
        told.iter().map(|(polls, _)| polls).sum::<u64>(),
        gone.count()
    );
    free(30 << 20);
    store.storage.flush().await.unwrap();
    assert_eq!(length("ballast"), 1 << 20);
    assert!(!store.storage.stats().await.unwrap().disk_full);
}

#[tokio::test]
async fn statistics_stay_within_their_share_and_the_loss_of_the_last_is_told() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open_with(small(folder.path()));
    let stream = store
        .storage
        .register_group(group("a", 1, 20))
        .await
        .unwrap();
    // Slow polls, so that the statistics take a good part of the room.
    let mut all = noise(12_000, COLUMNS, 23);
    for (at, poll) in (0..).zip(&mut all) {
        poll.time = Timestamp(at * 4_000_000);
    }
    for portion in all.chunks(600) {
        store.store(stream, portion).await;
    }
    store.storage.flush().await.unwrap();
    let (held, gone) = account(&store, stream, &all).await;
    assert!(
        held.count() > 1_000 && gone.count() > 0,
        "{held:?} {gone:?}"
    );
    let told = gaps(&store.storage).await;
    let sum = |wanted| -> u64 {
        let of_cause = told.iter().filter(|(_, cause)| *cause == wanted);
        of_cause.map(|(polls, _)| polls).sum()
    };
    assert_eq!(sum(GapCause::Thinned), gone.count());
    let lost = sum(GapCause::BufferFull);
    assert!(
        lost > 0 && lost < gone.count(),
        "{lost} of {}",
        gone.count()
    );
}
