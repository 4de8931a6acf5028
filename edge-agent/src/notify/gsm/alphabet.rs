//! The letters of an SMS: the GSM 7 bit alphabet with its extension (3GPP TS 23.038 section 6.2.1)
//! and UCS-2; which of the two a text needs, and how it is cut to one message. Pure.

/// Letters of one message in the 7 bit alphabet; those of the extension count twice.
pub(super) const SEPTETS_MAX: usize = 160;
/// Letters of one message in UCS-2.
pub(super) const UCS2_MAX: usize = 70;
/// The letter that says that one of the extension follows.
const ESCAPE: u8 = 0x1B;

/// The alphabet, by code; the place of the escape holds a letter that no text has.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\u{0}ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// What follows an escape.
const EXTENSION: [(u8, char); 10] = [
    (0x0A, '\u{C}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2F, '\\'),
    (0x3C, '['),
    (0x3D, '~'),
    (0x3E, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

/// A text in the letters that fit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Coded {
    /// Seven bits each, one per byte.
    Septets(Vec<u8>),
    /// Sixteen bits each.
    Ucs2(Vec<u16>),
}

/// A text as one message. Rule: what the 7 bit alphabet lacks and has a near likeness (`°`, `²`, long
/// dashes, curly quotes, some accents) is written so; a text with other letters goes as UCS-2. Too
/// long, it is cut at the last gap between words that leaves room for `…` (`...` in 7 bits) and for
/// `tail`, which is never cut: it holds how to answer.
pub(super) fn one_message(text: &str, tail: &str) -> Coded {
    let (text, tail) = (near(text), near(tail));
    if let (Some(body), Some(end)) = (septets(&text), septets(&tail)) {
        if body.len() + end.len() <= SEPTETS_MAX {
            return Coded::Septets([body, end].concat());
        }
        let room = SEPTETS_MAX.saturating_sub(end.len() + 3);
        let cut = cut(&text, room, |c| septet(c).map_or(1, |codes| codes.len()));
        let cut = septets(&format!("{cut}...")).unwrap_or_default();
        return Coded::Septets([cut, end].concat());
    }
    Coded::Ucs2(ucs2(&text, &tail))
}

/// The same as UCS-2, whatever its letters are.
pub(super) fn ucs2(text: &str, tail: &str) -> Vec<u16> {
    let end: Vec<u16> = tail.encode_utf16().collect();
    let body: Vec<u16> = text.encode_utf16().collect();
    if body.len() + end.len() <= UCS2_MAX {
        return [body, end].concat();
    }
    let room = UCS2_MAX.saturating_sub(end.len() + 1);
    let cut = cut(text, room, char::len_utf16);
    let cut = format!("{cut}…");
    cut.encode_utf16().chain(end).collect()
}

/// As much of a text as has room, up to a gap between words where there is one in its second half.
fn cut(text: &str, room: usize, length: impl Fn(char) -> usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += length(*c);
        used > room
    });
    let whole = end.map_or(text, |(at, _)| text.get(..at).unwrap_or(text));
    let gap = whole.rfind(' ').filter(|gap| *gap > whole.len() / 2);
    let ends_a_word = text
        .get(whole.len()..)
        .is_none_or(|rest| rest.starts_with(' '));
    match gap {
        Some(gap) if !ends_a_word => whole.get(..gap).unwrap_or(whole),
        _ => whole.trim_end(),
    }
}

/// What the alphabet lacks, in what is near to it.
fn near(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '°' => {}
            '²' => out.push('2'),
            '³' => out.push('3'),
            'µ' | 'μ' | 'ú' | 'û' => out.push('u'),
            '…' => out.push_str("..."),
            '–' | '—' | '−' => out.push('-'),
            '‘' | '’' | '´' | '`' => out.push('\''),
            '“' | '”' | '„' | '«' | '»' => out.push('"'),
            'á' | 'â' | 'ã' => out.push('a'),
            'Á' | 'À' | 'Â' | 'Ã' => out.push('A'),
            'ê' | 'ë' => out.push('e'),
            'È' | 'Ê' | 'Ë' => out.push('E'),
            'í' | 'î' | 'ï' => out.push('i'),
            'ó' | 'ô' | 'õ' => out.push('o'),
            'Ó' | 'Ô' | 'Õ' => out.push('O'),
            'ç' => out.push('c'),
            '×' => out.push('x'),
            '≤' => out.push_str("<="),
            '≥' => out.push_str(">="),
            c if matches!(c, '\u{A0}' | '\u{202F}') || (c.is_control() && c != '\n') => {
                out.push(' ');
            }
            c => out.push(c),
        }
    }
    out
}

/// A text in the 7 bit alphabet; `None` when it has another letter.
pub(super) fn septets(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        out.extend(septet(c)?);
    }
    Some(out)
}

fn septet(c: char) -> Option<Vec<u8>> {
    if let Some((code, _)) = EXTENSION.iter().find(|(_, letter)| *letter == c) {
        return Some(vec![ESCAPE, *code]);
    }
    let at = BASIC
        .chars()
        .position(|letter| letter == c && c != '\u{0}')?;
    Some(vec![u8::try_from(at).ok()?])
}

/// The text of letters in the 7 bit alphabet; one that is none is `?`.
pub(super) fn text_of(septets: &[u8]) -> String {
    let mut out = String::with_capacity(septets.len());
    let mut codes = septets.iter();
    while let Some(code) = codes.next() {
        let letter = if *code == ESCAPE {
            let wanted = codes.next();
            let found = EXTENSION.iter().find(|(known, _)| Some(known) == wanted);
            found.map(|(_, letter)| *letter)
        } else {
            BASIC.chars().nth(usize::from(*code))
        };
        out.push(letter.unwrap_or('?'));
    }
    out
}

/// Letters packed, 8 in 7 bytes (3GPP TS 23.038 section 6.1.2.1.1), after `skip` bits of filling.
pub(super) fn pack(septets: &[u8], skip: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(septets.len());
    let (mut bits, mut count) = (0_u32, u32::from(skip));
    for septet in septets {
        bits |= u32::from(septet & 0x7F) << count;
        count += 7;
        while count >= 8 {
            out.push(low_byte(bits));
            bits >>= 8;
            count -= 8;
        }
    }
    if count > 0 {
        out.push(low_byte(bits));
    }
    out
}

/// The opposite of `pack`; `count` letters at most.
pub(super) fn unpack(bytes: &[u8], skip: u8, count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(count);
    let (mut bits, mut have) = (0_u32, 0_u32);
    let mut skip = u32::from(skip);
    for byte in bytes {
        if out.len() >= count {
            break;
        }
        bits |= u32::from(*byte) << have;
        have += 8;
        let skipped = skip.min(have);
        bits >>= skipped;
        have -= skipped;
        skip -= skipped;
        while have >= 7 && out.len() < count {
            out.push(low_byte(bits) & 0x7F);
            bits >>= 7;
            have -= 7;
        }
    }
    out
}

fn low_byte(bits: u32) -> u8 {
    let [low, ..] = bits.to_le_bytes();
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_alphabet_has_its_codes() {
        for (text, codes) in [
            ("@", vec![0]),
            ("Hi", vec![0x48, 0x69]),
            ("ä", vec![0x7B]),
            ("à", vec![0x7F]),
            ("§", vec![0x5F]),
            ("€", vec![0x1B, 0x65]),
            (" ", vec![0x20]),
        ] {
            assert_eq!(septets(text), Some(codes.clone()), "{text}");
            assert_eq!(text_of(&codes), text);
        }
        assert_eq!(septets("ж"), None);
        assert_eq!(BASIC.chars().count(), 128);
        assert_eq!(text_of(&[0x1B]), "?");
    }

    #[test]
    fn letters_are_packed_as_the_standard_has_it() {
        // The example that every description of the format has.
        let codes = septets("hellohello").unwrap();
        let packed = data_encoding::HEXUPPER.encode(&pack(&codes, 0));
        assert_eq!(packed, "E8329BFD4697D9EC37");
    }

    #[test]
    fn a_text_is_one_message_and_the_answer_is_never_cut() {
        let tail = " Answer OK 17";
        let text = |coded: Coded| match coded {
            Coded::Septets(codes) => (text_of(&codes), codes.len()),
            Coded::Ucs2(units) => (String::from_utf16(&units).unwrap(), units.len()),
        };
        let (short, _) = text(one_message("High: P-7 bearing at 92.1 °C", tail));
        assert_eq!(short, "High: P-7 bearing at 92.1 C Answer OK 17");
        let (long, length) = text(one_message(&"bearing too hot ".repeat(20), tail));
        assert!(length <= SEPTETS_MAX, "{length}");
        assert!(long.ends_with("... Answer OK 17"), "{long}");
        let cut = long.trim_end_matches("... Answer OK 17");
        assert!(
            cut.ends_with("hot") || cut.ends_with("bearing") || cut.ends_with("too"),
            "{long}"
        );
        let (other, length) = text(one_message(&"Подшипник горячий ".repeat(9), tail));
        assert!(
            length <= UCS2_MAX && other.ends_with("… Answer OK 17"),
            "{other}"
        );
        let (euros, length) = text(one_message(&"€".repeat(200), tail));
        assert!(length <= SEPTETS_MAX && euros.ends_with(tail), "{euros}");
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(codes in proptest::collection::vec(0_u8..128, 0..170), skip in 0_u8..7) {
            let packed = pack(&codes, skip);
            prop_assert_eq!(unpack(&packed, skip, codes.len()), codes);
        }

        #[test]
        fn every_text_fits_one_message(text in "\\PC{0,300}") {
            match one_message(&text, " Answer OK 999") {
                Coded::Septets(codes) => {
                    prop_assert!(codes.len() <= SEPTETS_MAX);
                    prop_assert!(text_of(&codes).ends_with(" Answer OK 999"));
                }
                Coded::Ucs2(units) => {
                    prop_assert!(units.len() <= UCS2_MAX);
                    prop_assert!(String::from_utf16(&units).unwrap().ends_with(" Answer OK 999"));
                }
            }
        }
    }
}
