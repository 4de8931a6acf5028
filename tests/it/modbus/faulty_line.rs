//! libmodbus behind a serial line that echoes, adds noise, loses and damages bytes: what is stored is
//! right, and most polls still bring it.

use super::forms::{FIXED, number};
use super::{Plan, Scene, column};
use anyhow::{Result, ensure};
use harness::paced_pty::{Faults, Pace};
use harness::{Libmodbus, PacedPty, Scratch, in_scratch, wait_for};
use std::time::Duration;

/// Answers on the line that are waited for.
const ANSWERS: usize = 1_000;
const FAULTS: Faults = Faults {
    echo: true,
    noise_every: 7,
    lost_every: 11,
    damaged_every: 13,
};
/// Least share of the polls that must have brought a value.
const GOOD_MIN: f64 = 0.8;
const DEADLINE: Duration = Duration::from_secs(200);

#[test]
fn faulty_line() -> Result<()> {
    in_scratch("modbus-faulty-line", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let pace = Pace {
        baud: 115_200,
        bits: 10,
    };
    let line = PacedPty::start(pace)?;
    line.set_faults(FAULTS);
    let _server = Libmodbus::rtu(scratch, line.far(), (pace.baud, 'N'), 9, 200)?;
    let port = format!(
        "kind = \"serial\"\npath = \"{}\"\nbaud = {}\nparity = \"N\"\ntimeout = \"60ms\"\nretries = 2",
        line.near().display(),
        pace.baud
    );
    let sensors = FIXED.map(|(name, address, kind, order, _)| (name, address, kind, order));
    let plan = Plan::new().port("line", &port);
    let plan = plan.device(("meter", "line", 9), "poll = \"10ms\"", &sensors);
    let scene = Scene::start(scratch, "box", &plan)?;
    wait_for("the answers", DEADLINE, || {
        let answers = line.frames().iter().filter(|frame| !frame.request).count();
        Ok((answers >= ANSWERS).then_some(()))
    })?;
    let gateway = scene.gateway;
    let groups = scene.stored()?;
    let (mut polls, mut good) = (0, 0);
    for (sensor, _, _, _, right) in FIXED {
        let stored = column(&groups, gateway, &format!("meter/{sensor}"))?;
        polls += stored.len();
        for raw in stored.into_iter().flatten() {
            ensure!(
                number(raw).to_bits() == right.to_bits(),
                "{sensor} is {raw:?}, not {right}"
            );
            good += 1;
        }
    }
    let share = f64::from(u32::try_from(good)?) / f64::from(u32::try_from(polls)?);
    let words = format!(
        "echo, noise before each 7th answer, a byte lost of each 11th and a bit turned in each 13th: \
         {good} of {polls} values ({:.0} %), 0 wrong",
        share * 100.0
    );
    ensure!(share >= GOOD_MIN, "{words}");
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!("measured: {words}");
    }
    Ok(())
}
