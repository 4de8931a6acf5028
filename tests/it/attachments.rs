//! Photos and documents that are added without an uplink reach the hub exactly as they were, while
//! the link is cut again and again and both programs are killed in the middle: each goes on where
//! the hub stands, and an alert passes them.

use crate::plant::{ANNA, DEADLINE, Plant, now, text};
use anyhow::{Context as _, Result, ensure};
use harness::{PeerOptions, in_scratch, wait_for};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Longest way of an alarm to the hub beside a transfer that fills the link.
const WAY_MAX: Duration = Duration::from_secs(10);
/// The link: 8 MiB take a quarter of a minute on it.
const RATE_BYTES_PER_S: u64 = 600_000;
const CALM_ROW: usize = 19_380;
const MIB: u64 = 1 << 20;

#[test]
fn attachments() -> Result<()> {
    in_scratch("attachments", |scratch| {
        let options = PeerOptions {
            samples_per_s: 40.0,
            first_row: CALM_ROW,
            hold_row: Some(CALM_ROW),
            ..PeerOptions::default()
        };
        run(&mut Plant::start(scratch, options)?)
    })
}

fn run(plant: &mut Plant) -> Result<()> {
    plant.relay.cut();
    let files = [
        ("pump 3.jpg", jpeg(300_000)),
        (
            "report.txt",
            "Seal worn, spring broken.\n".repeat(2_000).into_bytes(),
        ),
        ("vibration.bin", noise(8 << 20)),
    ];
    let path = format!("/work-orders/{}", add(plant, &files)?);
    let content: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let content = u64::try_from(content)?;
    plant.relay.set(
        Duration::from_millis(20),
        0.0,
        Some(RATE_BYTES_PER_S),
        64 << 10,
    );
    let before = plant.relay.counters();
    plant.relay.restore();
    let alert = cut_and_killed(plant)?;
    wait_for("every attachment at the hub", DEADLINE, || {
        Ok(places(&plant.there.get(&path)?, "hub").then_some(()))
    })?;
    let sent = plant.relay.counters().since(&before).up.bytes;
    wait_for("the box to know it", DEADLINE, || {
        Ok(places(&plant.here.get(&path)?, "both").then_some(()))
    })?;
    same_bytes(plant, &path, &files)?;
    let checked = plant.hub.cli(&["check", "--json"])?;
    ensure!(
        checked["attachments"] == 3 && checked["problems"] == json!([]),
        "cloud-hub check says {checked}"
    );
    ensure!(
        sent * 2 < content * 3,
        "{sent} bytes went up for {content} bytes of attachments"
    );
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!(
            "measured: 3 attachments of {content} bytes, whole at the hub after 3 cuts and a kill \
             of each side, with {sent} bytes sent up in all, readings and QUIC's own included; an \
             alert was there {} ms after its register in the middle of it",
            alert.as_millis()
        );
    }
    Ok(())
}

/// Adds files to a new order with the command line of the box; the order's id.
fn add(plant: &Plant, files: &[(&str, Vec<u8>)]) -> Result<String> {
    let order = plant.here.post(
        "/work-orders",
        &json!({"by": ANNA, "title": "Seal of M-1 leaks", "asset": "M-1"}),
    )?;
    let number = text(&order, "/number")?;
    for (count, (name, bytes)) in (1..).zip(files) {
        let file = plant.agent.folder().join(name);
        std::fs::write(&file, bytes)?;
        let path = file.to_string_lossy();
        let arguments = ["wo", "attach", number, &path, "--by", ANNA];
        let added = plant.agent.cli(&arguments)?;
        let all = added["attachments"].as_array().map_or(0, Vec::len);
        ensure!(all == count, "{name} was not added: {added}");
    }
    Ok(text(&order, "/id")?.to_owned())
}

/// What happens while the longest file is on its way; how long the alert took.
fn cut_and_killed(plant: &mut Plant) -> Result<Duration> {
    let first = held(plant, MIB)?;
    let alert = alarm(plant)?;
    ensure!(
        partial(plant)?.is_some(),
        "the transfer was over before the alert was there"
    );
    plant.relay.cut();
    plant.relay.restore();
    held(plant, first + MIB)?;
    plant.agent.kill9()?;
    plant.agent.start()?;
    held(plant, first + 2 * MIB)?;
    plant.hub.kill9()?;
    plant.hub.start_again()?;
    held(plant, first + 3 * MIB)?;
    plant.relay.cut();
    plant.relay.restore();
    Ok(alert)
}

/// The register changes: how long until the alert is at the hub.
fn alarm(plant: &Plant) -> Result<Duration> {
    plant.peer.go_on()?;
    let seen = wait_for("the alarm at the hub", DEADLINE, || {
        let alerts = plant.there.list("/alerts?state=open")?;
        (!alerts.is_empty()).then(now).transpose()
    })?;
    let served = plant.peer.served()?;
    let mut low = served
        .iter()
        .filter(|answer| answer.value < crate::plant::LOW);
    let changed = low.next().context("pymodbus served no low temperature")?;
    let way = Duration::from_micros(u64::try_from(seen.0 - changed.time_us)?);
    ensure!(way <= WAY_MAX, "the alarm took {way:?} to the hub");
    Ok(way)
}

fn places(order: &Value, place: &str) -> bool {
    let attachments = order["attachments"].as_array();
    attachments.is_some_and(|all| all.len() == 3 && all.iter().all(|one| one["place"] == place))
}

/// What the hub keeps is what was added, byte by byte.
fn same_bytes(plant: &Plant, path: &str, files: &[(&str, Vec<u8>)]) -> Result<()> {
    let order = plant.there.get(path)?;
    for (name, bytes) in files {
        let mut all = order["attachments"].as_array().into_iter().flatten();
        let one = all.find(|one| one["name"] == *name);
        let hash = text(
            one.with_context(|| format!("no {name} in {order}"))?,
            "/hash",
        )?
        .to_owned();
        let kept = std::fs::read(folder(plant).join(hash))?;
        ensure!(kept == *bytes, "{name} is another file at the hub");
    }
    Ok(())
}

fn folder(plant: &Plant) -> PathBuf {
    let folder = plant.hub.data().join("attachments");
    folder.join(plant.gateway.to_string())
}

/// Bytes of a content that is not whole at the hub, if there is one.
fn partial(plant: &Plant) -> Result<Option<u64>> {
    let Ok(entries) = std::fs::read_dir(folder(plant)) else {
        return Ok(None);
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "part") {
            // It may have become whole meanwhile.
            return Ok(std::fs::metadata(path).map(|file| file.len()).ok());
        }
    }
    Ok(None)
}

/// Waits until the hub holds at least so much of the longest file, and not yet all of it.
fn held(plant: &Plant, least: u64) -> Result<u64> {
    wait_for(&format!("{least} bytes at the hub"), DEADLINE, || {
        Ok(partial(plant)?.filter(|held| *held >= least))
    })
}

fn jpeg(length: usize) -> Vec<u8> {
    let mut bytes = b"\xFF\xD8\xFF\xE0".to_vec();
    bytes.extend(noise(length));
    bytes
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}
