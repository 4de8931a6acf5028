//! Events: each once and in order, records folded from both sides, the way down to the box.

use crate::store::testing::{self, Fixture, INCARNATION, created, event, raised};
use crate::store::{AlertFilter, Changed, NewEvent, Page, Records, StoreError, WorkOrderFilter};
use protocol::alert::AlertState;
use protocol::event::{Actor, AlertEvent, Body, FieldValue, RecordRef, Severity, WorkOrderEvent};
use protocol::id::{AlertId, EventId, Origin, UserId, WorkOrderId};
use protocol::time::Hlc;
use protocol::wire;
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
    let renumbered = protocol::event::Event {
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
}

#[tokio::test]
async fn what_a_planner_does_is_folded_and_goes_down_to_the_box() {
    let mut fixture = Fixture::new().await;
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

    fixture.reopen();
    let (store, scope, gateway) = (&fixture.store, fixture.scope, fixture.gateway);
    let other = by_planner(&fixture, 51, ORDER.into(), comment("or today"));
    let second = store
        .records(scope, move |records| records.append(other))
        .await
        .unwrap();
    assert_eq!(second.seq, 2);
    assert_eq!(second.incarnation, event.incarnation);
    assert!(second.hlc > event.hlc);
    let reused = NewEvent {
        body: comment("something else"),
        ..copy
    };
    let refused = store
        .records(scope, move |records| records.append(reused))
        .await;
    assert!(matches!(refused, Err(StoreError::EventIdReused)));

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
        .known(scope, gateway, INCARNATION, INCARNATION)
        .await
        .unwrap();
    assert_eq!(
        (known.events_mark, known.down_last, known.down_acked),
        (1, 2, 2)
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
        .records(fixture.scope, |records| records.next_order_number())
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
    let ahead = protocol::event::Event {
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
async fn lists_filter_and_turn_pages_without_losing_or_repeating_a_row() {
    let fixture = Fixture::new().await;
    let (store, scope) = (&fixture.store, fixture.scope);
    let order = |number: u64| WorkOrderId(Uuid::from_u128(u128::from(number)));
    let all: Vec<_> = (1..=25)
        .map(|seq| {
            created(
                fixture.gateway,
                seq,
                order(seq),
                &format!("Pump {seq} 100%"),
            )
        })
        .collect();
    fixture.tell(all).await;
    let mut page = Page {
        limit: 10,
        cursor: None,
    };
    let mut seen = Vec::new();
    let mut next_seq = 26;
    loop {
        let listed = store
            .work_orders(scope, WorkOrderFilter::default(), page.clone())
            .await
            .unwrap();
        seen.extend(listed.rows.iter().map(|row| row.order.id));
        // A new one at the top meanwhile must not shift what follows.
        fixture
            .tell(vec![created(
                fixture.gateway,
                next_seq,
                order(next_seq),
                "new",
            )])
            .await;
        next_seq += 1;
        let Some(cursor) = listed.next_cursor else {
            break;
        };
        page.cursor = Some(cursor);
    }
    assert_eq!(seen, (1..=25).rev().map(order).collect::<Vec<_>>());

    let find = |text: &str| WorkOrderFilter {
        text: Some(text.to_owned()),
        open: true,
        ..Default::default()
    };
    let found = store
        .work_orders(scope, find("pump 7 100%"), Page::default())
        .await
        .unwrap()
        .rows;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].home.gateway.as_ref().unwrap().name, "Box B1");
    assert_eq!(
        store
            .work_orders(scope, find("p_mp"), Page::default())
            .await
            .unwrap()
            .rows,
        []
    );
    let bad = Page {
        cursor: Some("x".to_owned()),
        ..Page::default()
    };
    assert!(matches!(
        store
            .work_orders(scope, WorkOrderFilter::default(), bad)
            .await,
        Err(StoreError::BadCursor)
    ));
}

#[tokio::test]
async fn alerts_are_listed_by_state_urgency_and_with_their_order() {
    let fixture = Fixture::new().await;
    let (store, scope, gateway) = (&fixture.store, fixture.scope, fixture.gateway);
    let other = AlertId(Uuid::from_u128(0xA2));
    fixture
        .tell(vec![
            raised(gateway, 1, ALERT, Severity::Critical),
            raised(gateway, 2, other, Severity::Low),
            created(gateway, 3, ORDER, "Look"),
            event(
                gateway,
                4,
                ORDER.into(),
                Body::WorkOrder(WorkOrderEvent::AlarmOccurred { alert: ALERT }),
            ),
            event(
                gateway,
                5,
                other.into(),
                Body::Alert(AlertEvent::Acknowledged { note: None }),
            ),
            event(
                gateway,
                6,
                other.into(),
                Body::Alert(AlertEvent::Cleared { value: None }),
            ),
        ])
        .await;
    let list = async |filter: AlertFilter| -> Vec<AlertId> {
        let listed = store.alerts(scope, filter, Page::default()).await.unwrap();
        listed.rows.iter().map(|row| row.alert.id).collect()
    };
    assert_eq!(list(AlertFilter::default()).await, [other, ALERT]);
    assert_eq!(
        list(AlertFilter {
            open: true,
            ..Default::default()
        })
        .await,
        [ALERT]
    );
    assert_eq!(
        list(AlertFilter {
            state: Some(AlertState::Closed),
            ..Default::default()
        })
        .await,
        [other]
    );
    assert_eq!(
        list(AlertFilter {
            severity: Some(Severity::Critical),
            ..Default::default()
        })
        .await,
        [ALERT]
    );
    assert_eq!(
        list(AlertFilter {
            gateway: Some(testing::gateway_id(5)),
            ..Default::default()
        })
        .await,
        []
    );
    let link = store.alert(scope, ALERT).await.unwrap().order.unwrap();
    assert_eq!((link.id, link.number.as_str()), (ORDER, "B1-0003"));
    let site = &store.sites(scope, Page::default()).await.unwrap().rows[0];
    assert_eq!(
        (site.gateways, site.alerts_active, site.orders_open),
        (1, 1, 1)
    );
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
    let on_box = protocol::event::Event {
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
