//! What the drivers learnt of registers that devices do not have, from the store and back into it. Never
//! holds a driver up: a list that could not be written down is learnt again.

use crate::drivers::{Hole, Holes};
use crate::storage::{Storage, StorageError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Those that were written down. A list that cannot be read is none.
pub(super) async fn load(storage: &Storage) -> Holes {
    let known = storage.holes().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "which registers were refused is learnt anew");
        Vec::new()
    });
    let hole = |(device, place, again)| Hole {
        device,
        place,
        again,
    };
    Holes::new(known.into_iter().map(hole).collect())
}

/// Starts the task that writes down every change, and the last one when the agent stops.
pub(super) fn keep(holes: Holes, storage: Storage, stop: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(run(holes, storage, stop))
}

async fn run(holes: Holes, storage: Storage, mut stop: watch::Receiver<bool>) {
    let mut changes = holes.subscribe();
    loop {
        let stopped = tokio::select! {
            changed = changes.changed() => changed.is_err(),
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if (!stopped || changes.has_changed().unwrap_or(false))
            && let Err(error) = write(&holes, &storage).await
        {
            tracing::warn!(%error, "refused registers were not written down; they are learnt again");
        }
        if stopped {
            return;
        }
    }
}

async fn write(holes: &Holes, storage: &Storage) -> Result<(), StorageError> {
    let rows = holes.all().into_iter();
    let rows = rows.map(|hole| (hole.device, hole.place, hole.again));
    storage.set_holes(rows.collect()).await
}
