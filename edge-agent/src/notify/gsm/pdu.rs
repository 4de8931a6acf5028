//! An SMS as its bytes (3GPP TS 23.040 section 9.2): a SUBMIT that goes out, a DELIVER that came in.
//! Pure; bytes of a modem are never trusted to be whole.

use super::alphabet::{self, Coded};
use data_encoding::HEXUPPER;

/// Longest SMS that is read, in bytes with the number of its centre.
const BYTES_MAX: usize = 200;
/// First byte of a SUBMIT: with a relative time of validity.
const SUBMIT: u8 = 0x11;
/// Two days: an alarm that comes later helps nobody (section 9.2.3.12.1).
const VALID_TWO_DAYS: u8 = 0xA8;
/// An international number, or one as it is dialled here (section 9.1.2.5).
const INTERNATIONAL: u8 = 0x91;
const UNKNOWN: u8 = 0x81;

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Who sent it: a number, or a name where a network puts one.
    pub from: String,
    /// What it says.
    pub text: String,
}

/// A SUBMIT as hexadecimal digits, with the number that `AT+CMGS=` takes: its length in bytes
/// without the number of the centre, which the modem knows (3GPP TS 27.005 section 3.5.1).
pub(super) fn submit(to: &str, coded: &Coded) -> (usize, String) {
    let digits: Vec<u8> = to
        .bytes()
        .filter(u8::is_ascii_digit)
        .map(|byte| byte - b'0')
        .collect();
    let kind = if to.starts_with('+') {
        INTERNATIONAL
    } else {
        UNKNOWN
    };
    let mut bytes = vec![SUBMIT, 0, length(digits.len()), kind];
    bytes.extend(digits.chunks(2).map(|pair| match pair {
        [one, two] => two << 4 | one,
        [one] => 0xF0 | one,
        _ => 0xFF,
    }));
    let (scheme, count, data) = match coded {
        Coded::Septets(codes) => (0x00, codes.len(), alphabet::pack(codes, 0)),
        Coded::Ucs2(units) => {
            let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
            (0x08, bytes.len(), bytes)
        }
    };
    bytes.extend([0, scheme, VALID_TWO_DAYS, length(count)]);
    bytes.extend(data);
    // A zero in front: the centre is the one that the SIM names.
    (bytes.len(), format!("00{}", HEXUPPER.encode(&bytes)))
}

fn length(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

/// What a DELIVER says; `None` when it is none or is cut off.
pub(super) fn delivered(hex: &str) -> Option<Delivered> {
    let bytes = HEXUPPER
        .decode(hex.trim().to_ascii_uppercase().as_bytes())
        .ok()?;
    if bytes.len() > BYTES_MAX {
        return None;
    }
    let mut rest = Rest(&bytes);
    let centre = usize::from(rest.byte()?);
    rest.take(centre)?;
    let first = rest.byte()?;
    // Message type 0 is a DELIVER; bit 6: a header is in front of the text.
    if first & 0x03 != 0 {
        return None;
    }
    let from = sender(&mut rest)?;
    rest.byte()?;
    let scheme = rest.byte()?;
    rest.take(7)?;
    let count = usize::from(rest.byte()?);
    let text = text(rest.0, count, scheme, first & 0x40 != 0)?;
    Some(Delivered { from, text })
}

fn sender(rest: &mut Rest<'_>) -> Option<String> {
    let digits = usize::from(rest.byte()?);
    let kind = rest.byte()?;
    let bytes = rest.take(digits.div_ceil(2))?;
    // A name in the 7 bit alphabet (section 9.1.2.5).
    if kind & 0x70 == 0x50 {
        let codes = alphabet::unpack(bytes, 0, digits * 4 / 7);
        return Some(alphabet::text_of(&codes));
    }
    let nibbles = bytes.iter().flat_map(|byte| [byte & 0x0F, byte >> 4]);
    let number: String = nibbles
        .take(digits)
        .filter_map(|digit| char::from_digit(u32::from(digit), 10))
        .collect();
    let plus = if kind & 0x70 == 0x10 { "+" } else { "" };
    Some(format!("{plus}{number}"))
}

/// The text after its header, which says which part of a long message this is: each part is taken
/// for a message, for what is looked for stands in the first words.
fn text(data: &[u8], count: usize, scheme: u8, has_header: bool) -> Option<String> {
    let header = if has_header {
        usize::from(*data.first()?) + 1
    } else {
        0
    };
    let is_ucs2 = scheme & 0x0C == 0x08 && scheme & 0xC0 != 0xC0;
    let is_bytes = scheme & 0x0C == 0x04 && scheme & 0xC0 != 0xC0;
    if is_ucs2 || is_bytes {
        let bytes = data.get(header..count.min(data.len()))?;
        if is_bytes {
            return Some(bytes.iter().map(|byte| char::from(*byte)).collect());
        }
        let units = bytes.chunks_exact(2).map(|pair| match pair {
            [high, low] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        });
        return Some(String::from_utf16_lossy(&units.collect::<Vec<_>>()));
    }
    // The header takes whole letters; what is left of the last one is filling.
    let letters = (header * 8).div_ceil(7);
    let filling = u8::try_from(letters * 7 - header * 8).ok()?;
    let codes = alphabet::unpack(data.get(header..)?, filling, count.saturating_sub(letters));
    Some(alphabet::text_of(&codes))
}

/// What was not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_goes_out_as_the_standard_has_it() {
        let coded = alphabet::one_message("hellohello", "");
        let (length, hex) = submit("+46708251358", &coded);
        assert_eq!(hex, "0011000B916407281553F80000A80AE8329BFD4697D9EC37");
        assert_eq!(length, hex.len() / 2 - 1);
        let (_, hex) = submit("1234567", &alphabet::one_message("ж", ""));
        assert_eq!(hex, "001100078121436 5F70008A8020436".replace(' ', ""));
    }

    #[test]
    fn a_message_that_came_in_is_read() {
        let hex = "07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37";
        let read = delivered(hex).unwrap();
        assert_eq!(read.text, "hellohello");
        assert_eq!(read.from, "27838890001");
        let wide = "07919471227210F2040B919471214365F700086221101215404004041E041A";
        let read = delivered(wide).unwrap();
        assert_eq!(
            (read.from.as_str(), read.text.as_str()),
            ("+49171234567", "ОК")
        );
        // A name instead of a number, and a message cut off in each place.
        for end in 0..hex.len() {
            let read = hex.get(..end).and_then(delivered);
            assert!(read.is_none_or(|read| read.text.chars().count() <= 10));
        }
        assert_eq!(delivered("zz"), None);
    }

    #[test]
    fn the_header_of_a_part_is_left_out() {
        // 05 00 03 xx 02 01, then one bit of filling and the letters.
        let codes = alphabet::septets("OK 17").unwrap();
        let mut data = vec![5, 0, 3, 0x42, 2, 1];
        data.extend(alphabet::pack(&codes, 1));
        let count = 7 + codes.len();
        assert_eq!(text(&data, count, 0, true).as_deref(), Some("OK 17"));
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_modem_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..220)) {
            let read = delivered(&HEXUPPER.encode(&bytes));
            prop_assert!(read.is_none_or(|read| read.text.chars().count() <= 1_600));
        }
    }
}
