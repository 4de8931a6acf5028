//! What planners at the hub do with stock and with assets that people made on a box. Never refuses
//! a move: stock may be below zero.

use super::{ServiceError, event_id, may_write, person, repeated};
use crate::auth::Actor;
use crate::store::{NewEvent, Records, Store};
use protocol::action::text;
use protocol::asset;
use protocol::event::{Actor as By, AssetEvent, Body, RecordRef, StockEvent};
use protocol::id::GatewayId;
use protocol::stock;
use serde::Deserialize;
use uuid::Uuid;

/// What becomes of an asset that people made on a box.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AssetAction {
    /// The site's list has it now.
    Accept {
        /// Under this tag; under its own when left out.
        tag: Option<String>,
    },
    /// It was in the list already.
    Merge {
        /// Under this tag.
        into: String,
    },
    /// It is no asset.
    Refuse {
        /// Why.
        reason: String,
    },
}

/// Notes how many of a part were counted at a gateway.
pub async fn move_stock(
    store: &Store,
    actor: &Actor,
    (gateway, part): (GatewayId, String),
    key: Uuid,
    (quantity, note): (f64, Option<String>),
) -> Result<(), ServiceError> {
    may_write(actor)?;
    store.gateway(actor.scope, gateway).await?;
    let part = text::line("part", &part)?;
    if !(quantity.is_finite() && (0.0..=1e9).contains(&quantity)) {
        return Err(text::invalid("quantity", "is how many are there, 0 or more").into());
    }
    let note = text::note("note", note.as_deref())?;
    let by = person(actor);
    store
        .records(actor.scope, move |records| {
            let site = records.site_of(gateway)?;
            let bundle = match site {
                Some(site) => records.bundle(site)?,
                None => None,
            };
            let listed = bundle.as_ref().and_then(|bundle| bundle.part(&part));
            let record = stock::record(gateway, &part);
            let body = Body::Stock(StockEvent::Counted {
                name: listed.map_or_else(|| part.clone(), |listed| listed.name.clone()),
                part,
                quantity,
                note,
            });
            append_once(records, (key, by), (record, body), gateway)
        })
        .await
}

/// Says what becomes of an asset that people made on a box.
pub async fn decide_asset(
    store: &Store,
    actor: &Actor,
    (gateway, tag): (GatewayId, String),
    key: Uuid,
    action: AssetAction,
) -> Result<(), ServiceError> {
    may_write(actor)?;
    store.gateway(actor.scope, gateway).await?;
    let body = Body::Asset(match action {
        AssetAction::Accept { tag: other } => AssetEvent::Accepted {
            tag: text::line("tag", other.as_deref().unwrap_or(&tag))?,
        },
        AssetAction::Merge { into } => AssetEvent::Merged {
            into: text::line("into", &into)?,
        },
        AssetAction::Refuse { reason } => AssetEvent::Refused {
            reason: text::words("reason", &reason)?,
        },
    });
    let record = asset::record(gateway, &tag);
    let by = person(actor);
    store
        .records(actor.scope, move |records| {
            records.provisional(record)?;
            append_once(records, (key, by), (record, body), gateway)
        })
        .await
}

/// Appends an event, unless this key has done so already.
fn append_once(
    records: &mut Records<'_, '_>,
    (key, by): (Uuid, By),
    (record, body): (RecordRef, Body),
    gateway: GatewayId,
) -> Result<(), ServiceError> {
    if repeated(records, key, record, &body)? {
        return Ok(());
    }
    records.append(NewEvent {
        id: event_id(key, 0),
        actor: by,
        record,
        body,
        home: gateway,
    })?;
    Ok(())
}
