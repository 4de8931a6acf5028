//! What goes by its age, and that a clock which jumps takes nothing along.

use super::*;
use protocol::rollup::Level;

const HOUR: Duration = Duration::from_secs(3_600);
/// Where the clock of the tests begins, in seconds.
const NOW: i64 = 1_800_000_000;

fn ten_years_ahead() -> Timestamp {
    now().plus_micros(10 * 366 * 86_400_000_000)
}

fn ten_years_ago() -> Timestamp {
    now().plus_micros(-10 * 366 * 86_400_000_000)
}

/// Four hours of polls, 20 s each, up to now; the hub has the first three hours.
async fn filled(folder: &Path) -> StreamId {
    let mut store = Store::open(folder);
    let stream = store
        .storage
        .register_group(group("a", 1, 2))
        .await
        .unwrap();
    let mut all = polls(0, 720, 2);
    for (at, poll) in (0..).zip(&mut all) {
        poll.time = Timestamp((NOW - 4 * 3_600 + at * 20) * 1_000_000);
    }
    for portion in all.chunks(60) {
        store.store(stream, portion).await;
        seal(&store.storage).await;
    }
    store.storage.mark_acked(stream, 1, 540).await.unwrap();
    store.storage.close().await.unwrap();
    stream
}

async fn seal(storage: &Storage) {
    let seal = |writer: &mut Writer| writer.buffer.seal(HOUR, std::time::Instant::now(), true);
    storage.job(seal).await.unwrap();
}

/// Sealed blocks, and rollups of each level, once what is too old was looked for.
async fn held(options: StorageOptions) -> (u64, Vec<u64>) {
    let store = Store::open_with(options);
    store.storage.flush().await.unwrap();
    let count = |writer: &mut Writer| {
        let count = |level| {
            let all = crate::storage::rollups::numbers_before(level, Timestamp(i64::MAX));
            let sql = "SELECT count(*) FROM rollup WHERE id BETWEEN ?1 AND ?2";
            writer
                .buffer
                .db
                .query_row(sql, all, |row| row.get(0))
                .unwrap()
        };
        Ok::<Vec<u64>, StorageError>(Level::ALL.map(count).to_vec())
    };
    let rows = store.storage.job(count).await.unwrap();
    let blocks = store.storage.stats().await.unwrap().blocks;
    store.storage.close().await.unwrap();
    (blocks, rows)
}

fn keep(hours: u32) -> Keep {
    Keep {
        raw: Some(HOUR * hours),
        minutes: HOUR * (hours + 1),
        ..Keep::default()
    }
}

#[tokio::test]
async fn each_thing_goes_at_its_age_and_what_the_hub_lacks_stays() {
    let folder = TempDir::new().unwrap();
    filled(folder.path()).await;
    let with = |keep| StorageOptions {
        keep,
        ..options(folder.path())
    };
    let (blocks, rows) = held(with(Keep::default())).await;
    assert_eq!((blocks, rows[0] >= 4), (12, true), "{rows:?}");
    // Half an hour is kept; the hub has three hours, so that one hour stays for it.
    let hub = Keep {
        raw: Some(HOUR / 2),
        ..keep(1)
    };
    let (blocks, fewer) = held(with(hub)).await;
    assert_eq!((blocks, &fewer[1..]), (3, &rows[1..]));
    assert!(fewer[0] < rows[0] && fewer[0] >= 2, "{fewer:?}");
    // Alone it keeps what is young.
    let alone = Keep {
        for_hub: false,
        ..hub
    };
    assert!((1..=2).contains(&held(with(alone)).await.0));
}

#[tokio::test]
async fn a_clock_ten_years_off_takes_nothing_along() {
    let folder = TempDir::new().unwrap();
    filled(folder.path()).await;
    let with = |now| StorageOptions {
        keep: keep(5),
        now,
        ..options(folder.path())
    };
    let all = held(with(now)).await;
    assert_eq!(all.0, 12);
    assert_eq!(held(with(ten_years_ahead)).await, all);
    assert_eq!(held(with(ten_years_ago)).await, all);
    assert_eq!(held(with(now)).await, all);
    // Not set at all: ages mean nothing.
    let untrusted = StorageOptions {
        keep: keep(0),
        clock: || ClockState::Untrusted,
        ..options(folder.path())
    };
    assert_eq!(held(untrusted).await, all);
}
