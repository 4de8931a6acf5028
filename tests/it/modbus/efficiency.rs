//! How much of a serial line's time is used: 200 scattered registers of libmodbus, read as planned,
//! on a line with real character times, and beside it the same with one register per request.

use super::{Plan, Scene};
use anyhow::{Context as _, Result, ensure};
use harness::paced_pty::{Pace, Transmission};
use harness::{Libmodbus, PacedPty, Scratch, in_scratch, wait_for};
use std::time::Duration;

const REGISTERS: u16 = 200;
/// Rounds that are looked at; their median counts.
const ROUNDS: usize = 5;
/// Least share of the wire's limit at 9,600 baud.
const SHARE_MIN: f64 = 0.95;
/// Longest time for all rounds of one way of reading.
const DEADLINE: Duration = Duration::from_secs(90);

#[test]
fn efficiency() -> Result<()> {
    in_scratch("modbus-efficiency", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let mut said = Vec::new();
    for (baud, asserted) in [(9_600, true), (115_200, false)] {
        let planned = measure(scratch, baud, "planned")?;
        let single = measure(scratch, baud, "single")?;
        ensure!(
            planned.requests * 20 < single.requests,
            "planned into {} requests",
            planned.requests
        );
        ensure!(
            !asserted || planned.share() >= SHARE_MIN,
            "at {baud} baud only {:.3} of the wire's limit is reached: {planned:?}",
            planned.share()
        );
        said.push(format!(
            "{baud} baud: {REGISTERS} registers in {} requests {:.0} ms, {:.1} % of the wire's limit; \
             one register per request {:.0} ms ({:.1} %), {:.1} times as long",
            planned.requests,
            planned.took * 1e3,
            planned.share() * 100.0,
            single.took * 1e3,
            single.share() * 100.0,
            single.took / planned.took
        ));
    }
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!("measured: {}", said.join("; "));
    }
    Ok(())
}

/// The median round of one way of reading.
#[derive(Clone, Copy, Debug)]
struct Round {
    requests: usize,
    /// Seconds that the wire needs at least: all characters, and the silence before each frame.
    limit: f64,
    /// Seconds from the first bit of the round to its last, and the silence behind it.
    took: f64,
}

impl Round {
    fn share(self) -> f64 {
        self.limit / self.took
    }
}

fn measure(scratch: &Scratch, baud: u32, way: &str) -> Result<Round> {
    let pace = Pace { baud, bits: 10 };
    let line = PacedPty::start(pace)?;
    let _server = Libmodbus::rtu(scratch, line.far(), (baud, 'N'), 1, 2 * REGISTERS)?;
    let port = format!(
        "kind = \"serial\"\npath = \"{}\"\nbaud = {baud}\nparity = \"N\"",
        line.near().display()
    );
    let limits = if way == "single" {
        "max_regs = 1\nmax_gap = 0"
    } else {
        ""
    };
    let sensors: Vec<_> = (0..REGISTERS)
        .map(|number| {
            (
                format!("r{number}"),
                format!("ir:{}", 2 * number),
                "u16",
                "ABCD",
            )
        })
        .collect();
    // Always due again: what is measured is a round, not the pause between two.
    let device = format!("poll = \"10ms\"\n{limits}");
    let plan = Plan::new()
        .port("line", &port)
        .device(("meter", "line", 1), &device, &sensors);
    let scene = Scene::start(scratch, &format!("box-{way}-{baud}"), &plan)?;
    let frames = wait_for("the rounds", DEADLINE, || {
        let frames = line.frames();
        Ok((rounds(&frames, pace).len() >= ROUNDS).then_some(frames))
    })?;
    let groups = scene.stored()?;
    ensure!(!groups.is_empty(), "nothing was stored");
    let mut rounds = rounds(&frames, pace);
    rounds.sort_by(|one, other| one.took.total_cmp(&other.took));
    rounds.get(rounds.len() / 2).copied().context("no round")
}

/// The whole rounds among these frames: each begins with a request for register 0.
fn rounds(frames: &[Transmission], pace: Pace) -> Vec<Round> {
    let begins = |frame: &Transmission| frame.request && frame.bytes.get(2..4) == Some(&[0, 0]);
    let starts: Vec<usize> = frames
        .iter()
        .enumerate()
        .filter(|(_, frame)| begins(frame))
        .map(|(at, _)| at)
        .collect();
    let round = |pair: &[usize]| {
        let [from, to] = pair else {
            return None;
        };
        let round = frames.get(*from..*to)?;
        let (first, last) = (round.first()?, round.last()?);
        let characters: usize = round.iter().map(|frame| frame.bytes.len()).sum();
        let silence = pace.silence().as_secs_f64();
        let silences = f64::from(u32::try_from(round.len()).ok()?) * silence;
        Some(Round {
            requests: round.iter().filter(|frame| frame.request).count(),
            limit: pace.time(characters).as_secs_f64() + silences,
            took: (last.end - first.start).as_secs_f64() + silence,
        })
    };
    starts.windows(2).filter_map(round).collect()
}
