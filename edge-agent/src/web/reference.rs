//! `GET /reference`: what the box knows of its site from the bundle, as lists to choose from. Never
//! gives PINs, phone numbers or addresses of people; never changes anything.

use super::Page;
use super::session;
use axum::Json;
use axum::extract::State;
use protocol::bundle::{Asset, Bundle, Checklist, Criticality, FailureCode, Part};
use serde_json::{Value, json};

/// `GET /reference`. Without a bundle all lists are empty.
pub(super) async fn all(State(page): State<Page>) -> Json<Value> {
    let bundle = page.storage.bundle();
    let none = json!({
        "bundle": null, "people": [], "assets": [], "parts": [], "checklists": [],
        "failure_codes": [],
    });
    Json(bundle.map_or(none, |bundle| lists(&bundle)))
}

fn lists(bundle: &Bundle) -> Value {
    let people = bundle.people.iter();
    let people: Vec<_> = people
        .map(|person| json!({ "id": person.id, "name": person.name }))
        .collect();
    json!({
        "bundle": session::bundle_view(bundle),
        "people": people,
        "assets": bundle.assets.iter().map(asset).collect::<Vec<_>>(),
        "parts": bundle.parts.iter().map(part).collect::<Vec<_>>(),
        "checklists": bundle.checklists.iter().map(checklist).collect::<Vec<_>>(),
        "failure_codes": bundle.failure_codes.iter().map(failure_code).collect::<Vec<_>>(),
    })
}

fn asset(asset: &Asset) -> Value {
    json!({
        "tag": asset.tag, "name": asset.name, "parent": asset.parent,
        "criticality": asset.criticality.map(Criticality::letter),
        "class": asset.class, "location": asset.location,
    })
}

fn part(part: &Part) -> Value {
    json!({
        "part": part.number, "name": part.name, "stock": part.stock, "unit": part.unit,
        "place": part.place, "min": part.minimum,
    })
}

fn checklist(list: &Checklist) -> Value {
    json!({
        "id": list.id, "version": list.version, "title": list.title, "class": list.class,
        "steps": list.steps.len(),
    })
}

fn failure_code(code: &FailureCode) -> Value {
    json!({
        "code": code.code, "kind": code.kind.word(), "title": code.title, "class": code.class,
        "under": code.under,
    })
}
