//! Stock, assets, checklists and failure codes of the site: what the hub's list says and what
//! people on the spot told. Never changes the list.

use super::Page;
use super::actions::{append_at, key};
use super::caller::Caller;
use super::orders::Envelope;
use super::problem::Problem;
use crate::people::Act;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use protocol::action::text;
use protocol::asset;
use protocol::bundle::Asset;
use protocol::event::{AssetEvent, AssetProposed, Body, StockEvent, StockMove};
use protocol::stock;
use protocol::view::{self, Listed, StockView};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;

type Posted = Result<Json<Map<String, Value>>, JsonRejection>;

/// Which part of a list. The cursor is the name of the last one shown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    q: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl Search {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
    }

    /// Whether something with these words is on this page or a later one.
    fn takes(&self, name: &str, words: &[Option<&str>]) -> bool {
        if self.cursor.as_deref().is_some_and(|cursor| name <= cursor) {
            return false;
        }
        let Some(wanted) = self.q.as_deref().map(str::trim).map(str::to_lowercase) else {
            return true;
        };
        let mut words = words.iter().flatten();
        name.to_lowercase().contains(&wanted)
            || words.any(|words| words.to_lowercase().contains(&wanted))
    }
}

/// `GET /stock`
pub(super) async fn stock(
    State(page): State<Page>,
    Query(search): Query<Search>,
) -> Result<Json<Value>, Problem> {
    let bundle = page.storage.bundle();
    let parts = bundle.iter().flat_map(|bundle| &bundle.parts);
    let mut names: BTreeSet<String> = parts
        .filter(|part| search.takes(&part.number, &[Some(&part.name), part.place.as_deref()]))
        .map(|part| part.number.clone())
        .collect();
    for moved in page.storage.moved_parts().await? {
        if search.takes(&moved.part, &[Some(&moved.name)]) {
            names.insert(moved.part);
        }
    }
    let shown: Vec<String> = names.iter().take(search.limit()).cloned().collect();
    let next = (names.len() > shown.len()).then(|| shown.last().cloned());
    let ledgers = page.storage.ledgers(shown.clone()).await?;
    let view = |(part, ledger): (&String, Option<stock::Ledger>)| {
        let known = bundle.as_ref().and_then(|bundle| bundle.part(part));
        view::stock(part, known.map(Listed::of).as_ref(), ledger.as_ref(), false)
    };
    let data: Vec<StockView> = shown.iter().zip(ledgers).map(view).collect();
    Ok(Json(json!({ "data": data, "next_cursor": next.flatten() })))
}

/// `GET /stock/{part}`
pub(super) async fn stock_of(
    State(page): State<Page>,
    Path(part): Path<String>,
) -> Result<Json<StockView>, Problem> {
    stock_view(&page, &part).await.map(Json)
}

async fn stock_view(page: &Page, part: &str) -> Result<StockView, Problem> {
    let bundle = page.storage.bundle();
    let known = bundle.as_ref().and_then(|bundle| bundle.part(part));
    let ledgers = page.storage.ledgers(vec![part.to_owned()]).await?;
    let ledger = ledgers.into_iter().next().flatten();
    if known.is_none() && ledger.is_none() {
        return Err(Problem::not_found("part"));
    }
    Ok(view::stock(
        part,
        known.map(Listed::of).as_ref(),
        ledger.as_ref(),
        true,
    ))
}

/// How many, of a count or a move.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantity {
    quantity: f64,
    note: Option<String>,
}

/// `POST /stock/{part}/actions/{count|move}`
pub(super) async fn move_stock(
    State(page): State<Page>,
    Path((part, action)): Path<(String, String)>,
    caller: Caller,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Json<StockView>, Problem> {
    let mut envelope = Envelope::read(posted)?;
    let actor = caller.actor(&page, &envelope.by, Act::Work).await?;
    let given: Quantity = fields(&mut envelope)?;
    let note = text::note("note", given.note.as_deref())?;
    // Who counts something that no list has begins its record.
    let bundle = page.storage.bundle();
    let known = bundle.as_ref().and_then(|bundle| bundle.part(&part));
    let part = text::line("part", &part)?;
    let name = known.map_or_else(|| part.clone(), |known| known.name.clone());
    let body = match action.as_str() {
        "count" if given.quantity.is_finite() && (0.0..=1e9).contains(&given.quantity) => {
            StockEvent::Counted {
                part: part.clone(),
                name,
                quantity: given.quantity,
                note,
            }
        }
        "count" => {
            let words = "quantity is how many are there, 0 or more";
            return Err(Problem::invalid(Some("quantity"), words));
        }
        "move" => StockEvent::Moved(StockMove {
            part: part.clone(),
            name,
            quantity: text::quantity("quantity", given.quantity)?,
            order: None,
            place: known.and_then(|known| known.place.clone()),
            note,
        }),
        _ => return Err(Problem::not_found("action")),
    };
    let record = stock::record(page.storage.gateway_id(), &part);
    let key = key(&headers)?;
    page.storage
        .records(move |tx| {
            let time = envelope.time(tx.now());
            append_at(tx, key, &actor, vec![(record, Body::Stock(body))], time)
        })
        .await?;
    stock_view(&page, &part).await.map(Json)
}

fn fields<T: serde::de::DeserializeOwned>(envelope: &mut Envelope) -> Result<T, Problem> {
    let rest = Value::Object(std::mem::take(&mut envelope.rest));
    serde_json::from_value(rest).map_err(|error| Problem::invalid(None, error.to_string()))
}

/// `GET /assets`
pub(super) async fn assets(
    State(page): State<Page>,
    Query(search): Query<Search>,
) -> Result<Json<Value>, Problem> {
    let bundle = page.storage.bundle();
    let listed = bundle.iter().flat_map(|bundle| &bundle.assets);
    let mut found: Vec<(String, Value)> = listed
        .filter(|asset| search.takes(&asset.tag, &[Some(&asset.name), asset.location.as_deref()]))
        .map(|asset| (asset.tag.clone(), asset_view(asset)))
        .collect();
    for made in page.storage.provisional_assets().await? {
        let tag = made.asset.tag.clone();
        let is_listed = bundle
            .as_ref()
            .is_some_and(|list| list.asset(&tag).is_some());
        if !is_listed && search.takes(&tag, &[Some(&made.asset.name)]) {
            found.push((tag, provisional_view(&made)));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let more = found.len() > search.limit();
    found.truncate(search.limit());
    let next = found.last().filter(|_| more).map(|(tag, _)| tag.clone());
    let data: Vec<Value> = found.into_iter().map(|(_, asset)| asset).collect();
    Ok(Json(json!({ "data": data, "next_cursor": next })))
}

/// `GET /assets/{tag}`
pub(super) async fn asset(
    State(page): State<Page>,
    Path(tag): Path<String>,
) -> Result<Json<Value>, Problem> {
    asset_of(&page, &tag).await.map(Json)
}

async fn asset_of(page: &Page, tag: &str) -> Result<Value, Problem> {
    let bundle = page.storage.bundle();
    if let Some(listed) = bundle.as_ref().and_then(|bundle| bundle.asset(tag)) {
        return Ok(asset_view(listed));
    }
    let record = asset::record(page.storage.gateway_id(), tag);
    let made = page.storage.provisional_asset(record).await?;
    made.as_ref()
        .map(provisional_view)
        .ok_or_else(|| Problem::not_found("asset"))
}

fn asset_view(asset: &Asset) -> Value {
    json!({
        "tag": asset.tag,
        "name": asset.name,
        "parent": asset.parent,
        "criticality": asset.criticality.map(protocol::bundle::Criticality::letter),
        "class": asset.class,
        "location": asset.location,
        "provisional": null,
    })
}

fn provisional_view(made: &asset::Provisional) -> Value {
    json!({
        "tag": made.asset.tag,
        "name": made.asset.name,
        "parent": made.asset.parent,
        "criticality": null,
        "class": null,
        "location": null,
        "provisional": view::provisional(made),
    })
}

/// An asset that the list does not have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAsset {
    tag: String,
    #[serde(default)]
    name: String,
    parent: Option<String>,
    note: Option<String>,
}

/// `POST /assets`
pub(super) async fn propose(
    State(page): State<Page>,
    caller: Caller,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    let mut envelope = Envelope::read(posted)?;
    let actor = caller.actor(&page, &envelope.by, Act::Work).await?;
    let given: NewAsset = fields(&mut envelope)?;
    let tag = text::line("tag", &given.tag)?;
    let proposed = AssetProposed {
        name: text::name("name", Some(&given.name))?.unwrap_or_else(|| tag.clone()),
        parent: text::name("parent", given.parent.as_deref())?,
        note: text::note("note", given.note.as_deref())?,
        tag: tag.clone(),
    };
    let bundle = page.storage.bundle();
    if bundle.is_some_and(|bundle| bundle.asset(&tag).is_some()) {
        let words = format!("The site has an asset {tag} already.");
        return Err(Problem::not_now(words));
    }
    let record = asset::record(page.storage.gateway_id(), &tag);
    let key = key(&headers)?;
    page.storage
        .records(move |tx| {
            let known = tx.provisional(record)?;
            let lines = known.iter().flat_map(|known| &known.history);
            let repeated = lines.into_iter().any(|line| line.id == key);
            if known.is_some() && !repeated {
                let words = "This box has an asset with this tag already.";
                return Err(Problem::not_now(words));
            }
            let body = Body::Asset(AssetEvent::Proposed(proposed));
            let time = envelope.time(tx.now());
            append_at(tx, key, &actor, vec![(record, body)], time)
        })
        .await?;
    let view = asset_of(&page, &tag).await?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// For what the list is asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForAsset {
    /// Tag of the asset: lists that are only for assets of other classes are left out.
    asset: Option<String>,
}

impl ForAsset {
    /// Whether something that is for assets of `class` is for this one.
    fn takes(&self, page: &Page, class: Option<&str>) -> bool {
        let (Some(tag), Some(class)) = (&self.asset, class) else {
            return true;
        };
        let bundle = page.storage.bundle();
        let asset = bundle.as_ref().and_then(|bundle| bundle.asset(tag));
        asset.is_some_and(|asset| asset.class.as_deref() == Some(class))
    }
}

/// `GET /checklists?asset=`
pub(super) async fn checklists(
    State(page): State<Page>,
    Query(wanted): Query<ForAsset>,
) -> Json<Value> {
    let bundle = page.storage.bundle();
    let lists = bundle.iter().flat_map(|bundle| &bundle.checklists);
    let lists = lists
        .filter(|list| wanted.takes(&page, list.class.as_deref()))
        .map(|list| {
            json!({
                "id": list.id,
                "version": list.version,
                "title": list.title,
                "class": list.class,
                "steps": list.steps.len(),
            })
        });
    Json(json!({ "data": lists.collect::<Vec<_>>(), "next_cursor": null }))
}

/// `GET /failure-codes?asset=`
pub(super) async fn failure_codes(
    State(page): State<Page>,
    Query(wanted): Query<ForAsset>,
) -> Json<Value> {
    let bundle = page.storage.bundle();
    let codes = bundle.iter().flat_map(|bundle| &bundle.failure_codes);
    let codes = codes
        .filter(|code| wanted.takes(&page, code.class.as_deref()))
        .map(|code| {
            json!({
                "code": code.code,
                "kind": code.kind.word(),
                "title": code.title,
                "under": code.under,
            })
        });
    Json(json!({ "data": codes.collect::<Vec<_>>(), "next_cursor": null }))
}
