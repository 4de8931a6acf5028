//! One hub per data folder. The system gives the lock back when the program ends, however it ends.
//! Never keeps out the commands that work beside a running hub.

use super::ServerError;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// Takes the lock of `folder`; it is held as long as the file lives.
pub(super) fn take(folder: &Path) -> Result<File, ServerError> {
    let path = folder.join("hub.lock");
    let failed = |source| ServerError::Lock {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServerError::AlreadyRuns {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
