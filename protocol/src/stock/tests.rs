//! Tests of the stock: any order of arrival gives the same sum, no move is lost.

use super::*;
use crate::event::StockMove;
use crate::record::histories::{self, Writer, steps};
use proptest::prelude::*;

fn gateway() -> GatewayId {
    GatewayId(Uuid::from_u128(1))
}

fn moved(quantity: f64) -> StockEvent {
    StockEvent::Moved(StockMove {
        part: "6204".into(),
        name: "Bearing".into(),
        quantity,
        order: None,
        place: None,
        note: None,
    })
}

fn counted(quantity: f64) -> StockEvent {
    StockEvent::Counted {
        part: "6204".into(),
        name: "Bearing".into(),
        quantity,
        note: None,
    }
}

fn body() -> impl Strategy<Value = StockEvent> {
    prop_oneof![
        5 => (-50_i32..20).prop_map(|tenths| moved(f64::from(tenths) / 10.0)),
        1 => (0_i32..99).prop_map(|count| counted(f64::from(count))),
    ]
}

proptest! {
    #[test]
    fn both_sides_have_the_same_stock_in_any_order_of_arrival(
        steps in steps(3, body()), order in prop::collection::vec(any::<usize>(), 0..60),
    ) {
        let record = record(gateway(), "6204");
        let history =
            histories::play(record, Body::Stock(moved(10.0)), &[0, 0, 0], steps, Body::Stock);
        let folded = fold(record, &history.events).unwrap();
        prop_assert_eq!(folded.lines.len(), history.events.len());
        prop_assert_eq!(fold(record, &history.scrambled(&order)), Some(folded.clone()));
        let last = folded.lines.iter().rposition(|line| line.moved.is_none());
        let since = folded.lines.iter().skip(last.map_or(0, |at| at + 1));
        let sum: f64 = since.filter_map(|line| line.moved).sum();
        let base = folded.counted.as_ref().map_or(7.0, |count| count.quantity);
        prop_assert!((folded.stock(7.0) - base - sum).abs() < 1e-6);
    }
}

#[test]
fn stock_may_be_below_zero_and_a_count_sets_it_right() {
    let record = record(gateway(), "6204");
    let mut writer = Writer::gateway(1);
    for (ms, body) in (0..).zip([moved(-3.0), moved(-0.1), moved(-0.2)]) {
        writer.write(ms, record, Body::Stock(body));
    }
    let ledger = fold(record, &writer.seen).unwrap();
    assert!((ledger.stock(2.0) + 1.3).abs() < 1e-12);
    writer.write(9, record, Body::Stock(counted(4.0)));
    writer.write(10, record, Body::Stock(moved(1.0)));
    let ledger = fold(record, &writer.seen).unwrap();
    assert!((ledger.stock(2.0) - 5.0).abs() < 1e-12);
    assert_eq!(ledger.lines.len(), 5);
}
