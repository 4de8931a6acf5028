//! A disk with a volatile write cache, served over NBD on a Unix socket: what the guest has not
//! flushed is lost at a power cut, except for a random part of its sectors, as a real disk may
//! have written any of them already. Never answers a flush before the image has the bytes.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// Longest request that is served; qemu sends at most 32 MiB.
const REQUEST_BYTES_MAX: usize = 32 << 20;

// The NBD protocol, <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>.
const GREETING: u64 = 0x4e42_444d_4147_4943;
const HAVE_OPTION: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
const FIXED_NEWSTYLE: u16 = 1;
const OPTION_GO: u32 = 7;
const REPLY_ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
const REPLY_UNSUPPORTED: u32 = 0x8000_0001;
/// Has flags, takes flush, takes "force unit access".
const EXPORT_FLAGS: u16 = 1 | 1 << 2 | 1 << 3;
const FORCE_UNIT_ACCESS: u16 = 1;
const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;
const IO_ERROR: u32 = 5;

/// The disk; serves one guest at a time, gone when dropped.
#[derive(Debug)]
pub struct VolatileDisk {
    socket: PathBuf,
    disk: Arc<Mutex<Disk>>,
}

/// What a power cut met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Sectors in the cache at the cut.
    pub unflushed: usize,
    /// Those of them that had not reached the disk.
    pub lost: usize,
    /// Flushes that were answered before.
    pub flushes: u64,
}

/// State behind the socket; `power` is off after the cut.
#[derive(Debug)]
struct Disk {
    image: File,
    bytes: u64,
    cache: BTreeMap<u64, [u8; SECTOR_BYTES]>,
    flushes: u64,
    power: bool,
    /// The power goes at this write, counted from now.
    cut_at_write: Option<u64>,
}

impl VolatileDisk {
    /// Serves `image` on a socket of this path.
    pub fn start(image: &Path, socket: PathBuf) -> Result<Self> {
        let image = File::options().read(true).write(true).open(image);
        let image = image.context("opening the image of the disk")?;
        let bytes = image
            .metadata()
            .context("asking for the disk's size")?
            .len();
        if socket.exists() {
            std::fs::remove_file(&socket).context("removing the socket of an earlier disk")?;
        }
        let listener = UnixListener::bind(&socket).context("making the socket of the disk")?;
        let disk = Arc::new(Mutex::new(Disk {
            image,
            bytes,
            cache: BTreeMap::new(),
            flushes: 0,
            power: true,
            cut_at_write: None,
        }));
        let served = Arc::clone(&disk);
        std::thread::Builder::new()
            .name("disk".into())
            .spawn(move || {
                if let Ok((guest, _)) = listener.accept() {
                    // A guest that is killed breaks its connection: that ends the disk's work.
                    drop(serve(guest, &served));
                }
            })
            .context("starting the disk's thread")?;
        Ok(Self { socket, disk })
    }

    /// Where the guest finds it.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The power goes in the middle of the guest's work: at its `nth` write from now.
    pub fn cut_at_write(&self, nth: u64) {
        self.disk
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cut_at_write = Some(nth);
    }

    /// Whether the power is still there.
    pub fn has_power(&self) -> bool {
        self.disk
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .power
    }

    /// Cuts the power, if it is not gone yet: nothing is answered or written any more. Of the unflushed sectors those
    /// survive for which `survives` says so.
    pub fn cut(&self, mut survives: impl FnMut() -> bool) -> Result<Lost> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.power = false;
        let cache = std::mem::take(&mut disk.cache);
        let mut lost = Lost {
            unflushed: cache.len(),
            flushes: disk.flushes,
            ..Lost::default()
        };
        for (place, sector) in cache {
            if survives() {
                disk.image.write_all_at(&sector, place)?;
            } else {
                lost.lost += 1;
            }
        }
        Ok(lost)
    }
}

impl Drop for VolatileDisk {
    fn drop(&mut self) {
        self.disk
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .power = false;
        // A thread that still waits for a guest ends with its next visitor.
        drop(UnixStream::connect(&self.socket));
        drop(std::fs::remove_file(&self.socket));
    }
}

impl Disk {
    fn read(&self, place: u64, into: &mut [u8]) -> std::io::Result<()> {
        self.inside(place, into.len())?;
        self.image.read_exact_at(into, place)?;
        let end = place + length(into);
        for (sector, bytes) in self.cache.range(place..end) {
            let from = usize::try_from(sector - place).map_err(|_| ErrorKind::InvalidInput)?;
            if let Some(part) = into.get_mut(from..from + SECTOR_BYTES) {
                part.copy_from_slice(bytes);
            }
        }
        Ok(())
    }

    fn write(&mut self, place: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.inside(place, bytes.len())?;
        if let Some(left) = &mut self.cut_at_write {
            *left = left.saturating_sub(1);
            self.power = *left > 0;
        }
        let (sectors, _) = bytes.as_chunks::<SECTOR_BYTES>();
        for (sector, at) in sectors.iter().zip((place..).step_by(SECTOR_BYTES)) {
            self.cache.insert(at, *sector);
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        for (place, sector) in std::mem::take(&mut self.cache) {
            self.image.write_all_at(&sector, place)?;
        }
        self.flushes += 1;
        Ok(())
    }

    /// Only whole sectors of this disk.
    fn inside(&self, place: u64, count: usize) -> std::io::Result<()> {
        let whole = place.is_multiple_of(512) && count.is_multiple_of(SECTOR_BYTES);
        let end = place.checked_add(u64::try_from(count).unwrap_or(u64::MAX));
        if whole && end.is_some_and(|end| end <= self.bytes) {
            return Ok(());
        }
        Err(ErrorKind::InvalidInput.into())
    }
}

fn serve(mut guest: UnixStream, disk: &Mutex<Disk>) -> Result<()> {
    let bytes = disk.lock().unwrap_or_else(PoisonError::into_inner).bytes;
    agree(&mut guest, bytes)?;
    let mut data = Vec::new();
    loop {
        ensure!(number::<4, _>(&mut guest, u32::from_be_bytes)? == REQUEST);
        let flags = number::<2, _>(&mut guest, u16::from_be_bytes)?;
        let what = number::<2, _>(&mut guest, u16::from_be_bytes)?;
        let handle = number::<8, _>(&mut guest, u64::from_be_bytes)?;
        let place = number::<8, _>(&mut guest, u64::from_be_bytes)?;
        let count = usize::try_from(number::<4, _>(&mut guest, u32::from_be_bytes)?)?;
        ensure!(count <= REQUEST_BYTES_MAX, "a request of {count} bytes");
        data.clear();
        data.resize(if what == FLUSH { 0 } else { count }, 0);
        if what == WRITE {
            guest.read_exact(&mut data)?;
        }
        let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(disk.power, "the power is cut");
        let done = match what {
            READ => disk.read(place, &mut data),
            WRITE => disk.write(place, &data),
            FLUSH => disk.flush(),
            DISCONNECT => return Ok(()),
            _ => Err(ErrorKind::Unsupported.into()),
        };
        let done = done.and_then(|()| {
            if flags & FORCE_UNIT_ACCESS != 0 && disk.power {
                disk.flush()?;
            }
            Ok(())
        });
        ensure!(disk.power, "the power went at this request");
        drop(disk);
        guest.write_all(&REPLY.to_be_bytes())?;
        let error = if done.is_ok() { 0 } else { IO_ERROR };
        guest.write_all(&error.to_be_bytes())?;
        guest.write_all(&handle.to_be_bytes())?;
        if what == READ && done.is_ok() {
            guest.write_all(&data)?;
        }
    }
}

/// The opening of the conversation, up to the option that starts the work.
fn agree(guest: &mut (impl Read + Write), bytes: u64) -> Result<()> {
    guest.write_all(&GREETING.to_be_bytes())?;
    guest.write_all(&HAVE_OPTION.to_be_bytes())?;
    guest.write_all(&FIXED_NEWSTYLE.to_be_bytes())?;
    number::<4, _>(guest, u32::from_be_bytes)?;
    loop {
        ensure!(number::<8, _>(guest, u64::from_be_bytes)? == HAVE_OPTION);
        let option = number::<4, _>(guest, u32::from_be_bytes)?;
        let count = usize::try_from(number::<4, _>(guest, u32::from_be_bytes)?)?;
        if count > 4_096 {
            bail!("an option of {count} bytes");
        }
        guest.read_exact(&mut vec![0; count])?;
        let mut reply = |kind: u32, body: &[u8]| -> Result<()> {
            guest.write_all(&OPTION_REPLY.to_be_bytes())?;
            guest.write_all(&option.to_be_bytes())?;
            guest.write_all(&kind.to_be_bytes())?;
            guest.write_all(&u32::try_from(body.len())?.to_be_bytes())?;
            Ok(guest.write_all(body)?)
        };
        if option != OPTION_GO {
            reply(REPLY_UNSUPPORTED, &[])?;
            continue;
        }
        let (bytes, flags) = (bytes.to_be_bytes(), EXPORT_FLAGS.to_be_bytes());
        reply(REPLY_INFO, &[&[0, 0], bytes.as_slice(), &flags].concat())?;
        return reply(REPLY_ACK, &[]);
    }
}

fn number<const N: usize, T>(from: &mut impl Read, decode: impl Fn([u8; N]) -> T) -> Result<T> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(decode(bytes))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Guest(UnixStream);

    impl Guest {
        fn connect(disk: &VolatileDisk) -> Self {
            let mut stream = UnixStream::connect(disk.socket()).unwrap();
            let mut opening = [0; 18];
            stream.read_exact(&mut opening).unwrap();
            stream.write_all(&1_u32.to_be_bytes()).unwrap();
            for option in [8, OPTION_GO] {
                stream.write_all(&HAVE_OPTION.to_be_bytes()).unwrap();
                stream.write_all(&u32::to_be_bytes(option)).unwrap();
                stream.write_all(&0_u32.to_be_bytes()).unwrap();
            }
            // One refusal, one export, one go.
            stream.read_exact(&mut [0; 20 + 20 + 12 + 20]).unwrap();
            Self(stream)
        }

        fn ask(&mut self, what: u16, flags: u16, (place, count): (u64, u32), data: &[u8]) -> u32 {
            let mut request = REQUEST.to_be_bytes().to_vec();
            request.extend(flags.to_be_bytes());
            request.extend(what.to_be_bytes());
            request.extend(7_u64.to_be_bytes());
            request.extend(place.to_be_bytes());
            request.extend(count.to_be_bytes());
            request.extend(data);
            self.0.write_all(&request).unwrap();
            assert_eq!(number(&mut self.0, u32::from_be_bytes).unwrap(), REPLY);
            let error = number(&mut self.0, u32::from_be_bytes).unwrap();
            assert_eq!(number(&mut self.0, u64::from_be_bytes).unwrap(), 7);
            error
        }

        fn write(&mut self, flags: u16, place: u64, byte: u8) {
            assert_eq!(self.ask(WRITE, flags, (place, 512), &[byte; 512]), 0);
        }
    }

    #[test]
    fn the_power_goes_at_the_write_that_was_asked_for() {
        let scratch = crate::Scratch::new("volatile-disk").unwrap();
        let image = scratch.file("image");
        std::fs::write(&image, vec![0; 4_096]).unwrap();
        let disk = VolatileDisk::start(&image, scratch.file("socket")).unwrap();
        let mut guest = Guest::connect(&disk);
        disk.cut_at_write(2);
        guest.write(0, 0, 1);
        assert!(disk.has_power());
        let mut write = REQUEST.to_be_bytes().to_vec();
        write.extend([0, 0, 0, 1]);
        write.extend([0; 16]);
        write.extend(512_u32.to_be_bytes());
        write.extend([2; 512]);
        guest.0.write_all(&write).unwrap();
        assert_eq!(guest.0.read(&mut [0; 1]).unwrap_or(0), 0, "it was answered");
        assert!(!disk.has_power());
        assert_eq!(disk.cut(|| true).unwrap().unflushed, 1);
        scratch.passed();
    }

    #[test]
    fn what_was_flushed_stays_and_the_rest_is_lost() {
        let scratch = crate::Scratch::new("volatile-disk").unwrap();
        let image = scratch.file("image");
        std::fs::write(&image, vec![0; 4_096]).unwrap();
        let disk = VolatileDisk::start(&image, scratch.file("socket")).unwrap();
        let mut guest = Guest::connect(&disk);
        guest.write(0, 0, 1);
        assert_eq!(guest.ask(FLUSH, 0, (0, 0), &[]), 0);
        guest.write(0, 0, 2);
        guest.write(0, 512, 3);
        guest.write(FORCE_UNIT_ACCESS, 1_024, 4);
        guest.write(0, 1_536, 5);
        guest.write(0, 2_048, 6);
        // The guest sees what it wrote, flushed or not, and nothing beyond the disk's end.
        assert_eq!(guest.ask(READ, 0, (1_536, 512), &[]), 0);
        let mut read = [0; 512];
        guest.0.read_exact(&mut read).unwrap();
        assert_eq!(read, [5; 512]);
        assert_eq!(guest.ask(READ, 0, (4_096, 512), &[]), IO_ERROR);
        let mut nth = 0;
        let lost = disk.cut(|| {
            nth += 1;
            nth == 2
        });
        let expected = Lost {
            unflushed: 2,
            lost: 1,
            flushes: 2,
        };
        assert_eq!(lost.unwrap(), expected);
        let bytes = std::fs::read(&image).unwrap();
        let sectors: Vec<u8> = bytes.iter().step_by(512).copied().collect();
        assert_eq!(sectors, [2, 3, 4, 0, 6, 0, 0, 0]);
        // Nothing is answered without power.
        let write = [REQUEST.to_be_bytes().as_slice(), &[0; 24]].concat();
        guest.0.write_all(&write).unwrap();
        assert_eq!(guest.0.read(&mut [0; 1]).unwrap_or(0), 0);
        scratch.passed();
    }
}
