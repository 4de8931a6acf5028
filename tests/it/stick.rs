//! A plant without any network: everything goes to the hub and back in files on a stick, and in
//! the end both sides hold the same, row by row. Files that were altered, cut, or are another
//! box's are refused in words that say what to do.

use crate::plant::{ANNA, DEADLINE, Plant, recorded, text};
use crate::{readings, records};
use anyhow::{Context as _, Result, ensure};
use harness::{Agent, PeerOptions, Scratch, in_scratch, ports, wait_for};
use serde_json::{Value, json};
use std::path::Path;

/// So few bytes that the box needs several files for what it holds.
const SMALL_STICK: &str = "8192";

#[test]
fn stick() -> Result<()> {
    in_scratch("stick", |scratch| {
        let plant = Plant::start_apart(scratch, PeerOptions::default())?;
        run(plant, scratch)
    })
}

fn run(mut plant: Plant, scratch: &Scratch) -> Result<()> {
    let order = plant.here.post(
        "/work-orders",
        &json!({"by": ANNA, "title": "Guard of M-2 rattles", "asset": "M-2"}),
    )?;
    let order = format!("/work-orders/{}", text(&order, "/id")?);
    wait_until_stored(&plant, 400)?;
    ensure!(
        number(&plant.at_the_hub()?, "/readings") == Some(0),
        "a plant apart is not apart"
    );

    let first = scratch.file("first.cfe");
    let written = export(&plant.agent, &first, &[])?;
    bad_exports(&plant, &first, scratch)?;
    let taken = import(&plant, &first, &scratch.file("early.ack"))?;
    ensure!(
        number(&taken, "/new/polls") == number(&written, "/polls")
            && number(&taken, "/new/events") == number(&written, "/events")
            && taken["fingerprint"] == written["fingerprint"],
        "the box wrote {written}, the hub took {taken}"
    );
    plant.there.post(
        &format!("{order}/actions/comment"),
        &json!({"text": "Bolts are on shelf 4"}),
    )?;
    let answer = scratch.file("first.ack");
    let again = import(&plant, &first, &answer)?;
    ensure!(
        again["new"] == json!({"polls": 0, "readings": 0, "events": 0}),
        "the second import of a file changed something: {again}"
    );
    bad_answers(&plant, (&first, &answer), scratch)?;
    let told = acknowledge(&plant.agent, &answer)?;
    ensure!(
        told["events"] == json!(1),
        "one comment was on its way: {told}"
    );
    ensure!(
        plant.here.get(&order)?.to_string().contains("shelf 4"),
        "the planner's comment is not on the box"
    );
    records::same_shown(&plant.here, &plant.there)?;
    only_what_is_new(&mut plant, scratch, &written)?;
    let (compared, _) = readings::compare(&plant, &recorded()?)?;
    let events = records::compare_events(&plant)?;
    withdrawn(&plant, &first)?;
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!(
            "measured: {} readings in {} polls and {events} events at the hub once and only once, \
             over files alone",
            compared.readings, compared.polls
        );
    }
    Ok(())
}

/// The second round, in files for a small stick, while the agent does not run: each holds what the
/// hub lacks and nothing else, the oldest first. An older answer after newer ones does no harm.
fn only_what_is_new(plant: &mut Plant, scratch: &Scratch, before: &Value) -> Result<()> {
    let held = number(before, "/polls").context("polls were written")?;
    wait_until_stored(plant, 2_000)?;
    plant.agent.stop()?;
    let mut polls = 0;
    for round in 1.. {
        let file = scratch.file(&format!("round-{round}.cfe"));
        let written = export(&plant.agent, &file, &["--bytes-max", SMALL_STICK])?;
        ensure!(
            std::fs::metadata(&file)?.len() <= 8_192,
            "the file is longer than the stick: {written}"
        );
        let answer = scratch.file(&format!("round-{round}.ack"));
        let taken = import(plant, &file, &answer)?;
        ensure!(
            number(&taken, "/new/polls") == number(&written, "/polls"),
            "the box wrote again what the hub has: {written}, {taken}"
        );
        polls += number(&taken, "/new/polls").unwrap_or(0);
        acknowledge(&plant.agent, &answer)?;
        let older = acknowledge(&plant.agent, &scratch.file("first.ack"))?;
        ensure!(older["outdated"] == json!(true), "an older answer: {older}");
        if written["left"] == json!({"events": 0, "polls": 0}) {
            ensure!(
                round > 1,
                "one small file held everything: the test tests nothing"
            );
            break;
        }
        ensure!(round < 200, "no end of files: {written}");
    }
    plant.hub.stop()?;
    let at_the_hub: usize = readings::of_hub(&plant.hub_store(), plant.gateway)?
        .values()
        .map(|group| group.polls.len())
        .sum();
    ensure!(
        u64::try_from(at_the_hub)? == held + polls,
        "{held} and {polls} polls were written, the hub has {at_the_hub}"
    );
    let empty = export(&plant.agent, &scratch.file("empty.cfe"), &[])?;
    ensure!(
        number(&empty, "/polls") == Some(0) && number(&empty, "/events") == Some(0),
        "all was acknowledged, and yet the box writes {empty}"
    );
    // For a hub that was put back from an old backup; this one has it all.
    let whole = scratch.file("whole.cfe");
    let all = export(&plant.agent, &whole, &["--all"])?;
    ensure!(
        number(&all, "/polls") == Some(held + polls),
        "everything is {all}"
    );
    let taken = import(plant, &whole, &scratch.file("whole.ack"))?;
    ensure!(
        taken["new"] == json!({"polls": 0, "readings": 0, "events": 0}),
        "what the hub has was new: {taken}"
    );
    Ok(())
}

/// Files that the hub must not take, and why it says so.
fn bad_exports(plant: &Plant, good: &Path, scratch: &Scratch) -> Result<()> {
    let bytes = std::fs::read(good)?;
    for (name, bytes, words) in [
        ("flipped", flipped(&bytes, bytes.len() / 2), "altered"),
        ("key", flipped(&bytes, bytes.len() - 40), "altered"),
        (
            "cut",
            bytes[..bytes.len() - 100].to_vec(),
            "the file is cut",
        ),
        (
            "longer",
            [&bytes[..], &[0]].concat(),
            "something follows its end",
        ),
        ("foreign", b"Readings of June".to_vec(), "neither a file of"),
    ] {
        let file = scratch.file(name);
        std::fs::write(&file, bytes)?;
        let ack = scratch.file(&format!("{name}.ack"));
        let refused = import(plant, &file, &ack).err();
        let refused = refused.with_context(|| format!("the {name} file was taken"))?;
        ensure!(
            format!("{refused:#}").contains(words),
            "{name}: {refused:#}"
        );
        ensure!(!ack.exists(), "the {name} file was answered");
    }
    let hub = plant.at_the_hub()?;
    ensure!(
        number(&hub, "/readings") == Some(0),
        "a bad file left something: {hub}"
    );
    Ok(())
}

/// Answers that a box must not take.
fn bad_answers(plant: &Plant, (export, good): (&Path, &Path), scratch: &Scratch) -> Result<()> {
    let bytes = std::fs::read(good)?;
    let altered = scratch.file("altered.ack");
    std::fs::write(&altered, flipped(&bytes, bytes.len() / 2))?;
    let cut = scratch.file("cut.ack");
    std::fs::write(&cut, &bytes[..bytes.len() / 2])?;
    let other = other_box(plant, scratch)?;
    for (agent, file, words) in [
        (&plant.agent, altered.as_path(), "altered"),
        (&plant.agent, &cut, "the file is cut"),
        (&plant.agent, export, "not the hub's answer"),
        (&other, good, "the answer for another box"),
    ] {
        let refused = acknowledge(agent, file).err();
        let refused = refused.with_context(|| format!("{} was taken", file.display()))?;
        ensure!(format!("{refused:#}").contains(words), "{refused:#}");
    }
    let refused = import(plant, good, &scratch.file("none.ack")).err();
    let refused = refused.context("the hub took its own answer")?;
    ensure!(
        format!("{refused:#}").contains("the answer of a hub"),
        "{refused:#}"
    );
    Ok(())
}

/// Another box of the same hub, which never runs.
fn other_box(plant: &Plant, scratch: &Scratch) -> Result<Agent> {
    let web = ports::free()?;
    let config = format!(
        "[gateway]\ndata_dir = \"data\"\n[hub]\naddress = \"{}\"\n[web]\nlisten = \"{web}\"\n",
        plant.hub.quic()
    );
    let other = Agent::prepare(scratch, "other", web, |_| config)?;
    other.enrol(&plant.hub.claim("North works", "Hall C", "HC")?)?;
    Ok(other)
}

/// A box that was shut out is not taken by its file either.
fn withdrawn(plant: &Plant, file: &Path) -> Result<()> {
    plant.hub.cli(&["gateway", "revoke", "HB"])?;
    let refused = plant.hub.cli(&["import", &name(file)]).err();
    let refused = refused.context("the file of a withdrawn box was taken")?;
    ensure!(format!("{refused:#}").contains("withdrawn"), "{refused:#}");
    Ok(())
}

fn wait_until_stored(plant: &Plant, readings: u64) -> Result<()> {
    wait_for("readings on the box", DEADLINE, || {
        let waiting = number(&plant.here.get("/status")?, "/link/waiting_readings");
        Ok((waiting >= Some(readings)).then_some(()))
    })
}

pub(crate) fn export(agent: &Agent, file: &Path, more: &[&str]) -> Result<Value> {
    let file = name(file);
    let mut line = vec!["export", "--out", &file];
    line.extend(more);
    agent.cli(&line)
}

pub(crate) fn import(plant: &Plant, file: &Path, ack: &Path) -> Result<Value> {
    let line = ["import", &name(file), "--ack", &name(ack), "--json"];
    plant.hub.cli(&line)
}

pub(crate) fn acknowledge(agent: &Agent, file: &Path) -> Result<Value> {
    agent.cli(&["acknowledge", &name(file)])
}

fn name(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

fn number(answer: &Value, pointer: &str) -> Option<u64> {
    answer.pointer(pointer).and_then(Value::as_u64)
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}
