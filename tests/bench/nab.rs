//! Detection quality on the Numenta Anomaly Benchmark: `make bench ONLY=nab`. `scorer.rs` writes the
//! protocol out, and is itself checked: the windowed Gaussian detector must get its published score to
//! two decimals. Ours runs as `edge-agent analyse --profile watchful` does: in one pass, one setting and one
//! threshold for the whole corpus, and it never knows how long a series is. Weights and times of the
//! detector were chosen on the whole corpus, so "two-fold" is of the threshold only.

mod corpus;
mod gaussian;
mod scorer;

use crate::report::Report;
use anyhow::{Context as _, Result, ensure};
use corpus::Series;
use edge_agent::analysis::{Analysis, Profile};
use protocol::time::Timestamp;
use scorer::{PROFILES, Scored, Tally};

/// Published scores (`results/final_results.json` of v1.1): windowed Gaussian, standard, few false, few
/// missed.
const GAUSSIAN: [f64; 3] = [39.65, 20.87, 47.41];
/// Equal to two decimals.
const SAME: f64 = 0.005;
/// Published standard scores to stand beside ours.
const PEERS: [(&str, f64); 4] = [
    ("ARTime", 74.85),
    ("Numenta HTM", 70.10),
    ("Random Cut Forest", 51.72),
    ("windowed Gaussian", 39.65),
];
const STANDARD_MIN: f64 = 60.0;
/// Thresholds tried where one is chosen.
const TRIED: std::ops::RangeInclusive<u32> = 22..=80;

/// A reading's time and score.
type Course = Vec<(i64, f64)>;

/// First the scorer, then ours.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let series = corpus::load()?;
    let scored: Vec<Scored> = series.iter().map(Scored::new).collect();
    let windows: usize = scored.iter().map(Scored::windows).sum();
    ensure!(windows == 116, "{windows} windows count, not 116");
    let gaussian: Vec<Vec<f64>> = series
        .iter()
        .map(|one| gaussian::scores(&one.values))
        .collect();
    let mut exact = true;
    for ((weights, published), what) in PROFILES.into_iter().zip(GAUSSIAN).zip(NAMES) {
        let ours = scorer::best(&scored, &gaussian, weights);
        exact &= (ours - published).abs() < SAME;
        let what = format!("scorer: windowed Gaussian, {what}");
        report.row(&what, ours, "", ("published", published));
    }
    let profile = Profile::named("watchful").context("no profile watchful")?;
    let courses: Vec<Course> = series.iter().map(|one| course(one, profile)).collect();
    let whole = |threshold| sum(&scored, &courses, (profile, threshold), |_| true);
    let tally = whole(profile.score);
    for (name, published) in PEERS {
        report.row("standard", tally.score(PROFILES[0]), "", (name, published));
    }
    report.row(
        "few false ones",
        tally.score(PROFILES[1]),
        "",
        ("Numenta HTM", 63.12),
    );
    report.row(
        "few missed ones",
        tally.score(PROFILES[2]),
        "",
        ("Numenta HTM", 74.32),
    );
    kinds(report, (&series, &scored, &courses), profile);
    let folds = [
        fold(&scored, &courses, profile, 0),
        fold(&scored, &courses, profile, 1),
    ];
    let mean = folds.iter().sum::<f64>() / 2.0;
    report.row(
        "threshold of one half, score of the other",
        mean,
        "",
        ("the same", tally.score(PROFILES[0])),
    );
    let default = whole(
        Profile::named("default")
            .context("no profile default")?
            .score,
    );
    let words = format!(
        "NAB standard {:.2} (few false {:.2}, few missed {:.2}) with one threshold, {} of {} windows \
         found, {} false; with the threshold of rules {:.2}, {} found, {} false; windowed Gaussian \
         {}as published",
        tally.score(PROFILES[0]),
        tally.score(PROFILES[1]),
        tally.score(PROFILES[2]),
        tally.found,
        tally.windows,
        tally.false_ones,
        default.score(PROFILES[0]),
        default.found,
        default.false_ones,
        if exact { "" } else { "NOT " },
    );
    report.promise(exact && tally.score(PROFILES[0]) >= STANDARD_MIN, words);
    Ok(())
}

const NAMES: [&str; 3] = ["standard", "few false ones", "few missed ones"];

fn course(series: &Series, profile: Profile) -> Course {
    let mut analysis = Analysis::new(profile);
    let readings = series.times_s.iter().zip(&series.values);
    let scores = readings.map(|(time_s, value)| {
        let scored = analysis.step(*value, Timestamp(time_s * 1_000_000));
        (*time_s, scored.verdict.score)
    });
    scores.collect()
}

/// Readings that are told with a threshold: after each the profile's time of quiet.
fn told(course: &Course, profile: Profile, threshold: f64) -> impl Iterator<Item = usize> {
    let quiet_s = i64::try_from(profile.quiet.as_secs()).unwrap_or(i64::MAX);
    let mut last = None;
    course
        .iter()
        .enumerate()
        .filter_map(move |(at, (time_s, score))| {
            let quiet = last.is_some_and(|last| time_s - last < quiet_s);
            let is_told = *score >= threshold && !quiet;
            if is_told {
                last = Some(*time_s);
            }
            is_told.then_some(at)
        })
}

fn sum(
    scored: &[Scored],
    courses: &[Course],
    (profile, threshold): (Profile, f64),
    keep: impl Fn(usize) -> bool,
) -> Tally {
    let all = scored.iter().zip(courses).enumerate();
    let kept = all.filter(|(at, _)| keep(*at));
    kept.map(|(_, (scored, course))| scored.tally(told(course, profile, threshold)))
        .fold(Tally::default(), Tally::plus)
}

/// The standard score of one half at the threshold that is best for the other.
fn fold(scored: &[Scored], courses: &[Course], profile: Profile, half: usize) -> f64 {
    let score = |threshold, half: usize| {
        let tally = sum(scored, courses, (profile, threshold), |at| at % 2 == half);
        tally.score(PROFILES[0])
    };
    let tried = TRIED.map(|step| f64::from(step) / 20.0);
    let best = tried.max_by(|one, other| score(*one, half).total_cmp(&score(*other, half)));
    score(best.unwrap_or(profile.score), 1 - half)
}

/// The standard score of each folder of the corpus that has windows.
fn kinds(
    report: &mut Report,
    (series, scored, courses): (&[Series], &[Scored], &[Course]),
    profile: Profile,
) {
    let folder = |at: usize| {
        let name = series.get(at).map_or("", |one| one.name.as_str());
        name.split('/').next().unwrap_or(name)
    };
    let mut folders: Vec<&str> = (0..series.len()).map(folder).collect();
    folders.dedup();
    let all = sum(scored, courses, (profile, profile.score), |_| true);
    for name in folders {
        let tally = sum(scored, courses, (profile, profile.score), |at| {
            folder(at) == name
        });
        if tally.windows > 0 {
            let what = format!("  {name}");
            report.row(
                &what,
                tally.score(PROFILES[0]),
                "",
                ("whole", all.score(PROFILES[0])),
            );
        }
    }
}
