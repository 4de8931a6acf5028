//! What the registers at an address mean: type and byte order, as people write them (`f32`,
//! `CDAB`). Never reads a device; `decode` turns registers into values.

use super::address::{Address, AddressError, Table};
use protocol::reading::RawKind;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// What the bits at an address mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// One register, unsigned.
    U16,
    /// One register, signed (two's complement).
    I16,
    /// Two registers, unsigned.
    U32,
    /// Two registers, signed.
    I32,
    /// Four registers, unsigned.
    U64,
    /// Four registers, signed.
    I64,
    /// Two registers, IEEE 754.
    F32,
    /// Four registers, IEEE 754.
    F64,
    /// A coil or discrete input; of a register, whether it is not 0.
    Bool,
    /// One bit of a register, 0 is the lowest.
    Bit(u8),
    /// The low byte of a register, unsigned.
    U8Low,
    /// The high byte of a register, unsigned.
    U8High,
    /// The low byte of a register, signed.
    I8Low,
    /// The high byte of a register, signed.
    I8High,
    /// One register, IEEE 754 with half precision.
    F16,
    /// One register, four decimal digits of four bits each.
    Bcd16,
    /// Two registers, eight decimal digits of four bits each.
    Bcd32,
    /// A text of so many bytes (1 to [`TEXT_BYTES_MAX`]), two in each register.
    Text(u8),
    /// A text with one byte in each register, the low one.
    TextLow(u8),
    /// A text with one byte in each register, the high one.
    TextHigh(u8),
}

/// Longest text in registers, in bytes: what a text of a sensor may have.
pub const TEXT_BYTES_MAX: u8 = 64;

impl DataType {
    /// Registers that a value takes.
    pub const fn words(self) -> u16 {
        match self {
            Self::U64 | Self::I64 | Self::F64 => 4,
            Self::U32 | Self::I32 | Self::F32 | Self::Bcd32 => 2,
            Self::Text(bytes) => widened(bytes.div_ceil(2)),
            Self::TextLow(bytes) | Self::TextHigh(bytes) => widened(bytes),
            _ => 1,
        }
    }

    /// Whether its values are texts and not numbers.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Text(_) | Self::TextLow(_) | Self::TextHigh(_))
    }

    /// Bits that a number takes; of a text, those of one register.
    pub const fn bits(self) -> u32 {
        match self {
            Self::U64 | Self::I64 | Self::F64 => 64,
            Self::U32 | Self::I32 | Self::F32 | Self::Bcd32 => 32,
            Self::U16
            | Self::I16
            | Self::F16
            | Self::Bcd16
            | Self::Text(_)
            | Self::TextLow(_)
            | Self::TextHigh(_) => 16,
            Self::U8Low | Self::U8High | Self::I8Low | Self::I8High => 8,
            Self::Bool | Self::Bit(_) => 1,
        }
    }

    /// How its raw values are kept. A text is kept by its code.
    pub const fn raw_kind(self) -> RawKind {
        match self {
            Self::F16 | Self::F32 | Self::F64 => RawKind::Float,
            Self::U64 => RawKind::Uint64,
            _ => RawKind::Int,
        }
    }

    /// What is meant when no type is written.
    pub const fn default_for(table: Table) -> Self {
        if table.is_bits() {
            Self::Bool
        } else {
            Self::U16
        }
    }

    /// Whether a value of this type can stand at `address`.
    pub fn check(self, address: Address) -> Result<(), AddressError> {
        if address.table.is_bits() && self != Self::Bool {
            return Err(AddressError::NotABit {
                kind: self,
                table: address.table,
            });
        }
        if u32::from(address.offset) + u32::from(self.words()) > 65_536 {
            return Err(AddressError::BeyondEnd {
                kind: self,
                address,
            });
        }
        Ok(())
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U16 => f.write_str("u16"),
            Self::I16 => f.write_str("i16"),
            Self::U32 => f.write_str("u32"),
            Self::I32 => f.write_str("i32"),
            Self::U64 => f.write_str("u64"),
            Self::I64 => f.write_str("i64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Bool => f.write_str("bool"),
            Self::Bit(bit) => write!(f, "bit:{bit}"),
            Self::U8Low => f.write_str("u8l"),
            Self::U8High => f.write_str("u8h"),
            Self::I8Low => f.write_str("i8l"),
            Self::I8High => f.write_str("i8h"),
            Self::F16 => f.write_str("f16"),
            Self::Bcd16 => f.write_str("bcd16"),
            Self::Bcd32 => f.write_str("bcd32"),
            Self::Text(bytes) => write!(f, "str:{bytes}"),
            Self::TextLow(bytes) => write!(f, "strl:{bytes}"),
            Self::TextHigh(bytes) => write!(f, "strh:{bytes}"),
        }
    }
}

impl FromStr for DataType {
    type Err = AddressError;

    /// In any case of letters: our own words, and those of IEC 61131-3 and of other programs that
    /// mean one thing only.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || AddressError::Type {
            text: text.to_owned(),
        };
        Ok(match text.to_ascii_lowercase().as_str() {
            "u16" | "uint16" | "word" => Self::U16,
            "i16" | "int16" | "short" => Self::I16,
            "u32" | "uint32" | "udint" | "dword" => Self::U32,
            "i32" | "int32" | "dint" => Self::I32,
            "u64" | "uint64" | "ulint" | "qword" | "lword" => Self::U64,
            "i64" | "int64" | "lint" => Self::I64,
            "f16" | "float16" | "half" => Self::F16,
            "f32" | "float32" | "float" | "real" => Self::F32,
            "f64" | "float64" | "double" | "lreal" => Self::F64,
            "bool" | "boolean" => Self::Bool,
            "u8l" | "uint8l" => Self::U8Low,
            "u8h" | "uint8h" => Self::U8High,
            "i8l" | "int8l" => Self::I8Low,
            "i8h" | "int8h" => Self::I8High,
            "bcd16" | "bcd" => Self::Bcd16,
            "bcd32" | "lbcd" => Self::Bcd32,
            other => {
                let (word, number) = other.split_once(':').ok_or_else(error)?;
                let number: u8 = number.parse().map_err(|_| error())?;
                let bytes = || {
                    Some(number)
                        .filter(|bytes| (1..=TEXT_BYTES_MAX).contains(bytes))
                        .ok_or_else(error)
                };
                match word {
                    "bit" if number < 16 => Self::Bit(number),
                    "str" | "string" => Self::Text(bytes()?),
                    "strl" => Self::TextLow(bytes()?),
                    "strh" => Self::TextHigh(bytes()?),
                    _ => return Err(error()),
                }
            }
        })
    }
}

#[expect(
    clippy::as_conversions,
    reason = "widened without loss; `u16::from` is not const"
)]
const fn widened(bytes: u8) -> u16 {
    bytes as u16
}

/// In which order the bytes of a value come over the wire; A is the highest byte of the value.
/// For 64 bits the same rule with eight letters: `Abcd` ABCDEFGH, `Cdab` (registers turned round)
/// GHEFCDAB, `Badc` (bytes of each register swapped) BADCFEHG, `Dcba` (both) HGFEDCBA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Order {
    /// As the Modbus specification has it for one register: highest byte first, all through.
    #[default]
    Abcd,
    /// Lowest register first.
    Cdab,
    /// Highest register first, bytes of each register swapped.
    Badc,
    /// Lowest byte first, all through.
    Dcba,
}

impl Order {
    /// All orders, in the order in which people try them.
    pub const ALL: [Self; 4] = [Self::Abcd, Self::Cdab, Self::Badc, Self::Dcba];

    /// Whether the lowest register comes first.
    pub const fn swaps_words(self) -> bool {
        matches!(self, Self::Cdab | Self::Dcba)
    }

    /// Whether the bytes of each register come low byte first.
    pub const fn swaps_bytes(self) -> bool {
        matches!(self, Self::Badc | Self::Dcba)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Abcd => "ABCD",
            Self::Cdab => "CDAB",
            Self::Badc => "BADC",
            Self::Dcba => "DCBA",
        })
    }
}

impl FromStr for Order {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_uppercase().as_str() {
            "ABCD" | "AB" | "ABCDEFGH" => Ok(Self::Abcd),
            "CDAB" | "GHEFCDAB" => Ok(Self::Cdab),
            "BADC" | "BA" | "BADCFEHG" => Ok(Self::Badc),
            "DCBA" | "HGFEDCBA" => Ok(Self::Dcba),
            _ => Err(AddressError::Order {
                text: text.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_written_as_it_is_read_and_in_the_words_of_others() {
        for text in [
            "u16", "i16", "u32", "i32", "u64", "i64", "f16", "f32", "f64", "bool", "bit:0",
            "bit:15", "u8l", "u8h", "i8l", "i8h", "bcd16", "bcd32", "str:1", "str:64", "strl:5",
            "strh:64",
        ] {
            let kind: DataType = text.parse().unwrap();
            assert_eq!(kind.to_string(), text);
            assert_eq!(text.to_uppercase().parse(), Ok(kind));
        }
        for (text, kind) in [
            ("UINT16", DataType::U16),
            ("Word", DataType::U16),
            ("INT16", DataType::I16),
            ("Short", DataType::I16),
            ("UDINT", DataType::U32),
            ("DWord", DataType::U32),
            ("INT32", DataType::I32),
            ("DINT", DataType::I32),
            ("QWord", DataType::U64),
            ("LINT", DataType::I64),
            ("FLOAT16", DataType::F16),
            ("FLOAT32", DataType::F32),
            ("REAL", DataType::F32),
            ("Double", DataType::F64),
            ("LREAL", DataType::F64),
            ("Boolean", DataType::Bool),
            ("UINT8L", DataType::U8Low),
            ("INT8H", DataType::I8High),
            ("BCD", DataType::Bcd16),
            ("LBCD", DataType::Bcd32),
            ("STRING:16", DataType::Text(16)),
        ] {
            assert_eq!(text.parse(), Ok(kind), "{text}");
        }
        for text in [
            "", "u8", "int", "str", "str:0", "str:65", "str:-1", "bit:16", "bit:", "f8",
        ] {
            let words = text.parse::<DataType>().unwrap_err().to_string();
            assert!(words.contains("str:1 to str:64"), "{words}");
        }
    }

    #[test]
    fn orders_are_read_with_the_letters_of_every_width() {
        for order in Order::ALL {
            assert_eq!(order.to_string().to_lowercase().parse(), Ok(order));
        }
        for (text, order) in [
            ("AB", Order::Abcd),
            ("BA", Order::Badc),
            ("ABCDEFGH", Order::Abcd),
            ("GHEFCDAB", Order::Cdab),
            ("BADCFEHG", Order::Badc),
            ("HGFEDCBA", Order::Dcba),
        ] {
            assert_eq!(text.parse(), Ok(order), "{text}");
        }
        assert!("ACBD".parse::<Order>().is_err());
    }

    #[test]
    fn the_longest_text_is_one_that_a_sensor_may_have() {
        assert!(usize::from(TEXT_BYTES_MAX) <= protocol::limits::SENSOR_TEXT_BYTES_MAX);
        assert_eq!(
            (DataType::Text(5).words(), DataType::TextLow(5).words()),
            (3, 5)
        );
    }
}
