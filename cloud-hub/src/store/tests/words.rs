//! Words of values: the newest event about a number counts, and only of the sensor's own gateway.

use crate::store::testing::{self, Fixture, block, gateway_id};
use crate::store::{Ingest, Page, SensorFilter};
use protocol::event::{Body, Event, GatewayEvent, RecordKind, RecordRef};
use protocol::id::GatewayId;

fn worded(gateway: GatewayId, seq: u64, words: &[(i64, Option<&str>)]) -> Event {
    let record = RecordRef {
        kind: RecordKind::Gateway,
        id: gateway.0,
    };
    let words = words
        .iter()
        .map(|(number, text)| (*number, text.map(str::to_owned)));
    let body = Body::Gateway(GatewayEvent::Worded {
        sensor: testing::sensors()[0],
        words: words.collect(),
    });
    testing::event(gateway, seq, record, body)
}

/// The text of the first sensor, from the list and from the sensor itself.
async fn text(fixture: &Fixture) -> Option<String> {
    let (filter, page) = (SensorFilter::default(), Page::default());
    let listed = fixture.store.sensors(fixture.scope, filter, page).await;
    let rows = listed.unwrap().rows;
    assert_eq!(rows[1].text, None, "2.5 is no number with a word");
    let sensor = testing::sensors()[0];
    let one = fixture.store.sensor(fixture.scope, sensor).await.unwrap();
    assert_eq!(one.text, rows[0].text);
    let latest = vec![one.latest.unwrap(), rows[1].latest.unwrap()];
    let words = fixture.store.words(fixture.scope, latest).await.unwrap();
    assert_eq!(words.get(&sensor), one.text.as_ref());
    assert!(words.len() <= 1);
    one.text
}

#[tokio::test]
async fn the_newest_word_of_a_number_counts_whatever_the_order_of_arrival() {
    let mut fixture = Fixture::with_catalog().await;
    let gateway = fixture.gateway;
    // The value of the first sensor is the number of the poll.
    fixture.bring(vec![block(1, 7)]).await;
    assert_eq!(text(&fixture).await, None);
    let first = worded(gateway, 1, &[(7, Some("LOT-17")), (8, Some("LOT-18"))]);
    fixture.tell(vec![first.clone()]).await;
    assert_eq!(text(&fixture).await.as_deref(), Some("LOT-17"));
    fixture.bring(vec![block(8, 8)]).await;
    assert_eq!(text(&fixture).await.as_deref(), Some("LOT-18"));
    fixture
        .tell(vec![worded(gateway, 2, &[(8, Some("other"))])])
        .await;
    assert_eq!(text(&fixture).await.as_deref(), Some("other"));
    // An older one that comes later: from another opening of the box's store.
    let mut late = worded(gateway, 3, &[(8, Some("late"))]);
    late.hlc = first.hlc;
    fixture.tell(vec![late]).await;
    assert_eq!(text(&fixture).await.as_deref(), Some("other"));
    fixture.reopen();
    assert_eq!(text(&fixture).await.as_deref(), Some("other"));
    fixture.tell(vec![worded(gateway, 4, &[(8, None)])]).await;
    assert_eq!(text(&fixture).await, None);
}

#[tokio::test]
async fn nobody_else_names_a_gateways_values_and_no_word_is_too_long() {
    let fixture = Fixture::with_catalog().await;
    fixture.bring(vec![block(1, 7)]).await;
    let other = gateway_id(2);
    testing::enrol(&fixture.store, fixture.scope, other, "B2").await;
    let batch = Ingest {
        events: vec![worded(other, 1, &[(7, Some("stolen"))])],
        ..Ingest::default()
    };
    let taken = fixture.store.ingest(fixture.scope, other, batch).await;
    taken.unwrap();
    assert_eq!(text(&fixture).await, None);
    let long = "x".repeat(65);
    let words = [(7, Some(long.as_str()))];
    fixture.tell(vec![worded(fixture.gateway, 1, &words)]).await;
    assert_eq!(text(&fixture).await, None);
}
