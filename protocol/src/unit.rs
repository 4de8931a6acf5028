//! Units of measured quantities, as UCUM codes (The Unified Code for Units of Measure, case
//! sensitive). Never converts: a reading keeps the unit its sensor was configured with.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A unit: its UCUM code, for example `Cel`, `bar`, `mm/s`, `1` for a plain number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unit(String);

/// What people write, the UCUM code, and what a screen shows.
const KNOWN: &[(&str, &str, &str)] = &[
    ("degC", "Cel", "°C"),
    ("°C", "Cel", "°C"),
    ("C", "Cel", "°C"),
    ("Cel", "Cel", "°C"),
    ("degF", "[degF]", "°F"),
    ("°F", "[degF]", "°F"),
    ("F", "[degF]", "°F"),
    ("[degF]", "[degF]", "°F"),
    ("rpm", "{rpm}", "rpm"),
    ("{rpm}", "{rpm}", "rpm"),
    ("m3/h", "m3/h", "m³/h"),
    ("", "1", ""),
    ("1", "1", ""),
];

impl Unit {
    /// Takes a UCUM code or one of the usual spellings (`degC`, `rpm`); anything else is kept.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let code = KNOWN
            .iter()
            .find(|(name, _, _)| *name == text)
            .map_or(text, |(_, code, _)| code);
        Self(code.to_owned())
    }

    /// The UCUM code.
    pub fn code(&self) -> &str {
        &self.0
    }

    /// The sign for a screen: `°C` for `Cel`, the code itself where there is no other sign.
    pub fn symbol(&self) -> &str {
        KNOWN
            .iter()
            .find(|(_, code, _)| *code == self.0)
            .map_or(&self.0, |(_, _, symbol)| symbol)
    }
}

impl Default for Unit {
    fn default() -> Self {
        Self("1".to_owned())
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_spellings_become_one_code() {
        for text in ["degC", "°C", "C", "Cel"] {
            assert_eq!(Unit::parse(text).code(), "Cel");
            assert_eq!(Unit::parse(text).symbol(), "°C");
        }
        assert_eq!(Unit::parse("mm/s").symbol(), "mm/s");
        assert_eq!(Unit::parse("").symbol(), "");
    }
}
