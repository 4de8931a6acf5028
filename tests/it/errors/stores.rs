//! Stores that are full or damaged: what is lost is counted and told, events are never thrown
//! away by themselves, and collection goes on.

use super::{
    DEADLINE, HEALTHY, Plan, VALUE, arrives, case, device_says, gateway_at_hub, goes_on, link_says,
    peer, prepare, refuses, sensor, text,
};
use anyhow::{Context as _, Result, ensure};
use harness::{Agent, Api, Hub, ModbusPeer, PeerOptions, SmallDisk, ports, wait_for};
use serde_json::Value;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

#[test]
fn a_full_queue_drops_polls_counts_them_and_goes_on() -> Result<()> {
    case("full-queue", |scratch| {
        let Some(disk) = SmallDisk::mount(&scratch.file("box/data"), 8)? else {
            println!("measured: full-queue skipped, only root can mount the disk that it fills");
            return Ok(());
        };
        let units: Vec<u8> = (1..=10).collect();
        let options = PeerOptions {
            units: units.clone(),
            start_again: true,
            ..PeerOptions::default()
        };
        let peer = ModbusPeer::start(scratch, options)?;
        let mut hub = Hub::start(scratch)?;
        let hub_api = hub.sign_in()?;
        let web = ports::free()?;
        let mut agent = Agent::prepare(scratch, "box", web, |_| {
            let mut plan = Plan::new(web)
                .hub(hub.quic())
                .with("[queue]\npolls_max = 16");
            plan = plan.port("line", peer.address());
            for unit in units {
                let name = format!("fast-{unit}");
                plan = plan.device(&name, "line", unit, &[VALUE]);
            }
            plan.text.replace("poll = \"200ms\"", "poll = \"25ms\"")
        })?;
        agent.enrol(&hub.claim("Plant", "Box", "B1")?)?;
        agent.start()?;
        let api = agent.api();
        arrives(&hub_api, "B1")?;
        // A loaded machine may drop some by itself; a full disk drops all.
        let before = dropped(&api)?;
        disk.fill()?;
        wait_for("polls to be dropped", DEADLINE, || {
            Ok((dropped(&api)? > before + 100).then_some(()))
        })?;
        let words = "the box cannot store as fast as it reads; polls are dropped";
        wait_for("the log to say so", DEADLINE, || {
            Ok(agent.program()?.log()?.contains(words).then_some(()))
        })?;
        // The bus is still served, and the page still answers.
        let asked = peer.served()?.len();
        wait_for("the devices to be asked on", DEADLINE, || {
            Ok((peer.served()?.len() > asked + 50).then_some(()))
        })?;
        device_says(&api, "fast-1", "ok", &["It answers."])?;
        link_says(&api, "connected", &[])?;

        disk.free()?;
        goes_on(&api, "fast-1/value")?;
        arrives(&hub_api, "B1")?;
        let gap = gap_at_hub(&hub_api, "the box could not store fast enough")?;
        ensure!(
            gap["to"].as_str() > gap["from"].as_str(),
            "an empty gap: {gap}"
        );
        wait_for("no further poll to be dropped", DEADLINE, || {
            let total = dropped(&api)?;
            goes_on(&api, "fast-1/value")?;
            Ok((dropped(&api)? == total).then_some(()))
        })?;
        agent.stop()?;
        hub.stop()
    })
}

fn dropped(api: &Api) -> Result<u64> {
    let status = api.get("/status")?;
    let dropped = status
        .pointer("/queue/dropped_polls")
        .and_then(Value::as_u64);
    dropped.context("the status has no dropped polls")
}

/// Waits until the hub shows a gap of the box with this cause.
fn gap_at_hub(hub: &Api, cause: &str) -> Result<Value> {
    wait_for(&format!("a gap at the hub: {cause}"), DEADLINE, || {
        let gateway = gateway_at_hub(hub, "B1")?;
        let spans = gateway
            .pointer("/completeness/spans")
            .and_then(Value::as_array);
        let mut spans = spans.context("no spans")?.iter();
        let found = spans.find(|span| span["state"] == "gap" && span["cause"] == cause);
        ensure!(found.is_some(), "{}", gateway["completeness"]);
        Ok(found.cloned())
    })
}

#[test]
fn a_damaged_record_of_events_is_refused_and_not_replaced() -> Result<()> {
    case("core-damaged", |scratch| {
        let peer = peer(scratch)?;
        let mut agent = prepare(scratch, "box", &peer, |plan| plan)?;
        agent.start()?;
        goes_on(&agent.api(), HEALTHY)?;
        let id = agent.api().get("/status")?["gateway"]["id"].clone();
        agent.stop()?;
        let core = agent.folder().join("data/core.db");
        let whole = std::fs::read(&core).context("reading core.db")?;
        damage(&core)?;
        let damaged = std::fs::read(&core).context("reading core.db")?;
        let parts = [
            "core.db is damaged",
            "it holds the alerts and work orders",
            "restore it from a backup, or move it out of the folder",
        ];
        refuses(&agent, &["run"], &parts)?;
        ensure!(
            std::fs::read(&core)? == damaged,
            "the damaged file was touched"
        );
        // The first remedy: the backup. It is the same box again.
        std::fs::write(&core, whole).context("restoring core.db")?;
        agent.start()?;
        goes_on(&agent.api(), HEALTHY)?;
        ensure!(
            agent.api().get("/status")?["gateway"]["id"] == id,
            "another box"
        );
        agent.stop()?;
        // The second: an empty record under a new identity.
        damage(&core)?;
        std::fs::rename(&core, agent.folder().join("core.db.damaged"))?;
        agent.start()?;
        goes_on(&agent.api(), HEALTHY)?;
        ensure!(
            agent.api().get("/status")?["gateway"]["id"] != id,
            "the same box"
        );
        agent.stop()
    })
}

#[test]
fn damaged_readings_are_set_aside_and_collection_goes_on() -> Result<()> {
    case("buffer-damaged", |scratch| {
        let peer = peer(scratch)?;
        let mut hub = Hub::start(scratch)?;
        let hub_api = hub.sign_in()?;
        let quic = hub.quic();
        let mut agent = prepare(scratch, "box", &peer, |plan| plan.hub(quic))?;
        agent.enrol(&hub.claim("Plant", "Box", "B1")?)?;
        agent.start()?;
        arrives(&hub_api, "B1")?;
        agent.kill9()?;
        // All of it: what can be read of a damaged buffer is salvaged.
        for end in ["", "-wal"] {
            damage(&agent.folder().join(format!("data/buffer.db{end}")))?;
        }
        agent.start()?;
        let log = agent.program()?.log()?;
        ensure!(
            log.contains("buffer.db.damaged-"),
            "the log does not say where it is"
        );
        ensure!(set_aside(&agent)?.len() == 1, "nothing was set aside");
        goes_on(&agent.api(), HEALTHY)?;
        // The hub takes the readings of the new store beside those of the old one.
        link_says(&agent.api(), "connected", &[])?;
        arrives(&hub_api, "B1")?;
        gap_at_hub(&hub_api, "the store of the box was damaged")?;
        agent.stop()?;
        hub.stop()
    })
}

#[test]
fn readings_damaged_while_the_agent_runs_end_it_with_the_reason() -> Result<()> {
    case("buffer-damaged-live", |scratch| {
        let peer = peer(scratch)?;
        let mut agent = prepare(scratch, "box", &peer, |plan| plan)?;
        agent.start()?;
        goes_on(&agent.api(), HEALTHY)?;
        for end in ["", "-wal"] {
            damage(&agent.folder().join(format!("data/buffer.db{end}")))?;
        }
        // Somebody looks at a chart.
        let id = text(&sensor(&agent.api(), HEALTHY)?, "/id");
        let api = agent.api();
        let mut answer = None;
        wait_for("the damage to be found", DEADLINE, || {
            answer = Some(api.try_get(&format!("/sensors/{id}/readings"))?);
            Ok(answer
                .as_ref()
                .filter(|answer| answer.status == 503)
                .map(drop))
        })?;
        let answer = answer.context("no answer")?;
        ensure!(answer.code() == "store", "{answer:?}");
        let status = agent.program()?.wait(DEADLINE)?;
        ensure!(status.code() == Some(1), "it ended with {status}");
        let log = agent.program()?.log()?;
        let words = "start the agent again";
        ensure!(
            log.contains(words),
            "the log does not say what to do: {log}"
        );
        // What the system does by itself.
        agent.start()?;
        ensure!(set_aside(&agent)?.len() == 1, "nothing was set aside");
        goes_on(&agent.api(), HEALTHY)?;
        agent.stop()
    })
}

/// Writes nonsense over all of a file, in place.
fn damage(path: &Path) -> Result<()> {
    let mut file = File::options()
        .write(true)
        .open(path)
        .with_context(|| format!("opening {}", path.display()))?;
    let length = usize::try_from(file.metadata()?.len())?;
    file.write_all(&vec![0xA5; length])
        .context("damaging a file")
}

fn set_aside(agent: &Agent) -> Result<Vec<PathBuf>> {
    let files =
        std::fs::read_dir(agent.folder().join("data")).context("reading the data folder")?;
    let paths = files.flatten().map(|file| file.path());
    let aside = |path: &PathBuf| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        name.starts_with("buffer.db.damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    Ok(paths.filter(aside).collect())
}
