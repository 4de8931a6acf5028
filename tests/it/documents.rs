//! Configuration documents from the hub to a running box: a good one counts after its trial, a wrong
//! one is told with line and key, one that makes the box unwell and one whose trial was cut off are
//! rolled back, and a person at the box can go back. Judged by what both interfaces say and by the
//! readings that the box holds.

use crate::plant::{DEADLINE, Plant, now, text};
use anyhow::{Context as _, Result, bail, ensure};
use harness::{PeerOptions, Scratch, in_scratch, ports, wait_for};
use protocol::view::rfc3339;
use serde_json::Value;
use std::time::Duration;

/// Time on trial in this test.
const TRIAL: &str = "4s";
/// Longest hole in the readings of a sensor that stays, while the configuration changes.
const HOLE_MAX: Duration = Duration::from_secs(5);
/// A command beside the running hub reaches a connected box in this time.
const REACHED_MAX: Duration = Duration::from_secs(2);

#[test]
fn documents() -> Result<()> {
    in_scratch("documents", |scratch| {
        let lines = format!("accept_configuration = true\nconfiguration_trial = \"{TRIAL}\"\n");
        let options = PeerOptions {
            start_again: true,
            ..PeerOptions::default()
        };
        let mut plant = Plant::start_with(scratch, options, |_, _| Ok(lines))?;
        let file = std::fs::read_to_string(plant.agent.config())?;
        let at = file.find("[[port]]").context("no port in the file")?;
        let own = file.get(at..).unwrap_or_default().to_owned();
        let good = with_another_sensor(&own);
        let (reached, hole) = good_is_confirmed(&plant, scratch, &good)?;
        wrong_is_rejected(&plant, scratch, &good)?;
        unwell_is_rolled_back(&plant, scratch, &good)?;
        cut_off_is_rolled_back(&mut plant, scratch, &good)?;
        a_person_goes_back(&plant)?;
        println!(
            "measured: the box began with a document {} ms after the command; longest hole in the \
             readings of a sensor that stayed: {} ms",
            reached.as_millis(),
            hole.as_millis()
        );
        Ok(())
    })
}

/// The same plant, with one more sensor on the last machine.
fn with_another_sensor(own: &str) -> String {
    let more = "\n[[device.sensor]]\nname = \"again\"\naddress = \"hr:3\"\ntype = \"u32\"\n";
    let rule = own.find("\n[[rule]]").unwrap_or(own.len());
    let (plant, rules) = own.split_at(rule);
    format!("{plant}{more}{rules}")
}

/// Gives the box a document by the hub's command line; answers its number.
fn configure(plant: &Plant, scratch: &Scratch, text: &str) -> Result<u64> {
    scratch.write("document.toml", text)?;
    let file = scratch.file("document.toml").display().to_string();
    let answer = plant
        .hub
        .cli(&["gateway", "configure", "HB", &file, "--json"])?;
    let version = answer.get("document").and_then(Value::as_u64);
    version.with_context(|| format!("no number in {answer}"))
}

/// Waits until the hub shows that a document is in this state; gives what the box said.
fn state_at_the_hub(plant: &Plant, version: u64, state: &str) -> Result<String> {
    wait_for(
        &format!("document {version} to be {state}"),
        DEADLINE,
        || {
            let shown = plant
                .hub
                .cli(&["gateway", "configuration", "HB", "--json"])?;
            let newest = &shown["documents"][0];
            if newest["version"] == version && newest["state"] == state {
                return Ok(Some(text(newest, "/words")?.to_owned()));
            }
            bail!("it is {newest}")
        },
    )
}

/// What the box says of its configuration.
fn on_the_box(plant: &Plant) -> Result<Value> {
    Ok(plant.here.get("/status")?["configuration"].clone())
}

fn sensors(plant: &Plant) -> Result<Vec<String>> {
    let sensors = plant.here.list("/sensors")?;
    sensors
        .iter()
        .map(|s| Ok(text(s, "/path")?.to_owned()))
        .collect()
}

fn good_is_confirmed(plant: &Plant, scratch: &Scratch, good: &str) -> Result<(Duration, Duration)> {
    let began = now()?;
    ensure!(
        on_the_box(plant)?["document"].is_null(),
        "the local file counts at first"
    );
    let version = configure(plant, scratch, good)?;
    let given = std::time::Instant::now();
    wait_for("the document on the box", DEADLINE, || {
        Ok((on_the_box(plant)?["newest"]["version"] == version).then_some(()))
    })?;
    let reached = given.elapsed();
    ensure!(reached <= REACHED_MAX, "the box had it after {reached:?}");
    state_at_the_hub(plant, version, "confirmed")?;
    ensure!(
        on_the_box(plant)?["document"] == version,
        "the document counts"
    );
    let at_hub = || {
        let sensors = plant.there.list("/sensors")?;
        let found = sensors.iter().find(|s| s["path"] == "machine-3/again");
        Ok(found.and_then(|s| s["value"].as_f64()).map(|_| ()))
    };
    wait_for("the new sensor's reading at the hub", DEADLINE, at_hub)?;
    Ok((reached, longest_hole(plant, began)?))
}

/// The longest time between two readings of a sensor that stayed.
fn longest_hole(plant: &Plant, began: protocol::time::Timestamp) -> Result<Duration> {
    let sensors = plant.here.list("/sensors")?;
    let row = sensors.iter().find(|s| s["path"] == "machine-2/row");
    let id = text(row.context("no machine-2/row")?, "/id")?;
    let (from, to) = (rfc3339(began), rfc3339(now()?));
    let series = plant.here.get(&format!(
        "/sensors/{id}/readings?from={from}&to={to}&points=10000"
    ))?;
    let points = series["points"].as_array().context("no points")?;
    let times = points
        .iter()
        .map(|point| point[0].as_i64().context("a point without a time"))
        .collect::<Result<Vec<_>>>()?;
    ensure!(times.len() > 10, "few readings: {}", times.len());
    let steps_ms = times.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = Duration::from_millis(steps_ms.max().unwrap_or(0).unsigned_abs());
    ensure!(longest <= HOLE_MAX, "a hole of {longest:?} in {points:?}");
    Ok(longest)
}

fn wrong_is_rejected(plant: &Plant, scratch: &Scratch, good: &str) -> Result<()> {
    let started = text(&plant.here.get("/status")?, "/started_at")?.to_owned();
    let wrong = good.replacen("type = \"f32\"", "typ = \"f32\"", 1);
    let line = wrong
        .lines()
        .position(|line| line.starts_with("typ ="))
        .context("no line")?
        + 1;
    let version = configure(plant, scratch, &wrong)?;
    let words = state_at_the_hub(plant, version, "rejected")?;
    let place = format!("document {version}:{line}:1: ");
    ensure!(
        words.contains(&place) && words.contains("key \"typ\""),
        "{words}"
    );
    // What reaches the box is not the hub's to say.
    let version = configure(
        plant,
        scratch,
        &format!("{good}\n[hub]\naddress = \"x:1\"\n"),
    )?;
    let words = state_at_the_hub(plant, version, "rejected")?;
    ensure!(words.contains("key \"hub\""), "{words}");
    let status = plant.here.get("/status")?;
    ensure!(
        text(&status, "/started_at")? == started,
        "nothing was started again"
    );
    Ok(())
}

fn unwell_is_rolled_back(plant: &Plant, scratch: &Scratch, good: &str) -> Result<()> {
    let before = sensors(plant)?;
    let nobody = ports::free()?;
    let unwell = format!(
        "{good}\n[[port]]\nname = \"annex\"\nprotocol = \"modbus\"\naddress = \"{nobody}\"\n\
         [[device]]\nname = \"boiler\"\nport = \"annex\"\npoll = \"100ms\"\n\
         [[device.sensor]]\nname = \"level\"\naddress = \"hr:0\"\n"
    );
    let version = configure(plant, scratch, &unwell)?;
    let words = state_at_the_hub(plant, version, "rolled_back")?;
    ensure!(
        words.contains("port \"annex\": no device answered"),
        "{words}"
    );
    wait_for("the sensors of the document before", DEADLINE, || {
        Ok((sensors(plant)? == before).then_some(()))
    })
}

fn cut_off_is_rolled_back(plant: &mut Plant, scratch: &Scratch, good: &str) -> Result<()> {
    let counted = on_the_box(plant)?["document"].clone();
    let another = good.replace("\"again\"", "\"once-more\"");
    let version = configure(plant, scratch, &another)?;
    wait_for("the document on trial", DEADLINE, || {
        let shown = on_the_box(plant)?;
        let trial = shown["document"] == version && shown["newest"]["state"] == "applied";
        Ok(trial.then_some(()))
    })?;
    plant.agent.kill9()?;
    plant.agent.start()?;
    ensure!(
        on_the_box(plant)?["document"] == counted,
        "what counted before counts again"
    );
    let words = state_at_the_hub(plant, version, "rolled_back")?;
    ensure!(words.contains("ended during the trial"), "{words}");
    let shown = sensors(plant)?;
    let has = |path: &str| shown.iter().any(|known| known == path);
    ensure!(
        has("machine-3/again") && !has("machine-3/once-more"),
        "{shown:?}"
    );
    Ok(())
}

fn a_person_goes_back(plant: &Plant) -> Result<()> {
    let checked = plant.agent.cli(&["check"])?;
    ensure!(
        checked["document"].is_u64(),
        "check tells that a document counts: {checked}"
    );
    let differs = plant.agent.cli(&["config", "diff"])?;
    let only = &differs["only_in_document"][0];
    ensure!(only["name"] == "machine-3/again", "{differs}");
    let shown = plant.agent.cli(&["config", "show"])?;
    ensure!(text(&shown, "/text")?.contains("\"again\""), "{shown}");
    let counted = plant.agent.cli(&["config", "rollback"])?["rolled_back"].clone();
    wait_for("the local file to count", DEADLINE, || {
        Ok(on_the_box(plant)?["document"].is_null().then_some(()))
    })?;
    ensure!(!sensors(plant)?.contains(&"machine-3/again".to_owned()));
    wait_for("the hub to hear of it", DEADLINE, || {
        let shown = plant
            .hub
            .cli(&["gateway", "configuration", "HB", "--json"])?;
        let documents = shown["documents"].as_array().context("no documents")?;
        let row = documents.iter().find(|row| row["version"] == counted);
        Ok((row.context("it is gone")?["state"] == "rolled_back").then_some(()))
    })?;
    let again = plant.agent.try_cli(&["config", "rollback"])?;
    ensure!(
        again.code == Some(1) && again.stderr.contains("counts already"),
        "{again:?}"
    );
    Ok(())
}
