//! Between the protocol's types and what the database holds: ids as 16 bytes, numbers as `i64`.
//! Never a query.

use protocol::time::{ClockState, Hlc};
use rusqlite::Row;
use uuid::Uuid;

/// A number for a column. Those beyond `i64` are refused at the door (`ingest`), never stored.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A number from a column.
pub(super) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A count or a position from column `at`.
pub(super) fn count(row: &Row<'_>, at: usize) -> rusqlite::Result<usize> {
    row.get::<_, u32>(at)
        .map(|value| usize::try_from(value).unwrap_or(usize::MAX))
}

/// An id from column `at`.
pub(super) fn id<T: From<Uuid>>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    row.get::<_, [u8; 16]>(at)
        .map(|bytes| T::from(Uuid::from_bytes(bytes)))
}

/// An id that may be missing from column `at`.
pub(super) fn id_or_none<T: From<Uuid>>(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<T>> {
    let bytes: Option<[u8; 16]> = row.get(at)?;
    Ok(bytes.map(|bytes| T::from(Uuid::from_bytes(bytes))))
}

/// A stamp as bytes that sort like the stamp.
pub(super) fn hlc_bytes(hlc: Hlc) -> [u8; 16] {
    let all =
        (u128::from(hlc.wall_ms) << 64) | (u128::from(hlc.counter) << 32) | u128::from(hlc.node);
    all.to_be_bytes()
}

/// The inverse of [`hlc_bytes`].
pub(super) fn hlc(bytes: [u8; 16]) -> Hlc {
    let all = u128::from_be_bytes(bytes);
    let low_32 = |value: u128| u32::try_from(value & u128::from(u32::MAX)).unwrap_or(0);
    Hlc {
        wall_ms: u64::try_from(all >> 64).unwrap_or(0),
        counter: low_32(all >> 32),
        node: low_32(all),
    }
}

/// The state of a clock as a number.
pub(super) const fn clock_code(clock: ClockState) -> i64 {
    match clock {
        ClockState::Synchronised => 0,
        ClockState::Holdover => 1,
        ClockState::Untrusted => 2,
        ClockState::Corrected => 3,
    }
}

/// The inverse of [`clock_code`]; what is not known is not trusted.
pub(super) const fn clock_state(code: i64) -> ClockState {
    match code {
        0 => ClockState::Synchronised,
        1 => ClockState::Holdover,
        3 => ClockState::Corrected,
        _ => ClockState::Untrusted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_and_sorts_as_bytes() {
        let low = Hlc {
            wall_ms: 1,
            counter: u32::MAX,
            node: 9,
        };
        let high = Hlc {
            wall_ms: 2,
            counter: 0,
            node: 0,
        };
        assert_eq!(hlc(hlc_bytes(low)), low);
        assert_eq!(hlc(hlc_bytes(high)), high);
        assert!(hlc_bytes(low) < hlc_bytes(high));
    }
}
