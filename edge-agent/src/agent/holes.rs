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
    // Before the task has its first turn: what is learnt until then counts too.
    let changes = holes.subscribe();
    tokio::spawn(run(holes, changes, storage, stop))
}

async fn run(
    holes: Holes,
    mut changes: watch::Receiver<u64>,
    storage: Storage,
    mut stop: watch::Receiver<bool>,
) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::config::Config;
    use std::path::Path;
    use tokio::sync::mpsc;

    fn open(folder: &Path) -> Storage {
        let text = format!("[gateway]\ndata_dir = \"{}\"\n", folder.display());
        let config = Config::parse(&folder.join("edge.toml"), &text).unwrap();
        let (committed, _batches) = mpsc::channel(16);
        crate::agent::open_storage(&config, committed).unwrap().0
    }

    #[tokio::test]
    async fn what_was_learnt_is_known_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let storage = open(folder.path());
        let holes = load(&storage).await;
        assert_eq!(holes.all(), []);
        let (stop, stopped) = watch::channel(false);
        let task = keep(holes.clone(), storage.clone(), stopped);
        let hole = Hole {
            device: "pump".to_owned(),
            place: "1/hr:13+1".to_owned(),
            again: clock::now(),
        };
        holes.note(hole.clone());
        stop.send_replace(true);
        task.await.unwrap();
        storage.close().await.unwrap();
        let storage = open(folder.path());
        assert_eq!(load(&storage).await.all(), [hole]);
    }
}
