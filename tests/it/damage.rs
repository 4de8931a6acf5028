//! Random pages of the databases are overwritten, while the programs are stopped and while they
//! run. Readings may be lost by name and collection goes on; alerts and work orders are there as
//! they were, or the program refuses in clear words: never a silent loss, never a wrong value.

use crate::kills::Random;
use crate::plant::{ANNA, DEADLINE, Plant, UNITS, now, recorded, time};
use crate::{disks, readings, records};
use anyhow::{Context as _, Result, bail, ensure};
use harness::wait::pause;
use harness::{Agent, PeerOptions, Scratch, in_scratch, wait_for};
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PAGE_BYTES: usize = 4_096;
/// Collection goes on so soon after a start on damaged readings, or after the damage.
const BACK_MAX: Duration = Duration::from_secs(60);
/// Rounds of each kind of damage, each with other pages.
const ROUNDS: u32 = 3;
/// The service manager starts an agent again after so long (`RestartSec` of its unit).
const RESTART: Duration = Duration::from_secs(1);
/// Names the random pages of an earlier run.
const SEED: &str = "DAMAGE_SEED";
/// What a refusal of the box, and one of the hub, must say.
const BOX_WORDS: [&str; 2] = ["core.db is damaged", "restore it from a backup"];
const HUB_WORDS: [&str; 2] = [
    "the hub's store is damaged",
    "the newest backup in its place",
];

#[test]
fn damaged_pages_of_the_readings_are_named_and_collection_goes_on() -> Result<()> {
    in_scratch("damage-buffer", |scratch| {
        let mut random = seed()?;
        let mut plant = start(scratch)?;
        let known = known(&plant)?;
        let mut slowest = Duration::ZERO;
        for round in 0..ROUNDS * 2 {
            let running = round % 2 == 1;
            // What the hub has is not lost: something must be only on the box.
            plant.relay.cut();
            wait_for("readings that only the box has", DEADLINE, || {
                Ok((disks::waiting(&plant)? > 100).then_some(()))
            })?;
            if !running {
                plant.agent.kill9()?;
            }
            for end in ["", "-wal"] {
                let file = plant.box_store().join(format!("buffer.db{end}"));
                if file.exists() {
                    damage(&file, &mut random, 0)?;
                }
            }
            let since = (now()?, Instant::now());
            if !running {
                plant.agent.start()?;
            }
            collects(&mut plant, since)
                .with_context(|| format!("round {round}, while it runs: {running}"))?;
            slowest = slowest.max(since.1.elapsed());
            plant.relay.restore();
            unchanged(&plant, &known)?;
        }
        ensure!(
            slowest <= BACK_MAX,
            "collection went on after {slowest:?} only"
        );
        plant.wait_until_in_sync()?;
        let until = now()?.plus_micros(-disks::NEAR_US);
        let spans = plant.at_the_hub()?["completeness"]["spans"].clone();
        plant.agent.stop()?;
        plant.hub.stop()?;
        let there = readings::of_hub(&plant.hub_store(), plant.gateway)?;
        let polls = readings::all_served(&plant, &there, &recorded()?)?;
        let mut missing = 0;
        for unit in UNITS {
            let measured = readings::measured(plant.gateway, unit, &there)?;
            let mut served = plant.peer.served()?;
            served.retain(|answer| answer.unit == unit && answer.time_us < until.0);
            missing += disks::missing_by_name(&measured, &served, &spans)?;
        }
        say(&format!(
            "measured: damaged readings: {} rounds of random pages, half of them while the agent \
             ran: collection went on within {:.1} s, {missing} polls missing and named as gaps, \
             alerts and orders unchanged, all {polls} polls at the hub are what the plant served",
            ROUNDS * 2,
            slowest.as_secs_f64(),
        ));
        Ok(())
    })
}

#[test]
fn damaged_pages_of_the_records_are_told_or_change_nothing() -> Result<()> {
    in_scratch("damage-core", |scratch| {
        let mut random = seed()?;
        let mut plant = start(scratch)?;
        plant.agent.stop()?;
        plant.agent.start()?;
        let known = known(&plant)?;
        plant.agent.stop()?;
        let core = plant.box_store().join("core.db");
        let whole = std::fs::read(&core).context("reading core.db")?;
        let mut told = 0;
        for round in 0..ROUNDS * 2 {
            damage(&core, &mut random, round % 3)?;
            plant.agent.launch()?;
            let refused = refused(&mut plant.agent, &BOX_WORDS)?;
            if refused {
                told += 1;
            } else {
                unchanged(&plant, &known).with_context(|| format!("round {round}"))?;
                plant.agent.kill9()?;
            }
            for end in ["-wal", "-shm"] {
                let file = plant.box_store().join(format!("core.db{end}"));
                if file.exists() {
                    std::fs::remove_file(file)?;
                }
            }
            std::fs::write(&core, &whole).context("restoring core.db")?;
        }
        ensure!(told > 0, "no damage of core.db was told");
        plant.agent.start()?;
        unchanged(&plant, &known)?;
        say(&format!(
            "measured: damaged records of the box: {told} of {} random damages told in clear words, \
             the others changed nothing; the backup is the same box again",
            ROUNDS * 2
        ));
        Ok(())
    })
}

#[test]
fn damaged_pages_of_the_hub_are_told() -> Result<()> {
    in_scratch("damage-hub", |scratch| {
        let mut random = seed()?;
        let mut plant = start(scratch)?;
        plant.wait_until_in_sync().ok();
        plant.agent.stop()?;
        let known = (
            records::alerts(&plant.there)?,
            records::orders(&plant.there)?,
        );
        plant.hub.stop()?;
        let file = plant.hub_store();
        let whole = std::fs::read(&file).context("reading hub.db")?;
        let mut told = 0;
        for round in 0..ROUNDS {
            damage(&file, &mut random, round % 3)?;
            plant.hub.launch()?;
            let ended = wait_for("the hub to answer or to end", DEADLINE, || {
                if !plant.hub.program()?.is_running() {
                    return Ok(Some(true));
                }
                let there = plant.hub.api().try_get("/session");
                Ok(there.is_ok().then_some(false))
            })?;
            let log = plant.hub.program()?.log()?;
            if ended {
                ensure!(
                    HUB_WORDS.iter().all(|words| log.contains(words)),
                    "the hub said: {log}"
                );
                told += 1;
            } else {
                let shown = (records::alerts(&plant.there), records::orders(&plant.there));
                match shown {
                    (Ok(alerts), Ok(orders)) => {
                        ensure!(
                            (alerts, orders) == known,
                            "round {round}: records are gone silently"
                        );
                    }
                    _ => told += 1,
                }
                plant.hub.kill9()?;
            }
            for end in ["-wal", "-shm"] {
                let beside = plant.hub.data().join(format!("hub.db{end}"));
                if beside.exists() {
                    std::fs::remove_file(beside)?;
                }
            }
            std::fs::write(&file, &whole).context("restoring hub.db")?;
        }
        ensure!(told > 0, "no damage of hub.db was told");
        say(&format!(
            "measured: damaged store of the hub: {told} of {ROUNDS} random damages told, the others \
             changed nothing"
        ));
        Ok(())
    })
}

/// A plant with an alert and an order, at both sides.
fn start(scratch: &Scratch) -> Result<Plant> {
    let options = PeerOptions {
        samples_per_s: 40.0,
        first_row: 19_350,
        start_again: true,
        ..PeerOptions::default()
    };
    let plant = Plant::start(scratch, options)?;
    plant.here.post(
        "/work-orders",
        &json!({"by": ANNA, "title": "Guard of M-2 rattles", "asset": "M-2"}),
    )?;
    wait_for("an alert with its order", DEADLINE, || {
        let alerts = plant.here.list("/alerts?state=all")?;
        Ok(alerts
            .iter()
            .any(|alert| !alert["work_order"].is_null())
            .then_some(()))
    })?;
    Ok(plant)
}

/// Alerts and orders of the box with their histories as they are now.
fn known(plant: &Plant) -> Result<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for shown in [records::alerts(&plant.here)?, records::orders(&plant.here)?] {
        for (id, record) in shown {
            all.extend(
                records::history(&record)?
                    .iter()
                    .map(|line| (id.clone(), line.clone())),
            );
        }
    }
    ensure!(!all.is_empty(), "the box has no records");
    Ok(all)
}

/// Every line of the histories is still there.
fn unchanged(plant: &Plant, known: &[(String, Value)]) -> Result<()> {
    let now = self::known(plant)?;
    let gone = known.iter().find(|line| !now.contains(line));
    ensure!(gone.is_none(), "a line of a record is gone: {gone:?}");
    Ok(())
}

/// Waits until all sensors show values that were read after `since`; starts the agent again when
/// it has ended, as the service manager does.
fn collects(plant: &mut Plant, since: (protocol::time::Timestamp, Instant)) -> Result<()> {
    wait_for("collection to go on", BACK_MAX + DEADLINE, || {
        if !plant.agent.program()?.is_running() {
            pause(RESTART);
            plant.agent.launch()?;
        }
        for sensor in plant.here.list("/sensors")? {
            if time(&sensor, "/time")? <= since.0 || sensor["quality"] != "good" {
                bail!("nothing new of {sensor}");
            }
        }
        // Charts read the older pages; what is damaged must not stay unseen for ever.
        let sensors = plant.here.list("/sensors")?;
        let id = sensors.first().context("no sensors")?["id"].clone();
        let path = format!("/sensors/{}/readings", id.as_str().unwrap_or_default());
        Ok((plant.here.try_get(&path)?.status == 200).then_some(()))
    })
}

/// Waits until the agent answers or has ended; when it has ended, it must have said all of `words`.
fn refused(agent: &mut Agent, words: &[&str]) -> Result<bool> {
    let api = agent.api();
    let ended = wait_for("the agent to answer or to end", DEADLINE, || {
        if !agent.program()?.is_running() {
            return Ok(Some(true));
        }
        Ok((api.try_get("/status")?.status == 200).then_some(false))
    })?;
    if ended {
        let log = agent.program()?.log()?;
        ensure!(
            words.iter().all(|words| log.contains(words)),
            "it said: {log}"
        );
    }
    Ok(ended)
}

/// Overwrites about half of the pages behind the first `spare` ones, at least one.
fn damage(file: &Path, random: &mut Random, spare: u32) -> Result<()> {
    let open = File::options().write(true).open(file);
    let open = open.with_context(|| format!("opening {}", file.display()))?;
    let pages = open.metadata()?.len() / u64::try_from(PAGE_BYTES)?;
    let first = u64::from(spare).min(pages.saturating_sub(1));
    let always = first + random.below((pages - first).max(1));
    for page in first..pages {
        if page == always || random.below(2) == 0 {
            let noise: Vec<u8> = std::iter::repeat_with(|| random.next().to_le_bytes())
                .take(PAGE_BYTES / 8)
                .flatten()
                .collect();
            open.write_all_at(&noise, page * u64::try_from(PAGE_BYTES)?)
                .context("damaging a page")?;
        }
    }
    Ok(())
}

fn seed() -> Result<Random> {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().with_context(|| format!("{SEED}={seed}"))?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    say(&format!("{SEED}={seed}"));
    Ok(Random(seed))
}

#[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
fn say(words: &str) {
    println!("{words}");
}
