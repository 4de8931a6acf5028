//! A recording played back: one column of a CSV file as a signal. Never interpolates: a sample
//! holds until the next one, as it was recorded.

use super::SimulateError;
use jiff::civil::DateTime;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// Most samples that are kept in memory.
const SAMPLES_MAX: usize = 10_000_000;

/// One recorded signal and how fast it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    samples: Vec<f64>,
    /// Seconds from the first sample to each; empty when the speed counts samples.
    times_s: Vec<f64>,
    speed: Speed,
    repeats: bool,
}

/// What is played of a file, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayOptions {
    /// Column with the values, by its name in the first line.
    pub column: String,
    /// How fast.
    pub speed: Speed,
    /// Rows to play, counted from 0 after the header; all when `None`.
    pub rows: Option<Range<usize>>,
    /// Whether it starts again at the end; otherwise the last sample stays.
    pub repeats: bool,
}

/// How fast a recording goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many samples per second, whatever their time stamps say.
    SamplesPerSecond(f64),
    /// The recording's own time, so many times faster.
    Factor(f64),
}

/// `10` is ten samples per second, `300x` three hundred times the recording's own time.
impl FromStr for Speed {
    type Err = SimulateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, make): (&str, fn(f64) -> Self) = match text.strip_suffix('x') {
            Some(number) => (number, Self::Factor),
            None => (text, Self::SamplesPerSecond),
        };
        let number: Option<f64> = number.parse().ok();
        number
            .filter(|number| number.is_finite() && *number > 0.0)
            .map(make)
            .ok_or_else(|| SimulateError::Speed {
                text: text.to_owned(),
            })
    }
}

impl Default for ReplayOptions {
    fn default() -> Self {
        let speed = Speed::SamplesPerSecond(1.0);
        Self {
            column: "value".to_owned(),
            speed,
            rows: None,
            repeats: false,
        }
    }
}

/// Where a recording is at some moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Position {
    pub(super) value: f64,
    /// Counted from 0 at the first row that is played.
    pub(super) sample: u32,
    pub(super) ended: bool,
}

impl Replay {
    /// Reads a CSV file with a header line. The column `timestamp` (`2013-12-02 21:15:00`) is
    /// only needed for a speed that is a factor.
    ///
    /// # Errors
    /// When the file cannot be read, has no such column, no samples, or a line is not understood.
    pub fn load(path: &Path, options: &ReplayOptions) -> Result<Self, SimulateError> {
        let text = std::fs::read_to_string(path).map_err(|source| SimulateError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text, options)
    }

    /// Like `load`, from text; `path` is only named in errors.
    ///
    /// # Errors
    /// See `load`.
    pub fn parse(path: &Path, text: &str, options: &ReplayOptions) -> Result<Self, SimulateError> {
        let mut lines = text.lines().enumerate();
        let header = lines.next().map(|(_, line)| line).unwrap_or_default();
        let names: Vec<&str> = header
            .trim_start_matches('\u{feff}')
            .split(',')
            .map(cell)
            .collect();
        let find = |column: &str| {
            names
                .iter()
                .position(|name| *name == column)
                .ok_or_else(|| SimulateError::Column {
                    path: path.to_owned(),
                    column: column.to_owned(),
                    known: names.join(", "),
                })
        };
        let value_at = find(&options.column)?;
        let time_at = match options.speed {
            Speed::Factor(_) => Some(find("timestamp")?),
            Speed::SamplesPerSecond(_) => None,
        };
        let rows = options.rows.clone().unwrap_or(0..usize::MAX);
        let (mut samples, mut times_s, mut first) = (Vec::new(), Vec::new(), None);
        let played = lines
            .filter(|(_, line)| !line.trim().is_empty())
            .skip(rows.start)
            .take(rows.end.saturating_sub(rows.start));
        for (at, line) in played {
            let place = |column| (path, at + 1, line.split(',').map(cell).nth(column));
            samples.push(read(place(value_at), "a number", |text| {
                text.parse().ok().filter(|value: &f64| value.is_finite())
            })?);
            if let Some(time_at) = time_at {
                let wanted = "a time such as 2013-12-02 21:15:00";
                let time: DateTime = read(place(time_at), wanted, |text| text.parse().ok())?;
                let first = *first.get_or_insert(time);
                times_s.push(time.duration_since(first).as_secs_f64());
            }
            if samples.len() > SAMPLES_MAX {
                return Err(SimulateError::TooLong {
                    path: path.to_owned(),
                    max: SAMPLES_MAX,
                });
            }
        }
        if samples.is_empty() {
            return Err(SimulateError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            samples,
            times_s,
            speed: options.speed,
            repeats: options.repeats,
        })
    }

    /// How many samples are played.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    /// What is served `at` after the start.
    pub(super) fn position(&self, at: Duration) -> Position {
        let last = self.samples.len().saturating_sub(1);
        let (index, ended) = match self.speed {
            Speed::SamplesPerSecond(rate) => self.by_count(at.as_secs_f64() * rate),
            Speed::Factor(factor) => self.by_time(at.as_secs_f64() * factor),
        };
        let index = index.min(last);
        Position {
            value: self.samples.get(index).copied().unwrap_or_default(),
            sample: u32::try_from(index).unwrap_or(u32::MAX),
            ended,
        }
    }

    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of samples, never negative; a float becomes the nearest whole number that fits"
    )]
    fn by_count(&self, played: f64) -> (usize, bool) {
        let played = played as usize;
        if self.repeats {
            (played.checked_rem(self.samples.len()).unwrap_or(0), false)
        } else {
            (played, played >= self.samples.len())
        }
    }

    fn by_time(&self, recorded_s: f64) -> (usize, bool) {
        let length_s = self.times_s.last().copied().unwrap_or_default();
        let ended = recorded_s > length_s && !self.repeats;
        let recorded_s = if self.repeats && length_s > 0.0 {
            recorded_s % length_s
        } else {
            recorded_s
        };
        let after = self.times_s.partition_point(|time| *time <= recorded_s);
        (after.saturating_sub(1), ended)
    }
}

fn cell(text: &str) -> &str {
    text.trim().trim_matches('"')
}

fn read<T>(
    (path, line, text): (&Path, usize, Option<&str>),
    wanted: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, SimulateError> {
    let text = text.unwrap_or_default();
    parse(text).ok_or_else(|| SimulateError::Row {
        path: path.to_owned(),
        line,
        text: text.to_owned(),
        wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "timestamp,value,\"other\"\n2013-12-02 21:15:00,73.5,1\n\
                        2013-12-02 21:20:00,74.5,2\n2013-12-02 21:30:00,-1e1,3\n";

    fn replay(options: &ReplayOptions) -> Replay {
        Replay::parse(Path::new("a.csv"), TEXT, options).unwrap()
    }

    fn values(replay: &Replay, seconds: &[u64]) -> Vec<f64> {
        seconds
            .iter()
            .map(|s| replay.position(Duration::from_secs(*s)).value)
            .collect()
    }

    #[test]
    fn by_samples_per_second_the_last_one_stays_or_it_starts_again() {
        let once = ReplayOptions {
            speed: "0.5".parse().unwrap(),
            ..Default::default()
        };
        assert_eq!(
            values(&replay(&once), &[0, 1, 2, 4, 6, 99]),
            [73.5, 73.5, 74.5, -10.0, -10.0, -10.0]
        );
        let at = |s| replay(&once).position(Duration::from_secs(s));
        assert_eq!((at(5).sample, at(5).ended), (2, false));
        assert_eq!((at(6).sample, at(6).ended), (2, true));
        let again = ReplayOptions {
            repeats: true,
            ..once
        };
        assert_eq!(values(&replay(&again), &[6, 8]), [73.5, 74.5]);
    }

    #[test]
    fn by_a_factor_the_recordings_own_time_counts() {
        let options = ReplayOptions {
            speed: "300x".parse().unwrap(),
            ..Default::default()
        };
        assert_eq!(
            values(&replay(&options), &[0, 1, 2, 3]),
            [73.5, 74.5, 74.5, -10.0]
        );
        assert!(replay(&options).position(Duration::from_secs(4)).ended);
    }

    #[test]
    fn a_range_of_rows_and_another_column() {
        let options = ReplayOptions {
            column: "other".to_owned(),
            rows: Some(1..2),
            ..Default::default()
        };
        assert_eq!(replay(&options).samples(), 1);
        assert_eq!(values(&replay(&options), &[0]), [2.0]);
    }

    #[test]
    fn mistakes_are_told_with_file_and_line() {
        let error = |text: &str, options: &ReplayOptions| {
            Replay::parse(Path::new("a.csv"), text, options)
                .unwrap_err()
                .to_string()
        };
        let plain = ReplayOptions::default();
        assert_eq!(
            error("value\n1\nx\n", &plain),
            "a.csv:3: \"x\" is not a number"
        );
        assert_eq!(
            error("value\n1\nNaN\n", &plain),
            "a.csv:3: \"NaN\" is not a number"
        );
        let other = ReplayOptions {
            column: "speed".to_owned(),
            ..plain.clone()
        };
        assert_eq!(
            error(TEXT, &other),
            "a.csv: there is no column \"speed\"; there is: timestamp, value, other"
        );
        assert!(error("value\n", &plain).contains("no samples"));
        let timed = ReplayOptions {
            speed: Speed::Factor(1.0),
            ..plain
        };
        assert!(error("timestamp,value\nnow,1\n", &timed).contains("a.csv:2"));
        for text in ["", "0", "-1", "x", "NaN", "infx"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
