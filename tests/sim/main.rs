//! Whole-system simulation: boxes and a hub with protocol's sessions and folds, a virtual clock, a
//! faulty network, faulty stores, people on both sides. One seed decides everything; the same seed
//! gives the same run. Never sleeps, never touches disk or network.
//!
//! `SIM_SEED=… make sim` replays one seed with the end of its trace (`SIM_LINES` lines of it);
//! `SIM_SEEDS`, `SIM_SECONDS` and `SIM_FIRST` say how many are tried, for how long, from which on.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of it is test code: what it does not expect must fail the run"
)]

mod box_store;
mod bugs;
mod hub_store;
mod ledger;
mod links;
mod log;
mod network;
mod older;
mod plan;
mod random;
mod records;
mod sessions;
mod trace;
mod work;
mod world;

use bugs::Bug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use world::{Ended, World};

/// Seeds that once failed: run first.
const REGRESSIONS: &str = include_str!("seeds.txt");
/// Seeds in which a planted bug must be caught.
const PLANTED_SEEDS_MAX: u64 = 1_000;

fn run(seed: u64, bug: Option<Bug>) -> Ended {
    World::new(seed, bug, trace::TAIL_LINES).run()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.trim().parse().ok()
}

/// Fails with the seed, how to replay it, and what happened last.
fn check(seed: u64, ended: &Ended) {
    if let Some(words) = &ended.failure {
        panic!(
            "{}\nseed {seed} failed: {words}\nreplay: SIM_SEED={seed} make sim\n",
            ended.tail
        );
    }
}

/// Figures of many runs.
#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    polls: usize,
    events: usize,
    faults: u64,
    connects: u64,
    frames: u64,
    settled_us_max: i64,
    latencies: Vec<i64>,
    failed: Option<(u64, Ended)>,
}

impl Sum {
    fn add(&mut self, ended: &Ended) {
        self.seeds += 1;
        self.polls += ended.polls;
        self.events += ended.events;
        self.faults += ended.counts.faults;
        self.connects += ended.counts.connects;
        self.frames += ended.counts.frames;
        self.settled_us_max = self.settled_us_max.max(ended.counts.settled_us);
        self.latencies.extend(&ended.latencies);
    }
}

fn regressions() -> impl Iterator<Item = u64> {
    REGRESSIONS
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
}

#[test]
fn simulation() {
    if let Some(seed) = number("SIM_SEED") {
        let lines =
            number("SIM_LINES").map_or(trace::TAIL_LINES, |lines| lines.try_into().unwrap());
        let ended = World::new(seed, None, lines).run();
        println!("{}", ended.tail);
        check(seed, &ended);
        return;
    }
    for seed in regressions() {
        check(seed, &run(seed, None));
    }
    let first = number("SIM_FIRST").unwrap_or(1);
    let most = number("SIM_SEEDS").unwrap_or(10_000);
    let time = Duration::from_secs(number("SIM_SECONDS").unwrap_or(75));
    let started = Instant::now();
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + most || started.elapsed() > time {
                        return;
                    }
                    let ended = run(seed, None);
                    let mut sum = sum.lock().unwrap();
                    if ended.failure.is_none() {
                        sum.add(&ended);
                    } else if sum.failed.is_none() {
                        sum.failed = Some((seed, ended));
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    report(&sum, started.elapsed(), most);
    if let Some((seed, ended)) = &sum.failed {
        check(*seed, ended);
    }
}

fn report(sum: &Sum, took: Duration, most: u64) {
    let mut latencies = sum.latencies.clone();
    latencies.sort_unstable();
    let at = |share: usize| latencies.get(latencies.len().saturating_sub(1) * share / 1_000);
    let ms = |share: usize| at(share).copied().unwrap_or(0) / 1_000;
    let per = |total: u64| total / sum.seeds.max(1);
    println!(
        "measured: {} of {most} seeds of a simulated day in {:.1} s; on average {} polls, {} events, \
         {} faults, {} connections, {} frames; event to hub p50 {} ms, p99 {} ms, longest {} ms; \
         at rest at most {} s after the faults",
        sum.seeds,
        took.as_secs_f64(),
        per(sum.polls.try_into().unwrap()),
        per(sum.events.try_into().unwrap()),
        per(sum.faults),
        per(sum.connects),
        per(sum.frames),
        ms(500),
        ms(990),
        ms(1_000),
        sum.settled_us_max / 1_000_000,
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 1..=20 {
        let (one, other) = (run(seed, None), run(seed, None));
        assert_eq!(
            (one.hash, one.lines),
            (other.hash, other.lines),
            "seed {seed}"
        );
    }
    assert_ne!(run(1, None).hash, run(2, None).hash);
    println!("measured: 20 seeds, each run twice, each time the same to the last event");
}

#[test]
fn planted_bugs_are_caught() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let caught =
            (1..=PLANTED_SEEDS_MAX).find_map(|seed| Some((seed, run(seed, Some(bug)).failure?)));
        match caught {
            Some((seed, words)) => {
                let words = words.lines().next().unwrap_or_default();
                println!("measured: {bug:?} caught by seed {seed}: {words}");
            }
            None => missed.push(bug),
        }
    }
    assert!(
        missed.is_empty(),
        "not caught in {PLANTED_SEEDS_MAX} seeds: {missed:?}"
    );
}
