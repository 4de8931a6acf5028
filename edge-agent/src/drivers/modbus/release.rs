//! Which registers of a device a person has released for writing: `write = ["hr:100-110", "co:5"]`.
//! Pure. Never releases what is not written down.

use super::address::{Address, AddressError, Base};
use super::plan::Item;
use std::fmt;

/// A run of registers or coils that may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    first: Address,
    last: u16,
}

/// Why a range is not understood.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// One of its ends is no address.
    #[error("\"{text}\": {source}; write for example hr:100-110 or co:5")]
    Address {
        /// As written.
        text: String,
        /// What is wrong.
        source: AddressError,
    },
    /// Nothing can be written there.
    #[error("\"{text}\" can only be read; holding registers and coils can be written")]
    ReadOnly {
        /// As written.
        text: String,
    },
    /// The end is before the beginning, or in another table.
    #[error("\"{text}\" does not go upwards within one table; write for example hr:100-110")]
    Order {
        /// As written.
        text: String,
    },
}

impl Release {
    /// From `hr:100-110`, `40101-40111` or one address.
    pub fn parse(text: &str, base: Base) -> Result<Self, ReleaseError> {
        let address = |part: &str| {
            Address::parse_from(part, None, base).map_err(|source| ReleaseError::Address {
                text: text.to_owned(),
                source,
            })
        };
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let first = address(low)?;
        // Of `hr:100-110` the end counts as the beginning does.
        let last = match low.split_once(':') {
            Some((table, _)) if !high.contains(':') => {
                address(&format!("{table}:{}", high.trim()))?
            }
            _ => address(high)?,
        };
        if !first.table.is_writable() {
            return Err(ReleaseError::ReadOnly {
                text: text.to_owned(),
            });
        }
        if first.table != last.table || last.offset < first.offset {
            return Err(ReleaseError::Order {
                text: text.to_owned(),
            });
        }
        Ok(Self {
            first,
            last: last.offset,
        })
    }

    /// Whether all of a value is in it.
    pub fn covers(self, item: Item) -> bool {
        let start = u32::from(item.address.offset);
        let end = start + u32::from(item.count.max(1)) - 1;
        item.address.table == self.first.table
            && start >= u32::from(self.first.offset)
            && end <= u32::from(self.last)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, start) = (self.first.table.prefix(), self.first.offset);
        if self.last == start {
            write!(f, "{table}:{start}")
        } else {
            write!(f, "{table}:{start}-{}", self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::Table;
    use super::*;

    fn release(text: &str) -> Result<String, String> {
        let read = Release::parse(text, Base::Zero);
        read.map(|release| release.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn ranges_as_people_write_them() {
        assert_eq!(release("hr:100-110").unwrap(), "hr:100-110");
        assert_eq!(release("hr:100 - 110").unwrap(), "hr:100-110");
        assert_eq!(release("40101-40111").unwrap(), "hr:100-110");
        assert_eq!(release("co:5").unwrap(), "co:5");
        assert!(release("ir:5").unwrap_err().contains("only be read"));
        assert!(release("hr:9-5").unwrap_err().contains("upwards"));
        assert!(
            release("hr:9-co:12")
                .unwrap_err()
                .contains("within one table")
        );
        assert!(release("hr:x").unwrap_err().contains("hr:100-110"));
    }

    #[test]
    fn a_value_must_be_released_whole() {
        let release = Release::parse("hr:100-110", Base::Zero).unwrap();
        let item = |table, offset, count| Item {
            address: Address { table, offset },
            count,
        };
        assert!(release.covers(item(Table::Holding, 100, 1)));
        assert!(release.covers(item(Table::Holding, 109, 2)));
        assert!(!release.covers(item(Table::Holding, 110, 2)));
        assert!(!release.covers(item(Table::Holding, 99, 2)));
        assert!(!release.covers(item(Table::Coil, 100, 1)));
        assert!(!release.covers(item(Table::Holding, 65_535, 1)));
    }
}
