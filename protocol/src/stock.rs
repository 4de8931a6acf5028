//! The stock of a part as a fold over its moves. Moves append and are never refused, so the stock
//! may be below zero: then somebody has to count. Never a list of parts: that is reference data.

use crate::event::{Body, Event, RecordKind, RecordRef, StockEvent};
use crate::id::{EventId, GatewayId, WorkOrderId};
use crate::record;
use crate::time::Timestamp;
use uuid::Uuid;

/// The moves of one part in the stock of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// The part's number.
    pub part: String,
    /// Its name, as it was called last.
    pub name: String,
    /// The last count.
    pub counted: Option<Counted>,
    /// What came in and went out since the last count, or ever when nobody counted.
    pub moved: f64,
    /// Every line, oldest first.
    pub lines: Vec<StockLine>,
}

/// A count of what is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// How many were there.
    pub quantity: f64,
}

/// One line of a ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct StockLine {
    /// The event.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// How many came in (went out: below zero); `None`: it was counted.
    pub moved: Option<f64>,
    /// How many there are after it, as far as the lines tell.
    pub after: f64,
    /// The order.
    pub order: Option<WorkOrderId>,
    /// The place.
    pub place: Option<String>,
    /// What they said.
    pub note: Option<String>,
}

/// The record of a part in the stock of a gateway.
pub fn record(gateway: GatewayId, part: &str) -> RecordRef {
    RecordRef {
        kind: RecordKind::Stock,
        id: Uuid::new_v5(&gateway.0, format!("stock:{part}").as_bytes()),
    }
}

impl Ledger {
    /// How many there are; `opening` is what there was before the first move.
    pub fn stock(&self, opening: f64) -> f64 {
        let from = self.counted.as_ref().map_or(opening, |last| last.quantity);
        tidy(from + self.moved)
    }
}

/// Folds the moves of one part. `None` before the first one.
pub fn fold(record: RecordRef, events: &[Event]) -> Option<Ledger> {
    let mut ledger: Option<Ledger> = None;
    for event in record::in_order(events, record) {
        let Body::Stock(body) = &event.body else {
            continue;
        };
        let (part, name) = match body {
            StockEvent::Moved(moved) => (&moved.part, &moved.name),
            StockEvent::Counted { part, name, .. } => (part, name),
        };
        let ledger = ledger.get_or_insert_with(|| Ledger {
            part: part.clone(),
            name: String::new(),
            counted: None,
            moved: 0.0,
            lines: Vec::new(),
        });
        ledger.name.clone_from(name);
        let line = line(ledger, event, body);
        ledger.lines.push(line);
    }
    ledger
}

fn line(ledger: &mut Ledger, event: &Event, body: &StockEvent) -> StockLine {
    let (at, by) = (event.time, event.actor.name().to_owned());
    let mut line = StockLine {
        id: event.id,
        at,
        by: by.clone(),
        moved: None,
        after: 0.0,
        order: None,
        place: None,
        note: None,
    };
    match body {
        StockEvent::Moved(moved) => {
            ledger.moved = tidy(ledger.moved + moved.quantity);
            line.moved = Some(moved.quantity);
            line.order = moved.order;
            line.place.clone_from(&moved.place);
            line.note.clone_from(&moved.note);
        }
        StockEvent::Counted { quantity, note, .. } => {
            let quantity = *quantity;
            ledger.moved = 0.0;
            ledger.counted = Some(Counted { at, by, quantity });
            line.note.clone_from(note);
        }
    }
    line.after = ledger.stock(0.0);
    line
}

/// Without the dust of binary fractions: 0.3 litres three times are 0.9.
fn tidy(quantity: f64) -> f64 {
    let rounded = (quantity * 1e6).round() / 1e6;
    if rounded.is_finite() {
        rounded
    } else {
        quantity
    }
}

#[cfg(test)]
mod tests;
