//! What is old goes, its statistics stay, and a file that is damaged or of an older hub is told of.

use super::readings::{expected, stored};
use crate::store::testing::{self, Fixture, block, poll_time};
use crate::store::{self, Removed, Retention, Round, Span, Store, StoreError};
use crate::telemetry;
use protocol::time::Timestamp;

const DAY_US: i64 = 86_400_000_000;

/// Works until there is nothing more to do; what was done.
async fn all_rounds(store: &Store, retention: Retention, now: Timestamp) -> Removed {
    let mut all = Removed::default();
    let mut place = Some(Round::default());
    while let Some(round) = place {
        let (removed, next) = store.remove_old(retention, round, now).await.unwrap();
        all.blocks += removed.blocks;
        all.statistics += removed.statistics;
        all.sealed += removed.sealed;
        place = next;
    }
    all
}

fn keep(days: [u32; 3]) -> Retention {
    let days = days.map(|days| Some(days).filter(|days| *days > 0));
    Retention {
        readings_days: days[0],
        minutes_days: days[1],
        hours_days: days[2],
    }
}

async fn chart(fixture: &Fixture, from: u64, to: u64) -> Vec<(Timestamp, f64, f64)> {
    let span = Span {
        from: poll_time(from),
        to: poll_time(to),
    };
    let sensor = testing::sensors()[0];
    let found = telemetry::readings(&fixture.store, fixture.scope, sensor, span, 100)
        .await
        .unwrap();
    let points = found.series.points.iter();
    points
        .map(|point| (point.time, point.min.unwrap(), point.max.unwrap()))
        .collect()
}

#[tokio::test]
async fn old_readings_go_and_charts_show_their_minutes() {
    let fixture = Fixture::with_catalog().await;
    // 600 sealed, then 100 that are loose still, then 600 that are young.
    fixture.bring(vec![block(1, 600), block(601, 700)]).await;
    fixture.bring(vec![block(2_001, 2_600)]).await;
    let now = poll_time(1_000).plus_micros(DAY_US);
    let removed = all_rounds(&fixture.store, keep([1, 0, 0]), now).await;
    assert_eq!(
        removed,
        Removed {
            blocks: 2,
            statistics: 0,
            sealed: 1
        }
    );
    assert_eq!(stored(&fixture).await, expected(2_001..=2_600));
    let again = fixture.bring(vec![block(1, 700)]).await;
    assert_eq!(again.polls, 0, "what was received is not taken twice");
    let values = async |from: u64, to: u64| -> Vec<(f64, f64)> {
        let points = chart(&fixture, from, to).await;
        points.iter().map(|(_, min, max)| (*min, *max)).collect()
    };
    let minutes = values(0, 720).await;
    assert_eq!(minutes.len(), 12);
    assert_eq!(minutes[..2], [(1.0, 59.0), (60.0, 119.0)]);
    assert_eq!(minutes[11], (660.0, 700.0));
    // Beside the seam: minutes before it, readings after it.
    let across = values(600, 2_003).await;
    assert_eq!(across, [(600.0, 659.0), (660.0, 700.0), (2_001.0, 2_002.0)]);
    let done = all_rounds(&fixture.store, keep([1, 0, 0]), now).await;
    assert_eq!(done, Removed::default(), "a second round has nothing to do");
}

#[tokio::test]
async fn statistics_go_level_by_level_and_days_stay() {
    let fixture = Fixture::with_catalog().await;
    fixture.bring(vec![block(1, 1_000)]).await;
    let now = poll_time(0).plus_micros(40 * DAY_US);
    let levels = async || {
        let query = "SELECT DISTINCT level FROM rollup ORDER BY level";
        let read = |sql: &rusqlite::Connection| {
            let mut query = sql.prepare(query).unwrap();
            let levels = query.query_map([], |row| row.get(0)).unwrap();
            Ok(levels.map(Result::unwrap).collect::<Vec<u8>>())
        };
        fixture.store.engine.read(read).await.unwrap()
    };
    assert_eq!(levels().await, [1, 2, 3]);
    all_rounds(&fixture.store, keep([30, 30, 0]), now).await;
    assert_eq!(levels().await, [2, 3]);
    all_rounds(&fixture.store, keep([30, 30, 30]), now).await;
    assert_eq!(levels().await, [3]);
}

#[tokio::test]
async fn free_pages_are_given_back_to_the_disk() {
    let fixture = Fixture::new().await;
    let pages = async || {
        let read = |sql: &rusqlite::Connection| {
            let pragma = |name: &str| -> u32 {
                sql.pragma_query_value(None, name, |row| row.get(0))
                    .unwrap()
            };
            Ok((pragma("page_count"), pragma("freelist_count")))
        };
        fixture.store.engine.read(read).await.unwrap()
    };
    let fill = |work: &mut store::writer::Work<'_>| {
        work.sql
            .execute_batch(
                "CREATE TABLE filler (body BLOB);
                INSERT INTO filler VALUES (zeroblob(24000000)); DROP TABLE filler;",
            )
            .unwrap();
        Ok::<_, StoreError>(())
    };
    fixture.store.write(fill).await.unwrap();
    let (before, free) = pages().await;
    assert!(free > 5_000, "{free}");
    all_rounds(&fixture.store, Retention::default(), poll_time(0)).await;
    let (after, free) = pages().await;
    assert!(free <= 4_096 && after < before, "{before} {after} {free}");
}

#[tokio::test]
async fn an_older_layout_is_copied_then_brought_up_to_date() {
    let mut fixture = Fixture::with_catalog().await;
    fixture.bring(vec![block(1, 700), block(701, 750)]).await;
    let file = fixture.folder.path().join("hub.db");
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute_batch(
            "DROP TABLE rollup; ALTER TABLE stream DROP COLUMN longest_us;
            ALTER TABLE stream DROP COLUMN kept_from_us;
            ALTER TABLE certificate DROP COLUMN authority;
            ALTER TABLE claim DROP COLUMN replaces; DROP TABLE content;
            DROP TABLE work_order_content; DROP TABLE document; DROP TABLE configuration;
            DROP TABLE command; DROP TABLE word; DROP TABLE bundle;
            DROP TABLE bundle_told; DROP TABLE notified; PRAGMA user_version = 1;",
        )
        .unwrap();
    fixture.reopen();
    assert_eq!(stored(&fixture).await, expected(1..=750));
    let copy = fixture.folder.path().join("hub.db.layout-1");
    let layout: u32 = rusqlite::Connection::open(copy)
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(layout, 1);
    let sealed = all_rounds(&fixture.store, Retention::default(), poll_time(0)).await;
    assert_eq!(sealed.sealed, 1, "what had no statistics gets them");
    assert_eq!(stored(&fixture).await, expected(1..=750));
}

#[tokio::test]
async fn a_check_counts_what_is_there_and_names_what_is_damaged() {
    let fixture = Fixture::with_catalog().await;
    fixture.bring(vec![block(1, 600), block(601, 650)]).await;
    let folder = fixture.folder.path();
    let checked = store::check(folder).unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
    let counts = (
        checked.gateways,
        checked.sensors,
        checked.blocks,
        checked.polls,
    );
    assert_eq!(counts, (1, 2, 2, 650));
    store::look(folder).unwrap();

    let copy = folder.join("copy.db");
    let attachments = folder.join("copy.attachments");
    fixture.store.backup(&copy, &attachments).await.unwrap();
    assert!(matches!(
        fixture.store.backup(&copy, &attachments).await,
        Err(StoreError::Sql { .. })
    ));
    rusqlite::Connection::open(folder.join("hub.db"))
        .unwrap()
        .execute_batch(
            "UPDATE block SET body = zeroblob(20) WHERE first_seq = 601;
            UPDATE rollup SET body = zeroblob(20) WHERE level = 2;",
        )
        .unwrap();
    let problems = store::check(folder).unwrap().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("polls 601 to 650"), "{problems:?}");
}

#[tokio::test]
async fn a_damaged_file_is_told_and_set_aside_whole() {
    let fixture = Fixture::with_catalog().await;
    fixture
        .bring((1..=60).map(|at| block(at * 10 - 9, at * 10)).collect())
        .await;
    let Fixture { store, folder, .. } = fixture;
    drop(store);
    let file = folder.path().join("hub.db");
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    rusqlite::Connection::open(&file)
        .unwrap()
        .query_row(checkpoint, [], |_| Ok(()))
        .unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0x5A);
    std::fs::write(&file, &bytes).unwrap();
    let error = store::look(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("cloud-hub check"), "{error}");
    let checked = store::check(folder.path());
    assert!(checked.is_err() || !checked.unwrap().problems.is_empty());
    let moved = store::set_aside(folder.path(), Timestamp(7_000)).unwrap();
    assert_eq!(std::fs::read(moved).unwrap(), bytes);
    assert!(!file.exists());
    bytes[..100].fill(0);
    std::fs::write(&file, &bytes).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}
