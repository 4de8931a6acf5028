//! The parts that requests and answers are made of: numbers, counted bytes, packed bits. Pure; every
//! length is checked.

use super::{PDU_BYTES_MAX, PduError};

pub(super) fn head(pdu: &[u8]) -> Result<(u8, &[u8]), PduError> {
    match pdu.split_first() {
        Some((function, body)) if pdu.len() <= PDU_BYTES_MAX => Ok((*function, body)),
        _ => Err(PduError::Size(pdu.len())),
    }
}

pub(super) const fn value(function: u8, words: &'static str) -> PduError {
    PduError::Value { function, words }
}

pub(super) fn counted(function: u8, count: u16, most: u16) -> Result<(), PduError> {
    if (1..=most).contains(&count) {
        Ok(())
    } else {
        Err(value(
            function,
            "a count outside what one request may ask for",
        ))
    }
}

/// `N` numbers of 16 bits and nothing behind them.
pub(super) fn exactly<const N: usize>(function: u8, body: &[u8]) -> Result<[u16; N], PduError> {
    match some(function, body)? {
        (numbers, []) => Ok(numbers),
        _ => Err(PduError::Length {
            function,
            wanted: 1 + 2 * N,
            got: 1 + body.len(),
        }),
    }
}

/// `N` numbers of 16 bits and what stands behind them.
pub(super) fn some<const N: usize>(
    function: u8,
    body: &[u8],
) -> Result<([u16; N], &[u8]), PduError> {
    let short = || PduError::Length {
        function,
        wanted: 1 + 2 * N,
        got: 1 + body.len(),
    };
    let (front, rest) = body.split_at_checked(2 * N).ok_or_else(short)?;
    let numbers = words(front).and_then(|numbers| numbers.try_into().ok());
    Ok((numbers.ok_or_else(short)?, rest))
}

/// The bytes behind a byte that says how many there are.
pub(super) fn behind_count(function: u8, body: &[u8]) -> Result<&[u8], PduError> {
    match body.split_first() {
        Some((count, data)) if data.len() == usize::from(*count) => Ok(data),
        Some((count, _)) => Err(PduError::Length {
            function,
            wanted: 2 + usize::from(*count),
            got: 1 + body.len(),
        }),
        None => Err(PduError::Length {
            function,
            wanted: 2,
            got: 1,
        }),
    }
}

pub(super) fn values(function: u8, count: u16, data: &[u8]) -> Result<Vec<u16>, PduError> {
    words(behind_count(function, data)?)
        .filter(|words| words.len() == usize::from(count))
        .ok_or_else(|| value(function, "another number of registers than it says"))
}

pub(super) fn put(out: &mut Vec<u8>, numbers: &[u16]) {
    out.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
}

/// The bytes behind their number; what is longer than a message can be does not come here.
pub(super) fn put_counted(out: &mut Vec<u8>, data: &[u8]) {
    out.push(u8::try_from(data.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(data);
}

pub(super) fn length(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

pub(super) fn registers(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// `None` when half a register is left over.
pub(super) fn words(bytes: &[u8]) -> Option<Vec<u16>> {
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    Some(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}

pub(super) fn packed(bits: &[bool]) -> Vec<u8> {
    let byte = |bits: &[bool]| {
        let bits = bits.iter().enumerate();
        bits.fold(0_u8, |byte, (at, bit)| byte | (u8::from(*bit) << at))
    };
    bits.chunks(8).map(byte).collect()
}

pub(super) fn unpacked(bytes: &[u8]) -> Vec<bool> {
    let bits = |byte: &u8| {
        let byte = *byte;
        (0..8).map(move |at| byte & (1 << at) != 0)
    };
    bytes.iter().flat_map(bits).collect()
}
