//! An asset that was made on a box, as a fold over its events: what the person on the spot said,
//! and what the hub made of it. Never an asset of the hub's list.

use crate::event::{AssetEvent, AssetProposed, Body, Event, RecordKind, RecordRef};
use crate::id::{AssetId, GatewayId};
use crate::record::{self, HistoryEntry};
use crate::time::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// An asset that was made on a box.
#[derive(Clone, Debug, PartialEq)]
pub struct Provisional {
    /// Identity.
    pub id: AssetId,
    /// What was said of it, the last word of each origin merged by stamp.
    pub asset: AssetProposed,
    /// When and by whom it was made.
    pub created: (Timestamp, String),
    /// What the hub made of it.
    pub state: ProvisionalState,
    /// The tag in the hub's list, once it is there.
    pub tag_at_hub: Option<String>,
    /// One line per event.
    pub history: Vec<HistoryEntry>,
}

/// What the hub made of an asset that was made on a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProvisionalState {
    /// Nobody at the hub has looked at it.
    Provisional,
    /// It is in the list.
    Accepted,
    /// It was in the list already under another tag.
    Merged,
    /// It is no asset.
    Refused,
}

/// The record of the asset that a box calls `tag`: the same tag on the same box is the same record.
pub fn record(gateway: GatewayId, tag: &str) -> RecordRef {
    RecordRef {
        kind: RecordKind::Asset,
        id: Uuid::new_v5(&gateway.0, format!("provisional asset:{tag}").as_bytes()),
    }
}

/// Folds the events of one asset. `None` until somebody proposed it.
pub fn fold(record: RecordRef, events: &[Event]) -> Option<Provisional> {
    let events = record::in_order(events, record);
    let mut asset: Option<Provisional> = None;
    let mut lines = Vec::new();
    for event in events {
        let mut line = HistoryEntry::of(event);
        match (&event.body, &mut asset) {
            (Body::Asset(AssetEvent::Proposed(proposed)), None) => {
                line.what = "proposed";
                asset = Some(Provisional {
                    id: AssetId(record.id),
                    asset: proposed.clone(),
                    created: (event.time, event.actor.name().to_owned()),
                    state: ProvisionalState::Provisional,
                    tag_at_hub: None,
                    history: Vec::new(),
                });
            }
            (Body::Asset(AssetEvent::Proposed(proposed)), Some(known)) => {
                line.what = "proposed";
                known.asset = proposed.clone();
            }
            (Body::Asset(body), Some(known)) => decided(known, &mut line, body),
            (Body::Asset(_), None) => line.refuse("nobody had proposed it"),
            _ => line.unknown(),
        }
        lines.push(line);
    }
    let mut asset = asset?;
    asset.history = lines;
    Some(asset)
}

/// The last decision counts.
fn decided(asset: &mut Provisional, line: &mut HistoryEntry, body: &AssetEvent) {
    match body {
        AssetEvent::Proposed(_) => {}
        AssetEvent::Accepted { tag } => {
            line.what = "accepted";
            line.text = Some(tag.clone());
            asset.state = ProvisionalState::Accepted;
            asset.tag_at_hub = Some(tag.clone());
        }
        AssetEvent::Merged { into } => {
            line.what = "merged";
            line.text = Some(into.clone());
            asset.state = ProvisionalState::Merged;
            asset.tag_at_hub = Some(into.clone());
        }
        AssetEvent::Refused { reason } => {
            line.what = "refused";
            line.text = Some(reason.clone());
            asset.state = ProvisionalState::Refused;
            asset.tag_at_hub = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::histories::Writer;

    fn proposed(name: &str) -> Body {
        Body::Asset(AssetEvent::Proposed(AssetProposed {
            tag: "P-900".into(),
            name: name.into(),
            ..AssetProposed::default()
        }))
    }

    #[test]
    fn the_hub_takes_an_asset_over_and_both_sides_agree() {
        let mut here = Writer::gateway(1);
        let mut hub = Writer::hub();
        let record = record(GatewayId(Uuid::from_u128(1)), "P-900");
        let first = here.write(1_000, record, proposed("Pump"));
        hub.learn(1_000, &[first]);
        let merged = AssetEvent::Merged {
            into: "P-101".into(),
        };
        let decided = hub.write(2_000, record, Body::Asset(merged));
        here.write(3_000, record, proposed("Feed pump"));
        here.learn(3_000, std::slice::from_ref(&decided));
        hub.learn(3_000, &here.seen.clone());
        let asset = fold(record, &here.seen).unwrap();
        assert_eq!(fold(record, &hub.seen).as_ref(), Some(&asset));
        assert_eq!(asset.state, ProvisionalState::Merged);
        assert_eq!(asset.tag_at_hub.as_deref(), Some("P-101"));
        assert_eq!(asset.asset.name, "Feed pump", "what is said later counts");
        assert_eq!(asset.history.len(), 3);
        assert_eq!(fold(record, &[decided]), None);
    }
}
