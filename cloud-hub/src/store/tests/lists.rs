//! Lists: filters, search, and pages that stay right while rows are added.

use crate::store::testing::{self, Fixture, created, event, raised};
use crate::store::{AlertFilter, Page, StoreError, WorkOrderFilter};
use protocol::alert::AlertState;
use protocol::event::{AlertEvent, Body, Severity, WorkOrderEvent};
use protocol::id::{AlertId, WorkOrderId};
use uuid::Uuid;

const ALERT: AlertId = AlertId(Uuid::from_u128(0xA1));
const ORDER: WorkOrderId = WorkOrderId(Uuid::from_u128(0x01));

fn order(number: u64) -> WorkOrderId {
    WorkOrderId(Uuid::from_u128(u128::from(number)))
}

/// 25 orders, "Pump 1 100%" and so on.
async fn with_pumps() -> Fixture {
    let fixture = Fixture::new().await;
    let pump = |seq| {
        created(
            fixture.gateway,
            seq,
            order(seq),
            &format!("Pump {seq} 100%"),
        )
    };
    fixture.tell((1..=25).map(pump).collect()).await;
    fixture
}

#[tokio::test]
async fn pages_turn_without_losing_or_repeating_a_row() {
    let fixture = with_pumps().await;
    let (store, scope) = (&fixture.store, fixture.scope);
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
    let bad = Page {
        cursor: Some("x".to_owned()),
        ..Page::default()
    };
    let refused = store
        .work_orders(scope, WorkOrderFilter::default(), bad)
        .await;
    assert!(matches!(refused, Err(StoreError::BadCursor)));
}

#[tokio::test]
async fn orders_are_found_by_what_people_type() {
    let fixture = with_pumps().await;
    let (store, scope) = (&fixture.store, fixture.scope);
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
}

#[tokio::test]
async fn alerts_are_listed_by_state_urgency_and_with_their_order() {
    let fixture = Fixture::new().await;
    let (store, scope, gateway) = (&fixture.store, fixture.scope, fixture.gateway);
    let other = AlertId(Uuid::from_u128(0xA2));
    let occurred = Body::WorkOrder(WorkOrderEvent::AlarmOccurred { alert: ALERT });
    let acknowledged = Body::Alert(AlertEvent::Acknowledged { note: None });
    let cleared = Body::Alert(AlertEvent::Cleared { value: None });
    fixture
        .tell(vec![
            raised(gateway, 1, ALERT, Severity::Critical),
            raised(gateway, 2, other, Severity::Low),
            created(gateway, 3, ORDER, "Look"),
            event(gateway, 4, ORDER.into(), occurred),
            event(gateway, 5, other.into(), acknowledged),
            event(gateway, 6, other.into(), cleared),
        ])
        .await;
    let list = async |filter: AlertFilter| -> Vec<AlertId> {
        let listed = store.alerts(scope, filter, Page::default()).await.unwrap();
        listed.rows.iter().map(|row| row.alert.id).collect()
    };
    assert_eq!(list(AlertFilter::default()).await, [other, ALERT]);
    let any = AlertFilter::default;
    let open = AlertFilter {
        open: true,
        ..any()
    };
    assert_eq!(list(open).await, [ALERT]);
    let closed = AlertFilter {
        state: Some(AlertState::Closed),
        ..any()
    };
    assert_eq!(list(closed).await, [other]);
    let critical = AlertFilter {
        severity: Some(Severity::Critical),
        ..any()
    };
    assert_eq!(list(critical).await, [ALERT]);
    let elsewhere = AlertFilter {
        gateway: Some(testing::gateway_id(5)),
        ..any()
    };
    assert_eq!(list(elsewhere).await, []);
    let link = store.alert(scope, ALERT).await.unwrap().order.unwrap();
    assert_eq!((link.id, link.number.as_str()), (ORDER, "B1-0003"));
    let site = &store.sites(scope, Page::default()).await.unwrap().rows[0];
    assert_eq!(
        (site.gateways, site.alerts_active, site.orders_open),
        (1, 1, 1)
    );
}
