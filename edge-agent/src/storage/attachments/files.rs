//! The files of attachments' contents: written beside their place, synced, moved there in one step.
//! Never knows a work order.

use super::AttachError;
use protocol::attachment::{self, ContentDigest, ContentHash, SNIFF_BYTES};
use protocol::limits::ATTACHMENT_BYTES_MAX;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Ends the name of a file that is being written.
const PART: &str = "part";
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// A content whose bytes are on the disk and that belongs to no work order yet. Dropped, it is gone.
#[derive(Debug)]
pub struct Received {
    /// SHA-256 of the bytes.
    pub hash: ContentHash,
    /// How many.
    pub bytes: u64,
    /// What they are, by their beginning.
    pub media_type: &'static str,
    temporary: Temporary,
}

/// A file that goes unless it was moved away.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// A content that is being written.
#[derive(Debug)]
pub(super) struct Incoming {
    file: File,
    temporary: Temporary,
    digest: ContentDigest,
    beginning: Vec<u8>,
    bytes: u64,
}

impl Incoming {
    pub(super) fn begin(folder: &Path) -> Result<Self, AttachError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{number}.{PART}"));
        let file = std::fs::create_dir_all(folder).and_then(|()| File::create(&path));
        Ok(Self {
            file: file.map_err(failed("making", &path))?,
            temporary: Temporary(path),
            digest: ContentDigest::default(),
            beginning: Vec::new(),
            bytes: 0,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), AttachError> {
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.bytes > ATTACHMENT_BYTES_MAX {
            return Err(AttachError::TooLong);
        }
        let more = SNIFF_BYTES.saturating_sub(self.beginning.len());
        self.beginning.extend(bytes.iter().take(more));
        self.digest.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(failed("writing", &self.temporary.0))
    }

    pub(super) fn finish(self) -> Result<Received, AttachError> {
        if self.bytes == 0 {
            return Err(AttachError::Empty);
        }
        self.file
            .sync_all()
            .map_err(failed("syncing", &self.temporary.0))?;
        Ok(Received {
            hash: self.digest.finish(),
            bytes: self.bytes,
            media_type: attachment::media_type(&self.beginning),
            temporary: self.temporary,
        })
    }
}

/// Where a content lies.
pub(super) fn path(folder: &Path, hash: ContentHash) -> PathBuf {
    folder.join(hash.to_string())
}

/// Puts a content into its place, so that it is there after a power cut.
pub(super) fn put(folder: &Path, received: &Received) -> Result<(), AttachError> {
    let to = path(folder, received.hash);
    std::fs::rename(&received.temporary.0, &to)
        .and_then(|()| File::open(folder)?.sync_all())
        // Its own name too, when it is new.
        .and_then(|()| File::open(folder.parent().unwrap_or(folder))?.sync_all())
        .map_err(failed("putting", &to))
}

/// Takes a content away.
pub(super) fn remove(folder: &Path, hash: ContentHash) -> Result<(), AttachError> {
    let path = path(folder, hash);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("removing", &path)(error))
        }
        _ => Ok(()),
    }
}

/// Bytes of a content from `offset` on.
pub(super) fn read(
    folder: &Path,
    hash: ContentHash,
    offset: u64,
    bytes_max: usize,
) -> Result<Vec<u8>, AttachError> {
    let path = path(folder, hash);
    let part = |mut file: File| {
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(bytes_max);
        let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    File::open(&path)
        .and_then(part)
        .map_err(failed("reading", &path))
}

/// Whether the bytes of a content still have its hash.
pub(super) fn is_right(folder: &Path, hash: ContentHash) -> Result<bool, AttachError> {
    let path = path(folder, hash);
    let mut digest = ContentDigest::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut read = || {
        let mut file = File::open(&path)?;
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok::<_, std::io::Error>(());
            }
            digest.update(buffer.get(..count).unwrap_or_default());
        }
    };
    match read() {
        Ok(()) => Ok(digest.finish() == hash),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("reading", &path)(error)),
    }
}

/// Removes every file that is none of `known`; says which of these are not there whole.
pub(super) fn tidy(
    folder: &Path,
    known: &[(ContentHash, u64)],
) -> std::io::Result<Vec<ContentHash>> {
    let entries = match std::fs::read_dir(folder) {
        // Made with the first attachment.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        entries => Some(entries?),
    };
    for entry in entries.into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name();
        let hash: Option<ContentHash> = name.to_str().and_then(|name| name.parse().ok());
        let ours = hash.is_some_and(|hash| known.iter().any(|(known, _)| *known == hash));
        if !ours && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    let whole = |(hash, bytes): &&(ContentHash, u64)| {
        std::fs::metadata(path(folder, *hash)).is_ok_and(|file| file.len() == *bytes)
    };
    Ok(known
        .iter()
        .filter(|known| !whole(known))
        .map(|(hash, _)| *hash)
        .collect())
}

fn failed(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> AttachError {
    let path = path.to_owned();
    move |source| AttachError::File {
        action,
        path: path.clone(),
        source,
    }
}
