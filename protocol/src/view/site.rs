//! The JSON shapes of what people on the spot tell of the site: stock and assets made on a box
//! (docs/api.md, shapes `Stock` and `ProvisionalAsset`). Only written, never read back.

use super::rfc3339;
use crate::asset::{Provisional, ProvisionalState};
use crate::bundle::Part;
use crate::id::{AssetId, EventId, WorkOrderId};
use crate::stock::Ledger;
use serde::Serialize;

/// Docs: shape `Stock`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are described in docs/api.md, shape Stock"
)]
pub struct StockView {
    pub part: String,
    pub name: String,
    pub stock: f64,
    pub opening: f64,
    pub place: Option<String>,
    pub min: Option<f64>,
    pub below_min: bool,
    pub below_zero: bool,
    pub listed: bool,
    pub counted_at: Option<String>,
    pub counted_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<StockLineView>>,
}

/// One move or count.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct StockLineView {
    pub id: EventId,
    pub at: String,
    pub by: String,
    pub moved: Option<f64>,
    pub after: f64,
    pub work_order: Option<WorkOrderId>,
    pub place: Option<String>,
    pub note: Option<String>,
}

/// Docs: shape `ProvisionalAsset`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are described in docs/api.md, shape ProvisionalAsset"
)]
pub struct ProvisionalView {
    pub id: AssetId,
    pub tag: String,
    pub name: String,
    pub parent: Option<String>,
    pub note: Option<String>,
    pub state: ProvisionalState,
    pub tag_at_hub: Option<String>,
    pub created_at: String,
    pub created_by: String,
}

/// What the reference list says of a part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What there was before the first move.
    pub opening: f64,
    /// Where it lies.
    pub place: Option<String>,
    /// Below so many it must be ordered.
    pub min: Option<f64>,
}

impl Listed {
    /// What the site's bundle says of a part.
    pub fn of(part: &Part) -> Self {
        Self {
            name: part.name.clone(),
            opening: part.stock,
            place: part.place.clone(),
            min: part.minimum,
        }
    }
}

/// The stock of a part: what the list says and what moved. One of the two is there.
pub fn stock(
    part: &str,
    listed: Option<&Listed>,
    ledger: Option<&Ledger>,
    whole: bool,
) -> StockView {
    let opening = listed.map_or(0.0, |listed| listed.opening);
    let stock = ledger.map_or(opening, |ledger| ledger.stock(opening));
    let min = listed.and_then(|listed| listed.min);
    let counted = ledger.and_then(|ledger| ledger.counted.as_ref());
    let moved = ledger.map(|ledger| ledger.name.clone());
    StockView {
        part: part.to_owned(),
        name: listed
            .map(|listed| listed.name.clone())
            .or(moved)
            .unwrap_or_default(),
        stock,
        opening,
        place: listed.and_then(|listed| listed.place.clone()),
        min,
        below_min: min.is_some_and(|min| stock < min),
        below_zero: stock < 0.0,
        listed: listed.is_some(),
        counted_at: counted.map(|counted| rfc3339(counted.at)),
        counted_by: counted.map(|counted| counted.by.clone()),
        lines: whole.then(|| {
            ledger
                .map(|ledger| lines(ledger, opening))
                .unwrap_or_default()
        }),
    }
}

/// Newest first. What was there before the first count is only known with the opening stock.
fn lines(ledger: &Ledger, opening: f64) -> Vec<StockLineView> {
    let mut is_counted = false;
    let view = |line: &crate::stock::StockLine| {
        is_counted |= line.moved.is_none();
        StockLineView {
            id: line.id,
            at: rfc3339(line.at),
            by: line.by.clone(),
            moved: line.moved,
            after: if is_counted {
                line.after
            } else {
                line.after + opening
            },
            work_order: line.order,
            place: line.place.clone(),
            note: line.note.clone(),
        }
    };
    let mut lines: Vec<_> = ledger.lines.iter().map(view).collect();
    lines.reverse();
    lines
}

/// An asset that was made on a box.
pub fn provisional(asset: &Provisional) -> ProvisionalView {
    ProvisionalView {
        id: asset.id,
        tag: asset.asset.tag.clone(),
        name: asset.asset.name.clone(),
        parent: asset.asset.parent.clone(),
        note: asset.asset.note.clone(),
        state: asset.state,
        tag_at_hub: asset.tag_at_hub.clone(),
        created_at: rfc3339(asset.created.0),
        created_by: asset.created.1.clone(),
    }
}
