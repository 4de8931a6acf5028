//! The series of the Numenta Anomaly Benchmark as they lie in `tests/data`. Never a score.

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use harness::places;
use std::fs::File;
use std::io::Read as _;

/// One series of the corpus.
#[derive(Debug)]
pub(crate) struct Series {
    /// Folder and file in the corpus.
    pub(crate) name: String,
    /// Seconds since 1970, of each reading.
    pub(crate) times_s: Vec<i64>,
    /// The value of each reading.
    pub(crate) values: Vec<f64>,
    /// First and last time of each labelled anomaly, in order.
    pub(crate) windows: Vec<(i64, i64)>,
}

/// The whole corpus.
pub(crate) fn load() -> Result<Vec<Series>> {
    let path = places::repository().join("tests/data/nab_v1.1.txt.gz");
    let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    let mut text = String::new();
    GzDecoder::new(file)
        .read_to_string(&mut text)
        .with_context(|| format!("unpacking {}", path.display()))?;
    let mut all = Vec::new();
    for part in text.split("# ").skip(1) {
        all.push(series(part)?);
    }
    ensure!(
        all.len() == 58,
        "the corpus has {} series, not 58",
        all.len()
    );
    Ok(all)
}

fn series(part: &str) -> Result<Series> {
    let mut lines = part.lines();
    let mut head = lines.next().context("a series without a head")?.split(' ');
    let name = head.next().context("a series without a name")?.to_owned();
    let windows = head.map(window).collect::<Result<_>>()?;
    let (mut times_s, mut values) = (Vec::new(), Vec::new());
    let mut time_s = 0;
    for line in lines {
        let (step, value) = line.split_once(',').context("a line without a value")?;
        time_s += step.parse::<i64>().context("a step")?;
        times_s.push(time_s);
        values.push(value.parse().context("a value")?);
    }
    Ok(Series {
        name,
        times_s,
        values,
        windows,
    })
}

/// `first/last`, in seconds since 1970.
fn window(text: &str) -> Result<(i64, i64)> {
    let (first, last) = text.split_once('/').context("a window without an end")?;
    Ok((
        first.parse().context("a window")?,
        last.parse().context("a window")?,
    ))
}
