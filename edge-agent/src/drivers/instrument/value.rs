//! A frame to the value of one sensor: where it stands, what it is. Pure. Never guesses: what is not
//! wholly a value of its type is an error that names the text.

use super::escape::shown;
use crate::pipeline::RawCell;
use protocol::limits::SENSOR_TEXT_BYTES_MAX;
use protocol::reading::{Cause, Raw, RawKind};
use std::fmt;

/// Longest unit behind a number.
const UNIT_BYTES_MAX: usize = 8;

/// How one sensor is read from a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Bytes that the frame begins with.
    pub prefix: Vec<u8>,
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
    /// What must stand behind a number; `None` when any unit may.
    pub unit_text: Option<String>,
    /// Texts by which the device says "not available".
    pub nan: Vec<String>,
    /// When the frame counts; always when there is none.
    pub condition: Option<Condition>,
}

/// Where something stands in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// All that follows the prefix.
    Rest,
    /// A field behind the prefix, the first is 1.
    Field(usize, Separator),
    /// From one byte to another or to the end, counted from 1 and both included, the prefix counted too.
    Columns(usize, Option<usize>),
    /// A binary value from this byte on, counted from 0, the prefix counted too.
    At(usize),
}

/// What stands between two fields. Of blanks and tabs any number counts as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Separator(pub Vec<u8>);

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A decimal number in letters.
    Number {
        /// Its decimals stand behind a comma.
        decimal_comma: bool,
    },
    /// A whole number in hexadecimal digits.
    Hex,
    /// A text.
    Text,
    /// Bits.
    Binary(Binary, Order),
}

/// What bits mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// Unsigned, so many bytes (1 to 8).
    Unsigned(usize),
    /// Signed (two's complement), so many bytes (1 to 8).
    Signed(usize),
    /// IEEE 754 with 4 bytes.
    F32,
    /// IEEE 754 with 8 bytes.
    F64,
    /// Two decimal digits in each of so many bytes (1 to 8).
    Bcd(usize),
}

/// The order of the bytes of a value; A is the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The highest first.
    #[default]
    Abcd,
    /// Pairs of bytes, the lowest pair first.
    Cdab,
    /// The highest pair first, the bytes of each swapped.
    Badc,
    /// The lowest first.
    Dcba,
}

/// When a frame counts for a sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Where it is looked.
    pub place: Place,
    /// What must stand there; blanks round it do not count.
    pub text: String,
}

/// Why a frame has no value for a sensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The frame is too short for its place.
    #[error("there is no {place} in {}", shown(frame))]
    NoPlace {
        /// Where it should be.
        place: Place,
        /// All of the frame.
        frame: Vec<u8>,
    },
    /// What stands there is none of its type.
    #[error(
        "{place} of {} is {}, which is no {wanted}",
        shown(frame),
        shown(found)
    )]
    NotOne {
        /// Where it is.
        place: Place,
        /// All of the frame.
        frame: Vec<u8>,
        /// What stands there.
        found: Vec<u8>,
        /// What it should be.
        wanted: String,
    },
}

impl Point {
    /// The cell of a poll. Empty texts, texts of `nan`, NaN and infinity, and frames that do not count
    /// are "not available".
    ///
    /// # Errors
    /// When the frame is not as described.
    pub fn cell(&self, frame: &[u8]) -> Result<RawCell, ValueError> {
        let not_available = Ok(RawCell::Missing(Cause::NotAvailable));
        if let Some(condition) = &self.condition {
            let found = self.bytes(&condition.place, frame, 0)?;
            let found = String::from_utf8_lossy(found);
            let found = found.trim();
            if condition.text.trim() != found {
                return not_available;
            }
        }
        let bytes = self.bytes(&self.place, frame, self.kind.size())?;
        let wrong = |wanted: String| ValueError::NotOne {
            place: self.place.clone(),
            frame: frame.to_vec(),
            found: bytes.to_vec(),
            wanted,
        };
        if let Kind::Binary(binary, order) = self.kind {
            let raw = order.sorted(bytes).and_then(|bytes| binary.raw(&bytes));
            return match raw {
                Some(Raw::Float(value)) if !value.is_finite() => not_available,
                Some(raw) => Ok(RawCell::Value(raw)),
                None => Err(wrong(format!("{binary}"))),
            };
        }
        let lossy = String::from_utf8_lossy(bytes);
        let text = lossy.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if text.is_empty() || self.nan.iter().any(|sign| sign.trim() == text) {
            return not_available;
        }
        self.value(text).map_err(wrong)
    }

    /// What a text says, or what it should be.
    fn value(&self, text: &str) -> Result<RawCell, String> {
        match self.kind {
            Kind::Number { decimal_comma } => {
                let number = number(text, decimal_comma, self.unit_text.as_deref());
                let number = number.map(|value| RawCell::Value(Raw::Float(value)));
                number.ok_or_else(|| match (&self.unit_text, decimal_comma) {
                    (Some(unit), _) => format!("number with {unit} behind it"),
                    (None, true) => "number with a decimal comma".to_owned(),
                    (None, false) => "number".to_owned(),
                })
            }
            Kind::Hex => {
                let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let value = i64::from_str_radix(text, 16).ok().filter(|_| digits);
                let cell = value.map(|value| RawCell::Value(Raw::Int(value)));
                cell.ok_or_else(|| "hexadecimal number of at most 63 bits".to_owned())
            }
            _ => {
                let unfit = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
                let text = text.replace(unfit, "?");
                if text.len() > SENSOR_TEXT_BYTES_MAX {
                    return Err(format!("text of at most {SENSOR_TEXT_BYTES_MAX} bytes"));
                }
                Ok(RawCell::Text(text.into()))
            }
        }
    }

    /// The bytes at a place; `size` of them where it names only the first.
    fn bytes<'a>(
        &self,
        place: &Place,
        frame: &'a [u8],
        size: usize,
    ) -> Result<&'a [u8], ValueError> {
        let rest = frame.get(self.prefix.len()..).unwrap_or_default();
        let found = match place {
            Place::Rest => Some(rest),
            Place::Field(number, separator) => separator.field(rest, *number),
            Place::Columns(first, last) => {
                frame.get(first.saturating_sub(1)..last.unwrap_or(frame.len()))
            }
            Place::At(at) => frame.get(*at..at.saturating_add(size)),
        };
        found.ok_or_else(|| ValueError::NoPlace {
            place: place.clone(),
            frame: frame.to_vec(),
        })
    }

    /// Shortest frame that has it.
    pub fn frame_min(&self) -> usize {
        let of = |place: &Place, size| match place {
            Place::Rest => self.prefix.len(),
            Place::Field(number, separator) => {
                self.prefix.len() + number.saturating_sub(1) * separator.0.len()
            }
            Place::Columns(first, last) => last.unwrap_or(*first),
            Place::At(at) => at.saturating_add(size),
        };
        let condition = self.condition.as_ref();
        let looked = condition.map_or(0, |condition| of(&condition.place, 0));
        of(&self.place, self.kind.size()).max(looked)
    }
}

impl Separator {
    /// The field of that number; the separator that follows the prefix directly begins the first.
    fn field<'a>(&self, rest: &'a [u8], number: usize) -> Option<&'a [u8]> {
        let number = number.checked_sub(1)?;
        if matches!(self.0.as_slice(), b" " | b"\t") {
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            let mut fields = rest.split(blank).filter(|field| !field.is_empty());
            return fields.nth(number);
        }
        let mut rest = rest.strip_prefix(self.0.as_slice()).unwrap_or(rest);
        for _ in 0..number {
            let (_, behind) = self.split(rest)?;
            rest = behind;
        }
        Some(self.split(rest).map_or(rest, |(field, _)| field))
    }

    /// What stands before the first separator and behind it.
    fn split<'a>(&self, rest: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let length = self.0.len().max(1);
        let at = rest.windows(length).position(|part| part == self.0)?;
        rest.get(..at).zip(rest.get(at + length..))
    }
}

/// The number at the beginning of a text: a sign, blanks, digits, a unit. `None` when it is none, or
/// when the unit is not the wanted one; without a wanted one it may be anything short without digits.
fn number(text: &str, decimal_comma: bool, unit: Option<&str>) -> Option<f64> {
    let (sign, text) = match text.strip_prefix(['+', '-']) {
        Some(rest) if text.starts_with('-') => (-1.0, rest),
        Some(rest) => (1.0, rest),
        None => (1.0, text),
    };
    let text = text.trim_start();
    let point = if decimal_comma { ',' } else { '.' };
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let digits = |from: usize| (from..bytes.len()).take_while(|at| is_digit(*at)).count();
    let whole = digits(0);
    let mut end = whole;
    let mut places = 0;
    if text.get(end..).is_some_and(|rest| rest.starts_with(point)) {
        places = digits(end + 1);
        end += 1 + places;
    }
    if whole + places == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let power = digits(end + 1 + signed);
        if power > 0 {
            end += 1 + signed + power;
        }
    }
    let behind = text.get(end..)?.trim();
    let fits = match unit {
        Some(unit) => behind == unit.trim(),
        None => {
            behind.len() <= UNIT_BYTES_MAX
                && !behind.contains(|c: char| c.is_ascii_digit() || "+-.,".contains(c))
        }
    };
    let value: f64 = text.get(..end)?.replace(',', ".").parse().ok()?;
    (fits && value.is_finite()).then_some(sign * value)
}

impl Kind {
    /// Bytes of a binary value; 0 for texts.
    pub const fn size(self) -> usize {
        match self {
            Self::Binary(binary, _) => binary.size(),
            Self::Number { .. } | Self::Hex | Self::Text => 0,
        }
    }

    /// How its raw values are kept.
    pub const fn raw_kind(self) -> RawKind {
        match self {
            Self::Number { .. } | Self::Binary(Binary::F32 | Binary::F64, _) => RawKind::Float,
            Self::Binary(Binary::Unsigned(8), _) => RawKind::Uint64,
            Self::Hex | Self::Text | Self::Binary(_, _) => RawKind::Int,
        }
    }
}

impl Binary {
    /// By the word of the configuration; `None` for one that is not known.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "u8" => Self::Unsigned(1),
            "u16" => Self::Unsigned(2),
            "u24" => Self::Unsigned(3),
            "u32" => Self::Unsigned(4),
            "u64" => Self::Unsigned(8),
            "i8" => Self::Signed(1),
            "i16" => Self::Signed(2),
            "i24" => Self::Signed(3),
            "i32" => Self::Signed(4),
            "i64" => Self::Signed(8),
            "f32" => Self::F32,
            "f64" => Self::F64,
            _ => {
                let count = word.strip_prefix("bcd:")?.parse().ok()?;
                Self::Bcd(Some(count).filter(|count| (1..=8).contains(count))?)
            }
        })
    }

    const fn size(self) -> usize {
        match self {
            Self::Unsigned(size) | Self::Signed(size) | Self::Bcd(size) => size,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// What bytes mean, the highest first.
    fn raw(self, bytes: &[u8]) -> Option<Raw> {
        let bits = bytes
            .iter()
            .fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        Some(match self {
            Self::Unsigned(_) => Raw::Int(bits.cast_signed()),
            Self::Signed(size) => {
                let unused = u32::try_from(64 - 8 * size.clamp(1, 8)).unwrap_or(0);
                Raw::Int((bits << unused).cast_signed() >> unused)
            }
            Self::F32 => Raw::Float(f32::from_bits(u32::try_from(bits).ok()?).into()),
            Self::F64 => Raw::Float(f64::from_bits(bits)),
            Self::Bcd(_) => {
                let mut digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
                let value = digits.try_fold(0_i64, |value, digit| {
                    (digit <= 9).then(|| value * 10 + i64::from(digit))
                });
                Raw::Int(value?)
            }
        })
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(size) => write!(f, "u{}", size * 8),
            Self::Signed(size) => write!(f, "i{}", size * 8),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Bcd(size) => write!(f, "bcd:{size}"),
        }
    }
}

impl Order {
    /// The bytes of a value, the highest first.
    fn sorted(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut sorted = bytes.to_vec();
        match self {
            Self::Abcd => {}
            Self::Dcba => sorted.reverse(),
            Self::Cdab | Self::Badc => {
                // A pair that has no second byte has no order.
                let pairs = bytes.chunks_exact(2);
                if bytes.len() > 1 && !pairs.remainder().is_empty() {
                    return None;
                }
                if self == Self::Cdab && bytes.len() > 1 {
                    sorted = pairs.rev().flatten().copied().collect();
                } else {
                    sorted.chunks_exact_mut(2).for_each(<[u8]>::reverse);
                }
            }
        }
        Some(sorted)
    }
}

/// `field 3`, as problems and `check` name it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rest => f.write_str("text behind the prefix"),
            Self::Field(number, _) => write!(f, "field {number}"),
            Self::Columns(first, Some(last)) => write!(f, "columns {first} to {last}"),
            Self::Columns(first, None) => write!(f, "column {first} and what follows"),
            Self::At(at) => write!(f, "byte {at}"),
        }
    }
}

/// `"S S", field 1 number`.
impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.prefix.is_empty() {
            write!(f, "{}, ", shown(&self.prefix))?;
        }
        write!(f, "{} ", self.place)?;
        match self.kind {
            Kind::Number { .. } => f.write_str("number"),
            Kind::Hex => f.write_str("hex"),
            Kind::Text => f.write_str("str"),
            Kind::Binary(binary, Order::Abcd) => write!(f, "{binary}"),
            Kind::Binary(binary, order) => {
                let order = format!("{order:?}").to_uppercase();
                write!(f, "{binary} {order}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(prefix: &str, place: Place, kind: Kind) -> Point {
        Point {
            prefix: prefix.into(),
            place,
            kind,
            unit_text: None,
            nan: Vec::new(),
            condition: None,
        }
    }

    const NUMBER: Kind = Kind::Number {
        decimal_comma: false,
    };

    fn comma() -> Separator {
        Separator(b",".to_vec())
    }

    const fn float(value: f64) -> RawCell {
        RawCell::Value(Raw::Float(value))
    }

    const NOT_AVAILABLE: RawCell = RawCell::Missing(Cause::NotAvailable);

    #[test]
    fn numbers_as_scales_write_them() {
        for (text, value) in [
            ("12.34", 12.34),
            ("+  12.34 kg", 12.34),
            ("-    0.5kg", -0.5),
            ("  7 ", 7.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+1.5E-3 V", 0.0015),
            ("2e", 2.0),
            ("0012.30 g/m", 12.3),
            ("21.5 °C", 21.5),
        ] {
            assert_eq!(number(text.trim(), false, None), Some(value), "{text}");
        }
        for text in [
            "",
            "+",
            "-",
            ".",
            "kg",
            "1 2",
            "1.2.3",
            "12.3kg+ 12.4kg",
            "--5",
            "1,5",
            "NaN",
            "inf",
            "0x10",
            "1e999",
        ] {
            assert_eq!(number(text, false, None), None, "{text}");
        }
        assert_eq!(number("- 1,5 kg", true, None), Some(-1.5));
        assert_eq!(number("1.5", true, None), None);
        assert_eq!(number("1.5 kg", false, Some("kg")), Some(1.5));
        assert_eq!(number("1.5 g", false, Some("kg")), None, "another unit");
        assert_eq!(number("1.5", false, Some("kg")), None);
    }

    #[test]
    fn fields_are_counted_behind_the_prefix() {
        let wind = b"$WIMWV,214.8,R,0.1,N,A";
        for prefix in ["$WIMWV", "$WIMWV,"] {
            let at = |number| point(prefix, Place::Field(number, comma()), NUMBER);
            assert_eq!(at(1).cell(wind), Ok(float(214.8)), "{prefix}");
            assert_eq!(at(3).cell(wind), Ok(float(0.1)));
            let told = at(2).cell(wind).unwrap_err().to_string();
            assert_eq!(
                told,
                "field 2 of \"$WIMWV,214.8,R,0.1,N,A\" is \"R\", which is no number"
            );
            let told = at(6).cell(wind).unwrap_err().to_string();
            assert_eq!(told, "there is no field 6 in \"$WIMWV,214.8,R,0.1,N,A\"");
        }
        let empty = point("$WIMWV", Place::Field(2, comma()), NUMBER);
        assert_eq!(empty.cell(b"$WIMWV,1,,3"), Ok(NOT_AVAILABLE));
        let blanks = Separator(b" ".to_vec());
        let sics = point("S", Place::Field(2, blanks.clone()), NUMBER);
        assert_eq!(sics.cell(b"S S     12.34 g"), Ok(float(12.34)));
        let double = Separator(b"::".to_vec());
        let last = point("", Place::Field(3, double), NUMBER);
        assert_eq!(last.cell(b"a::b:c::4"), Ok(float(4.0)));
    }

    #[test]
    fn a_frame_counts_only_when_its_text_stands_at_its_place() {
        let blanks = Separator(b" ".to_vec());
        let mut sics = point("S", Place::Field(2, blanks.clone()), NUMBER);
        sics.condition = Some(Condition {
            place: Place::Field(1, blanks),
            text: "S".into(),
        });
        assert_eq!(sics.cell(b"S S     12.34 g"), Ok(float(12.34)));
        for unstable in [&b"S D     12.34 g"[..], b"S I", b"S +", b"S -"] {
            assert_eq!(sics.cell(unstable), Ok(NOT_AVAILABLE));
        }
        assert!(sics.cell(b"S").is_err());
        let mut columns = point("", Place::Columns(4, Some(12)), NUMBER);
        columns.condition = Some(Condition {
            place: Place::Columns(1, Some(2)),
            text: "ST".into(),
        });
        columns.nan = vec!["------".into()];
        assert_eq!(columns.cell(b"ST,+  12.34 kg"), Ok(float(12.34)));
        assert_eq!(columns.cell(b"OL,+  12.34 kg"), Ok(NOT_AVAILABLE));
        assert_eq!(columns.cell(b"ST,  ------  kg"), Ok(NOT_AVAILABLE));
        assert!(columns.cell(b"ST,+12").is_err(), "too short");
    }

    #[test]
    fn texts_and_hexadecimal_numbers() {
        let text = point("", Place::Rest, Kind::Text);
        let of = |text: &str| RawCell::Text(text.into());
        assert_eq!(text.cell(b" 4006381333931 "), Ok(of("4006381333931")));
        assert_eq!(text.cell(b"a\x1Db\xFFc"), Ok(of("a?b?c")));
        assert_eq!(text.cell(b"  \0"), Ok(NOT_AVAILABLE));
        assert_eq!(
            text.cell(&[b'x'; SENSOR_TEXT_BYTES_MAX]),
            Ok(of(&"x".repeat(SENSOR_TEXT_BYTES_MAX)))
        );
        assert!(text.cell(&[b'x'; SENSOR_TEXT_BYTES_MAX + 1]).is_err());
        let hex = point("#", Place::Columns(2, Some(5)), Kind::Hex);
        assert_eq!(hex.cell(b"#01fF"), Ok(RawCell::Value(Raw::Int(0x1FF))));
        for wrong in [&b"#-1FF"[..], b"#01GG", b"#1"] {
            assert!(hex.cell(wrong).is_err());
        }
    }

    #[test]
    fn binary_values_in_each_order() {
        let at = |word: &str, order| {
            point(
                "\x02",
                Place::At(1),
                Kind::Binary(Binary::parse(word).unwrap(), order),
            )
        };
        let int = |value| Ok(RawCell::Value(Raw::Int(value)));
        let frame = [2, 0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0];
        for (word, order, value) in [
            ("u8", Order::Badc, 0x12),
            ("u16", Order::Abcd, 0x1234),
            ("u16", Order::Cdab, 0x1234),
            ("u16", Order::Badc, 0x3412),
            ("u24", Order::Dcba, 0x56_3412),
            ("u32", Order::Abcd, 0x1234_5678),
            ("u32", Order::Cdab, 0x5678_1234),
            ("u32", Order::Badc, 0x3412_7856),
            ("u32", Order::Dcba, 0x7856_3412),
            ("i64", Order::Cdab, 0xDEF0_9ABC_5678_1234_u64.cast_signed()),
            ("bcd:2", Order::Abcd, 1234),
            ("bcd:2", Order::Dcba, 3412),
        ] {
            assert_eq!(at(word, order).cell(&frame), int(value), "{word} {order:?}");
        }
        assert_eq!(at("i24", Order::Abcd).cell(&[2, 0xFF, 0xFF, 0xFE]), int(-2));
        assert_eq!(at("i8", Order::Abcd).cell(&[2, 0x80]), int(-128));
        let f32 = at("f32", Order::Dcba);
        let bytes = [&[2][..], &1.5_f32.to_le_bytes()].concat();
        assert_eq!(f32.cell(&bytes), Ok(float(1.5)));
        let bytes = [&[2][..], &f32::NAN.to_le_bytes()].concat();
        assert_eq!(f32.cell(&bytes), Ok(NOT_AVAILABLE));
        let told = at("bcd:2", Order::Abcd)
            .cell(&[2, 0x12, 0x3F])
            .unwrap_err()
            .to_string();
        assert_eq!(
            told,
            "byte 1 of \"\\x02\\x12?\" is \"\\x12?\", which is no bcd:2"
        );
        assert!(at("u32", Order::Abcd).cell(&[2, 1, 2, 3]).is_err());
        for word in ["u7", "bcd:0", "bcd:9", "bcd", "number", ""] {
            assert_eq!(Binary::parse(word), None, "{word}");
        }
    }

    proptest! {
        /// What Rust writes is read as what it is, in whatever clothes a scale puts it.
        #[test]
        fn numbers_are_read_as_they_are_written(
            value in -1e9_f64..1e9, blanks in 0_usize..6, places in 0_usize..6,
        ) {
            let written = format!("{:.places$}", value.abs());
            let sign = if value < 0.0 { "-" } else { "+" };
            let text = format!("{sign}{:blanks$}{written} kg", "");
            let right: f64 = format!("{sign}{written}").parse().unwrap();
            prop_assert_eq!(number(&text, false, None), Some(right));
            let comma = text.replace('.', ",");
            prop_assert_eq!(number(&comma, true, Some("kg")), Some(right));
        }

        /// Any description, any frame: a cell or words.
        #[test]
        fn no_frame_is_too_odd(
            frame in prop::collection::vec(any::<u8>(), 0..80),
            prefix in prop::collection::vec(any::<u8>(), 0..4),
            number in 0_usize..9,
            what in 0_usize..9,
        ) {
            let separator = Separator(if what % 2 == 0 { b",".to_vec() } else { b" ".to_vec() });
            let (place, kind) = match what {
                0 => (Place::Rest, Kind::Text),
                1 | 2 => (Place::Field(number, separator), NUMBER),
                3 => (Place::Columns(number, Some(number + 5)), Kind::Hex),
                4 => (Place::Columns(number, (number > 3).then_some(3)), Kind::Text),
                5 => (Place::At(number), Kind::Binary(Binary::F32, Order::Badc)),
                6 => (Place::At(number), Kind::Binary(Binary::Bcd(8), Order::Dcba)),
                7 => (Place::At(number), Kind::Binary(Binary::Unsigned(3), Order::Cdab)),
                _ => (Place::At(usize::MAX), Kind::Binary(Binary::Signed(8), Order::Cdab)),
            };
            let point = Point { prefix, ..point("", place, kind) };
            match point.cell(&frame) {
                Ok(RawCell::Text(text)) => prop_assert!(text.len() <= SENSOR_TEXT_BYTES_MAX),
                Ok(RawCell::Value(Raw::Float(value))) => prop_assert!(value.is_finite()),
                Ok(_) => {}
                Err(error) => prop_assert!(error.to_string().len() < 1_000),
            }
        }
    }
}
