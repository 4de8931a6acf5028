//! Bringing the store up: folder, lock, both databases, the writer's thread.

use super::attachments::Attachments;
use super::bridge::Bridge;
use super::buffer::{Buffer, Pending};
use super::database;
use super::early::Early;
use super::error::StorageError;
use super::readers::Readers;
use super::records::Core;
use super::retention::Ages;
use super::room::Room;
use super::writer::{Committed, Inputs, Writer};
use super::{Opened, Storage, StorageOptions, bundle, salvage};
use protocol::time::Timestamp;
use rusqlite::Connection;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{broadcast, mpsc, watch};

/// Smallest quota of the buffer: below it sealing would have no room.
const BUFFER_BYTES_MIN: u64 = 1 << 20;
/// Jobs that may wait for the writer; who gives another one waits.
const JOBS_MAX: usize = 64;
/// Changes that a listener may lag behind.
const CHANGES_MAX: usize = 256;

/// Makes the folder where it is not there, and locks it.
fn make_and_lock(folder: &Path) -> Result<File, StorageError> {
    std::fs::create_dir_all(folder).map_err(|source| StorageError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    lock(folder)
}

pub(super) fn open(
    options: StorageOptions,
    committed: mpsc::Sender<Committed>,
) -> Result<(Storage, Opened), StorageError> {
    let folder = options.folder;
    let lock = make_and_lock(&folder)?;
    let now = (options.now)();
    let changes = broadcast::Sender::new(CHANGES_MAX);
    let room = Room::looked(&folder, options.ballast_bytes, options.disk);
    let core_file = database::open_core(&folder, options.disk)?;
    database::limit(&core_file.db, options.core_bytes_max)?;
    let core = Core::load(core_file.db, now, changes.clone())
        .map_err(|error| database::core_damage(&folder, error))?;
    let limits = (options.attachments_bytes_max, options.disk);
    let quota = (options.buffer_bytes_max.max(BUFFER_BYTES_MIN), options.disk);
    let (buffer, unclean, damaged) = open_buffer(&folder, core.incarnation(), quota, now)?;
    let opened = Opened {
        gateway: core.gateway(),
        incarnation: core.incarnation(),
        unclean: unclean || core_file.unclean || damaged.is_some(),
        damaged,
    };
    let (polls, polls_out) = mpsc::channel(options.queue_polls_max.max(1));
    let (jobs, jobs_out) = mpsc::channel(JOBS_MAX);
    let (bridge, held) = Bridge::new();
    let storage = Storage {
        polls,
        jobs,
        shared: Arc::clone(&buffer.shared),
        core: Readers::new(folder.clone(), database::CORE),
        buffer: Readers::new(folder.clone(), database::BUFFER),
        changes,
        held,
        attachments: Attachments::open(&folder, limits, &core.db)?,
        bundle: Arc::new(watch::Sender::new(bundle::load(&core.db)?)),
        gateway: core.gateway(),
    };
    let mut writer = Writer {
        folder,
        lock,
        core,
        buffer,
        pending: Pending::default(),
        commit_tick: options.commit_tick,
        seal_after: options.seal_after,
        room,
        short_logs: false,
        ages: Ages::new(options.keep),
        now: options.now,
        clock: options.clock,
        committed,
        unpublished: None,
        due: None,
        retry_at: None,
        flushing: Vec::new(),
        closing: None,
        failures: 0,
        damaged: false,
        early: Early::new(Instant::now()),
        bridge,
    };
    writer.finish_moving()?;
    writer.tell_gaps()?;
    start(
        writer,
        Inputs {
            polls: polls_out,
            jobs: jobs_out,
        },
    )?;
    Ok((storage, opened))
}

/// The buffer, whether the agent did not close it, and where the one is that was damaged.
fn open_buffer(
    folder: &Path,
    incarnation: u32,
    (bytes_max, disk): (u64, database::Measure),
    now: Timestamp,
) -> Result<(Buffer, bool, Option<PathBuf>), StorageError> {
    let salvage = |aside: &Path, db: &mut Connection| {
        let free_bytes = disk(folder).map_or(u64::MAX, |disk| disk.free_bytes / 2);
        let salvage_bytes_max = (bytes_max / 10 * 8).min(free_bytes).max(BUFFER_BYTES_MIN);
        let copied = database::limit(db, salvage_bytes_max);
        if let Err(error) = copied.and_then(|()| salvage::copy(aside, db, now)) {
            // What was copied is whole; the rest is still in the file set aside.
            tracing::error!(%error, "not all could be copied out of the damaged buffer");
        }
    };
    let load = |opened: database::Opened| {
        let buffer = Buffer::load(opened.db, incarnation, bytes_max)?;
        Ok((buffer, opened.unclean))
    };
    let ((buffer, unclean), damaged) =
        database::open_buffer(folder, now.millis(), disk, salvage, load)?;
    Ok((buffer, unclean, damaged))
}

/// Starts the thread. Its own small runtime only waits for channels and timers.
fn start(writer: Writer, inputs: Inputs) -> Result<(), StorageError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|source| StorageError::Thread { source })?;
    std::thread::Builder::new()
        .name("storage".to_owned())
        .spawn(move || runtime.block_on(writer.run(inputs)))
        .map_err(|source| StorageError::Thread { source })?;
    Ok(())
}

/// The lock goes with the process, however it ends.
pub(super) fn lock(folder: &Path) -> Result<File, StorageError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|source| StorageError::Folder {
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StorageError::InUse { path }),
        Err(std::fs::TryLockError::Error(source)) => Err(StorageError::Folder { path, source }),
    }
}
