//! First figures beside their peers, in one run on one machine: `make bench`, or one by its name.
//! Never says whether a figure is good enough: that is written in `docs/promises.md`.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

mod charts;
mod codec;
mod detectors;
mod flash;
mod fleet;
mod gorilla;
mod hub_charts;
mod ingest;
mod jitter;
mod memory;
mod modbus;
mod nab;
mod pipeline;
mod plant;
mod report;
mod signal;
mod suite;
mod weeks;
mod wire;
mod write;

use anyhow::{Result, bail, ensure};
use report::Report;

type Bench = fn(&mut Report) -> Result<()>;

/// Name and function of every bench, in the order of a whole run.
const BENCHES: &[(&str, Bench)] = &[
    ("codec", codec::run),
    ("flash", flash::run),
    ("pipeline", pipeline::run),
    ("modbus", modbus::run),
    ("memory", memory::run),
    ("memory-10000", memory::run_large),
    ("jitter", jitter::run),
    ("write", write::run),
    ("wire", wire::run),
    ("charts", charts::run),
    ("ingest", ingest::run),
    ("hub-charts", hub_charts::run),
    ("fleet", fleet::run),
    ("detectors", detectors::run),
    ("quiet-weeks", weeks::run),
    ("nab", nab::run),
];

fn main() -> Result<()> {
    let only = std::env::args().nth(1);
    let chosen: Vec<_> = BENCHES
        .iter()
        .filter(|(name, _)| only.as_ref().is_none_or(|only| only == name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!(
            "there is no bench {}: there are {}",
            only.unwrap_or_default(),
            names.join(", ")
        );
    }
    if cfg!(debug_assertions) {
        println!("This is a development build: its speeds say nothing. Use `make bench`.");
    }
    let mut broken = Vec::new();
    for (name, run) in chosen {
        let mut report = Report::new(name);
        run(&mut report)?;
        println!("{report}");
        report.write_json()?;
        if report.is_broken() {
            broken.push(*name);
        }
    }
    ensure!(
        broken.is_empty(),
        "a promise is broken: {}",
        broken.join(", ")
    );
    Ok(())
}
