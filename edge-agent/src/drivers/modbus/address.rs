//! Where a value stands in a Modbus device, as people write it (`40001`, `hr:0`, `0x01F4`). Never
//! reads a device, never guesses: what can be read in two ways is refused with the two ways to
//! write it.

use super::data_type::{DataType, Order};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// A point: address, type and byte order, as the command line takes them in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointSpec {
    /// Where.
    pub address: Address,
    /// What.
    pub kind: DataType,
    /// In which order the bytes come.
    pub order: Order,
}

impl PointSpec {
    /// From `ADDRESS[:TYPE[:ORDER]]`, for example `40001:f32:CDAB`, `hr:0`, `40010:bit:3`.
    /// Without a type: `bool` for coils and discrete inputs, `u16` for registers; without an
    /// order: `ABCD`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let mut parts = text.trim().split(':').peekable();
        let head = parts.next().unwrap_or_default();
        let address = match (Table::from_prefix(head), parts.peek()) {
            (Some(_), Some(offset)) => {
                let address = Address::parse(&format!("{head}:{offset}"), None)?;
                parts.next();
                address
            }
            _ => Address::parse(head, None)?,
        };
        let kind = match (parts.next(), parts.peek()) {
            (None, _) => DataType::default_for(address.table),
            (Some(word), Some(number)) if takes_number(word) => {
                let kind = format!("{word}:{number}").parse()?;
                parts.next();
                kind
            }
            (Some(kind), _) => kind.parse()?,
        };
        let order = parts.next().map_or(Ok(Order::Abcd), str::parse)?;
        if let Some(rest) = parts.next() {
            return Err(AddressError::Rest {
                rest: rest.to_owned(),
            });
        }
        kind.check(address)?;
        Ok(Self {
            address,
            kind,
            order,
        })
    }
}

/// Whether a number follows the word of a type: `bit:3`, `str:16`.
fn takes_number(word: &str) -> bool {
    ["bit", "str", "string", "strl", "strh"]
        .into_iter()
        .any(|known| known.eq_ignore_ascii_case(word))
}

/// Where the first register of a table stands in numbers that do not say it themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Base {
    /// They count from 0, as requests do.
    #[default]
    Zero,
    /// They count from 1.
    One,
}

/// One of the four tables of a Modbus device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Bits that may be written: function 1.
    Coil,
    /// Bits that are only read: function 2.
    DiscreteInput,
    /// Registers that are only read: function 4.
    Input,
    /// Registers that may be written: function 3.
    Holding,
}

impl Table {
    /// Whether its cells are single bits.
    pub const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::DiscreteInput)
    }

    /// Whether its cells can be written.
    pub const fn is_writable(self) -> bool {
        matches!(self, Self::Coil | Self::Holding)
    }

    /// The two letters of the zero-based form.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Coil => "co",
            Self::DiscreteInput => "di",
            Self::Input => "ir",
            Self::Holding => "hr",
        }
    }

    /// The leading digit of the five- and six-digit form.
    const fn digit(self) -> char {
        match self {
            Self::Coil => '0',
            Self::DiscreteInput => '1',
            Self::Input => '3',
            Self::Holding => '4',
        }
    }

    const ALL: [Self; 4] = [Self::Coil, Self::DiscreteInput, Self::Input, Self::Holding];

    fn from_prefix(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|table| table.prefix().eq_ignore_ascii_case(text))
    }

    fn from_digit(digit: char) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.digit() == digit)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Coil => "coil",
            Self::DiscreteInput => "discrete input",
            Self::Input => "input register",
            Self::Holding => "holding register",
        })
    }
}

impl FromStr for Table {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "coil" => Ok(Self::Coil),
            "discrete" => Ok(Self::DiscreteInput),
            "input" => Ok(Self::Input),
            "holding" => Ok(Self::Holding),
            _ => Err(AddressError::Table {
                text: text.to_owned(),
            }),
        }
    }
}

/// A place in a device: table and offset as it stands in the request, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The table.
    pub table: Table,
    /// Counted from 0.
    pub offset: u16,
}

impl Address {
    /// Reads one of the forms that the driver's README lists. `table` is the table that the
    /// configuration names beside it: it gives bare numbers a meaning (offset from 0), and must
    /// agree with a form that names a table itself.
    pub fn parse(text: &str, table: Option<Table>) -> Result<Self, AddressError> {
        Self::parse_from(text, table, Base::Zero)
    }

    /// Like `parse`, with bare numbers that count from `base`. All other forms say themselves from
    /// where they count.
    pub fn parse_from(text: &str, table: Option<Table>, base: Base) -> Result<Self, AddressError> {
        let text = text.trim();
        let found = if let Some((head, tail)) = text.split_once(':') {
            let named = Table::from_prefix(head).ok_or_else(|| AddressError::Form {
                text: text.to_owned(),
            })?;
            Self {
                table: named,
                offset: zero_based(text, tail)?,
            }
        } else if text.starts_with("0x") || text.starts_with("0X") {
            let table = table.unwrap_or(Table::Holding);
            return Ok(Self {
                table,
                offset: zero_based(text, text)?,
            });
        } else if let Some((head, tail)) = text.split_once(['x', 'X']) {
            let mut digits = head.chars();
            let named = digits
                .next()
                .and_then(Table::from_digit)
                .filter(|_| digits.next().is_none())
                .ok_or_else(|| AddressError::Form {
                    text: text.to_owned(),
                })?;
            Self {
                table: named,
                offset: one_based(text, tail)?,
            }
        } else {
            Self::from_digits(text, table, base)?
        };
        match table {
            Some(table) if table != found.table => Err(AddressError::TableDiffers {
                text: text.to_owned(),
                named: found.table,
                table,
            }),
            _ => Ok(found),
        }
    }

    fn from_digits(text: &str, table: Option<Table>, base: Base) -> Result<Self, AddressError> {
        let form = || AddressError::Form {
            text: text.to_owned(),
        };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(form());
        }
        if text.len() < 5 {
            let table = table.ok_or_else(|| AddressError::Bare {
                text: text.to_owned(),
            })?;
            let offset = match base {
                Base::Zero => zero_based(text, text)?,
                Base::One => one_based(text, text)?,
            };
            return Ok(Self { table, offset });
        }
        if text.len() > 6 {
            return Err(form());
        }
        let mut digits = text.chars();
        let named = digits.next().and_then(Table::from_digit).ok_or_else(form)?;
        Ok(Self {
            table: named,
            offset: one_based(text, digits.as_str())?,
        })
    }
}

/// The five- or six-digit form with the zero-based one, as both stand in manuals.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u32::from(self.offset) + 1;
        let digit = self.table.digit();
        if number > 9_999 {
            write!(
                f,
                "{digit}{number:05} ({}:{})",
                self.table.prefix(),
                self.offset
            )
        } else {
            write!(
                f,
                "{digit}{number:04} ({}:{})",
                self.table.prefix(),
                self.offset
            )
        }
    }
}

fn zero_based(text: &str, number: &str) -> Result<u16, AddressError> {
    let parsed = match number
        .strip_prefix("0x")
        .or_else(|| number.strip_prefix("0X"))
    {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u16::from_str_radix(hex, 16).ok()
        }
        None if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| AddressError::Offset {
        text: text.to_owned(),
        low: 0,
        high: 65_535,
    })
}

fn one_based(text: &str, number: &str) -> Result<u16, AddressError> {
    let error = || AddressError::Offset {
        text: text.to_owned(),
        low: 1,
        high: 65_536,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error());
    }
    let number: u32 = number.parse().map_err(|_| error())?;
    number
        .checked_sub(1)
        .and_then(|offset| u16::try_from(offset).ok())
        .ok_or_else(error)
}

/// Why an address, type or order cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No form that is known.
    #[error(
        "\"{text}\" is not a Modbus address; write 40001, 400001, 4x1, hr:0 or 0x0000 (holding), \
         30001, 3x1 or ir:0 (input), 10001 or di:0 (discrete input), 00001 or co:0 (coil)"
    )]
    Form {
        /// As written.
        text: String,
    },
    /// A small number alone: which table, and counted from 0 or 1?
    #[error(
        "\"{text}\" alone does not say which table it is in, nor whether it counts from 0 or 1; \
         write hr:{text} for the holding register at offset {text}, or add table = \"holding\", \
         \"input\", \"coil\" or \"discrete\" (it then counts from 0, or from the device's address_base)"
    )]
    Bare {
        /// As written.
        text: String,
    },
    /// The number does not fit.
    #[error("the number in \"{text}\" must be from {low} to {high}")]
    Offset {
        /// As written.
        text: String,
        /// Lowest.
        low: u32,
        /// Highest.
        high: u32,
    },
    /// `table` says one thing and the address another.
    #[error(
        "\"{text}\" is a {named}, but table says {table}; leave table out, or write {}:OFFSET \
         with the offset counted from 0", table.prefix()
    )]
    TableDiffers {
        /// As written.
        text: String,
        /// What the address says.
        named: Table,
        /// What `table` says.
        table: Table,
    },
    /// Not a table.
    #[error("\"{text}\" is not a table; write holding, input, coil or discrete")]
    Table {
        /// As written.
        text: String,
    },
    /// Not a type.
    #[error(
        "\"{text}\" is not a type; write u16, i16, u32, i32, u64, i64, f16, f32, f64, bool, bit:0 to \
         bit:15, u8l, u8h, i8l, i8h (low or high byte), bcd16, bcd32 or str:1 to str:64 (bytes)"
    )]
    Type {
        /// As written.
        text: String,
    },
    /// Not an order.
    #[error("\"{text}\" is not a byte order; write ABCD, CDAB, BADC or DCBA")]
    Order {
        /// As written.
        text: String,
    },
    /// A number type on a table of bits.
    #[error("a {table} is a single bit and cannot be read as {kind}; leave type out or write bool")]
    NotABit {
        /// As configured.
        kind: DataType,
        /// As addressed.
        table: Table,
    },
    /// The value would reach past the last register.
    #[error("{kind} at {address} would reach past the last register (offset 65535)")]
    BeyondEnd {
        /// As configured.
        kind: DataType,
        /// As addressed.
        address: Address,
    },
    /// Something follows the order.
    #[error("\"{rest}\" is too much; write ADDRESS:TYPE:ORDER, for example 40001:f32:CDAB")]
    Rest {
        /// What follows.
        rest: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(table: Table, offset: u16) -> Address {
        Address { table, offset }
    }

    #[test]
    fn every_form_means_what_the_readme_says() {
        for (text, expected) in [
            ("40001", at(Table::Holding, 0)),
            ("400001", at(Table::Holding, 0)),
            ("465536", at(Table::Holding, 65_535)),
            ("49999", at(Table::Holding, 9_998)),
            ("30071", at(Table::Input, 70)),
            ("10001", at(Table::DiscreteInput, 0)),
            ("00001", at(Table::Coil, 0)),
            ("000010", at(Table::Coil, 9)),
            ("hr:0", at(Table::Holding, 0)),
            ("HR:0x10", at(Table::Holding, 16)),
            ("ir:65535", at(Table::Input, 65_535)),
            ("co:7", at(Table::Coil, 7)),
            ("di:8", at(Table::DiscreteInput, 8)),
            ("4x1", at(Table::Holding, 0)),
            ("3X20", at(Table::Input, 19)),
            ("1x1", at(Table::DiscreteInput, 0)),
            ("0x1", at(Table::Holding, 1)),
            ("0x01F4", at(Table::Holding, 500)),
            (" 40001 ", at(Table::Holding, 0)),
        ] {
            assert_eq!(Address::parse(text, None), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_table_gives_bare_numbers_and_hex_a_meaning_and_must_agree_with_the_rest() {
        assert_eq!(
            Address::parse("100", Some(Table::Input)),
            Ok(at(Table::Input, 100))
        );
        assert_eq!(
            Address::parse("0x10", Some(Table::Coil)),
            Ok(at(Table::Coil, 16))
        );
        assert_eq!(
            Address::parse("30001", Some(Table::Input)),
            Ok(at(Table::Input, 0))
        );
        let words = Address::parse("40001", Some(Table::Input))
            .unwrap_err()
            .to_string();
        assert!(words.contains("ir:OFFSET"), "{words}");
    }

    #[test]
    fn the_base_counts_for_bare_numbers_alone() {
        let table = Some(Table::Holding);
        let parse = |text, table, base| Address::parse_from(text, table, base);
        assert_eq!(parse("1", table, Base::One), Ok(at(Table::Holding, 0)));
        assert_eq!(parse("1", table, Base::Zero), Ok(at(Table::Holding, 1)));
        assert!(parse("0", table, Base::One).is_err());
        assert!(parse("1", None, Base::One).is_err());
        for text in ["40001", "400001", "4x1", "hr:0", "0x0"] {
            assert_eq!(parse(text, None, Base::One), parse(text, None, Base::Zero));
        }
    }

    #[test]
    fn a_bare_number_is_refused_with_the_remedy() {
        let words = Address::parse("100", None).unwrap_err().to_string();
        assert!(
            words.contains("hr:100") && words.contains("table = \"holding\""),
            "{words}"
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "x",
            "40000",
            "20001",
            "50001",
            "4000001",
            "466000",
            "hr:65536",
            "hr:-1",
            "hr:",
            "zz:1",
            "4x0",
            "44x1",
            "0x",
            "0xFFFFF",
            "0x+1",
            "4x+1",
            "40 01",
            "hr:0x",
            "١٢٣٤٥",
        ] {
            assert!(Address::parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn points_of_the_command_line() {
        let spec = PointSpec::parse("40001:f32:cdab").unwrap();
        assert_eq!(
            spec,
            PointSpec {
                address: at(Table::Holding, 0),
                kind: DataType::F32,
                order: Order::Cdab
            }
        );
        assert_eq!(PointSpec::parse("hr:5").unwrap().kind, DataType::U16);
        assert_eq!(PointSpec::parse("co:5").unwrap().kind, DataType::Bool);
        assert_eq!(
            PointSpec::parse("ir:5:bit:3").unwrap().kind,
            DataType::Bit(3)
        );
        assert_eq!(
            PointSpec::parse("ir:5:bit:3:BADC").unwrap().order,
            Order::Badc
        );
        assert_eq!(
            PointSpec::parse("hr:5:str:16:BADC").unwrap().kind,
            DataType::Text(16)
        );
        assert_eq!(
            PointSpec::parse("40001:BCD32").unwrap().kind,
            DataType::Bcd32
        );
        for text in [
            "40001:str",
            "40001:str:0",
            "40001:str:65",
            "hr:65535:str:3",
            "40001:u8",
            "40001:f31",
            "40001:f32:XYZW",
            "40001:u16:ABCD:1",
            "co:1:u16",
            "hr:65535:u32",
            "hr:1:bit:16",
            "hr:1:bit",
            "hr",
        ] {
            assert!(PointSpec::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(
            table in prop::sample::select(Table::ALL.to_vec()),
            offset: u16,
        ) {
            let shown = at(table, offset).to_string();
            for part in shown.split([' ', '(', ')']).filter(|part| !part.is_empty()) {
                prop_assert_eq!(Address::parse(part, None), Ok(at(table, offset)));
            }
        }

        #[test]
        fn any_text_is_answered_without_a_panic(text in "\\PC{0,12}") {
            drop(Address::parse(&text, None));
            drop(PointSpec::parse(&text));
        }
    }
}
