//! Files that are damaged, of a newer program, or in use by another.

use super::*;
use protocol::event::{Body, GapCause, GatewayEvent};
use protocol::wire::decode_event;
use std::io::{Seek as _, SeekFrom, Write as _};

/// A store with 700 polls (one block, the rest in the journal), of which the hub has 50; closed.
async fn filled(folder: &Path) -> StreamId {
    let mut store = Store::open(folder);
    let stream = store
        .storage
        .register_group(group("a", 1, 20))
        .await
        .unwrap();
    for portion in noise(700, 20, 11).chunks(350) {
        store.store(stream, portion).await;
    }
    store.storage.mark_acked(stream, 1, 50).await.unwrap();
    store.storage.close().await.unwrap();
    stream
}

fn overwrite(path: &Path, at: u64, bytes: usize) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&vec![0xA5; bytes]).unwrap();
}

async fn gap_of(storage: &Storage) -> (u64, GapCause) {
    let events = own_events(storage).await;
    match decode_event(&events.last().unwrap().1).unwrap().body {
        Body::Gateway(GatewayEvent::Gap { polls, cause, .. }) => (polls, cause),
        other => panic!("{other:?}"),
    }
}

async fn goes_on(mut store: Store) {
    assert!(store.opened.damaged.as_ref().unwrap().exists());
    let stream = store
        .storage
        .register_group(group("a", 1, 20))
        .await
        .unwrap();
    let polls = noise(10, 20, 12);
    assert_eq!(store.store(stream, &polls).await, numbered(&polls));
    let state = store.storage.sync_state().await.unwrap();
    assert_eq!(state.streams[0].incarnation, store.opened.incarnation);
    store.storage.close().await.unwrap();
}

#[tokio::test]
async fn a_buffer_that_is_no_database_any_more_is_set_aside() {
    let folder = TempDir::new().unwrap();
    filled(folder.path()).await;
    overwrite(&folder.path().join("buffer.db"), 0, 200);
    let store = Store::open(folder.path());
    assert_eq!(gap_of(&store.storage).await, (0, GapCause::StoreDamaged));
    goes_on(store).await;
    // It stays so, and is told once.
    let store = Store::open(folder.path());
    assert_eq!(store.opened.damaged, None);
    assert_eq!(own_events(&store.storage).await.len(), 1);
}

#[tokio::test]
async fn damage_found_after_an_unclean_stop_says_how_much_was_lost() {
    let folder = TempDir::new().unwrap();
    filled(folder.path()).await;
    // A root page in the middle that no start reads by itself: that of the states.
    let path = folder.path().join("buffer.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    let page: u64 = db
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'state'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    drop(db);
    overwrite(&path, (page - 1) * 4_096, 4_096);
    std::fs::write(folder.path().join("buffer.db-wal"), [1; 100]).unwrap();
    let store = Store::open(folder.path());
    assert!(store.opened.unclean);
    assert_eq!(gap_of(&store.storage).await, (650, GapCause::StoreDamaged));
    goes_on(store).await;
}

#[tokio::test]
async fn a_block_that_cannot_be_read_is_given_up_and_told() {
    let folder = TempDir::new().unwrap();
    let stream = filled(folder.path()).await;
    let db = rusqlite::Connection::open(folder.path().join("buffer.db")).unwrap();
    let changed = "UPDATE block SET body = CAST(substr(body, 1, length(body) - 1) AS BLOB)";
    assert_eq!(db.execute(changed, []).unwrap(), 1);
    drop(db);
    let store = Store::open(folder.path());
    let read = store.read_all(stream, 1 << 20).await;
    store.storage.flush().await.unwrap();
    let state = store.storage.sync_state().await.unwrap();
    // The block holds 600 polls or some more; the rest was in the journal and is unhurt.
    let lost = state.streams[0].gone.last().unwrap();
    assert!(lost >= 600);
    assert_eq!(state.streams[0].gone.pairs(), [(51, lost)]);
    let all = numbered(&noise(700, 20, 11));
    assert_eq!(read, all[usize::try_from(lost).unwrap()..]);
    let told = (lost - 50, GapCause::StoreDamaged);
    assert_eq!(gap_of(&store.storage).await, told);
}

#[tokio::test]
async fn a_damaged_core_is_not_replaced_and_says_what_to_do() {
    let folder = TempDir::new().unwrap();
    filled(folder.path()).await;
    overwrite(&folder.path().join("core.db"), 0, 200);
    let (sender, _committed) = mpsc::channel(1);
    let error = Storage::open(options(folder.path()), sender).unwrap_err();
    assert!(
        matches!(error, StorageError::CoreDamaged { .. }),
        "{error:?}"
    );
    let words = error.to_string();
    assert!(
        words.contains("core.db") && words.contains("restore it from a backup"),
        "{words}"
    );
    let names = std::fs::read_dir(folder.path()).unwrap();
    assert!(
        names
            .into_iter()
            .all(|n| !n.unwrap().file_name().to_string_lossy().contains("damaged"))
    );
}

#[tokio::test]
async fn files_of_a_newer_agent_are_left_alone() {
    for (file, newest) in [("core.db", 1), ("buffer.db", 2)] {
        let folder = TempDir::new().unwrap();
        filled(folder.path()).await;
        let db = rusqlite::Connection::open(folder.path().join(file)).unwrap();
        db.pragma_update(None, "user_version", 99).unwrap();
        drop(db);
        let (sender, _committed) = mpsc::channel(1);
        let error = Storage::open(options(folder.path()), sender).unwrap_err();
        assert!(
            matches!(error, StorageError::Newer { found: 99, known, .. } if known == newest),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_second_agent_on_the_same_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    let (sender, _committed) = mpsc::channel(1);
    let error = Storage::open(options(folder.path()), sender).unwrap_err();
    assert!(matches!(error, StorageError::InUse { .. }), "{error:?}");
    let _again = store.reopen(folder.path()).await;
}
