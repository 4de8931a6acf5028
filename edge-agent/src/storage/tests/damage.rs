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

fn root_page(path: &Path, table: &str) -> u64 {
    let db = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    db.query_row(sql, [table], |row| row.get(0)).unwrap()
}

async fn holds_all(store: &Store, stream: StreamId) {
    let all = numbered(&noise(700, 20, 11));
    assert_eq!(store.read_all(stream, 1 << 20).await, all);
    assert_eq!(own_events(&store.storage).await, [], "nothing was lost");
    let state = store.storage.sync_state().await.unwrap();
    let old = state.streams.iter().find(|known| known.stream == stream);
    assert_eq!(old.unwrap().acked.pairs(), [(1, 50)]);
    assert_ne!(old.unwrap().incarnation, store.opened.incarnation);
}

#[tokio::test]
async fn a_buffer_that_is_no_database_any_more_is_salvaged_whole() {
    let folder = TempDir::new().unwrap();
    let stream = filled(folder.path()).await;
    overwrite(&folder.path().join("buffer.db"), 0, 200);
    let long = Duration::from_secs(100 * 366 * 86_400);
    let store = Store::open_with(StorageOptions {
        keep: Keep {
            minutes: long,
            hours: long,
            days: long,
            ..Keep::default()
        },
        ..options(folder.path())
    });
    holds_all(&store, stream).await;
    // Its statistics too: the chart is the same without the readings.
    let span = (Timestamp(0), Timestamp(i64::MAX >> 1));
    let chart = store.storage.readings(sensor(1), span.0, span.1, 10).await;
    let db = rusqlite::Connection::open(folder.path().join("buffer.db")).unwrap();
    db.execute("DELETE FROM block", []).unwrap();
    let statistics = store
        .storage
        .readings(sensor(1), span.0, span.1, 10)
        .await
        .unwrap();
    let extremes = |series: &Series| {
        let low = series
            .points
            .iter()
            .filter_map(|p| p.min)
            .min_by(f64::total_cmp);
        (
            low,
            series
                .points
                .iter()
                .filter_map(|p| p.max)
                .max_by(f64::total_cmp),
        )
    };
    assert_eq!(extremes(&statistics), extremes(&chart.unwrap()));
    goes_on(store).await;
    let store = Store::open(folder.path());
    assert_eq!(store.opened.damaged, None);
}

#[tokio::test]
async fn damage_beside_the_readings_costs_none_of_them() {
    let folder = TempDir::new().unwrap();
    let stream = filled(folder.path()).await;
    // A root page in the middle that no start reads by itself: that of the states.
    let path = folder.path().join("buffer.db");
    let page = root_page(&path, "state");
    overwrite(&path, (page - 1) * 4_096, 4_096);
    std::fs::write(folder.path().join("buffer.db-wal"), [1; 100]).unwrap();
    let store = Store::open(folder.path());
    assert!(store.opened.unclean);
    holds_all(&store, stream).await;
    goes_on(store).await;
}

#[tokio::test]
async fn only_what_cannot_be_read_is_lost_and_told() {
    let folder = TempDir::new().unwrap();
    let stream = filled(folder.path()).await;
    let path = folder.path().join("buffer.db");
    let page = root_page(&path, "block");
    overwrite(&path, (page - 1) * 4_096, 4_096);
    // As a reader that met it leaves it behind.
    std::fs::write(folder.path().join("buffer.db.suspect"), "").unwrap();
    let store = Store::open(folder.path());
    let read = store.read_all(stream, 1 << 20).await;
    // The block went with its page: 600 polls or some more. The journal is unhurt.
    let lost = 700 - read.len();
    assert!(lost >= 600);
    assert_eq!(read, numbered(&noise(700, 20, 11))[lost..]);
    let told = (u64::try_from(lost).unwrap() - 50, GapCause::StoreDamaged);
    assert_eq!(gap_of(&store.storage).await, told);
    assert_eq!(own_events(&store.storage).await.len(), 1);
    goes_on(store).await;
}

#[tokio::test]
async fn a_loss_of_unknown_size_is_told_when_nothing_can_be_read() {
    let folder = TempDir::new().unwrap();
    filled(folder.path()).await;
    let path = folder.path().join("buffer.db");
    let length = std::fs::metadata(&path).unwrap().len();
    overwrite(&path, 0, usize::try_from(length).unwrap());
    let store = Store::open(folder.path());
    assert_eq!(gap_of(&store.storage).await, (0, GapCause::StoreDamaged));
    goes_on(store).await;
}

#[tokio::test]
async fn a_crash_while_salvaging_begins_it_again() {
    let folder = TempDir::new().unwrap();
    let stream = filled(folder.path()).await;
    let file = |name: &str| folder.path().join(name);
    std::fs::rename(file("buffer.db"), file("buffer.db.damaged-7")).unwrap();
    std::fs::write(file("buffer.db.salvaging"), "buffer.db.damaged-7").unwrap();
    std::fs::write(file("buffer.db"), [7; 9_000]).unwrap();
    let store = Store::open(folder.path());
    holds_all(&store, stream).await;
    assert!(!file("buffer.db.salvaging").exists());
    goes_on(store).await;
}

#[tokio::test]
async fn a_migration_makes_a_copy_first_and_is_refused_without_room_for_it() {
    let folder = TempDir::new().unwrap();
    let stream = filled(folder.path()).await;
    let path = folder.path().join("buffer.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "DROP TABLE rollup; DROP TABLE poll_group; DROP TABLE thinned; PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(db);
    let (sender, _committed) = mpsc::channel(1);
    let no_room = |_: &Path| {
        Some(Disk {
            bytes: 1 << 30,
            free_bytes: 5_000,
        })
    };
    let options = StorageOptions {
        disk: no_room,
        ..options(folder.path())
    };
    let error = Storage::open(options, sender).unwrap_err();
    assert!(
        matches!(
            error,
            StorageError::NoRoomForCopy {
                free_bytes: 5_000,
                ..
            }
        ),
        "{error:?}"
    );
    let before = folder.path().join("buffer.db.version-1");
    assert!(!before.exists());
    let store = Store::open(folder.path());
    let all = numbered(&noise(700, 20, 11));
    assert_eq!(store.read_all(stream, 1 << 20).await, all);
    let copy = rusqlite::Connection::open(&before).unwrap();
    let version: usize = copy
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1);
    drop(copy);
    let _store = store.reopen(folder.path()).await;
    assert!(
        !before.exists(),
        "closed well: the way back is not wanted any more"
    );
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
    for (file, newest) in [("core.db", 8), ("buffer.db", 3)] {
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
