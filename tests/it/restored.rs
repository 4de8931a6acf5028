//! The card of a box is put back from a copy: what the copy lacks comes back from the hub, nothing
//! is numbered twice, and both sides hold the same.

use crate::plant::{ANNA, PAULA, Plant, text};
use crate::{readings, records};
use anyhow::{Context as _, Result, ensure};
use harness::{PeerOptions, in_scratch};
use serde_json::json;
use std::path::Path;

#[test]
fn restored() -> Result<()> {
    in_scratch("restored", |scratch| {
        let options = PeerOptions {
            hold_row: Some(1),
            ..PeerOptions::default()
        };
        run(Plant::start(scratch, options)?, &scratch.file("copy"))
    })
}

fn run(mut plant: Plant, copy: &Path) -> Result<()> {
    let first = order(&plant, "Guard of M-1 rattles")?;
    plant.wait_until_in_sync()?;
    plant.agent.stop()?;
    copy_folder(&plant.box_store(), copy)?;

    // What happens now, the copy knows nothing of.
    plant.agent.start()?;
    let second = order(&plant, "Oil under M-2")?;
    let started = format!("/work-orders/{}/actions/start", second.0);
    plant.here.post(&started, &json!({"by": ANNA}))?;
    let comments = format!("/work-orders/{}/actions/comment", first.0);
    plant
        .there
        .post(&comments, &json!({"text": "parts are ordered"}))?;
    plant.wait_until_in_sync()?;
    plant.agent.stop()?;

    std::fs::remove_dir_all(plant.box_store()).context("the card breaks")?;
    copy_folder(copy, &plant.box_store())?;
    plant.agent.start()?;
    // Perhaps before the hub was heard: its event must not take the number of a lost one.
    plant.here.post(
        &comments,
        &json!({"by": ANNA, "text": "the card was replaced"}),
    )?;
    plant.wait_until_in_sync()?;
    let third = order(&plant, "Filter of M-3 is full")?;
    ensure!(
        third.1 != second.1 && third.1 != first.1,
        "order number {} was given twice",
        third.1
    );
    let (_, orders) = plant.come_to_rest()?;
    ensure!(orders.len() == 3, "three orders were made: {orders:#?}");
    let state = text(orders.get(&second.0).context("the lost order")?, "/state")?;
    ensure!(state == "in_progress", "the lost order is {state}");
    let history = orders.get(&first.0).context("the first order")?.to_string();
    for who in [ANNA, PAULA] {
        ensure!(history.contains(who), "no word of {who} in {history}");
    }
    let events = records::compare_events(&plant)?;
    let here = readings::of_box(&plant.box_store())?;
    let there = readings::of_hub(&plant.hub_store(), plant.gateway)?;
    for (name, group) in &here {
        let held = there.get(name).context("a group of the box at the hub")?;
        for (seq, poll) in &group.polls {
            ensure!(held.polls.get(seq) == Some(poll), "poll {seq} of {name:?}");
        }
    }
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!(
            "measured: a store put back from a copy: {events} events the same on both sides, 3 \
             orders, {} groups without a doubled poll",
            here.len()
        );
    }
    Ok(())
}

/// Id and number of an order made on the box.
fn order(plant: &Plant, title: &str) -> Result<(String, String)> {
    let made = plant
        .here
        .post("/work-orders", &json!({"by": ANNA, "title": title}))?;
    let id = text(&made, "/id")?.to_owned();
    let shown = plant.here.get(&format!("/work-orders/{id}"))?;
    Ok((id, text(&shown, "/number")?.to_owned()))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).context("making a folder")?;
    for entry in std::fs::read_dir(from).context("reading a folder")? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target).context("copying a file")?;
        }
    }
    Ok(())
}
