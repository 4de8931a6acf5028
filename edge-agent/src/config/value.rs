//! How durations, sizes and names are written in a configuration, and which known word is nearest
//! to an unknown one. Pure.

use std::time::Duration;

const DURATION_UNITS: &[(&str, u64)] = &[
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

const BYTE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads `500ms`, `1.5s`, `10m`, `1h`, `2d`; `None` when it is none of these.
pub fn parse_duration(text: &str) -> Option<Duration> {
    scaled(text, DURATION_UNITS).map(Duration::from_nanos)
}

/// Writes a duration the way it is read: in the largest unit that keeps it whole.
pub fn show_duration(duration: Duration) -> String {
    show(
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
        DURATION_UNITS,
        "us",
    )
}

/// Reads `512B`, `64KB`, `200MB`, `2GB` (powers of ten) and `64KiB`, `1GiB` (powers of two), in
/// bytes; `None` when it is none of these.
pub fn parse_bytes(text: &str) -> Option<u64> {
    scaled(text, BYTE_UNITS)
}

/// Writes a size the way it is read.
pub fn show_bytes(bytes: u64) -> String {
    show(bytes, BYTE_UNITS, "B")
}

/// The known word nearest to `word`, if one is near enough to be what was meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const PREFIX_MIN: usize = 3;
    let letters: Vec<char> = word.chars().collect();
    let near_max = (letters.len() / 3).max(1);
    let begins = |long: &str, short: &str| short.len() >= PREFIX_MIN && long.starts_with(short);
    let steps = |candidate: &str| {
        let other: Vec<char> = candidate.chars().collect();
        if begins(word, candidate) || begins(candidate, word) {
            1
        } else if other.len().abs_diff(letters.len()) > near_max {
            usize::MAX // Too far without counting, however long the text is.
        } else {
            edit_distance(&letters, &other, near_max)
        }
    };
    known
        .into_iter()
        .map(|candidate| (steps(candidate), candidate))
        .filter(|(distance, _)| *distance <= near_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean", or the list of what is known (at most `SHOWN_MAX` of it).
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    const SHOWN_MAX: usize = 12;
    if let Some(candidate) = nearest(word, known.clone()) {
        return format!("did you mean \"{candidate}\"?");
    }
    let all: Vec<&str> = known.into_iter().collect();
    let shown: Vec<&str> = all.iter().copied().take(SHOWN_MAX).collect();
    let more = if all.len() > shown.len() { ", …" } else { "" };
    if shown.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there is: {}{more}", shown.join(", "))
    }
}

/// A text as a problem shows it: control characters written out, and not all of a long one.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown = text.chars();
    let start: String = shown.by_ref().take(SHOWN_MAX).collect();
    let dots = if shown.next().is_some() { "…" } else { "" };
    format!("{}{dots}", start.escape_debug())
}

/// Like `shortened`, in quotes.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(text))
}

/// A decimal number with a unit from the table, exact, no rounding and no overflow.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at_checked(end)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || part.len() > 9 || part.contains('.') {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let divisor = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part: u64 = if part.is_empty() {
        0
    } else {
        part.parse().ok()?
    };
    let fraction = u128::from(part) * u128::from(*factor);
    if fraction % u128::from(divisor) != 0 {
        return None;
    }
    let fraction = u64::try_from(fraction / u128::from(divisor)).ok()?;
    whole.checked_mul(*factor)?.checked_add(fraction)
}

fn show(amount: u64, units: &[(&str, u64)], smallest: &str) -> String {
    let best = units
        .iter()
        .filter(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor))
        .max_by_key(|(_, factor)| *factor);
    match best {
        Some((name, factor)) => format!("{}{name}", amount / factor),
        None => format!("{amount}{}", if amount == 0 { smallest } else { "ns" }),
    }
}

/// Levenshtein distance in characters, a swap of neighbours counted as one step; given up, and
/// only known to be more than `near_max`, as soon as that is certain.
fn edit_distance(a: &[char], b: &[char], near_max: usize) -> usize {
    let mut above_that: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut before = None;
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        let mut left = i + 1;
        let pairs = b.iter().zip(above.iter().zip(above.iter().skip(1)));
        for (j, (to, (diagonal, up))) in pairs.enumerate() {
            let mut best = (diagonal + usize::from(from != to))
                .min(left + 1)
                .min(up + 1);
            let neighbour = j.checked_sub(1);
            let swapped = before == Some(to) && neighbour.and_then(|j| b.get(j)) == Some(from);
            if swapped && let Some(cost) = neighbour.and_then(|j| above_that.get(j)) {
                best = best.min(cost + 1);
            }
            row.push(best);
            left = best;
        }
        if row.iter().all(|cost| *cost > near_max) {
            return usize::MAX;
        }
        above_that = std::mem::replace(&mut above, row);
        before = Some(from);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_alike() {
        for (text, ms) in [
            ("500ms", 500),
            ("1s", 1_000),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)));
            assert_eq!(show_duration(Duration::from_millis(ms)), text);
        }
        assert_eq!(parse_duration("1.75ms"), Some(Duration::from_micros(1_750)));
        assert_eq!(parse_duration("1 s"), Some(Duration::from_secs(1)));
        assert_eq!(show_duration(Duration::ZERO), "0us");
        for wrong in [
            "",
            "1",
            "s",
            "1 sec",
            "-1s",
            "1.s",
            ".5s",
            "1..5s",
            "1e3s",
            "99999999999999d",
            "1S",
        ] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_and_written_alike() {
        for (text, bytes) in [
            ("512B", 512),
            ("200MB", 200_000_000),
            ("2GB", 2_000_000_000),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes));
            assert_eq!(show_bytes(bytes), text);
        }
        assert_eq!(parse_bytes("1.5kB"), Some(1_500));
        for wrong in ["2G", "0.3B", "2 gigabytes", "GB", "20000000000GB"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_near_word_is_found_and_a_far_one_is_not() {
        let known = ["max_gap", "max_regs", "timeout"];
        assert_eq!(nearest("maxgap", known), Some("max_gap"));
        assert_eq!(nearest("timeuot", known), Some("timeout"));
        assert_eq!(nearest("max", known), Some("max_gap"));
        assert_eq!(nearest("unit", ["scale", "unit_name"]), Some("unit_name"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(
            suggestion("colour", known),
            "there is: max_gap, max_regs, timeout"
        );
        assert_eq!(nearest(&"x".repeat(1_000_000), known), None);
        assert_eq!(quoted("a\tb"), "\"a\\tb\"");
        assert_eq!(quoted(&"é".repeat(61)).chars().count(), 63);
    }

    #[test]
    fn steps_from_word_to_word() {
        let steps = |a: &str, b: &str, near_max| {
            let letters = |word: &str| word.chars().collect::<Vec<char>>();
            edit_distance(&letters(a), &letters(b), near_max)
        };
        assert_eq!(steps("", "abc", 9), 3);
        assert_eq!(steps("abc", "", 9), 3);
        assert_eq!(steps("°C", "C", 9), 1);
        assert_eq!(steps("timeuot", "timeout", 9), 1);
        assert_eq!(steps("kitten", "sitting", 9), 3);
        assert_eq!(steps("kitten", "sitting", 1), usize::MAX);
    }
}
