//! Checksums of line protocols: which sum, how it is written, and over what. Pure. Never guesses: a
//! frame whose checksum is not exactly right is wrong.

/// Which sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// All bytes by exclusive or (NMEA 0183, the BCC of many scales).
    Xor,
    /// The low 8 bits of the sum.
    Sum8,
    /// The low 7 bits of the sum.
    Sum7,
    /// What the sum lacks to 256.
    Lrc,
    /// As Modbus RTU has it.
    Crc16Modbus,
    /// Polynomial 0x1021, begun with 0xFFFF.
    Crc16Ccitt,
    /// Polynomial 0x1021, begun with 0.
    Crc16Xmodem,
}

/// The sums by the words of the configuration.
pub const SUMS: [(&str, Option<Sum>); 8] = [
    ("none", None),
    ("xor", Some(Sum::Xor)),
    ("sum8", Some(Sum::Sum8)),
    ("sum7", Some(Sum::Sum7)),
    ("lrc", Some(Sum::Lrc)),
    ("crc16-modbus", Some(Sum::Crc16Modbus)),
    ("crc16-ccitt", Some(Sum::Crc16Ccitt)),
    ("crc16-xmodem", Some(Sum::Crc16Xmodem)),
];

impl Sum {
    /// Bytes that the sum itself has.
    pub const fn size(self) -> usize {
        match self {
            Self::Xor | Self::Sum8 | Self::Sum7 | Self::Lrc => 1,
            Self::Crc16Modbus | Self::Crc16Ccitt | Self::Crc16Xmodem => 2,
        }
    }

    /// The sum of these bytes.
    pub fn of(self, bytes: &[u8]) -> u16 {
        let sum = || bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        match self {
            Self::Xor => bytes.iter().fold(0, |sum, byte| sum ^ byte).into(),
            Self::Sum8 => sum().into(),
            Self::Sum7 => (sum() & 0x7F).into(),
            Self::Lrc => sum().wrapping_neg().into(),
            Self::Crc16Modbus => crc16_low_first(bytes),
            Self::Crc16Ccitt => crc16_high_first(bytes, 0xFFFF),
            Self::Crc16Xmodem => crc16_high_first(bytes, 0),
        }
    }
}

fn crc16_low_first(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            let polynomial = if crc & 1 == 1 { 0xA001 } else { 0 };
            (crc >> 1) ^ polynomial
        })
    })
}

fn crc16_high_first(bytes: &[u8], begin: u16) -> u16 {
    bytes.iter().fold(begin, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let polynomial = if crc & 0x8000 == 0 { 0 } else { 0x1021 };
            (crc << 1) ^ polynomial
        })
    })
}

/// How a sum is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Two hexadecimal digits for each byte, the high one first, in either case.
    Hex,
    /// Bytes, the high one first.
    HighFirst,
    /// Bytes, the low one first.
    LowFirst,
}

/// The checksum of a kind of frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// Which.
    pub sum: Sum,
    /// How it is written.
    pub form: Form,
    /// The first byte of the frame that counts, from 0.
    pub from: usize,
    /// What stands before it and does not count: the `*` of NMEA 0183. Mostly nothing.
    pub mark: Vec<u8>,
    /// It stands behind the terminator, which counts: STX … ETX BCC.
    pub behind: bool,
}

impl Checksum {
    /// Bytes that it takes on the line, without its mark.
    pub const fn length(&self) -> usize {
        match self.form {
            Form::Hex => self.sum.size() * 2,
            Form::HighFirst | Form::LowFirst => self.sum.size(),
        }
    }

    /// The checksum of `counted`, as it stands on the line. `counted` is all of the frame that
    /// stands before it; `from` is taken off here.
    pub fn of(&self, counted: &[u8]) -> Vec<u8> {
        let sum = self.sum.of(counted.get(self.from..).unwrap_or_default());
        let [high, low] = sum.to_be_bytes();
        match (self.form, self.sum.size()) {
            (Form::Hex, 1) => format!("{low:02X}").into_bytes(),
            (Form::Hex, _) => format!("{sum:04X}").into_bytes(),
            (_, 1) => vec![low],
            (Form::HighFirst, _) => vec![high, low],
            (Form::LowFirst, _) => vec![low, high],
        }
    }

    /// Whether `found` is that checksum.
    pub fn fits(&self, found: &[u8], counted: &[u8]) -> bool {
        let right = self.of(counted);
        match self.form {
            Form::Hex => found.eq_ignore_ascii_case(&right),
            Form::HighFirst | Form::LowFirst => found == right,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_of_the_catalogues() {
        // The check values of the CRC catalogue, over "123456789".
        let digits = b"123456789";
        let values = [
            (Sum::Crc16Modbus, 0x4B37),
            (Sum::Crc16Ccitt, 0x29B1),
            (Sum::Crc16Xmodem, 0x31C3),
            (Sum::Xor, 0x31),
            (Sum::Sum8, 0xDD),
            (Sum::Sum7, 0x5D),
            (Sum::Lrc, 0x23),
        ];
        for (sum, value) in values {
            assert_eq!(sum.of(digits), value, "{sum:?}");
        }
        assert_eq!(Sum::Xor.of(b""), 0);
        // The example of the NMEA 0183 sentence that everybody knows.
        let sentence = b"GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,";
        assert_eq!(Sum::Xor.of(sentence), 0x47);
    }

    #[test]
    fn each_form_is_written_and_found() {
        let checksum = |sum, form| Checksum {
            sum,
            form,
            from: 1,
            mark: Vec::new(),
            behind: false,
        };
        let forms = [
            (Sum::Crc16Ccitt, Form::Hex, &b"29B1"[..]),
            (Sum::Crc16Ccitt, Form::HighFirst, &[0x29, 0xB1]),
            (Sum::Crc16Ccitt, Form::LowFirst, &[0xB1, 0x29]),
            (Sum::Sum8, Form::Hex, b"DD"),
            (Sum::Sum8, Form::LowFirst, &[0xDD]),
        ];
        for (sum, form, written) in forms {
            let checksum = checksum(sum, form);
            assert_eq!(checksum.of(b"$123456789"), written);
            assert_eq!(checksum.length(), written.len());
            assert!(checksum.fits(written, b"$123456789"));
            assert!(!checksum.fits(written, b"$123456788"));
            assert!(!checksum.fits(&written[1..], b"$123456789"));
        }
        let hex = checksum(Sum::Sum8, Form::Hex);
        assert!(hex.fits(b"dd", b"$123456789"), "in either case");
    }
}
