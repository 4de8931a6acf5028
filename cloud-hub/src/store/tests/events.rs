//! Events: each once and in order, records folded from both sides, the way down to the box.

use crate::store::testing::{self, Fixture, INCARNATION, created, event, raised};
use crate::store::{Changed, NewEvent, Page, Records, StoreError, WorkOrderFilter};
use proptest::prelude::*;
use protocol::alert::AlertState;
use protocol::event::{
    Actor, AlertEvent, Body, Event, FieldValue, GatewayEvent, RecordKind, RecordRef, Severity,
    WorkOrderEvent,
};
use protocol::id::{AlertId, EventId, GatewayId, Origin, UserId, WorkOrderId};
use protocol::sync::OwnLost;
use protocol::time::Hlc;
use protocol::wire;
use protocol::wire::v1::Chain;
use protocol::work_order::WorkOrderState;
use uuid::Uuid;

const ALERT: AlertId = AlertId(Uuid::from_u128(0xA1));
const ORDER: WorkOrderId = WorkOrderId(Uuid::from_u128(0x01));

fn by_planner(fixture: &Fixture, id: u128, record: RecordRef, body: Body) -> NewEvent {
    NewEvent {
        id: EventId(Uuid::from_u128(id)),
        actor: Actor::Person("Mia".to_owned(), Some(UserId(Uuid::from_u128(1)))),
        record,
        body,
        home: fixture.gateway,
    }
}

fn comment(text: &str) -> Body {
    Body::WorkOrder(WorkOrderEvent::Commented {
        text: text.to_owned(),
    })
}

#[tokio::test]
async fn events_count_once_and_only_in_order() {
    let fixture = Fixture::new().await;
    let gateway = fixture.gateway;
    let acknowledged = Body::Alert(AlertEvent::Acknowledged { note: None });
    let first = raised(gateway, 1, ALERT, Severity::High);
    let second = event(gateway, 2, ALERT.into(), acknowledged);
    let third = created(gateway, 3, ORDER, "Look at the press");

    let early = fixture.tell(vec![third.clone()]).await;
    assert_eq!(
        (early.events, early.events_marks.as_slice()),
        (0, [(INCARNATION, 0)].as_slice())
    );
    assert!(early.refused[0].again);
    let told = fixture.tell(vec![first.clone(), second.clone()]).await;
    assert_eq!(
        (told.events, told.events_marks.as_slice()),
        (2, [(INCARNATION, 2)].as_slice())
    );
    let again = fixture.tell(vec![first.clone(), second, third]).await;
    assert_eq!(
        (again.events, again.events_marks.as_slice()),
        (1, [(INCARNATION, 3)].as_slice())
    );

    // The same fact under a new number (the box restored its store) counts once as well.
    let renumbered = Event {
        incarnation: 8,
        ..first
    };
    let restored = fixture.tell(vec![renumbered]).await;
    assert_eq!(
        (restored.events, restored.events_marks.as_slice()),
        (0, [(8, 1)].as_slice())
    );
    let alert = fixture
        .store
        .alert(fixture.scope, ALERT)
        .await
        .unwrap()
        .alert;
    assert_eq!(alert.history.len(), 2);
    assert_eq!(alert.state(), AlertState::Acknowledged);
}

#[tokio::test]
async fn a_gateway_cannot_speak_for_another_or_about_its_records() {
    let fixture = Fixture::new().await;
    let other = testing::gateway_id(2);
    testing::enrol(&fixture.store, fixture.scope, other, "B2").await;
    fixture
        .tell(vec![raised(fixture.gateway, 1, ALERT, Severity::High)])
        .await;

    let stolen = fixture
        .tell(vec![raised(other, 1, ALERT, Severity::Low)])
        .await;
    assert_eq!(stolen.refused[0].reason, "origin");
    let batch = crate::store::Ingest {
        events: vec![event(
            other,
            1,
            ALERT.into(),
            Body::Alert(AlertEvent::Cleared { value: None }),
        )],
        ..Default::default()
    };
    let meddling = fixture
        .store
        .ingest(fixture.scope, other, batch)
        .await
        .unwrap();
    assert_eq!(meddling.refused[0].reason, "record_elsewhere");
    assert_eq!(
        meddling.events_marks,
        [(INCARNATION, 1)],
        "its own stream goes on"
    );
    let alert = fixture
        .store
        .alert(fixture.scope, ALERT)
        .await
        .unwrap()
        .alert;
    assert_eq!(alert.state(), AlertState::Active);

    // Nor does it take over the other's own record by being first.
    let of = |gateway: GatewayId| RecordRef {
        kind: RecordKind::Gateway,
        id: gateway.0,
    };
    let started = || {
        Body::Gateway(GatewayEvent::Started {
            version: "9".to_owned(),
        })
    };
    let batch = crate::store::Ingest {
        events: vec![event(other, 2, of(fixture.gateway), started())],
        ..Default::default()
    };
    let meddling = fixture
        .store
        .ingest(fixture.scope, other, batch)
        .await
        .unwrap();
    assert_eq!(meddling.refused[0].reason, "record_elsewhere");
    let own = event(fixture.gateway, 2, of(fixture.gateway), started());
    assert_eq!(fixture.tell(vec![own]).await.refused, []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn however_events_are_sent_the_record_is_that_of_all_of_them(
        sends in prop::collection::vec((1_usize..=20, 1_usize..12), 0..20),
    ) {
        let run = async {
            let fixture = Fixture::new().await;
            let all: Vec<Event> = (1..=20).map(|seq| story(fixture.gateway, seq)).collect();
            let mut mark = 0;
            for (first, count) in sends.iter().copied().chain([(1, 20)]) {
                let last = (first + count - 1).min(20);
                let told = fixture.tell(all[first - 1..last].to_vec()).await;
                // What leaves no hole is taken, what repeats is not, and nothing else is.
                let expected = if first <= mark + 1 { mark.max(last) } else { mark };
                assert_eq!(told.events_marks, [(INCARNATION, u64::try_from(expected).unwrap())]);
                assert_eq!(told.events, u64::try_from(expected - mark).unwrap());
                mark = expected;
            }
            let row = fixture.store.work_order(fixture.scope, ORDER).await.unwrap();
            assert_eq!(Some(row.order), protocol::work_order::fold(ORDER, &all));
        };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run);
    }
}

/// The life of one work order, event by event.
fn story(gateway: GatewayId, seq: u64) -> Event {
    let body = match seq {
        1 => return created(gateway, 1, ORDER, "Look at the press"),
        2 => Body::WorkOrder(WorkOrderEvent::Started),
        19 => Body::WorkOrder(WorkOrderEvent::Done { remedy: None }),
        _ => comment(&format!("comment {seq}")),
    };
    event(gateway, seq, ORDER.into(), body)
}

#[tokio::test]
async fn what_a_planner_does_is_folded_once_and_told() {
    let fixture = Fixture::new().await;
    fixture
        .tell(vec![created(
            fixture.gateway,
            1,
            ORDER,
            "Look at the press",
        )])
        .await;
    let mut changes = fixture.store.changes();
    let new = by_planner(&fixture, 50, ORDER.into(), comment("tomorrow"));
    let copy = new.clone();
    let event = fixture
        .store
        .records(fixture.scope, move |records: &mut Records<'_, '_>| {
            let order = records.work_order(ORDER)?;
            assert_eq!(order.state, WorkOrderState::Open);
            let event = records.append(new.clone())?;
            assert_eq!(
                records.append(new)?,
                event,
                "the same key again is the same event"
            );
            assert_eq!(records.work_order(ORDER)?.comments.len(), 1);
            Ok::<_, StoreError>(event)
        })
        .await
        .unwrap();
    assert_eq!((event.origin, event.seq), (Origin::Hub, 1));
    assert!(event.hlc > event.based_on && event.based_on > Hlc::default());
    let reused = NewEvent {
        body: comment("something else"),
        ..copy
    };
    let refused = fixture
        .store
        .records(fixture.scope, move |records| records.append(reused))
        .await;
    assert!(matches!(refused, Err(StoreError::EventIdReused)));
    let told: Vec<_> = std::iter::from_fn(|| changes.try_recv().ok())
        .map(|change| change.what)
        .collect();
    assert!(
        matches!(
            told.as_slice(),
            [Changed::Down(_), Changed::WorkOrder(ORDER)]
        ),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_a_planner_does_goes_down_to_the_box_in_dense_order() {
    let mut fixture = Fixture::new().await;
    let first = created(fixture.gateway, 1, ORDER, "Look at the press");
    fixture.tell(vec![first]).await;
    let append = async |fixture: &Fixture, id, text| {
        let new = by_planner(fixture, id, ORDER.into(), comment(text));
        fixture
            .store
            .records(fixture.scope, |records| records.append(new))
            .await
            .unwrap()
    };
    let event = append(&fixture, 50, "tomorrow").await;
    fixture.reopen();
    let second = append(&fixture, 51, "or today").await;
    let (store, scope, gateway) = (&fixture.store, fixture.scope, fixture.gateway);
    // An opening is an incarnation: what a copy of the store had after it is numbered apart.
    assert!(second.incarnation > event.incarnation);
    assert_eq!((event.seq, second.seq), (1, 1));
    assert!(second.hlc > event.hlc);
    let down = store.down_after(scope, gateway, 0, 1 << 20).await.unwrap();
    let events: Vec<_> = down
        .iter()
        .map(|(seq, body)| (*seq, wire::decode_event(body).unwrap()))
        .collect();
    assert_eq!(events, [(1, event), (2, second)]);
    assert_eq!(
        store.down_after(scope, gateway, 0, 1).await.unwrap().len(),
        1,
        "at least one"
    );
    assert_eq!(
        store.down_after(scope, gateway, 2, 1 << 20).await.unwrap(),
        []
    );
    store.mark_down_acked(scope, gateway, 99).await.unwrap();
    let known = store
        .known(
            scope,
            gateway,
            vec![(INCARNATION, 1)],
            (0, Chain::default()),
        )
        .await
        .unwrap();
    assert_eq!(
        (known.events[0].1, known.down_last, known.down_acked),
        (1, 2, 2)
    );
    assert_eq!(known.lost, []);
}

#[tokio::test]
async fn a_box_goes_on_after_what_both_hold_and_gets_back_what_it_lost() {
    let fixture = Fixture::new().await;
    let first = created(fixture.gateway, 1, ORDER, "Look at the press");
    fixture.tell(vec![first]).await;
    for id in [50, 51] {
        let new = by_planner(&fixture, id, ORDER.into(), comment("soon"));
        let append = fixture
            .store
            .records(fixture.scope, |records| records.append(new));
        append.await.unwrap();
    }
    let (store, scope, gateway) = (&fixture.store, fixture.scope, fixture.gateway);
    let down = store.down_after(scope, gateway, 0, 1 << 20).await.unwrap();
    // A box that holds these events goes on after them; one that holds others begins anew.
    let chain = down.iter().fold(Chain::default(), |chain, (_, body)| {
        wire::chain(&chain, body)
    });
    for (chain, after) in [(chain, 2), ([7; 16], 0)] {
        let known = store
            .known(scope, gateway, vec![], (2, chain))
            .await
            .unwrap();
        assert_eq!(known.down_after, after);
        let lost = OwnLost {
            incarnation: INCARNATION,
            after: 0,
            last: 1,
        };
        assert_eq!(
            known.lost,
            [lost],
            "a box without its events gets them back"
        );
    }
    let own = store
        .own_after(scope, gateway, (INCARNATION, 0), 1)
        .await
        .unwrap();
    assert_eq!(own.len(), 1);
    let (_, mark, chain) = store
        .known(
            scope,
            gateway,
            vec![(INCARNATION, 1)],
            (0, Chain::default()),
        )
        .await
        .unwrap()
        .events[0];
    assert_eq!(
        (mark, chain),
        (1, wire::chain(&Chain::default(), &own[0].1))
    );
}

#[tokio::test]
async fn an_action_that_fails_half_way_changes_nothing() {
    let fixture = Fixture::new().await;
    fixture
        .tell(vec![created(
            fixture.gateway,
            1,
            ORDER,
            "Look at the press",
        )])
        .await;
    let new = by_planner(&fixture, 50, ORDER.into(), comment("tomorrow"));
    let failed: Result<(), StoreError> = fixture
        .store
        .records(fixture.scope, move |records| {
            records.next_order_number()?;
            records.append(new)?;
            Err(StoreError::NotFound { what: "asset" })
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(
        fixture
            .store
            .down_last(fixture.scope, fixture.gateway)
            .await
            .unwrap(),
        0
    );
    let row = fixture
        .store
        .work_order(fixture.scope, ORDER)
        .await
        .unwrap();
    assert_eq!(row.order.comments, []);
    let number = fixture
        .store
        .records(fixture.scope, |records| {
            let number = records.next_order_number()?;
            Ok::<_, StoreError>(number)
        })
        .await;
    assert_eq!(number.unwrap(), "H-0001");
}

#[tokio::test]
async fn a_box_whose_clock_is_years_ahead_does_not_drag_the_hub_along() {
    let fixture = Fixture::new().await;
    let far = Hlc {
        wall_ms: 4_000_000_000_000,
        counter: 3,
        node: 1,
    };
    let ahead = Event {
        hlc: far,
        ..created(fixture.gateway, 1, ORDER, "Look")
    };
    fixture
        .tell(vec![
            ahead,
            created(fixture.gateway, 2, WorkOrderId(Uuid::from_u128(2)), "Other"),
        ])
        .await;
    let on_it = by_planner(&fixture, 50, ORDER.into(), comment("seen"));
    let elsewhere = by_planner(
        &fixture,
        51,
        WorkOrderId(Uuid::from_u128(2)).into(),
        comment("seen"),
    );
    let (on_it, elsewhere) = fixture
        .store
        .records(fixture.scope, |records| {
            Ok::<_, StoreError>((records.append(on_it)?, records.append(elsewhere)?))
        })
        .await
        .unwrap();
    assert!(
        on_it.hlc > far,
        "on that record the planner comes after what was seen"
    );
    assert!(elsewhere.hlc < far, "but no other record is affected");
}

#[tokio::test]
async fn both_sides_edits_of_one_field_are_merged_and_the_loser_is_kept() {
    let fixture = Fixture::new().await;
    fixture
        .tell(vec![created(fixture.gateway, 1, ORDER, "Look")])
        .await;
    let set = |title: &str| {
        Body::WorkOrder(WorkOrderEvent::FieldSet(FieldValue::Title(
            title.to_owned(),
        )))
    };
    let at_hub = by_planner(&fixture, 50, ORDER.into(), set("Planner's title"));
    fixture
        .store
        .records(fixture.scope, |records| records.append(at_hub))
        .await
        .unwrap();
    let on_box = Event {
        actor: Actor::Person("Ali".to_owned(), None),
        ..event(fixture.gateway, 2, ORDER.into(), set("Box's title"))
    };
    fixture.tell(vec![on_box]).await;
    let order = fixture
        .store
        .work_order(fixture.scope, ORDER)
        .await
        .unwrap()
        .order;
    assert_eq!(order.title.value, "Planner's title");
    let all = fixture
        .store
        .work_orders(fixture.scope, WorkOrderFilter::default(), Page::default())
        .await
        .unwrap();
    assert_eq!(all.rows[0].order, order);
}
