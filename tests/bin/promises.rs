//! Measures what `docs/promises.md` promises: runs each row's command and prints what it measured.
//! Never decides by itself: a command's exit code says kept or broken, and a command that measures
//! nothing counts as broken.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use anyhow::{Context as _, Result, ensure};
use harness::places;
use harness::promises::{Promise, parse};
use serde_json::{Value, json};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Lines of a broken command's output that are shown.
const SHOWN_LINES: usize = 30;

fn main() -> Result<ExitCode> {
    let only = std::env::args().nth(1);
    let file = places::repository().join("docs/promises.md");
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let chosen: Vec<Promise> = parse(&text)?
        .into_iter()
        .filter(|promise| only.as_ref().is_none_or(|area| promise.area == *area))
        .collect();
    ensure!(
        !chosen.is_empty(),
        "no promise of the area {}",
        only.unwrap_or_default()
    );
    let mut results = Vec::new();
    for promise in chosen {
        println!("{} {}", promise.id, promise.promise);
        let outcome = measure(&promise)?;
        let word = if outcome.kept { "kept" } else { "BROKEN" };
        println!(
            "  {word} in {:.1} s: {}\n",
            outcome.time.as_secs_f64(),
            outcome.measured.join("; ")
        );
        if !outcome.kept {
            println!("  {}\n{}\n", promise.command, outcome.end_of_output);
        }
        results.push((promise, outcome));
    }
    write_json(&results)?;
    let broken = results.iter().filter(|(_, outcome)| !outcome.kept).count();
    println!(
        "{} promises: {} kept, {broken} broken",
        results.len(),
        results.len() - broken
    );
    Ok(if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

struct Outcome {
    kept: bool,
    measured: Vec<String>,
    time: Duration,
    end_of_output: String,
}

fn measure(promise: &Promise) -> Result<Outcome> {
    let started = Instant::now();
    let output = Command::new("sh")
        .args(["-c", &promise.command])
        .current_dir(places::repository())
        .output()
        .with_context(|| format!("running the command of {}", promise.id))?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    let measured: Vec<String> = text
        .lines()
        // Where several tests run, the dots of those that passed stand before it.
        .filter_map(|line| {
            line.trim()
                .trim_start_matches('.')
                .strip_prefix("measured:")
        })
        .map(|words| words.trim().to_owned())
        .collect();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines
        .get(lines.len().saturating_sub(SHOWN_LINES)..)
        .unwrap_or_default();
    Ok(Outcome {
        kept: output.status.success() && !measured.is_empty(),
        measured: if measured.is_empty() {
            vec!["nothing was measured".into()]
        } else {
            measured
        },
        time: started.elapsed(),
        end_of_output: end.join("\n"),
    })
}

fn write_json(results: &[(Promise, Outcome)]) -> Result<()> {
    let rows: Vec<Value> = results
        .iter()
        .map(|(promise, outcome)| {
            json!({
                "id": promise.id,
                "area": promise.area,
                "promise": promise.promise,
                "command": promise.command,
                "kept": outcome.kept,
                "measured": outcome.measured,
                "seconds": outcome.time.as_secs_f64(),
            })
        })
        .collect();
    let folder = places::repository().join("build");
    std::fs::create_dir_all(&folder).context("making the build folder")?;
    let text = serde_json::to_string_pretty(&json!({ "promises": rows }))?;
    std::fs::write(folder.join("promises.json"), text).context("writing build/promises.json")
}
