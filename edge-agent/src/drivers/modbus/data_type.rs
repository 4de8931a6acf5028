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
}

impl DataType {
    /// Registers that a value takes.
    pub const fn words(self) -> u16 {
        match self {
            Self::U64 | Self::I64 | Self::F64 => 4,
            Self::U32 | Self::I32 | Self::F32 => 2,
            _ => 1,
        }
    }

    /// Bits that a value takes.
    pub const fn bits(self) -> u32 {
        match self {
            Self::U64 | Self::I64 | Self::F64 => 64,
            Self::U32 | Self::I32 | Self::F32 => 32,
            Self::U16 | Self::I16 => 16,
            Self::U8Low | Self::U8High => 8,
            Self::Bool | Self::Bit(_) => 1,
        }
    }

    /// How its raw values are kept.
    pub const fn raw_kind(self) -> RawKind {
        match self {
            Self::F32 | Self::F64 => RawKind::Float,
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
        }
    }
}

impl FromStr for DataType {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || AddressError::Type {
            text: text.to_owned(),
        };
        Ok(match text.to_ascii_lowercase().as_str() {
            "u16" | "uint16" => Self::U16,
            "i16" | "int16" => Self::I16,
            "u32" | "uint32" => Self::U32,
            "i32" | "int32" => Self::I32,
            "u64" | "uint64" => Self::U64,
            "i64" | "int64" => Self::I64,
            "f32" | "float32" => Self::F32,
            "f64" | "float64" => Self::F64,
            "bool" => Self::Bool,
            "u8l" => Self::U8Low,
            "u8h" => Self::U8High,
            other => {
                let bit = other.strip_prefix("bit:").ok_or_else(error)?;
                let bit = bit.parse().ok().filter(|bit| *bit < 16).ok_or_else(error)?;
                Self::Bit(bit)
            }
        })
    }
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
        let wanted = text.to_ascii_uppercase();
        Self::ALL
            .into_iter()
            .find(|order| order.to_string() == wanted)
            .ok_or_else(|| AddressError::Order {
                text: text.to_owned(),
            })
    }
}
