//! An instrument that is asked: a third-party emulator of a balance with the MT-SICS command set, over a line
//! at real speed, described as the driver's README does it. Only what lay still on it is stored.

use super::{DEADLINE, Plan, Scene, column};
use anyhow::{Context as _, Result, ensure};
use harness::paced_pty::Pace;
use harness::{PacedPty, Receiver, Scratch, in_scratch, wait_for};
use protocol::reading::Raw;
use serde_json::Value;
use std::path::Path;

const PACE: Pace = Pace {
    baud: 9_600,
    bits: 10,
};
/// In grams; the balance shows four decimals and takes 220 g.
const WEIGHTS: [f64; 5] = [0.0, 12.3456, 87.0021, 199.9999, 0.0001];
const TOO_MUCH: f64 = 300.0;
/// A balance says "under range" then.
const TOO_LITTLE: f64 = -5.0;

#[test]
fn a_balance_is_asked_for_its_weight() -> Result<()> {
    in_scratch("instruments-scale", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let line = PacedPty::start(PACE)?;
    let (path, baud) = (line.far().display().to_string(), PACE.baud.to_string());
    let arguments = ["--path", &path, "--baud", &baud];
    let balance = Receiver::start_with_orders(scratch, "scale", &arguments)?;
    let mut plan = Plan::new();
    plan.add(&config(line.near())?);
    let scene = Scene::start(scratch, "box", &plan)?;
    for (at, weight) in WEIGHTS.into_iter().enumerate() {
        balance.order(&weight.to_string())?;
        wait_for(&format!("{weight} g"), DEADLINE, || {
            let shown = weight_of(&scene)?;
            let is_it = shown["value"].as_f64() == Some(weight) && shown["quality"] == "good";
            Ok(is_it.then_some(()))
        })?;
        // In between something is laid down, or too much of it, or what was on it at the start is
        // taken away: none of these is a weight.
        let order = match at % 3 {
            0 => format!("{} moving", weight + 1.0),
            1 => TOO_MUCH.to_string(),
            _ => TOO_LITTLE.to_string(),
        };
        balance.order(&order)?;
        wait_for(&format!("no weight while {order}"), DEADLINE, || {
            let shown = weight_of(&scene)?;
            Ok((shown["quality"] == "bad").then_some(()))
        })?;
    }
    // What is no weight is no error of the line either.
    let status = scene.here.get("/status")?;
    ensure!(status["devices"][0]["state"] == "ok", "{status}");
    let gateway = scene.gateway;
    let stored = column(&scene.stored()?, gateway, "balance/weight")?;
    let mut weights: Vec<f64> = stored.iter().flatten().copied().map(number).collect();
    let (all, readings) = (stored.len(), weights.len());
    weights.dedup();
    ensure!(weights == WEIGHTS, "{weights:?} are not {WEIGHTS:?}");
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!(
            "measured: {all} answers of mt-sics-emulator at {} baud, {readings} weights stored, 0 wrong",
            PACE.baud
        );
    }
    Ok(())
}

fn number(raw: Raw) -> f64 {
    match raw {
        Raw::Float(value) => value,
        Raw::Int(_) => f64::NAN,
    }
}

fn weight_of(scene: &Scene) -> Result<Value> {
    let sensors = scene.here.list("/sensors")?;
    let found = sensors
        .into_iter()
        .find(|sensor| sensor["path"] == "balance/weight");
    found.context("no sensor balance/weight")
}

/// The example of the driver's README, on this line.
fn config(path: &Path) -> Result<String> {
    let readme = include_str!("../../../edge-agent/src/drivers/instrument/README.md");
    let (_, example) = readme
        .split_once("SICS command set")
        .and_then(|(_, rest)| rest.split_once("```toml"))
        .context("no example in the README")?;
    let (example, _) = example.split_once("```").context("the example's end")?;
    let text = example
        .replace("/dev/ttyUSB0", &path.display().to_string())
        .replace("scale-1", "balance")
        .replace("request =", "poll = \"100ms\"\nrequest =");
    Ok(text)
}
