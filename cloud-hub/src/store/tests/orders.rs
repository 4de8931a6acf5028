//! Documents and commands: numbered, given once, with the first result that comes.

use crate::store::testing::Fixture;
use crate::store::{OrdersMark, StoreError};
use protocol::id::GatewayId;
use protocol::sync::{DocumentState, Outcome, Task};
use protocol::time::Timestamp;
use protocol::wire::v1::{CommandResultV1, DocumentStateV1};
use uuid::Uuid;

async fn add_document(fixture: &Fixture, gateway: GatewayId, text: &'static str) -> u64 {
    let made = fixture.store.records(fixture.scope, move |records| {
        records.add_document(gateway, (text, [7; 32]), "Eva")
    });
    made.await.map_err(|error: StoreError| error).unwrap()
}

async fn add_command(fixture: &Fixture, id: u128, task: Task) {
    let gateway = fixture.gateway;
    let made = fixture.store.records(fixture.scope, move |records| {
        let until = records.now().plus_micros(60_000_000);
        records.add_command(gateway, Uuid::from_u128(id), &task, (until, "Eva"))
    });
    made.await.map_err(|error: StoreError| error).unwrap();
}

fn told(version: u64, state: DocumentState, words: &str) -> DocumentStateV1 {
    DocumentStateV1 {
        version,
        hash: [7; 32],
        state: state.code(),
        words: words.to_owned(),
    }
}

#[tokio::test]
async fn documents_are_numbered_per_box_and_the_newest_is_wanted() {
    let fixture = Fixture::new().await;
    let (store, scope, gateway) = (&fixture.store, fixture.scope, fixture.gateway);
    assert_eq!(store.document_wanted(scope, gateway).await.unwrap(), None);
    assert_eq!(add_document(&fixture, gateway, "one").await, 1);
    assert_eq!(add_document(&fixture, gateway, "two").await, 2);
    let other = GatewayId(Uuid::from_u128(9));
    assert_eq!(add_document(&fixture, other, "x").await, 1);
    let wanted = store.document_wanted(scope, gateway).await.unwrap();
    assert_eq!(wanted, Some((2, [7; 32])));
    assert_eq!(store.document(scope, gateway, 1).await.unwrap().text, "one");
    let tell = |state| store.document_told(scope, gateway, state);
    tell(told(2, DocumentState::Rejected, "line 3"))
        .await
        .unwrap();
    let (rows, last) = store.documents(scope, gateway).await.unwrap();
    assert_eq!(rows[0].state, Some(DocumentState::Rejected));
    assert_eq!((rows[0].words.as_str(), rows[1].state), ("line 3", None));
    assert_eq!(last.unwrap().version, 2);
    // Another text under the same number is another document.
    let mut foreign = told(1, DocumentState::Confirmed, "");
    foreign.hash = [8; 32];
    tell(foreign).await.unwrap();
    let (rows, last) = store.documents(scope, gateway).await.unwrap();
    assert_eq!((rows[1].state, last.unwrap().version), (None, 1));
    for _ in 0..60 {
        add_document(&fixture, gateway, "more").await;
    }
    let (rows, _) = store.documents(scope, gateway).await.unwrap();
    assert_eq!((rows.len(), rows[0].version), (50, 62));
}

#[tokio::test]
async fn a_command_has_one_result_and_is_open_until_then() {
    let fixture = Fixture::new().await;
    let (store, scope, gateway) = (&fixture.store, fixture.scope, fixture.gateway);
    let sensor = "pump-7/flow".to_owned();
    add_command(&fixture, 1, Task::Read { sensor }).await;
    add_command(&fixture, 2, Task::Restart).await;
    let open = store.commands_open(scope, gateway).await.unwrap();
    assert_eq!(open.len(), 2);
    assert_eq!(
        (open[0].kind, open[0].arguments.as_slice()),
        (3, &["pump-7/flow".to_owned()][..])
    );
    for outcome in [Outcome::Done, Outcome::Unknown] {
        let result = CommandResultV1 {
            id: Uuid::from_u128(1),
            outcome: outcome.code(),
            words: "71 degC".to_owned(),
            time_us: 5,
        };
        store.command_ended(scope, gateway, result).await.unwrap();
    }
    assert_eq!(store.commands_open(scope, gateway).await.unwrap().len(), 1);
    let rows = store.commands(scope, gateway).await.unwrap();
    assert_eq!((rows[0].task, rows[0].outcome), ("restart", None));
    assert_eq!(
        (rows[1].task, rows[1].outcome),
        ("read", Some(Outcome::Done))
    );
    assert_eq!(rows[1].ended, Some(Timestamp(5)));
}

#[tokio::test]
async fn what_another_process_asked_for_rings_once() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let mut news = store.news_for(fixture.scope, fixture.gateway);
    let mark = store.ring_for_orders(OrdersMark::default()).await.unwrap();
    assert!(!news.has_changed().unwrap());
    add_command(&fixture, 1, Task::Restart).await;
    add_document(&fixture, fixture.gateway, "one").await;
    let after = store.ring_for_orders(mark).await.unwrap();
    assert!(news.has_changed().unwrap() && after != mark);
    news.mark_unchanged();
    assert_eq!(store.ring_for_orders(after).await.unwrap(), after);
    assert!(!news.has_changed().unwrap());
}
