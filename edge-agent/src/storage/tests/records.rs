//! Events, their numbers and stamps, and the records folded from them.

use super::*;
use protocol::alert::AlertState;
use protocol::event::{
    Actor, AlertEvent, AlertRaised, Body, Direction, RecordKind, RecordRef, Severity,
    WorkOrderCreated, WorkOrderEvent, WorkType,
};
use protocol::id::{EventId, Origin};
use protocol::limits::TEXT_BYTES_MAX;
use protocol::time::Hlc;
use protocol::work_order::WorkOrderState;

pub(super) fn alert_id(number: u128) -> AlertId {
    AlertId(Uuid::from_u128(number))
}

pub(super) fn order_id(number: u128) -> WorkOrderId {
    WorkOrderId(Uuid::from_u128(number))
}

fn new_event(record: impl Into<RecordRef>, body: Body) -> NewEvent {
    NewEvent {
        id: None,
        actor: Actor::Person("Ada".to_owned(), None),
        record: record.into(),
        body,
    }
}

pub(super) fn on_alert(id: AlertId, body: AlertEvent) -> NewEvent {
    new_event(id, Body::Alert(body))
}

pub(super) fn on_order(id: WorkOrderId, body: WorkOrderEvent) -> NewEvent {
    new_event(id, Body::WorkOrder(body))
}

pub(super) fn raised() -> AlertEvent {
    AlertEvent::Raised(AlertRaised {
        rule: "hot".to_owned(),
        sensor: sensor(1),
        sensor_path: "press/temperature".to_owned(),
        asset: Some("PRESS-1".to_owned()),
        title: "Too hot".to_owned(),
        severity: Severity::High,
        direction: Direction::High,
        limit: 80.0,
        value: 81.0,
        unit: "Cel".to_owned(),
        since: Timestamp(0),
    })
}

pub(super) fn created(key: &str, alert: Option<AlertId>) -> WorkOrderEvent {
    WorkOrderEvent::Created(WorkOrderCreated {
        number: "B2-0001".to_owned(),
        title: "Look at the press".to_owned(),
        description: String::new(),
        work_type: WorkType::Corrective,
        priority: 2,
        asset: Some("PRESS-1".to_owned()),
        alert,
        dedupe_key: Some(key.to_owned()),
        requested: false,
    })
}

pub(super) async fn append(storage: &Storage, new: NewEvent) -> Result<Event, StorageError> {
    storage.records(move |tx| tx.append(new)).await
}

fn everything(open_only: bool) -> Page {
    Page {
        open_only,
        limit: PAGE_MAX,
        after: None,
    }
}

#[tokio::test]
async fn events_are_numbered_without_a_hole_and_stamped_ever_later() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let id = alert_id(1);
    let first = append(&store.storage, on_alert(id, raised()))
        .await
        .unwrap();
    let failed: Result<(), StorageError> = store
        .storage
        .records(move |tx| {
            tx.append(on_alert(id, AlertEvent::Acknowledged { note: None }))?;
            Err(StorageError::Stopped)
        })
        .await;
    assert!(failed.is_err());
    let second = append(
        &store.storage,
        on_alert(id, AlertEvent::Cleared { value: None }),
    );
    let second = second.await.unwrap();
    assert_eq!((first.seq, second.seq), (1, 2));
    assert_eq!(first.origin, Origin::Gateway(store.opened.gateway));
    // Nobody else wrote: own events are not what one had to learn of.
    assert_eq!(
        (first.based_on, second.based_on),
        (Hlc::default(), Hlc::default())
    );
    assert!(second.hlc > first.hlc);
    let alert = store.storage.alert(id).await.unwrap().unwrap();
    assert_eq!(
        alert.state(),
        AlertState::Cleared,
        "what failed was not written"
    );

    let copy = crash_copy(folder.path());
    let store = Store::open(copy.path());
    let third = on_alert(id, AlertEvent::Acknowledged { note: None });
    let third = append(&store.storage, third).await.unwrap();
    // Numbers count within an opening of the store.
    assert_eq!(third.seq, 1);
    assert_ne!(third.incarnation, second.incarnation);
    assert!(third.hlc > second.hlc);
    assert_eq!(third.origin, first.origin, "the identity is kept");
}

#[tokio::test]
async fn the_same_id_writes_once() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    append(&store.storage, on_alert(alert_id(1), raised()))
        .await
        .unwrap();
    let mut changes = store.storage.changes();
    let id = Some(EventId(Uuid::from_u128(77)));
    let new = NewEvent {
        id,
        ..on_alert(alert_id(1), AlertEvent::Acknowledged { note: None })
    };
    let once = append(&store.storage, new.clone()).await.unwrap();
    let twice = append(&store.storage, new.clone()).await.unwrap();
    assert_eq!(once, twice);
    assert_eq!(own_events(&store.storage).await.len(), 2);
    assert_eq!(changes.recv().await.unwrap().events, [once]);
    assert!(
        changes.try_recv().is_err(),
        "nothing was written the second time"
    );
    let elsewhere = NewEvent {
        record: alert_id(2).into(),
        ..new
    };
    let refused = append(&store.storage, elsewhere).await;
    assert!(matches!(refused, Err(StorageError::IdTaken { .. })));
}

#[tokio::test]
async fn what_is_too_long_or_out_of_place_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let text = "x".repeat(TEXT_BYTES_MAX + 1);
    let error = append(
        &store.storage,
        on_alert(alert_id(1), AlertEvent::Commented { text }),
    );
    let error = error.await.unwrap_err();
    assert!(matches!(error, StorageError::OverLimit { .. }));
    assert!(error.to_string().contains("the comment"), "{error}");
    let wrong = new_event(order_id(1), Body::Alert(raised()));
    let wrong = append(&store.storage, wrong).await;
    assert!(matches!(wrong, Err(StorageError::WrongRecord)));
    let unknown = Body::Unknown {
        kind: 900,
        version: 1,
        bytes: vec![0; 70 << 10],
    };
    let unknown = append(&store.storage, new_event(alert_id(1), unknown)).await;
    assert!(matches!(unknown, Err(StorageError::OverLimit { .. })));
    assert_eq!(own_events(&store.storage).await, []);
}

#[tokio::test]
async fn a_job_that_panics_writes_nothing_and_the_store_goes_on() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let failed: Result<(), StorageError> = store
        .storage
        .records(|tx| {
            tx.append(on_alert(alert_id(1), raised()))?;
            panic!("a bug in a rule");
        })
        .await;
    assert!(matches!(failed, Err(StorageError::Stopped)));
    assert_eq!(store.storage.alert(alert_id(1)).await.unwrap(), None);
    let event = append(&store.storage, on_alert(alert_id(1), raised()))
        .await
        .unwrap();
    assert_eq!(event.seq, 1);
}

#[tokio::test]
async fn lists_and_counts_follow_the_folds() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let storage = &store.storage;
    for number in 1..=5 {
        append(storage, on_alert(alert_id(number), raised()))
            .await
            .unwrap();
        let order = on_order(order_id(number), created("k", Some(alert_id(number))));
        append(storage, order).await.unwrap();
    }
    for number in 1..=3 {
        let body = AlertEvent::Acknowledged { note: None };
        append(storage, on_alert(alert_id(number), body))
            .await
            .unwrap();
    }
    let cleared = AlertEvent::Cleared { value: Some(70.0) };
    append(storage, on_alert(alert_id(2), cleared))
        .await
        .unwrap();
    for body in [
        WorkOrderEvent::Started,
        WorkOrderEvent::Done { remedy: None },
    ] {
        append(storage, on_order(order_id(4), body)).await.unwrap();
    }
    let counts = Counts {
        alerts_active: 2,
        alerts_open: 4,
        orders_open: 4,
    };
    assert_eq!(storage.counts().await.unwrap(), counts);
    let ids = |alerts: Vec<Alert>| alerts.iter().map(|a| a.id.0.as_u128()).collect::<Vec<_>>();
    let all = storage.alerts(everything(false)).await.unwrap();
    assert_eq!(ids(all.clone()), [5, 4, 3, 2, 1]);
    assert_eq!(
        ids(storage.alerts(everything(true)).await.unwrap()),
        [5, 4, 3, 1]
    );
    let page = Page {
        open_only: true,
        limit: 2,
        after: Some((all[1].raised_at, all[1].id.0)),
    };
    assert_eq!(ids(storage.alerts(page).await.unwrap()), [3, 1]);
    let orders = storage.work_orders(everything(true)).await.unwrap();
    let orders: Vec<u128> = orders.iter().map(|o| o.id.0.as_u128()).collect();
    assert_eq!(orders, [5, 3, 2, 1]);
    let order = storage.work_order(order_id(4)).await.unwrap().unwrap();
    assert_eq!(order.state, WorkOrderState::Done);
    let found = storage.order_of_alert(alert_id(3)).await.unwrap();
    assert_eq!(found, Some((order_id(3), "B2-0001".to_owned())));
}

#[tokio::test]
async fn an_order_is_found_by_its_dedupe_key() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let storage = &store.storage;
    let by_key = |key: &'static str| {
        storage.records(move |tx| {
            let open = tx.open_order_by_key(key)?.map(|order| order.id);
            let last = tx.last_order_by_key(key)?.map(|order| order.id);
            Ok::<_, StorageError>((open, last))
        })
    };
    assert_eq!(by_key("a|hot").await.unwrap(), (None, None));
    append(storage, on_order(order_id(1), created("a|hot", None)))
        .await
        .unwrap();
    append(storage, on_order(order_id(2), created("a|cold", None)))
        .await
        .unwrap();
    assert_eq!(
        by_key("a|hot").await.unwrap(),
        (Some(order_id(1)), Some(order_id(1)))
    );
    let cancelled = WorkOrderEvent::Cancelled {
        reason: "by mistake".to_owned(),
    };
    append(storage, on_order(order_id(1), cancelled))
        .await
        .unwrap();
    assert_eq!(by_key("a|hot").await.unwrap(), (None, Some(order_id(1))));
    // Seen within the transaction that writes it, too; the alarm that joins it is linked.
    let seen = storage.records(|tx| {
        tx.append(on_order(order_id(3), created("a|hot", None)))?;
        let alert = alert_id(9);
        tx.append(on_order(
            order_id(3),
            WorkOrderEvent::AlarmOccurred { alert },
        ))?;
        let open = tx.open_order_by_key("a|hot")?.map(|order| order.id);
        let linked = tx.order_of_alert(alert)?.map(|order| order.id);
        Ok::<_, StorageError>((open, linked))
    });
    assert_eq!(seen.await.unwrap(), (Some(order_id(3)), Some(order_id(3))));
}

async fn next_number(storage: &Storage) -> Result<String, StorageError> {
    storage.records(|tx| tx.next_order_number("B2")).await
}

#[tokio::test]
async fn numbers_for_people_go_on_after_a_crash_and_leave_no_hole() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    assert_eq!(next_number(&store.storage).await.unwrap(), "B2-0001");
    let failed: Result<(), StorageError> = store
        .storage
        .records(|tx| {
            tx.next_order_number("B2")?;
            Err(StorageError::Stopped)
        })
        .await;
    assert!(failed.is_err());
    let copy = crash_copy(folder.path());
    let store = Store::open(copy.path());
    assert_eq!(next_number(&store.storage).await.unwrap(), "B2-0002");
}

#[tokio::test]
async fn a_change_is_told_once_per_record_and_transaction() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let mut changes = store.storage.changes();
    let both = store.storage.records(|tx| {
        tx.append(on_alert(alert_id(1), raised()))?;
        tx.append(on_order(order_id(1), created("k", Some(alert_id(1)))))?;
        tx.append(on_alert(alert_id(1), AlertEvent::Peaked { value: 90.0 }))?;
        Ok::<_, StorageError>(())
    });
    both.await.unwrap();
    let (first, second) = (changes.recv().await.unwrap(), changes.recv().await.unwrap());
    assert_eq!(
        (first.record.kind, first.events.len()),
        (RecordKind::Alert, 2)
    );
    assert_eq!(
        (second.record.kind, second.events.len()),
        (RecordKind::WorkOrder, 1)
    );
    assert!(changes.try_recv().is_err());
}

#[tokio::test]
async fn clocks_that_an_earlier_version_started_are_found() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let id = order_id(1);
    append(&store.storage, on_order(id, created("one", None)))
        .await
        .unwrap();
    append(&store.storage, on_order(id, WorkOrderEvent::LabourStarted))
        .await
        .unwrap();
    append(&store.storage, on_order(order_id(2), created("two", None)))
        .await
        .unwrap();
    store.storage.close().await.unwrap();
    drop(store);
    let db = rusqlite::Connection::open(folder.path().join("core.db")).unwrap();
    let newest: usize = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    db.execute_batch("DROP INDEX work_order_clocks; ALTER TABLE work_order DROP COLUMN clocks;")
        .unwrap();
    db.pragma_update(None, "user_version", newest - 1).unwrap();
    drop(db);
    let store = Store::open(folder.path());
    let found = store
        .storage
        .records(|tx| tx.orders_with_clocks())
        .await
        .unwrap();
    assert_eq!(found.iter().map(|order| order.id).collect::<Vec<_>>(), [id]);
}
