//! A disk that somebody else has filled, of the box and of the hub: alarms are still stored and
//! shown, everything goes on soon after there is room again, nothing is damaged, and what is
//! missing is missing by name. Needs a small disk of its own; says so where it cannot have one.

use crate::plant::{DEADLINE, NORMAL, Plant, UNITS, now, recorded, text, time};
use crate::readings::Measured;
use crate::{readings, records};
use anyhow::{Context as _, Result, bail, ensure};
use harness::modbus_peer::Served;
use harness::wait::pause;
use harness::{PeerOptions, SmallDisk, in_scratch, wait_for};
use protocol::time::Timestamp;
use rusqlite::Connection;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// The replay begins in the calm before the machine's last failure and waits at the second row.
const FIRST_ROW: usize = 19_200;
const CALM_ROW: usize = 19_300;
const BOX_MEGABYTES: u32 = 48;
const HUB_MEGABYTES: u32 = 32;
/// Room was made: so soon all goes on.
const BACK_MAX: Duration = Duration::from_secs(10);
/// The disk stays full for so long after the first sign of it.
const FULL: Duration = Duration::from_secs(5);
/// A poll may be named missing by a span whose ends are this close to it.
pub(crate) const NEAR_US: i64 = 2_000_000;

#[test]
fn a_full_disk_of_the_box_keeps_alarms_and_names_what_is_missing() -> Result<()> {
    let own = "disks::a_full_disk_of_the_box_keeps_alarms_and_names_what_is_missing";
    if let Some(status) = SmallDisk::run_inside(own)? {
        ensure!(
            status.success(),
            "it failed in its own namespaces: {status}"
        );
        return Ok(());
    }
    in_scratch("box-disk", |scratch| {
        let Some(disk) = SmallDisk::mount(&scratch.file("box/data"), BOX_MEGABYTES)? else {
            skipped("box-disk");
            return Ok(());
        };
        box_disk(Plant::start(scratch, options())?, &disk)
    })
}

fn options() -> PeerOptions {
    PeerOptions {
        samples_per_s: 40.0,
        first_row: FIRST_ROW,
        hold_row: Some(CALM_ROW),
        start_again: true,
        ..PeerOptions::default()
    }
}

fn box_disk(mut plant: Plant, disk: &SmallDisk) -> Result<()> {
    disk.fill()?;
    let filled = Instant::now();
    plant.peer.go_on()?;
    let alert = wait_for("the alarm on the box whose disk is full", DEADLINE, || {
        Ok(plant.here.list("/alerts?state=all")?.into_iter().next())
    })?;
    let shown = filled.elapsed();
    stored(&plant, text(&alert, "/id")?)?;
    // Not only this alarm's first event: its end as well.
    wait_for("the end of the alarm on the box", DEADLINE, || {
        let alert = plant
            .here
            .get(&format!("/alerts/{}", text(&alert, "/id")?))?;
        Ok(alert["state"]
            .as_str()
            .is_some_and(|state| state != "active")
            .then_some(()))
    })
    .with_context(|| format!("it cleared above {NORMAL}"))?;
    pause(FULL);
    let freed = (now()?, Instant::now());
    disk.free()?;
    goes_on(&plant, freed.0)?;
    let back = freed.1.elapsed();
    ensure!(
        back <= BACK_MAX,
        "values were stored again {back:?} after there was room"
    );
    plant.wait_until_in_sync()?;
    let until = now()?.plus_micros(-NEAR_US);
    let spans = plant.at_the_hub()?["completeness"]["spans"].clone();
    let (alerts, _) = plant.come_to_rest()?;
    ensure!(
        alerts.contains_key(text(&alert, "/id")?),
        "the alarm is gone: {alerts:?}"
    );
    for file in ["buffer.db", "core.db"] {
        whole(&plant.box_store().join(file))?;
    }
    // The box gave up what the hub has had for long: that is what its own quota is for.
    let (compared, groups) = readings::compare_rest(&plant, &recorded()?)?;
    records::compare_events(&plant)?;
    let mut missing = 0;
    for unit in UNITS {
        let measured = readings::measured(plant.gateway, unit, &groups)?;
        let mut served = plant.peer.served()?;
        served.retain(|answer| answer.unit == unit && answer.time_us < until.0);
        missing += missing_by_name(&measured, &served, &spans)?;
    }
    say(&format!(
        "measured: full disk of the box: alarm shown and stored {:.1} s after it was full, \
         values stored again {:.1} s after there was room, {} polls stored and at the hub, \
         {missing} missing and named as gaps, integrity ok",
        shown.as_secs_f64(),
        back.as_secs_f64(),
        compared.polls,
    ));
    Ok(())
}

#[test]
fn a_full_disk_of_the_hub_stops_acknowledgements_and_loses_nothing() -> Result<()> {
    let own = "disks::a_full_disk_of_the_hub_stops_acknowledgements_and_loses_nothing";
    if let Some(status) = SmallDisk::run_inside(own)? {
        ensure!(
            status.success(),
            "it failed in its own namespaces: {status}"
        );
        return Ok(());
    }
    in_scratch("hub-disk", |scratch| {
        let Some(disk) = SmallDisk::mount(&scratch.file("hub/data"), HUB_MEGABYTES)? else {
            skipped("hub-disk");
            return Ok(());
        };
        let options = PeerOptions {
            start_again: true,
            ..PeerOptions::default()
        };
        let mut plant = Plant::start(scratch, options)?;
        disk.fill()?;
        let waiting = wait_for("readings to wait on the box", DEADLINE, || {
            let waiting = waiting(&plant)?;
            Ok((waiting > 500).then_some(waiting))
        })?;
        pause(FULL);
        // The box works on, and keeps what nobody acknowledges.
        goes_on(&plant, now()?)?;
        ensure!(
            waiting < self::waiting(&plant)?,
            "something was acknowledged"
        );
        let log = plant.hub.program()?.log()?;
        ensure!(
            log.contains("full"),
            "the hub's log does not say that its disk is full: {log}"
        );
        disk.free()?;
        let freed = Instant::now();
        wait_for("the box to have nothing left to send", DEADLINE, || {
            Ok((self::waiting(&plant)? < 100).then_some(()))
        })?;
        let back = freed.elapsed();
        ensure!(
            back <= BACK_MAX,
            "the hub had all {back:?} after there was room"
        );
        plant.wait_until_in_sync()?;
        plant.come_to_rest()?;
        whole(&plant.hub_store())?;
        let (compared, _) = readings::compare(&plant, &recorded()?)?;
        let events = records::compare_events(&plant)?;
        say(&format!(
            "measured: full disk of the hub: {waiting} readings waited on the box, all at the hub \
             {:.1} s after there was room; {} polls and {events} events on both sides once, \
             integrity ok",
            back.as_secs_f64(),
            compared.polls,
        ));
        Ok(())
    })
}

fn skipped(case: &str) {
    say(&format!(
        "measured: {case} SKIPPED, neither root nor user namespaces here to mount the disk that it fills"
    ));
}

#[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
fn say(words: &str) {
    println!("{words}");
}

pub(crate) fn waiting(plant: &Plant) -> Result<u64> {
    let status = plant.here.get("/status")?;
    let waiting = status
        .pointer("/link/waiting_readings")
        .and_then(Value::as_u64);
    waiting.context("no waiting_readings")
}

/// Waits until every sensor of the box shows a value that was read after `since`.
fn goes_on(plant: &Plant, since: Timestamp) -> Result<()> {
    wait_for("new values of all sensors", DEADLINE, || {
        for sensor in plant.here.list("/sensors")? {
            if time(&sensor, "/time")? <= since {
                bail!("nothing new of {sensor}");
            }
        }
        Ok(Some(()))
    })
}

/// The alert is in the box's file of events: in a copy of it, because the box runs.
fn stored(plant: &Plant, alert: &str) -> Result<()> {
    let copy = plant.agent.folder().join("copy");
    std::fs::create_dir_all(&copy).context("making a folder")?;
    // The agent writes on: a torn copy is made again.
    wait_for("the alert in the box's file", DEADLINE, || {
        for name in ["core.db", "core.db-wal"] {
            let from = plant.box_store().join(name);
            if from.exists() {
                std::fs::copy(from, copy.join(name)).context("copying the events")?;
            }
        }
        let events = records::events(&copy.join("core.db"), records::BOX_EVENTS)?;
        let about = |id: &uuid::Uuid| id.to_string() == alert;
        Ok(events
            .values()
            .any(|event| about(&event.record.id))
            .then_some(()))
    })
}

/// `SQLite` itself finds the file whole.
fn whole(file: &Path) -> Result<()> {
    let words = integrity(file)?;
    ensure!(words == "ok", "{}: {words}", file.display());
    Ok(())
}

/// The words of `SQLite`'s own check; opening plays the write-ahead log back, as the programs do.
pub(crate) fn integrity(file: &Path) -> Result<String> {
    let db = Connection::open(file).with_context(|| format!("opening {}", file.display()))?;
    db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .with_context(|| format!("checking {}", file.display()))
}

/// Every answer of pymodbus that is not stored lies in a gap that the hub shows. Gives how many.
pub(crate) fn missing_by_name(
    stored: &[Measured],
    served: &[Served],
    spans: &Value,
) -> Result<usize> {
    let gaps = gaps(spans)?;
    let mut missing = 0;
    let mut stored = stored.iter().peekable();
    for answer in served {
        let ours = stored.next_if(|poll| {
            let age_us = poll.time.0 - answer.time_us;
            i64::try_from(answer.row) == Ok(poll.row)
                && (0..readings::ANSWER_US_MAX).contains(&age_us)
        });
        if ours.is_some() {
            continue;
        }
        let named = gaps.iter().any(|(from, to)| {
            from.0 - NEAR_US <= answer.time_us && answer.time_us <= to.0 + NEAR_US
        });
        ensure!(named, "{answer:?} is not stored and in no gap of {spans}");
        missing += 1;
    }
    Ok(missing)
}

fn gaps(spans: &Value) -> Result<Vec<(Timestamp, Timestamp)>> {
    let spans = spans.as_array().context("no spans")?.iter();
    let gaps = spans.filter(|span| span["state"] == "gap");
    gaps.map(|span| Ok((time(span, "/from")?, time(span, "/to")?)))
        .collect()
}
