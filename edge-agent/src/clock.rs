//! The one place that reads the box's clocks, and says how far the wall clock may be trusted.
//! Never sets a clock.

use protocol::time::{ClockState, Timestamp};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Marks of time services that tell of a synchronised clock (systemd-timesyncd, chrony).
const SYNCHRONISED_MARKS: [&str; 1] = ["/run/systemd/timesync/synchronized"];
/// Before this point the clock of a box that runs this program is certainly not set: 2026-01-01.
const PLAUSIBLE_FROM_US: i64 = 1_767_225_600_000_000;

static TRUSTED: AtomicBool = AtomicBool::new(false);

/// The wall clock.
pub fn now() -> Timestamp {
    let micros = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// A clock that only runs forward, in microseconds since the program began.
pub fn monotonic() -> Timestamp {
    static START: OnceLock<Instant> = OnceLock::new();
    let micros = START.get_or_init(Instant::now).elapsed().as_micros();
    Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// The configuration says that something else (PTP, GPS) disciplines the clock.
pub fn set_trusted(trusted: bool) {
    TRUSTED.store(trusted, Ordering::Relaxed);
}

/// How far the wall clock may be trusted now.
///
/// Synchronised when the configuration or a time service says so; holdover when it merely looks
/// right; untrusted when it shows a time before this program existed.
pub fn state() -> ClockState {
    let plausible = now().0 >= PLAUSIBLE_FROM_US;
    let marked = || {
        SYNCHRONISED_MARKS
            .iter()
            .any(|mark| Path::new(mark).exists())
    };
    match (plausible, TRUSTED.load(Ordering::Relaxed) || marked()) {
        (false, _) => ClockState::Untrusted,
        (true, true) => ClockState::Synchronised,
        (true, false) => ClockState::Holdover,
    }
}
