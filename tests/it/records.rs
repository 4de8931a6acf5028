//! What both sides hold of alerts and work orders: the events in both files, and what both
//! interfaces show. Never follows the merge rules itself: two sides must say the same.

use crate::plant::{Plant, text};
use anyhow::{Context as _, Result, ensure};
use harness::Api;
use protocol::event::Event;
use protocol::id::EventId;
use protocol::wire;
use rusqlite::Connection;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Alerts or work orders, whole, by id.
pub(crate) type Shown = BTreeMap<String, Value>;

/// Where a box keeps its events, and where the hub does.
pub(crate) const BOX_EVENTS: &str = "SELECT body FROM event";
pub(crate) const HUB_EVENTS: &str = "SELECT body FROM event WHERE set_aside IS NULL";

/// All alerts that a side shows, with their histories.
pub(crate) fn alerts(side: &Api) -> Result<Shown> {
    shown(side, "/alerts")
}

/// All work orders that a side shows, with their histories.
pub(crate) fn orders(side: &Api) -> Result<Shown> {
    shown(side, "/work-orders")
}

/// Everything of a kind, without the names of gateway and site: the box need not know the site.
fn shown(side: &Api, path: &str) -> Result<Shown> {
    let mut all = Shown::new();
    for short in side.list(&format!("{path}?state=all"))? {
        let id = text(&short, "/id")?.to_owned();
        let mut whole = side.get(&format!("{path}/{id}"))?;
        for name in ["gateway", "site"] {
            whole
                .as_object_mut()
                .context("a record is an object")?
                .remove(name);
        }
        ensure!(
            all.insert(id, whole).is_none(),
            "{path} lists a record twice"
        );
    }
    Ok(all)
}

/// An error that says what the two sides show differently, if anything.
pub(crate) fn same_shown(here: &Api, there: &Api) -> Result<()> {
    for path in ["/alerts", "/work-orders"] {
        let (here, there) = (shown(here, path)?, shown(there, path)?);
        let ids = |side: &Shown| side.keys().cloned().collect::<BTreeSet<_>>();
        let differing: Vec<_> = ids(&here)
            .symmetric_difference(&ids(&there))
            .cloned()
            .collect();
        ensure!(
            differing.is_empty(),
            "{path} that one side only shows: {differing:?}"
        );
        for (id, ours) in &here {
            let theirs = there.get(id).context("the ids are the same")?;
            for (field, value) in ours.as_object().into_iter().flatten() {
                ensure!(
                    theirs.get(field) == Some(value),
                    "{path}/{id} shows another {field}: {value} on the box, {:?} at the hub",
                    theirs.get(field)
                );
            }
            ensure!(ours == theirs, "{path}/{id} differs: {ours} and {theirs}");
        }
    }
    Ok(())
}

/// Every event of the box is at the hub once and only once and the other way round, the same in
/// every part. Gives how many there are.
pub(crate) fn compare_events(plant: &Plant) -> Result<usize> {
    let here = events(&plant.box_store().join("core.db"), BOX_EVENTS)?;
    let there = events(&plant.hub_store(), HUB_EVENTS)?;
    for (id, event) in &here {
        let other = there.get(id);
        ensure!(
            other == Some(event),
            "an event is {event:?} on the box and {other:?} at the hub"
        );
    }
    let only: Vec<_> = there
        .iter()
        .filter(|(id, _)| !here.contains_key(id))
        .collect();
    ensure!(only.is_empty(), "events that only the hub has: {only:?}");
    let mut numbers: Vec<_> = here
        .values()
        .map(|event| (event.origin, event.incarnation, event.seq))
        .collect();
    numbers.sort_unstable_by_key(|(origin, incarnation, seq)| {
        (format!("{origin:?}"), *incarnation, *seq)
    });
    numbers.dedup();
    ensure!(numbers.len() == here.len(), "two events have one number");
    Ok(here.len())
}

pub(crate) fn events(file: &Path, query: &str) -> Result<BTreeMap<EventId, Event>> {
    let db = Connection::open(file).with_context(|| format!("opening {}", file.display()))?;
    let mut query = db.prepare(query)?;
    let bodies = query.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    let mut found = BTreeMap::new();
    for body in bodies {
        let event = wire::decode_event(&body?)?;
        let before = found.insert(event.id, event);
        ensure!(before.is_none(), "an event stands twice: {before:?}");
    }
    Ok(found)
}

/// The lines of a record's history.
pub(crate) fn history(record: &Value) -> Result<&Vec<Value>> {
    let lines = record.get("history").and_then(Value::as_array);
    lines.with_context(|| format!("no history in {record}"))
}

/// What a history tells, in its order.
pub(crate) fn whats(record: &Value) -> Result<Vec<&str>> {
    history(record)?
        .iter()
        .map(|line| text(line, "/what"))
        .collect()
}
