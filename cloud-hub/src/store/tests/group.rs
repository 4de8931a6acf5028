//! What waits for the writer goes into one commit, and a bad part of it takes back only its own.

use super::readings::{expected, stored};
use crate::store::testing::{Fixture, INCARNATION, block, enrol, gateway_id};
use crate::store::{Ingest, Ingested, StoreError};

fn polls(first: u64, last: u64) -> Ingest {
    Ingest {
        blocks: vec![(INCARNATION, block(first, last))],
        ..Ingest::default()
    }
}

#[tokio::test]
async fn what_waits_is_committed_at_once_and_each_part_stands_or_falls_by_itself() {
    let fixture = Fixture::new().await;
    enrol(&fixture.store, fixture.scope, gateway_id(2), "B2").await;
    let (store, scope, gateway) = (fixture.store.clone(), fixture.scope, fixture.gateway);
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let busy = store.write(move |_| {
        gate.recv().unwrap();
        Ok::<_, StoreError>(())
    });
    let good = store.ingest(scope, gateway, polls(1, 10));
    let stranger = store.ingest(scope, gateway_id(99), polls(1, 10));
    let refused = store.ingest(scope, gateway_id(2), polls(1, 10));
    let half = store.write(move |work| {
        work.sql.execute("DELETE FROM received", []).unwrap();
        Err::<(), _>(StoreError::BadCursor)
    });
    let file = fixture.folder.path().join("hub.db");
    let last = store.write(move |work| {
        let count = |sql: &rusqlite::Connection| -> u32 {
            sql.query_row("SELECT count(*) FROM block", [], |row| row.get(0))
                .unwrap()
        };
        let outside = rusqlite::Connection::open(file).unwrap();
        Ok::<_, StoreError>((count(work.sql), count(&outside)))
    });
    // Last: its words take so long that a commit takes nobody in after it.
    let broken = store.write(move |work| -> Result<(), StoreError> {
        work.sql.execute("DELETE FROM block", []).unwrap();
        panic!("a mistake in the program");
    });
    let release = async { open.send(()).unwrap() };
    let (busy, good, stranger, refused, half, last, broken, ()) =
        tokio::join!(busy, good, stranger, refused, half, last, broken, release);
    busy.unwrap();
    assert_eq!(good.unwrap().polls, 10);
    assert!(matches!(stranger, Err(StoreError::NotFound { .. })));
    let Ingested { polls, refused, .. } = refused.unwrap();
    assert_eq!((polls, refused[0].reason), (0, "schema_unknown"));
    assert!(matches!(half, Err(StoreError::BadCursor)));
    assert!(matches!(broken, Err(StoreError::Stopped)));
    assert_eq!(
        last.unwrap(),
        (1, 0),
        "there for those who come after it, not yet committed"
    );
    assert_eq!(stored(&fixture).await, expected(1..=10));
    let again = fixture.bring(vec![block(1, 12)]).await;
    assert_eq!(again.polls, 2, "what was received is known still");
}

#[tokio::test]
async fn a_commit_that_fails_is_told_to_all_whom_it_befalls_and_the_writer_goes_on() {
    let fixture = Fixture::new().await;
    let (store, scope, gateway) = (fixture.store.clone(), fixture.scope, fixture.gateway);
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let busy = store.write(move |_| {
        gate.recv().unwrap();
        Ok::<_, StoreError>(())
    });
    let good = store.ingest(scope, gateway, polls(1, 10));
    // As the database does when the disk is full.
    let full = store.write(move |work| {
        work.sql.execute_batch("ROLLBACK").unwrap();
        Err::<(), _>(StoreError::Stopped)
    });
    let release = async { open.send(()).unwrap() };
    let (busy, good, full, ()) = tokio::join!(busy, good, full, release);
    assert!(matches!(busy, Err(StoreError::Sql { .. })));
    assert!(matches!(good, Err(StoreError::Sql { .. })));
    assert!(full.is_err());
    assert_eq!(fixture.bring(vec![block(1, 10)]).await.polls, 10);
}
