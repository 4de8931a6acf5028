//! Room on the disk: how much there is, and a ballast file that is let go when there is none left,
//! so that alerts and events can still be written. Never touches a database.
//!
//! Readings may not use what the ballast held: the buffer is told how far it may still grow, and
//! gives up its oldest readings within its own file instead. The ballast is made again when twice
//! its size is free.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Above this share the disk is nearly full, in percent: a person should look.
pub const DISK_WARNING_PERCENT: u64 = 90;
/// The ballast takes at most this part of the disk.
const DISK_PART_MAX: u64 = 20;
const FILE: &str = "ballast";

/// A disk, as the system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Disk {
    /// Its size.
    pub bytes: u64,
    /// What this process may still write.
    pub free_bytes: u64,
}

impl Disk {
    /// The disk of a folder; `None` when the system does not tell.
    pub fn of(folder: &Path) -> Option<Self> {
        let told = rustix::fs::statvfs(folder).ok()?;
        Some(Self {
            bytes: told.f_blocks.saturating_mul(told.f_frsize),
            free_bytes: told.f_bavail.saturating_mul(told.f_frsize),
        })
    }

    /// How full it is, in percent.
    pub const fn used_percent(self) -> u64 {
        match self.bytes {
            0 => 0,
            bytes => 100 - (self.free_bytes.saturating_mul(100) / bytes),
        }
    }
}

/// What there is, and whether the ballast lies in it.
#[derive(Debug)]
pub(super) struct Room {
    folder: PathBuf,
    ballast_bytes: u64,
    measure: fn(&Path) -> Option<Disk>,
    pub disk: Option<Disk>,
    ballast: bool,
    /// The ballast was let go and is not back.
    pub full: bool,
    warned: bool,
}

impl Room {
    fn new(folder: &Path, ballast_bytes: u64, measure: fn(&Path) -> Option<Disk>) -> Self {
        let path = folder.join(FILE);
        Self {
            folder: folder.to_owned(),
            ballast_bytes,
            measure,
            disk: None,
            ballast: path.exists(),
            full: false,
            warned: false,
        }
    }

    /// One that has looked at the disk.
    pub(super) fn looked(
        folder: &Path,
        ballast_bytes: u64,
        measure: fn(&Path) -> Option<Disk>,
    ) -> Self {
        let mut room = Self::new(folder, ballast_bytes, measure);
        room.look();
        room
    }

    /// Looks at the disk; lets the ballast go or makes it again. Says how many bytes readings may
    /// still take; `None` when nobody knows.
    pub(super) fn look(&mut self) -> Option<u64> {
        self.disk = (self.measure)(&self.folder);
        let disk = self.disk?;
        let ballast_bytes = self.ballast_bytes.min(disk.bytes / DISK_PART_MAX);
        let low_bytes = ballast_bytes / 4;
        self.warn(disk);
        if self.ballast && disk.free_bytes < low_bytes {
            self.let_go();
        } else if !self.ballast && disk.free_bytes >= ballast_bytes * 2 {
            self.make(ballast_bytes);
        }
        let kept_bytes = if self.ballast {
            low_bytes
        } else {
            ballast_bytes
        };
        Some(disk.free_bytes.saturating_sub(kept_bytes))
    }

    /// A write failed for lack of room, whatever the system says of the disk.
    pub(super) fn let_go(&mut self) {
        if self.ballast && std::fs::remove_file(self.path()).is_ok() {
            self.ballast = false;
        }
        if !self.full {
            self.full = true;
            tracing::error!(
                folder = %self.folder.display(),
                "the disk is full: alerts and events are still stored, the oldest readings are \
                 given up; make room on the disk"
            );
        }
    }

    fn make(&mut self, bytes: u64) {
        let written = self.write(bytes);
        if let Err(error) = written {
            tracing::warn!(%error, "the room for alerts on a full disk could not be set aside; tried again later");
            // What was written of it only takes room.
            drop(std::fs::remove_file(self.path()));
            return;
        }
        self.ballast = true;
        if std::mem::take(&mut self.full) {
            tracing::info!("the disk has room again");
        }
    }

    /// Bytes that no file system takes for a hole.
    fn write(&self, bytes: u64) -> std::io::Result<()> {
        let mut file = File::create(self.path())?;
        let chunk: Vec<u8> = (0..=u8::MAX).cycle().take(64 << 10).collect();
        let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
        while left > 0 {
            let part = chunk.get(..left.min(chunk.len())).unwrap_or_default();
            file.write_all(part)?;
            left -= part.len();
        }
        file.sync_all()
    }

    fn warn(&mut self, disk: Disk) {
        let percent = disk.used_percent();
        if percent >= DISK_WARNING_PERCENT && !self.warned {
            tracing::warn!(percent, folder = %self.folder.display(), "the disk is nearly full");
        }
        self.warned = percent >= DISK_WARNING_PERCENT;
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    /// A disk of 100 MB with as much free as a file beside it says.
    fn told(folder: &Path) -> Option<Disk> {
        let free = std::fs::read_to_string(folder.join("free")).ok()?;
        Some(Disk {
            bytes: 100 * MB,
            free_bytes: free.parse().ok()?,
        })
    }

    #[test]
    fn the_ballast_goes_when_the_disk_is_full_and_comes_back_with_the_room() {
        let folder = tempfile::TempDir::new().unwrap();
        let free = |bytes: u64| std::fs::write(folder.path().join("free"), bytes.to_string());
        let ballast = || std::fs::metadata(folder.path().join(FILE)).map_or(0, |file| file.len());
        let mut room = Room::new(folder.path(), 16 * MB, told);
        assert_eq!((room.look(), ballast()), (None, 0), "nobody knows");
        free(50 * MB).unwrap();
        // Of a small disk at most a twentieth.
        assert_eq!(room.look(), Some(50 * MB - 5 * MB / 4));
        assert_eq!((ballast(), room.full), (5 * MB, false));
        free(MB).unwrap();
        assert_eq!(room.look(), Some(0), "readings do not take what was let go");
        assert_eq!((ballast(), room.full), (0, true));
        free(6 * MB).unwrap();
        assert_eq!(room.look(), Some(MB));
        assert_eq!((ballast(), room.full), (0, true));
        free(12 * MB).unwrap();
        room.look();
        assert_eq!((ballast(), room.full), (5 * MB, false));
        assert_eq!(room.disk.unwrap().used_percent(), 88);
        // A start finds it.
        assert!(Room::new(folder.path(), 16 * MB, told).ballast);
    }
}
