//! What the uplink relies on: marks, events up and down, what waits.

use super::records::{alert_id, append, created, on_alert, on_order, order_id, raised};
use super::*;
use protocol::event::{Actor, AlertEvent, Body, WorkOrderEvent};
use protocol::id::{EventId, Origin};
use protocol::ranges::RangeSet;
use protocol::time::Hlc;
use protocol::wire::v1::Chain;
use protocol::wire::{self, decode_event, encode_event};
use protocol::work_order::WorkOrderState;

/// What a planner at the hub said, `ahead_ms` ahead of this box's clock.
fn from_hub(number: u64, ahead_ms: i64) -> Event {
    let time = Timestamp(now().0 + ahead_ms * 1_000);
    let hlc = Hlc {
        wall_ms: u64::try_from(time.millis()).unwrap(),
        counter: 0,
        node: 1,
    };
    Event {
        id: EventId(Uuid::from_u128(u128::from(number) + 1_000)),
        origin: Origin::Hub,
        incarnation: 1,
        seq: number,
        hlc,
        based_on: Hlc::default(),
        time,
        clock: ClockState::Synchronised,
        actor: Actor::Person("Planner".to_owned(), None),
        record: order_id(1).into(),
        body: Body::WorkOrder(WorkOrderEvent::Commented {
            text: format!("note {number}"),
        }),
    }
}

async fn comments(storage: &Storage) -> Vec<String> {
    let order = storage.work_order(order_id(1)).await.unwrap().unwrap();
    order.comments.into_iter().map(|note| note.text).collect()
}

#[tokio::test]
async fn events_of_the_hub_are_taken_over_once_and_in_order() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let storage = &store.storage;
    append(storage, on_order(order_id(1), created("k", None)))
        .await
        .unwrap();
    let mut changes = storage.changes();
    let events: Vec<Event> = (1..=3).map(|number| from_hub(number, 0)).collect();
    assert_eq!(
        storage.apply_down(1, events[..2].to_vec()).await.unwrap(),
        2
    );
    assert_eq!(changes.recv().await.unwrap().events, events[..2]);
    // Sent again from the beginning, with one more.
    assert_eq!(storage.apply_down(1, events.clone()).await.unwrap(), 3);
    assert_eq!(changes.recv().await.unwrap().events, events[2..]);
    assert_eq!(comments(storage).await, ["note 1", "note 2", "note 3"]);
    let hole = storage.apply_down(5, vec![from_hub(5, 0)]).await;
    assert!(matches!(
        hole,
        Err(StorageError::DownHole {
            first_seq: 5,
            held: 3
        })
    ));
    // They are not this box's own: nothing of them goes up again.
    assert_eq!(own_events(storage).await.len(), 1);
    let copy = crash_copy(folder.path());
    let store = Store::open(copy.path());
    assert_eq!(store.storage.sync_state().await.unwrap().down.0, 3);
    assert_eq!(
        comments(&store.storage).await,
        ["note 1", "note 2", "note 3"]
    );
    // The hub was put back from a copy: it begins anew, and what is known is not taken twice.
    let (mark, chain) = store.storage.sync_state().await.unwrap().down;
    let bytes = events.iter().map(|event| encode_event(event).unwrap());
    let over_all = bytes.fold(Chain::default(), |before, bytes| {
        wire::chain(&before, &bytes)
    });
    assert_eq!((mark, chain), (3, over_all));
    store.storage.reset_down().await.unwrap();
    store.storage.apply_down(1, events).await.unwrap();
    assert_eq!(comments(&store.storage).await.len(), 3);
    assert_eq!(
        store.storage.sync_state().await.unwrap().down,
        (3, over_all)
    );
}

#[tokio::test]
async fn a_far_stamp_orders_its_record_and_does_not_drag_the_clock_along() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let order = order_id(1);
    let created = on_order(order, created("k", None));
    append(&store.storage, created).await.unwrap();
    // Two minutes ahead is followed, a year ahead is not.
    let ahead = from_hub(1, 120_000);
    let absurd = from_hub(2, 365 * 86_400_000);
    let both = vec![ahead.clone(), absurd.clone()];
    store.storage.apply_down(1, both).await.unwrap();
    let started = on_order(order, WorkOrderEvent::Started);
    let started = append(&store.storage, started).await.unwrap();
    assert_eq!(started.based_on, absurd.hlc);
    assert!(
        started.hlc > absurd.hlc,
        "an answer comes after what it answers"
    );
    let other = append(&store.storage, on_alert(alert_id(1), raised()));
    let other = other.await.unwrap();
    assert!(ahead.hlc < other.hlc && other.hlc < absurd.hlc);

    // The last own event of the store bears the far stamp: it must not become the clock.
    let done = on_order(order, WorkOrderEvent::Done { remedy: None });
    let done = append(&store.storage, done).await.unwrap();
    assert!(done.hlc > started.hlc);
    let copy = crash_copy(folder.path());
    let store = Store::open(copy.path());
    let later = append(&store.storage, on_alert(alert_id(2), raised()));
    let later = later.await.unwrap();
    assert!(other.hlc < later.hlc && later.hlc < absurd.hlc, "{later:?}");
    let closed = on_order(order, WorkOrderEvent::Closed { note: None });
    let closed = append(&store.storage, closed).await.unwrap();
    assert!(closed.hlc > done.hlc);
}

#[tokio::test]
async fn a_stamp_of_the_hub_is_followed_after_a_crash_too() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let created = on_order(order_id(1), created("k", None));
    append(&store.storage, created).await.unwrap();
    let ahead = from_hub(1, 120_000);
    let absurd = from_hub(2, 365 * 86_400_000);
    let both = vec![ahead.clone(), absurd.clone()];
    store.storage.apply_down(1, both).await.unwrap();
    let copy = crash_copy(folder.path());
    let store = Store::open(copy.path());
    let other = append(&store.storage, on_alert(alert_id(1), raised()));
    let other = other.await.unwrap();
    assert!(ahead.hlc < other.hlc && other.hlc < absurd.hlc);
}

#[tokio::test]
async fn own_events_are_read_in_portions() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let storage = &store.storage;
    for number in 1..=10 {
        append(storage, on_alert(alert_id(number), raised()))
            .await
            .unwrap();
    }
    let one = storage
        .events_after(store.opened.incarnation, 3, 1)
        .await
        .unwrap();
    assert_eq!(one.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [4]);
    let size = one[0].1.len();
    let three = storage
        .events_after(store.opened.incarnation, 3, 3 * size + size / 2)
        .await
        .unwrap();
    assert_eq!(
        three.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        [4, 5, 6]
    );
    let event = decode_event(&three[2].1).unwrap();
    assert_eq!((event.seq, event.record), (6, alert_id(6).into()));
    assert_eq!(
        storage
            .events_after(store.opened.incarnation, 10, 1)
            .await
            .unwrap(),
        []
    );

    let incarnation = store.opened.incarnation;
    storage.mark_events_acked(incarnation, 7).await.unwrap();
    assert_eq!(storage.stats().await.unwrap().waiting_events, 3);
    let store = store.reopen(folder.path()).await;
    assert_eq!(store.storage.stats().await.unwrap().waiting_events, 3);
    let own = OwnEvents {
        incarnation,
        last: 10,
        acked: 7,
    };
    assert_eq!(store.storage.sync_state().await.unwrap().events, [own]);
}

#[tokio::test]
async fn a_store_put_back_from_a_copy_gets_its_events_back() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let order = on_order(order_id(1), created("k", None));
    append(&store.storage, order).await.unwrap();
    let copy = crash_copy(folder.path());
    let started = on_order(order_id(1), WorkOrderEvent::Started);
    append(&store.storage, started).await.unwrap();
    let incarnation = store.opened.incarnation;
    let all = own_events(&store.storage).await;
    let chain = store.storage.chain_at(incarnation, 2).await.unwrap();
    assert!(chain.is_some());

    let store = Store::open(copy.path());
    let storage = &store.storage;
    assert_ne!(store.opened.incarnation, incarnation);
    append(storage, on_alert(alert_id(1), raised()))
        .await
        .unwrap();
    let lost = decode_event(&all[1].1).unwrap();
    let hole = storage.apply_own(incarnation, 3, vec![lost.clone()]).await;
    assert!(matches!(hole, Err(StorageError::OwnHole { held: 1, .. })));
    for _ in 0..2 {
        let held = storage.apply_own(incarnation, 2, vec![lost.clone()]).await;
        assert_eq!(held.unwrap(), 2);
    }
    assert_eq!(storage.chain_at(incarnation, 2).await.unwrap(), chain);
    let folded = storage.work_order(order_id(1)).await.unwrap().unwrap();
    assert_eq!(folded.state, WorkOrderState::InProgress);
    let waiting = storage.stats().await.unwrap().waiting_events;
    assert_eq!(waiting, 1, "what the hub sent is not sent back to it");
}

#[tokio::test]
async fn what_the_hub_has_is_kept_and_what_waits_is_known() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path());
    let stream = store
        .storage
        .register_group(group("a", 1, 3))
        .await
        .unwrap();
    let polls = polls(0, 650, 3);
    store.store(stream, &polls[..600]).await;
    store.store(stream, &polls[600..]).await;
    store.storage.mark_acked(stream, 1, 10).await.unwrap();
    store.storage.mark_acked(stream, 641, 650).await.unwrap();
    let stats = store.storage.stats().await.unwrap();
    assert_eq!(stats.waiting_readings, 630 * 3);
    assert_eq!(
        stats.oldest_unacked,
        Some(polls[0].time),
        "that of its block"
    );
    store.storage.mark_acked(stream, 11, 620).await.unwrap();
    let stats = store.storage.stats().await.unwrap();
    // That of the commit with poll 621, which began at 601 or later.
    let oldest = stats.oldest_unacked.unwrap();
    assert!((polls[600].time..=polls[620].time).contains(&oldest));

    let store = store.reopen(folder.path()).await;
    let state = store.storage.sync_state().await.unwrap();
    assert_eq!(state.streams.len(), 1);
    let kept = &state.streams[0];
    assert_eq!((kept.stream, kept.last_seq), (stream, 650));
    assert_eq!(kept.acked.pairs(), [(1, 620), (641, 650)]);
    let schema = wire::decode_schema(&kept.schema).unwrap();
    assert_eq!(schema, group("a", 1, 3));

    // The hub was restored from a backup: it has less than it said.
    let less = RangeSet::from_pairs([(1, 5)]);
    store
        .storage
        .reset_acked(stream, less.clone())
        .await
        .unwrap();
    assert_eq!(
        store.storage.stats().await.unwrap().waiting_readings,
        645 * 3
    );
    let store = store.reopen(folder.path()).await;
    assert_eq!(
        store.storage.sync_state().await.unwrap().streams[0].acked,
        less
    );
    let unknown = store.storage.mark_acked(StreamId(9), 1, 1).await;
    assert!(matches!(
        unknown,
        Err(StorageError::UnknownStream { stream: 9 })
    ));
}

#[tokio::test]
async fn documents_of_the_hub_are_kept_whole() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let set = |version, bytes| {
        store
            .storage
            .set_reference("people".to_owned(), version, bytes)
    };
    set(1, vec![1]).await.unwrap();
    set(2, vec![2, 2]).await.unwrap();
    assert!(set(3, vec![0; REFERENCE_BYTES_MAX + 1]).await.is_err());
    let store = store.reopen(folder.path()).await;
    let people = store.storage.reference("people".to_owned()).await.unwrap();
    assert_eq!(people, Some((2, vec![2, 2])));
    assert_eq!(
        store.storage.reference("site".to_owned()).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn an_alert_of_another_origin_is_only_cleared_by_it() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    append(&store.storage, on_alert(alert_id(1), raised()))
        .await
        .unwrap();
    let clear = Event {
        record: alert_id(1).into(),
        body: Body::Alert(AlertEvent::Cleared { value: None }),
        ..from_hub(1, 0)
    };
    store.storage.apply_down(1, vec![clear]).await.unwrap();
    let counts = store.storage.counts().await.unwrap();
    assert_eq!((counts.alerts_active, counts.alerts_open), (1, 1));
}
