//! Commands from the hub to a box: done once and told; expired while the link was cut and never
//! done; cut off by a kill and never done again. Judged by what the hub shows and by what the box
//! has written down.

use crate::plant::{DEADLINE, Plant, text};
use anyhow::{Context as _, Result, bail, ensure};
use harness::{PeerOptions, in_scratch, wait_for};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A command beside the running hub reaches a connected box in this time.
const REACHED_MAX: Duration = Duration::from_secs(2);
/// Kills until one comes between the note that a command is taken on and its result.
const KILLS_MAX: usize = 20;

#[test]
fn commands() -> Result<()> {
    in_scratch("commands", |scratch| {
        let options = PeerOptions {
            start_again: true,
            ..PeerOptions::default()
        };
        let mut plant = Plant::start(scratch, options)?;
        let reached = done_and_told(&plant)?;
        expired_is_never_done(&plant)?;
        let kills = cut_off_is_unknown(&mut plant)?;
        println!(
            "measured: a command was done and its result at the hub {} ms after it was given; after \
             {kills} kills one was cut off, unknown, and not done again",
            reached.as_millis()
        );
        Ok(())
    })
}

/// Gives the box a command by the hub's command line.
fn command(plant: &Plant, what: &[&str]) -> Result<String> {
    let args = [&["gateway", "command", "HB"], what, &["--json"]].concat();
    Ok(text(&plant.hub.cli(&args)?, "/command")?.to_owned())
}

/// What the hub shows of a command.
fn shown(plant: &Plant, id: &str) -> Result<Value> {
    let list = plant.hub.cli(&["gateway", "commands", "HB", "--json"])?;
    let rows = list["commands"].as_array().context("no commands")?;
    let row = rows.iter().find(|row| row["id"] == id);
    row.cloned()
        .with_context(|| format!("{id} is not in {list}"))
}

/// Waits for the result; gives outcome and words.
fn result(plant: &Plant, id: &str) -> Result<(String, String)> {
    wait_for("the result of a command", DEADLINE, || {
        let row = shown(plant, id)?;
        match row["outcome"].as_str() {
            Some(outcome) => Ok(Some((outcome.to_owned(), text(&row, "/words")?.to_owned()))),
            None => bail!("no result: {row}"),
        }
    })
}

fn started_at(plant: &Plant) -> Result<String> {
    Ok(text(&plant.here.get("/status")?, "/started_at")?.to_owned())
}

fn done_and_told(plant: &Plant) -> Result<Duration> {
    let id = command(plant, &["read", "machine-2/row"])?;
    let given = Instant::now();
    let (outcome, words) = result(plant, &id)?;
    let reached = given.elapsed();
    ensure!(
        outcome == "done" && words.starts_with("machine-2/row: "),
        "{outcome}: {words}"
    );
    ensure!(reached <= REACHED_MAX, "it took {reached:?}");
    let id = command(plant, &["read", "machine-2/nothing"])?;
    let (outcome, words) = result(plant, &id)?;
    ensure!(
        outcome == "refused" && words.contains("machine-2/nothing"),
        "{outcome}: {words}"
    );
    let id = command(plant, &["renew_certificate"])?;
    let (outcome, words) = result(plant, &id)?;
    ensure!(outcome == "done", "{outcome}: {words}");
    let before = started_at(plant)?;
    let id = command(plant, &["restart"])?;
    let (outcome, words) = result(plant, &id)?;
    ensure!(
        outcome == "done" && words.contains("began anew"),
        "{outcome}: {words}"
    );
    ensure!(
        started_at(plant)? != before,
        "the agent was not started again"
    );
    Ok(reached)
}

fn expired_is_never_done(plant: &Plant) -> Result<()> {
    let before = started_at(plant)?;
    plant.relay.cut();
    plant.wait_for_link("offline")?;
    let given = Instant::now();
    let id = command(plant, &["restart", "--expires", "1s"])?;
    wait_for("the command to expire", DEADLINE, || {
        Ok((given.elapsed() > Duration::from_millis(1_500)).then_some(()))
    })?;
    plant.relay.restore();
    let (outcome, words) = result(plant, &id)?;
    ensure!(outcome == "expired", "{outcome}: {words}");
    ensure!(started_at(plant)? == before, "it was done all the same");
    Ok(())
}

/// Kills the agent as soon as it has noted that it takes a restart on, until a kill comes before the
/// result; answers how many kills it took.
fn cut_off_is_unknown(plant: &mut Plant) -> Result<usize> {
    for kills in 1..=KILLS_MAX {
        let id = command(plant, &["restart"])?;
        wait_for_taken(plant, &id)?;
        plant.agent.kill9()?;
        plant.agent.start()?;
        let started = started_at(plant)?;
        let (outcome, words) = result(plant, &id)?;
        ensure!(
            matches!(outcome.as_str(), "unknown" | "done"),
            "{outcome}: {words}"
        );
        if outcome == "unknown" {
            ensure!(words.contains("not done again"), "{words}");
            // It is sent no more and done no more: the next command's result comes after it.
            let next = command(plant, &["read", "machine-2/row"])?;
            result(plant, &next)?;
            ensure!(started_at(plant)? == started, "it was done after the kill");
            return Ok(kills);
        }
    }
    bail!("none of {KILLS_MAX} kills came before the result")
}

/// Until the box has written down that it takes the command on.
fn wait_for_taken(plant: &Plant, id: &str) -> Result<()> {
    let id = uuid::Uuid::parse_str(id)?;
    let file = plant.box_store().join("core.db");
    let db =
        rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.busy_timeout(Duration::from_secs(5))?;
    let until = Instant::now() + DEADLINE;
    // Closer looks than `wait_for` takes: the restart itself is short.
    while Instant::now() < until {
        let known: i64 = db.query_row(
            "SELECT count(*) FROM command WHERE id = ?1",
            [id.as_bytes().to_vec()],
            |row| row.get(0),
        )?;
        if known == 1 {
            return Ok(());
        }
        harness::wait::pause(Duration::from_millis(1));
    }
    bail!("the box did not take the command on")
}
