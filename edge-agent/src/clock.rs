//! The one place that reads the box's clocks, and says how far the wall clock may be trusted.
//! Never sets a clock.
//!
//! Until the time is known in this boot of the machine, its clock counts on from where it began
//! (`boot`), whatever the wall clock does; then what was stamped before is off by one difference.

mod boot;

use boot::{Boot, Look};
use protocol::time::{ClockState, Correction, Timestamp};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Marks of time services that tell of a synchronised clock (systemd-timesyncd).
const SYNCHRONISED_MARKS: [&str; 1] = ["/run/systemd/timesync/synchronized"];
/// What there is where the clock is set to a saved time at the start of the machine.
const RESTORED_MARKS: [&str; 2] = ["/run/systemd/timesync", "/etc/fake-hwclock.data"];
/// Clocks with a battery.
const BATTERY_CLOCKS: &str = "/sys/class/rtc";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const UPTIME: &str = "/proc/uptime";

static TRUSTED: AtomicBool = AtomicBool::new(false);
/// A time service says so; looked at once a second.
static MARKED: AtomicBool = AtomicBool::new(false);
static BOOT: Mutex<Option<Boot>> = Mutex::new(None);

/// What the store keeps of this boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The system's name for the boot.
    pub boot: String,
    /// To be kept, and given to `begin` at the next start.
    pub saved: Vec<u8>,
    /// Whether the time is known.
    pub is_known: bool,
    /// Once it is: what is known of the stamps taken before.
    pub correction: Option<Correction>,
}

/// The time of the box.
pub fn now() -> Timestamp {
    stamp().0
}

/// How far the time of the box may be trusted now.
pub fn state() -> ClockState {
    stamp().1
}

/// The time of the box and how far it may be trusted.
///
/// Synchronised when the configuration or a time service says so; holdover when the clock was set
/// in this boot or has a battery; untrusted until then.
pub fn stamp() -> (Timestamp, ClockState) {
    let look = look_at(MARKED.load(Ordering::Relaxed));
    with_boot(|boot| boot.stamp(&look))
}

/// A clock that only runs forward, in microseconds since the program began.
pub fn monotonic() -> Timestamp {
    let (start, _) = start();
    Timestamp(micros(start.elapsed()))
}

/// The configuration says that something else (PTP, GPS) disciplines the clock.
pub fn set_trusted(trusted: bool) {
    TRUSTED.store(trusted, Ordering::Relaxed);
}

/// At the start, before anything is stamped: what the store kept, and the newest time that this
/// box wrote down itself.
pub fn begin(saved: Option<&[u8]>, last: Timestamp) -> Begun {
    let look = look_around();
    let saved = saved.and_then(|bytes| postcard::from_bytes(bytes).ok());
    let boot = Boot::begin(boot_id(), &look, saved, last);
    let begun = begun(&boot, &look);
    *BOOT.lock().unwrap_or_else(PoisonError::into_inner) = Some(boot);
    begun
}

/// Looks whether the clock was set meanwhile; to be called every second or so.
pub fn look() -> Begun {
    let look = look_around();
    with_boot(|boot| {
        boot.look(&look);
        begun(boot, &look)
    })
}

/// The hub, whose certificate was checked, says what time it is: counts where nothing else told.
pub fn learn(hub: Timestamp) {
    let look = look_around();
    with_boot(|boot| boot.learn(&look, hub));
}

fn begun(boot: &Boot, look: &Look) -> Begun {
    Begun {
        boot: boot.id.clone(),
        saved: postcard::to_allocvec(boot).unwrap_or_default(),
        is_known: boot.is_known(),
        correction: boot.correction(look),
    }
}

fn with_boot<T>(work: impl FnOnce(&mut Boot) -> T) -> T {
    let mut boot = BOOT.lock().unwrap_or_else(PoisonError::into_inner);
    let begin = || Boot::begin(boot_id(), &look_around(), None, Timestamp(0));
    work(boot.get_or_insert_with(begin))
}

fn look_around() -> Look {
    let marked = SYNCHRONISED_MARKS
        .iter()
        .any(|mark| Path::new(mark).exists());
    MARKED.store(marked, Ordering::Relaxed);
    let mut look = look_at(marked);
    look.has_battery =
        std::fs::read_dir(BATTERY_CLOCKS).is_ok_and(|mut clocks| clocks.next().is_some());
    look.is_restored = RESTORED_MARKS.iter().any(|mark| Path::new(mark).exists());
    look
}

/// Without what only counts at the start.
fn look_at(marked: bool) -> Look {
    let (start, boot_us) = start();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    Look {
        boot_us: boot_us.saturating_add(micros(start.elapsed())),
        wall: Timestamp(wall.map_or(0, micros)),
        disciplined: marked || TRUSTED.load(Ordering::Relaxed),
        has_battery: false,
        is_restored: false,
    }
}

/// When the program began, and how long the machine had run then.
fn start() -> (Instant, i64) {
    static START: OnceLock<(Instant, i64)> = OnceLock::new();
    *START.get_or_init(|| {
        let text = std::fs::read_to_string(UPTIME).unwrap_or_default();
        let uptime_s = text.split(' ').next().and_then(|word| word.parse().ok());
        let uptime =
            uptime_s.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
        (Instant::now(), uptime.map_or(0, micros))
    })
}

/// Without one every run of the program counts as a boot: nothing is bridged over a restart.
fn boot_id() -> String {
    match std::fs::read_to_string(BOOT_ID) {
        Ok(id) => id.trim().to_owned(),
        Err(_) => format!("run {}", std::process::id()),
    }
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
