//! From push to chart: every poll once, in order, through commits, crashes and seals.

use super::*;

#[tokio::test]
async fn what_is_pushed_comes_out_committed_and_reads_back_once_and_in_order() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path());
    let stream = store
        .storage
        .register_group(group("a", 1, 3))
        .await
        .unwrap();
    let polls = polls(0, 50, 3);
    assert_eq!(store.store(stream, &polls).await, numbered(&polls));
    assert_eq!(store.read_all(stream, 1).await, numbered(&polls));
    assert_eq!(store.read_all(stream, 1 << 20).await, numbered(&polls));
}

#[tokio::test]
async fn what_came_out_survives_a_power_cut_and_the_numbers_go_on() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path());
    let stream = store
        .storage
        .register_group(group("a", 1, 3))
        .await
        .unwrap();
    let polls = polls(0, 60, 3);
    let (early, late) = polls.split_at(40);
    store.store(stream, early).await;
    let copy = crash_copy(folder.path());

    let mut store = Store::open(copy.path());
    assert!(store.opened.unclean);
    assert_eq!(store.opened.damaged, None);
    let again = store
        .storage
        .register_group(group("a", 1, 3))
        .await
        .unwrap();
    // What was written before and what comes now never share a number, however the files came here.
    assert_ne!(again, stream);
    assert_eq!(store.store(again, late).await, numbered(late));
    assert_eq!(store.read_all(stream, 100).await, numbered(early));

    let store = store.reopen(copy.path()).await;
    assert!(!store.opened.unclean);
    assert_eq!(store.read_all(stream, 100).await, numbered(early));
    assert_eq!(store.read_all(again, 100).await, numbered(late));
}

#[tokio::test]
async fn a_full_stream_is_sealed_and_the_others_stay_readable() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path());
    let fast = store
        .storage
        .register_group(group("fast", 1, 2))
        .await
        .unwrap();
    let slow = store
        .storage
        .register_group(group("slow", 9, 4))
        .await
        .unwrap();
    let (fast_polls, slow_polls) = (polls(0, 1_500, 2), polls(0, 30, 4));
    for step in 0..30 {
        let from = step * 50;
        store.store(fast, &fast_polls[from..from + 50]).await;
        store.store(slow, &slow_polls[step..=step]).await;
    }
    let stats = store.storage.stats().await.unwrap();
    assert_eq!(
        stats.blocks, 2,
        "two blocks of the fast group, none of the slow one"
    );
    assert!(
        stats.journal_rows >= 1,
        "the slow polls wait in the journal"
    );
    assert_eq!(store.read_all(fast, 1_000).await, numbered(&fast_polls));
    assert_eq!(store.read_all(slow, 1).await, numbered(&slow_polls));

    // The same after a crash: what is sealed is not read from the journal once more.
    let copy = crash_copy(folder.path());
    let mut store = Store::open(copy.path());
    assert_eq!(store.read_all(fast, 1 << 20).await, numbered(&fast_polls));
    let more = polls(1_500, 300, 2);
    assert_eq!(store.store(fast, &more).await.first().unwrap().0, 1_501);
    let all: Vec<Poll> = fast_polls.into_iter().chain(more).collect();
    assert_eq!(store.read_all(fast, 5_000).await, numbered(&all));
    assert_eq!(store.read_all(slow, 5_000).await, numbered(&slow_polls));
}

#[tokio::test]
async fn old_polls_are_sealed_even_when_nothing_more_comes() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open_with(StorageOptions {
        seal_after: Duration::from_millis(30),
        ..options(folder.path())
    });
    let stream = store
        .storage
        .register_group(group("a", 1, 2))
        .await
        .unwrap();
    let polls = polls(0, 5, 2);
    store.store(stream, &polls).await;
    wait_for(&store.storage, |stats| {
        stats.blocks > 0 && stats.journal_rows == 0
    })
    .await;
    assert_eq!(store.read_all(stream, 10).await, numbered(&polls));
}

#[tokio::test]
async fn a_range_is_cut_out_of_blocks_and_journal() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path());
    let stream = store
        .storage
        .register_group(group("a", 1, 2))
        .await
        .unwrap();
    let polls = polls(0, 700, 2);
    store.store(stream, &polls[..600]).await;
    store.store(stream, &polls[600..]).await;
    let blocks = store
        .storage
        .blocks(stream, 590, 610, 1 << 20)
        .await
        .unwrap();
    let mut seqs = Vec::new();
    for bytes in &blocks {
        let block = block::decode(bytes).unwrap();
        for (seq, poll) in (block.header.first_seq..).zip(block.polls) {
            assert_eq!(poll, polls[usize::try_from(seq).unwrap() - 1]);
            seqs.push(seq);
        }
    }
    assert_eq!(seqs, (590..=610).collect::<Vec<_>>());
    let few = store.storage.blocks(stream, 590, 610, 1).await.unwrap();
    assert_eq!(few.len(), 1, "one at least, no more than asked for");
    let none = store.storage.blocks(stream, 701, 900, 1_000).await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_slow_reader_of_batches_stops_the_store_and_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let (sender, mut committed) = mpsc::channel(1);
    let options = StorageOptions {
        queue_polls_max: 64,
        ..options(folder.path())
    };
    let (storage, _) = Storage::open(options, sender).unwrap();
    let stream = storage.register_group(group("a", 1, 1)).await.unwrap();
    let mut source = polls(0, 100_000, 1).into_iter();
    let mut pushed = Vec::new();
    loop {
        let poll = source.next().unwrap();
        match storage.push(stream, poll.clone()) {
            Ok(()) => pushed.push(poll),
            Err(error) => {
                assert_eq!(error, PushError::Full);
                break;
            }
        }
        // The writer still answers: a reader that asks it something does not lock up.
        storage.stats().await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < pushed.len() {
        for batch in committed.recv().await.unwrap().batches {
            seen.extend((batch.first_seq..).zip(batch.polls.iter().cloned()));
        }
    }
    assert_eq!(seen, numbered(&pushed));
}

#[tokio::test]
async fn a_poll_of_another_shape_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let stream = store
        .storage
        .register_group(group("a", 1, 3))
        .await
        .unwrap();
    let poll = polls(0, 1, 2).remove(0);
    assert_eq!(
        store.storage.push(stream, poll.clone()),
        Err(PushError::WrongShape)
    );
    assert_eq!(
        store.storage.push(StreamId(77), poll),
        Err(PushError::WrongShape)
    );
}

#[tokio::test]
async fn the_same_schema_has_the_same_stream_and_a_changed_one_a_new() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let storage = &store.storage;
    let first = storage.register_group(group("a", 1, 3)).await.unwrap();
    let changed = storage.register_group(group("a", 1, 4)).await.unwrap();
    assert_eq!((first, changed), (StreamId(1), StreamId(2)));
    let again = storage.register_group(group("a", 1, 3)).await.unwrap();
    assert_eq!(again, first);
    assert!(
        store
            .storage
            .register_group(group("none", 1, 0))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_chart_shows_all_streams_of_a_sensor_sealed_or_not() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path());
    let before = store
        .storage
        .register_group(group("a", 1, 2))
        .await
        .unwrap();
    store.store(before, &polls(0, 600, 2)).await;
    store.store(before, &polls(600, 20, 2)).await;
    // The group was changed: sensor 2 is its third column now.
    let after = store
        .storage
        .register_group(group("a", 0, 4))
        .await
        .unwrap();
    store.store(after, &polls(620, 30, 4)).await;
    assert_eq!(store.storage.stats().await.unwrap().blocks, 1);

    let (from, to) = (Timestamp(0), Timestamp(10_000_000_000));
    let series = store
        .storage
        .readings(sensor(2), from, to, 1_000)
        .await
        .unwrap();
    assert!(series.raw);
    let values: Vec<i64> = series
        .points
        .iter()
        .map(|point| {
            (point.mean.unwrap() * 10.0)
                .round()
                .to_string()
                .parse()
                .unwrap()
        })
        .collect();
    let expected = (0..620_i64)
        .map(|s| s * 10 + 1)
        .chain((620..650).map(|s| s * 10 + 2));
    assert_eq!(values, expected.collect::<Vec<_>>());

    let part = store.storage.readings(
        sensor(2),
        Timestamp(595_000_000),
        Timestamp(605_000_000),
        50,
    );
    assert_eq!(
        part.await.unwrap().points.len(),
        10,
        "sealed and journal, nothing beside"
    );
    let thin = store
        .storage
        .readings(sensor(2), from, to, 10)
        .await
        .unwrap();
    assert!(!thin.raw && thin.points.len() <= 10);
    let other = store
        .storage
        .readings(sensor(99), from, to, 10)
        .await
        .unwrap();
    assert_eq!(other.points, []);
    let snapshot = store
        .storage
        .snapshot(sensor(2), from, to, 9_999)
        .await
        .unwrap();
    assert!(snapshot.len() <= SNAPSHOT_POINTS_MAX && !snapshot.is_empty());
}

#[tokio::test]
async fn a_state_is_saved_with_the_next_commit() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let storage = &store.storage;
    storage
        .save_state("limit/1".to_owned(), vec![1])
        .await
        .unwrap();
    storage
        .save_state("limit/1".to_owned(), vec![2, 3])
        .await
        .unwrap();
    assert_eq!(
        storage.load_state("limit/1".to_owned()).await.unwrap(),
        Some(vec![2, 3])
    );
    storage.flush().await.unwrap();
    let copy = crash_copy(folder.path());
    let store = Store::open(copy.path());
    let loaded = store
        .storage
        .load_state("limit/1".to_owned())
        .await
        .unwrap();
    assert_eq!(loaded, Some(vec![2, 3]));
    assert_eq!(
        store.storage.load_state("other".to_owned()).await.unwrap(),
        None
    );
    let long = store
        .storage
        .save_state("x".to_owned(), vec![0; STATE_BYTES_MAX + 1]);
    assert!(matches!(long.await, Err(StorageError::OverLimit { .. })));
}

#[tokio::test]
async fn what_is_urgent_takes_all_that_waits_along_and_waits_for_no_tick() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open_with(StorageOptions {
        commit_tick: Duration::from_secs(3_600),
        ..options(folder.path())
    });
    let group = group("a", 1, 1);
    let stream = store.storage.register_group(group).await.unwrap();
    let polls = polls(0, 3, 1);
    for (at, poll) in polls.iter().enumerate() {
        let is_urgent = at == 2;
        let pushed = store.storage.push_with(stream, poll.clone(), is_urgent);
        pushed.unwrap();
    }
    let committed = tokio::time::timeout(Duration::from_secs(60), store.committed.recv());
    let committed = committed.await.unwrap().unwrap();
    assert_eq!(committed.batches[0].polls.to_vec(), polls);
}

#[tokio::test]
async fn closing_commits_what_waits_and_leaves_no_log() {
    let folder = TempDir::new().unwrap();
    let store = Store::open_with(StorageOptions {
        commit_tick: Duration::from_secs(3_600),
        ..options(folder.path())
    });
    let stream = store
        .storage
        .register_group(group("a", 1, 1))
        .await
        .unwrap();
    let polls = polls(0, 10, 1);
    for poll in &polls {
        store.storage.push(stream, poll.clone()).unwrap();
    }
    let store = store.reopen(folder.path()).await;
    assert!(!store.opened.unclean);
    assert_eq!(store.read_all(stream, 1 << 20).await, numbered(&polls));
    let late = store.storage.clone();
    store.storage.close().await.unwrap();
    assert!(matches!(late.stats().await, Err(StorageError::Stopped)));
    assert_eq!(late.push(stream, polls[0].clone()), Err(PushError::Stopped));
}

/// Waits until the store is as wanted.
pub(super) async fn wait_for(storage: &Storage, wanted: impl Fn(&Stats) -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let stats = storage.stats().await.unwrap();
        if wanted(&stats) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{stats:?}");
        tokio::task::yield_now().await;
    }
}
