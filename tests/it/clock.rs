//! A box whose clock starts in 1970 (no battery), with Debian's libfaketime between it and the wall
//! clock: what it stored and raised before it knew the time has its true time at the end, on both
//! sides, also over a kill; whether somebody sets the clock or only the hub tells the time.

use crate::plant::{DEADLINE, Plant, UNITS, recorded, text, time};
use crate::{alarms, readings, records};
use anyhow::{Context as _, Result, ensure};
use harness::modbus_peer::Served;
use harness::{PeerOptions, in_scratch, wait_for};
use protocol::time::{EARLIEST, Timestamp};
use std::path::PathBuf;

const FIRST_ROW: usize = 19_200;
const CALM_ROW: usize = 19_300;
/// How far a moved stamp may be from when the answer was given.
const OFF_US_MAX: i64 = 1_000_000;

/// What ends the time in which the time is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The wall clock is set.
    BySetting,
    /// The box reaches its hub; the wall clock stays in 1970.
    ByHub,
}

#[test]
fn a_clock_in_1970_is_set() -> Result<()> {
    in_scratch("clock-set", |scratch| run(plant(scratch)?, Told::BySetting))
}

#[test]
fn a_clock_in_1970_learns_the_time_from_the_hub() -> Result<()> {
    in_scratch("clock-hub", |scratch| run(plant(scratch)?, Told::ByHub))
}

fn plant(scratch: &harness::Scratch) -> Result<Plant> {
    let options = PeerOptions {
        samples_per_s: 40.0,
        first_row: FIRST_ROW,
        hold_row: Some(CALM_ROW),
        ..PeerOptions::default()
    };
    Plant::start_apart(scratch, options)
}

fn run(mut plant: Plant, told: Told) -> Result<()> {
    let offset_file = switch_on_in_1970(&mut plant)?;
    plant.agent.start()?;
    let clock = |plant: &Plant| Ok::<_, anyhow::Error>(plant.here.get("/status")?["clock"].clone());
    ensure!(
        clock(&plant)? == "untrusted",
        "the clock is {}",
        clock(&plant)?
    );
    plant.peer.go_on()?;
    let alert = wait_for("the alarm on the box", DEADLINE, || {
        Ok(plant.here.list("/alerts?state=open")?.into_iter().next())
    })?;
    ensure!(
        time(&alert, "/raised_at")? < EARLIEST && alert["clock"] == "untrusted",
        "the alarm says {alert}"
    );
    // Killed and started again in the same boot of the machine.
    plant.agent.kill9()?;
    plant.agent.start()?;
    ensure!(
        clock(&plant)? == "untrusted",
        "the clock is {}",
        clock(&plant)?
    );
    match told {
        Told::BySetting => std::fs::write(&offset_file, "+0")?,
        Told::ByHub => plant.relay.restore(),
    }
    let path = format!("/alerts/{}", text(&alert, "/id")?);
    wait_for("the alarm to have its true time", DEADLINE, || {
        let alert = plant.here.get(&path)?;
        let is_true = time(&alert, "/raised_at")? > EARLIEST;
        Ok((is_true && alert["clock"] == "corrected").then_some(()))
    })?;
    plant.relay.restore();
    plant.wait_until_in_sync()?;
    let (alerts, orders) = plant.come_to_rest()?;
    ensure!(orders.len() == 1, "one order for one alarm: {orders:#?}");
    let (compared, groups) = readings::compare_about(&plant, &recorded()?, OFF_US_MAX)?;
    let events = records::compare_events(&plant)?;
    let machine = readings::measured(plant.gateway, 1, &groups)?;
    alarms::same(&alarms::expected(&machine), &alerts)?;
    let served = plant.peer.served()?;
    let mut worst_us = 0;
    for unit in UNITS {
        for poll in readings::measured(plant.gateway, unit, &groups)? {
            worst_us = worst_us.max(off_us(&served, unit, (poll.row, poll.time))?);
        }
    }
    ensure!(worst_us <= OFF_US_MAX, "a reading is off by {worst_us} us");
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!(
            "measured: {} readings and {events} events, those of a clock in 1970 too, with their \
             true time on both sides, off by at most {} ms",
            compared.readings,
            worst_us / 1_000
        );
    }
    Ok(())
}

/// Gives the box a wall clock in 1970 and no memory of having known the time since it was switched
/// on. Says where the clock's offset stands.
fn switch_on_in_1970(plant: &mut Plant) -> Result<PathBuf> {
    let library = library()?;
    plant.agent.stop()?;
    let core = rusqlite::Connection::open(plant.box_store().join("core.db"))?;
    core.execute("DELETE FROM meta WHERE key = 'boot'", [])?;
    drop(core);
    let file = plant.agent.config();
    let config = std::fs::read_to_string(&file)?;
    std::fs::write(&file, config.replace("clock_trusted = true\n", ""))?;
    let offset = plant.agent.folder().join("clock-offset");
    let back_s = crate::plant::now()?.0 / 1_000_000 - 3_600;
    std::fs::write(&offset, format!("-{back_s}"))?;
    let agent = &mut plant.agent;
    agent.set_environment("LD_PRELOAD", &library.to_string_lossy());
    agent.set_environment("FAKETIME_TIMESTAMP_FILE", &offset.to_string_lossy());
    agent.set_environment("FAKETIME_NO_CACHE", "1");
    agent.set_environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    agent.set_environment("NO_FAKE_STAT", "1");
    Ok(offset)
}

/// How far a stamp is from the nearest answer with this row.
fn off_us(served: &[Served], unit: u8, (row, at): (i64, Timestamp)) -> Result<i64> {
    let row = usize::try_from(row)?;
    let same = served.iter().filter(|s| s.unit == unit && s.row == row);
    same.map(|answer| (at.0 - answer.time_us).abs())
        .min()
        .with_context(|| format!("row {row} was never served to unit {unit}"))
}

/// Debian's libfaketime.
pub(crate) fn library() -> Result<PathBuf> {
    std::fs::read_dir("/usr/lib")?
        .flatten()
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|library| library.exists())
        .context("libfaketime is missing: run make setup, or install it")
}
