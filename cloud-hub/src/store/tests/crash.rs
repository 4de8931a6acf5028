//! A hub that is killed in the middle of its work: what it had answered for is there, and what is
//! there is whole.

use super::readings::{expected, stored};
use crate::store::testing::{self, Fixture, INCARNATION, block, created};
use crate::store::{Ingest, Store};
use protocol::id::WorkOrderId;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use uuid::Uuid;

const FOLDER: &str = "HUB_STORE_CRASH_TEST_FOLDER";
const KILLS: u64 = 10;

fn order(seq: u64) -> WorkOrderId {
    WorkOrderId(Uuid::from_u128(u128::from(seq)))
}

async fn integrity(fixture: &Fixture) -> String {
    let check = "PRAGMA integrity_check";
    fixture
        .store
        .engine
        .read(move |sql| Ok(sql.query_row(check, [], |row| row.get(0)).unwrap()))
        .await
        .unwrap()
}

/// What the killed process of the test below runs; by itself it does nothing. Says the number of
/// each poll and event that the store has answered for.
#[tokio::test]
async fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let store = Store::open(folder.as_ref()).unwrap();
    let (scope, gateway) = (store.default_tenant(), testing::gateway_id(1));
    let mark = store
        .events_mark(scope, gateway, INCARNATION)
        .await
        .unwrap();
    let mut next = mark + 1;
    loop {
        let batch = Ingest {
            blocks: (next..next + 5)
                .map(|seq| (INCARNATION, block(seq, seq)))
                .collect(),
            events: (next..next + 5)
                .map(|seq| created(gateway, seq, order(seq), "Look"))
                .collect(),
            ..Ingest::default()
        };
        let done = store.ingest(scope, gateway, batch).await.unwrap();
        assert_eq!((done.polls, done.events), (5, 5));
        next += 5;
        println!("held {}", next - 1);
    }
}

#[tokio::test]
async fn the_store_is_whole_after_every_kill() {
    let mut fixture = Fixture::new().await;
    let mut held_before = 0;
    for kill in 1..=KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::crash::child", "--nocapture"])
            .env(FOLDER, fixture.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.split_once("held ")?.1.parse::<u64>().ok());
        // Killed while it works on what follows this answer.
        let answered = answers
            .take(usize::try_from(kill * 7).unwrap())
            .last()
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();

        fixture.reopen();
        let (store, scope, gateway) = (&fixture.store, fixture.scope, fixture.gateway);
        let held = store
            .events_mark(scope, gateway, INCARNATION)
            .await
            .unwrap();
        let received = store.received(scope, gateway).await.unwrap();
        assert!(
            held >= answered && answered > held_before,
            "{held} of {answered}"
        );
        assert_eq!(
            received[0].2.pairs(),
            [(1, held)],
            "readings and events go together"
        );
        assert_eq!(stored(&fixture).await, expected(1..=held));
        let row = fixture
            .store
            .gateway(fixture.scope, fixture.gateway)
            .await
            .unwrap();
        assert_eq!(row.events, held);
        assert_eq!(integrity(&fixture).await, "ok");
        held_before = held;
    }
}
