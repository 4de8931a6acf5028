//! Lists as people type them: `1-32,100`, `9600,19200`, `N,E`. Pure.

use std::str::FromStr;

/// Numbers and ranges of numbers, each once, in the order written.
pub(super) fn units(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || "write unit numbers from 1 to 255, for example 1-32 or 1,2,17".to_owned();
    let mut units = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.trim().parse::<u8>(), to.trim().parse::<u8>());
        let (Ok(from @ 1..), Ok(to)) = (from, to) else {
            return Err(wrong());
        };
        if to < from {
            return Err(wrong());
        }
        units.extend(
            (from..=to)
                .filter(|unit| !units.contains(unit))
                .collect::<Vec<_>>(),
        );
    }
    Ok(units)
}

/// Values with commas between them, each good by `good`; `wanted` says what can be written.
pub(super) fn values<T: FromStr + PartialEq>(
    text: &str,
    good: impl Fn(&T) -> bool,
    wanted: &str,
) -> Result<Vec<T>, String> {
    let mut values = Vec::new();
    for part in text.split(',') {
        let value = part.trim().parse().ok().filter(&good);
        let value = value.ok_or_else(|| format!("\"{part}\" cannot be; {wanted}"))?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_numbers_and_ranges() {
        assert_eq!(units("1-3,17, 2").unwrap(), [1, 2, 3, 17]);
        assert_eq!(units("255").unwrap(), [255]);
        assert_eq!(units("1-255").unwrap().len(), 255);
        for text in ["", "0", "5-3", "256", "a", "1-", "1,,2"] {
            assert!(units(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_told_what_they_can_be() {
        let baud = |text| values(text, |baud: &u32| *baud >= 300, "write 300 or more");
        assert_eq!(baud("9600,19200,9600").unwrap(), [9_600, 19_200]);
        assert_eq!(
            baud("9600,50").unwrap_err(),
            "\"50\" cannot be; write 300 or more"
        );
    }
}
