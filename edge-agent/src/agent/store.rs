//! The store of this box as its configuration wants it. Never opens it twice.

use crate::clock;
use crate::config::Config;
use crate::storage::{Disk, Keep, Opened, Storage, StorageError, StorageOptions};
use tokio::sync::mpsc;

/// Opens the store of this box.
pub fn open_storage(
    config: &Config,
    committed: mpsc::Sender<crate::storage::Committed>,
) -> Result<(Storage, Opened), StorageError> {
    Storage::open(storage_options(config), committed)
}

pub(super) fn storage_options(config: &Config) -> StorageOptions {
    StorageOptions {
        folder: config.gateway.data_dir.clone(),
        commit_tick: config.storage.commit_tick,
        seal_after: config.storage.seal_after,
        buffer_bytes_max: config.storage.buffer_bytes_max,
        core_bytes_max: config.storage.core_bytes_max,
        ballast_bytes: config.storage.ballast_bytes,
        attachments_bytes_max: config.storage.attachments_bytes_max,
        keep: Keep {
            raw: config.storage.keep_raw,
            minutes: config.storage.keep_minutes,
            hours: config.storage.keep_hours,
            days: config.storage.keep_days,
            for_hub: config.hub.is_some(),
        },
        disk: Disk::of,
        queue_polls_max: config.queue.polls_max,
        now: clock::now,
        clock: clock::state,
    }
}
