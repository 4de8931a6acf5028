//! Recorded readings of a CSV file, for `analyse` and `rules test`: one column of times, and values of
//! one sensor or of several. Whatever is wrong is told by file, line, column and remedy. Never guesses
//! what a field means.

use super::progress::Progress;
use anyhow::{Context as _, anyhow, bail};
use protocol::time::Timestamp;
use protocol::view::parse_rfc3339;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Names that a column of times may have.
const TIMES: [&str; 3] = ["timestamp", "time", "date"];
/// Names that the column of values of a file with one sensor a line may have.
const VALUE: &str = "value";
/// And that of the sensor.
const SENSOR: &str = "sensor";

/// What the columns are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `time,value`
    One,
    /// `time,sensor,value`
    Long,
    /// `time,` and a column for each sensor, by its name.
    Wide(Vec<String>),
}

/// A file that is being read.
pub(super) struct Series {
    path: PathBuf,
    reader: csv::Reader<File>,
    bytes: u64,
    progress: Progress,
    /// Columns of the time, the sensor and the value.
    columns: (usize, usize, usize),
    /// What the columns are.
    pub(super) shape: Shape,
}

/// One line: its time, and each sensor's value; a file of one sensor calls it "".
pub(super) struct Line {
    pub(super) time: Timestamp,
    pub(super) values: Vec<(String, Option<f64>)>,
}

impl Series {
    /// Opens a file and reads its head.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("opening {shown}"))?;
        let bytes = file.metadata().map_or(0, |about| about.len());
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(file);
        let head = reader
            .headers()
            .with_context(|| format!("reading {shown}"))?;
        let names: Vec<String> = head.iter().map(str::to_owned).collect();
        let find = |name: &str| names.iter().position(|of| of.eq_ignore_ascii_case(name));
        let Some(time) = TIMES.iter().find_map(|name| find(name)) else {
            bail!(
                "{shown}:1:1: no column is called {}; write the names of the columns into the first \
                 line, for example timestamp,value",
                TIMES.join(", ")
            );
        };
        let (shape, columns) = match (find(SENSOR), find(VALUE)) {
            (Some(sensor), Some(value)) => (Shape::Long, (time, sensor, value)),
            (None, Some(value)) => (Shape::One, (time, 0, value)),
            _ => {
                let others = names.iter().enumerate().filter(|(at, _)| *at != time);
                let others: Vec<String> = others.map(|(_, name)| name.clone()).collect();
                if others.is_empty() {
                    bail!("{shown}:1:1: there is no column of values; add one, for example value");
                }
                (Shape::Wide(others), (time, 0, 0))
            }
        };
        Ok(Self {
            path: path.to_owned(),
            reader,
            bytes,
            progress: Progress::new(),
            columns,
            shape,
        })
    }

    /// The next line; `None` at the end. Empty lines are passed over.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Line>> {
        let mut record = csv::StringRecord::new();
        let read = self.reader.read_record(&mut record);
        let read = read.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            anyhow!(
                "{}:{line}:1: {error}; save the file as CSV in UTF-8",
                self.path.display()
            )
        })?;
        if !read {
            return Ok(None);
        }
        let byte = record.position().map_or(0, csv::Position::byte);
        self.progress.show(&format!(
            "reading {}: {} %",
            self.path.display(),
            byte.saturating_mul(100) / self.bytes.max(1)
        ));
        let time = self.time(&record, self.columns.0)?;
        let (_, sensor, value) = self.columns;
        let values = match &self.shape {
            Shape::One => vec![(String::new(), self.value(&record, value)?)],
            Shape::Long => {
                let name = record.get(sensor).unwrap_or_default().to_owned();
                vec![(name, self.value(&record, value)?)]
            }
            Shape::Wide(names) => {
                let columns = (0..=names.len()).filter(|at| *at != self.columns.0);
                let cells = columns.zip(names);
                cells
                    .map(|(at, name)| Ok((name.clone(), self.value(&record, at)?)))
                    .collect::<anyhow::Result<_>>()?
            }
        };
        Ok(Some(Line { time, values }))
    }

    /// A problem with a field of the line that was read last.
    pub(super) fn wrong(&self, line: u64, column: usize, words: &str) -> anyhow::Error {
        anyhow!("{}:{line}:{}: {words}", self.path.display(), column + 1)
    }

    fn time(&self, record: &csv::StringRecord, column: usize) -> anyhow::Result<Timestamp> {
        let text = record.get(column).unwrap_or_default();
        moment(text).ok_or_else(|| {
            let words = format!(
                "\"{text}\" is not a time; write for example 2026-11-21T14:03:22Z, \
                 2026-11-21 14:03:22 (UTC) or seconds since 1970"
            );
            self.wrong(line_of(record), column, &words)
        })
    }

    /// A value; an empty field is a reading without one.
    fn value(&self, record: &csv::StringRecord, column: usize) -> anyhow::Result<Option<f64>> {
        let text = record.get(column).unwrap_or_default();
        if text.is_empty() || text.eq_ignore_ascii_case("nan") {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => {
                let words = format!(
                    "\"{text}\" is not a number; write for example 71.5, and leave the field empty \
                     where there was no reading"
                );
                Err(self.wrong(line_of(record), column, &words))
            }
        }
    }
}

fn line_of(record: &csv::StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

/// A time as people write it; without a zone it is UTC.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    if let Some(time) = parse_rfc3339(text) {
        return Some(time);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000_000).map(Timestamp);
    }
    let joined = text.replacen(' ', "T", 1);
    parse_rfc3339(&format!("{joined}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("readings.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    type Told = (i64, Vec<(String, Option<f64>)>);

    fn all(text: &str) -> anyhow::Result<Vec<Told>> {
        let (_folder, path) = written(text);
        let mut series = Series::open(&path)?;
        let mut lines = Vec::new();
        while let Some(line) = series.next()? {
            lines.push((line.time.0 / 1_000_000, line.values));
        }
        Ok(lines)
    }

    #[test]
    fn three_shapes_and_three_ways_to_write_a_time() {
        let one = all("timestamp,value\n1970-01-01 00:00:05,1.5\n6,\n").unwrap();
        assert_eq!(one[0], (5, vec![(String::new(), Some(1.5))]));
        assert_eq!(one[1], (6, vec![(String::new(), None)]));
        let long = all("value,sensor,time\n2,d/t,1970-01-01T00:00:07Z\n").unwrap();
        assert_eq!(long[0], (7, vec![("d/t".to_owned(), Some(2.0))]));
        let wide = all("d/t,Time,d/p\n1,8,3\n2,9\n").unwrap();
        let expected = vec![("d/t".to_owned(), Some(1.0)), ("d/p".to_owned(), Some(3.0))];
        assert_eq!(wide[0], (8, expected));
        assert_eq!(wide[1].1[1], ("d/p".to_owned(), None));
    }

    #[test]
    fn a_mistake_is_told_with_file_line_column_and_remedy() {
        for (text, place, remedy) in [
            (
                "timestamp,value\n5,1\n6,abc\n",
                "readings.csv:3:2: \"abc\"",
                "write for example 71.5",
            ),
            (
                "timestamp,value\nyesterday,1\n",
                "readings.csv:2:1: \"yesterday\"",
                "2026-11-21",
            ),
            (
                "a,b\n1,2\n",
                "readings.csv:1:1: no column",
                "timestamp,value",
            ),
            (
                "time\n1\n",
                "readings.csv:1:1: there is no column of values",
                "value",
            ),
        ] {
            let told = format!("{:#}", all(text).unwrap_err());
            assert!(told.contains(place) && told.contains(remedy), "{told}");
        }
        let told = format!("{:#}", Series::open(Path::new("/gone.csv")).err().unwrap());
        assert!(told.contains("/gone.csv"), "{told}");
    }
}
