//! Small pieces of text for the live screen: figures, ages, trends, shortened paths. Pure.

use crate::cli::words::text;
use protocol::time::Timestamp;
use protocol::view::parse_rfc3339;
use serde_json::Value;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const PLAIN: [char; 8] = ['_', '_', '.', '.', '-', '-', '\'', '\''];

/// A number in at most ten characters, with as many digits as a person looks at.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e7).contains(&size) {
        return format!("{value:.3e}");
    }
    if value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    let decimals = match size {
        size if size >= 10_000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// `5s`, `3m`, `2h14m`, `3d4h`.
pub(super) fn ago(micros: i64) -> String {
    let seconds = micros.max(0) / 1_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match () {
        () if seconds < 60 => format!("{seconds}s"),
        () if minutes < 60 => format!("{minutes}m"),
        () if hours < 24 => format!("{hours}h{:02}m", minutes % 60),
        () => format!("{days}d{}h", hours % 24),
    }
}

/// How long ago a time of an answer was.
pub(super) fn since(answer: &Value, pointer: &str, now: Timestamp) -> String {
    parse_rfc3339(&text(answer, pointer))
        .map_or_else(|| "-".to_owned(), |time| ago(now.micros_since(time)))
}

/// A line of small columns from the lowest to the highest value; flat when nothing moved.
pub(super) fn spark(values: impl Iterator<Item = f64> + Clone, blocks: bool) -> String {
    let finite = values.filter(|value| value.is_finite());
    let low = finite.clone().fold(f64::INFINITY, f64::min);
    let high = finite.clone().fold(f64::NEG_INFINITY, f64::max);
    let marks = if blocks { BLOCKS } else { PLAIN };
    let mark = |value: f64| {
        let span = high - low;
        let share = if span > 0.0 {
            (value - low) / span
        } else {
            0.0
        };
        // The first that reaches it.
        let steps = (0_u8..8).find(|step| share <= (f64::from(*step) + 1.0) / 8.0);
        marks
            .get(usize::from(steps.unwrap_or(7)))
            .copied()
            .unwrap_or(' ')
    };
    finite.map(mark).collect()
}

/// A path that fits: its end says which sensor it is.
pub(super) fn short_path(path: &str, width: usize) -> String {
    let count = path.chars().count();
    if count <= width {
        return path.to_owned();
    }
    let kept = path.chars().skip(count - width.saturating_sub(1));
    std::iter::once('~').chain(kept).collect()
}

/// Lines that a text takes when it is broken between words.
pub(super) fn lines_needed(words: &str, width: usize) -> usize {
    let (mut lines, mut used) = (1, 0);
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            (lines, used) = (lines + 1, 0);
        }
        used += length + usize::from(used > 0);
        // A word longer than a line.
        lines += used.saturating_sub(1) / width.max(1);
        used -= used.saturating_sub(1) / width.max(1) * width;
    }
    lines
}

/// Blanks before a text.
pub(super) fn padded_start(text: &str, width: usize) -> String {
    format!("{text:>width$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_keep_what_matters() {
        for (value, shown) in [
            (0.0, "0"),
            (1.0, "1"),
            (60.0, "60"),
            (0.0123, "0.0123"),
            (-3.456, "-3.46"),
            (81.25, "81.25"),
            (1234.56, "1234.6"),
            (123_456.0, "123456"),
            (4.6e-41, "4.600e-41"),
            (-1.2e300, "-1.200e300"),
        ] {
            assert_eq!(figure(value), shown);
            assert!(figure(value).len() <= 10);
        }
    }

    #[test]
    fn ages_are_as_long_as_a_person_needs() {
        let shown = [0, 59, 60, 3_599, 8_040, 90_000].map(|seconds| ago(seconds * 1_000_000));
        assert_eq!(shown, ["0s", "59s", "1m", "59m", "2h14m", "1d1h"]);
        assert_eq!(ago(-5), "0s");
    }

    #[test]
    fn trends_go_from_the_lowest_to_the_highest() {
        let rising = (0..8).map(f64::from);
        assert_eq!(spark(rising.clone(), true), "▁▂▃▄▅▆▇█");
        assert_eq!(spark(rising, false).len(), 8);
        assert_eq!(spark([5.0, 5.0, f64::NAN].into_iter(), true), "▁▁");
        assert_eq!(spark(std::iter::empty(), true), "");
    }

    #[test]
    fn a_text_takes_as_many_lines_as_its_words() {
        for (words, width, lines) in [
            ("", 10, 1),
            ("one two", 10, 1),
            ("one two three", 8, 2),
            ("one two three", 3, 4),
            ("0123456789abc", 5, 3),
        ] {
            assert_eq!(lines_needed(words, width), lines, "{words} in {width}");
        }
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        assert_eq!(short_path("pump-7/bearing_temp", 12), "~earing_temp");
        assert_eq!(short_path("pump-7/x", 12), "pump-7/x");
    }
}
