//! Readings: each poll once, whatever the order and number of times in which it was sent.

use crate::store::testing::{self, Fixture, INCARNATION, STREAM, block, poll, poll_time};
use crate::store::{Changed, Connected, Ingest, LostPolls, Page, SensorFilter, Store};
use crate::store::{SensorReader, Span, Which};
use proptest::prelude::*;
use protocol::block as codec;
use protocol::reading::Cell;
use protocol::time::{ClockState, Timestamp};
use protocol::wire::v1::OfferedV1;
use std::collections::BTreeMap;

/// Each stored poll's time and cell of the first sensor; a poll in two blocks is found.
pub(super) async fn stored(fixture: &Fixture) -> BTreeMap<Timestamp, Cell> {
    let span = Span {
        from: Timestamp(0),
        to: Timestamp(i64::MAX),
    };
    let gather = move |reader: &SensorReader<'_>| {
        let mut all = BTreeMap::new();
        for stream in reader.streams() {
            reader.blocks(stream, (span, Which::All), |block| {
                for (time, _, cell) in codec::decode_column(block.body, stream.position).unwrap() {
                    assert!(all.insert(time, cell).is_none(), "a poll is stored twice");
                }
            })?;
        }
        Ok(all)
    };
    fixture
        .store
        .read_sensor(fixture.scope, testing::sensors()[0], gather)
        .await
        .unwrap()
}

pub(super) fn expected(seqs: impl Iterator<Item = u64>) -> BTreeMap<Timestamp, Cell> {
    seqs.map(|seq| (poll_time(seq), poll(seq).cells[0]))
        .collect()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_order_overlap_and_repetition_gives_each_poll_once(
        sends in prop::collection::vec((1_u64..1_500, 1_u64..700, 1_usize..4), 1..25),
    ) {
        run(async {
            let fixture = Fixture::new().await;
            let mut held = std::collections::BTreeSet::new();
            let (mut polls, mut readings) = (0, 0);
            for batch in sends.chunks(3) {
                let blocks = batch
                    .iter()
                    .flat_map(|(first, count, times)| vec![block(*first, first + count - 1); *times])
                    .collect();
                let ingested = fixture.bring(blocks).await;
                assert_eq!(ingested.refused, []);
                polls += ingested.polls;
                readings += ingested.readings;
                held.extend(batch.iter().flat_map(|(first, count, _)| *first..first + count));
            }
            assert_eq!(stored(&fixture).await, expected(held.iter().copied()));
            assert_eq!(polls, u64::try_from(held.len()).unwrap());
            let cells = held.iter().flat_map(|seq| poll(*seq).cells);
            let count = cells.filter(|cell| !matches!(cell, Cell::Skipped)).count();
            assert_eq!(readings, u64::try_from(count).unwrap());
            let received = fixture.store.received(fixture.scope, fixture.gateway).await.unwrap();
            let ranges: Vec<u64> = received[0].2.pairs().iter().flat_map(|(a, b)| *a..=*b).collect();
            assert_eq!(ranges, held.into_iter().collect::<Vec<_>>());
        });
    }
}

#[tokio::test]
async fn polls_that_came_one_by_one_are_sealed_into_whole_blocks() {
    let fixture = Fixture::new().await;
    for first in (1..=1_300).step_by(10) {
        fixture
            .bring((first..first + 10).map(|seq| block(seq, seq)).collect())
            .await;
    }
    assert_eq!(stored(&fixture).await, expected(1..=1_300));
    let blocks: u32 = fixture
        .store
        .engine
        .read(|sql| {
            Ok(sql
                .query_row("SELECT count(*) FROM block", [], |row| row.get(0))
                .unwrap())
        })
        .await
        .unwrap();
    assert_eq!(blocks, 2 + 100, "1200 polls are sealed, 100 wait for more");
}

#[tokio::test]
async fn neighbours_too_long_for_one_block_are_each_sealed_once() {
    let fixture = Fixture::new().await;
    fixture.bring(vec![block(1, 599), block(600, 1_198)]).await;
    let ids = async || {
        let query = "SELECT rowid FROM block WHERE sealed = 1 ORDER BY rowid";
        fixture
            .store
            .engine
            .read(|sql| {
                let mut query = sql.prepare(query).unwrap();
                let ids = query.query_map([], |row| row.get(0)).unwrap();
                Ok(ids.map(Result::unwrap).collect::<Vec<i64>>())
            })
            .await
            .unwrap()
    };
    let sealed = ids().await;
    assert_eq!(sealed.len(), 1);
    fixture.bring(vec![block(1_199, 1_199)]).await;
    fixture.bring(vec![block(1_200, 1_200)]).await;
    assert_eq!(
        ids().await.first(),
        sealed.first(),
        "nothing is written twice"
    );
    assert_eq!(stored(&fixture).await, expected(1..=1_200));
}

#[tokio::test]
async fn a_reading_from_a_clock_years_ahead_is_not_the_newest_for_years() {
    let mut fixture = Fixture::with_catalog().await;
    let mut ahead = poll(6);
    ahead.time = Timestamp(4_000_000_000_000_000);
    let ahead = codec::encode(STREAM, 6, &[ahead]).unwrap();
    fixture.bring(vec![block(1, 5), ahead]).await;
    fixture.bring(vec![block(7, 8)]).await;
    let newest = async |fixture: &Fixture| {
        let sensor = testing::sensors()[0];
        let row = fixture.store.sensor(fixture.scope, sensor).await.unwrap();
        row.latest.unwrap().time
    };
    assert_eq!(newest(&fixture).await, poll_time(8));
    fixture.reopen();
    assert_eq!(newest(&fixture).await, poll_time(8));
}

#[tokio::test]
async fn a_bad_block_is_refused_by_itself_and_counted() {
    let fixture = Fixture::new().await;
    let mut broken = block(11, 20);
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    let one_column = {
        let mut poll = poll(31);
        poll.cells.truncate(1);
        codec::encode(STREAM, 31, &[poll]).unwrap()
    };
    let stranger = codec::encode(protocol::id::StreamId(9), 1, &[poll(1)]).unwrap();
    let blocks = vec![
        block(1, 10),
        broken,
        one_column,
        stranger,
        vec![1, 2, 3],
        block(21, 30),
    ];
    let ingested = fixture.bring(blocks).await;
    let reasons: Vec<_> = ingested
        .refused
        .iter()
        .map(|refused| refused.reason)
        .collect();
    assert_eq!(
        reasons,
        [
            "block_unreadable",
            "block_unreadable",
            "columns",
            "schema_unknown"
        ]
    );
    assert_eq!(stored(&fixture).await, expected((1..=10).chain(21..=30)));
    let told = fixture
        .store
        .refused(fixture.scope, fixture.gateway)
        .await
        .unwrap();
    let counts: Vec<_> = told
        .iter()
        .map(|(reason, count, _)| (reason.as_str(), *count))
        .collect();
    assert_eq!(
        counts,
        [
            ("block_unreadable", 2),
            ("columns", 1),
            ("schema_unknown", 1)
        ]
    );
}

#[tokio::test]
async fn readings_are_there_after_the_store_was_opened_again() {
    let mut fixture = Fixture::new().await;
    fixture.bring(vec![block(1, 9)]).await;
    fixture.reopen();
    assert_eq!(fixture.bring(vec![block(5, 12)]).await.polls, 3);
    assert_eq!(stored(&fixture).await, expected(1..=12));
}

#[tokio::test]
async fn a_transaction_that_fails_half_way_leaves_nothing() {
    let fixture = Fixture::new().await;
    let (scope, gateway) = (fixture.scope, fixture.gateway);
    let failed: Result<(), crate::store::StoreError> = fixture
        .store
        .write(move |work| {
            let row =
                crate::store::blocks::stream_row(work.sql, scope, gateway, (INCARNATION, STREAM))?
                    .unwrap();
            let batch = Ingest {
                blocks: vec![(INCARNATION, block(1, 20))],
                ..Ingest::default()
            };
            let sound = &crate::store::prepared::Prepared::from_batch(batch).blocks[0];
            let mut rollups = crate::store::rollups::Rollups::default();
            crate::store::blocks::store(work.sql, scope, (&row, &mut rollups), sound)?;
            panic!("the power goes");
        })
        .await;
    assert!(matches!(failed, Err(crate::store::StoreError::Stopped)));
    assert_eq!(stored(&fixture).await, BTreeMap::new());
    assert_eq!(
        fixture.bring(vec![block(1, 20)]).await.polls,
        20,
        "the writer goes on"
    );
}

#[tokio::test]
async fn listeners_hear_the_newest_reading_of_each_sensor_and_lists_show_it() {
    let mut fixture = Fixture::with_catalog().await;
    let mut changes = fixture.store.changes();
    fixture.bring(vec![block(1, 10)]).await;
    let Changed::Readings { readings, .. } = changes.recv().await.unwrap().what else {
        panic!("readings were expected");
    };
    let newest: BTreeMap<_, _> = readings
        .iter()
        .map(|reading| (reading.sensor, reading.time))
        .collect();
    let expected: BTreeMap<_, _> = testing::sensors()
        .into_iter()
        .zip([poll_time(10), poll_time(9)])
        .collect();
    assert_eq!(newest, expected);
    // An older block changes nothing that is newest.
    fixture.bring(vec![block(11, 11), block(20, 30)]).await;
    drop(changes.recv().await.unwrap());
    fixture.bring(vec![block(12, 19)]).await;
    assert!(changes.try_recv().is_err());
    fixture.reopen();
    let rows = fixture
        .store
        .sensors(fixture.scope, SensorFilter::default(), Page::default())
        .await
        .unwrap()
        .rows;
    let times: Vec<_> = rows.iter().map(|row| row.latest.unwrap().time).collect();
    assert_eq!(times, [poll_time(30), poll_time(29)]);
    assert_eq!(rows[0].sensor, testing::catalog().sensors[0]);
}

#[tokio::test]
async fn holes_are_known_by_number_and_time() {
    let fixture = Fixture::new().await;
    let (store, scope, gateway) = (&fixture.store, fixture.scope, fixture.gateway);
    fixture
        .bring(vec![block(1, 10), block(15, 20), block(31, 40)])
        .await;
    let lost = LostPolls {
        incarnation: INCARNATION,
        stream: STREAM,
        first_seq: 21,
        last_seq: 30,
    };
    let batch = Ingest {
        lost: vec![lost, lost],
        ..Ingest::default()
    };
    store.ingest(scope, gateway, batch).await.unwrap();
    let hello = Connected {
        version: "1.0".to_owned(),
        clock: ClockState::Synchronised,
    };
    store.connected(scope, gateway, hello).await.unwrap();
    let offered = OfferedV1 {
        incarnation: INCARNATION,
        stream: STREAM.0,
        last: 42,
        schema: [0; 8],
    };
    let held = store
        .offered(scope, gateway, vec![offered], true)
        .await
        .unwrap();
    assert_eq!(
        held[0].ranges,
        [(1, 10), (15, 40)],
        "what the box gave up is not asked for"
    );
    let holes = store.holes(scope, gateway, Timestamp(0)).await.unwrap();
    let [stream] = holes.streams.as_slice() else {
        panic!("one stream was expected");
    };
    let shape = |holes: &[crate::store::Hole]| -> Vec<_> {
        holes
            .iter()
            .map(|hole| (hole.polls, hole.from, hole.to))
            .collect()
    };
    assert_eq!(
        shape(&stream.missing),
        [
            (4, Some(poll_time(10)), Some(poll_time(15))),
            (2, Some(poll_time(40)), None),
        ]
    );
    assert_eq!(
        shape(&stream.lost),
        [(10, Some(poll_time(20)), Some(poll_time(31)))]
    );
    assert_eq!(stream.complete_to, Some(poll_time(10)));
    assert_eq!(stream.last_time, Some(poll_time(40)));
}

#[tokio::test]
async fn a_store_of_a_newer_hub_is_left_alone() {
    let fixture = Fixture::new().await;
    let file = fixture.folder.path().join("hub.db");
    rusqlite::Connection::open(&file)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Store::open(fixture.folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("layout 99") && error.contains("newer hub"),
        "{error}"
    );
}
