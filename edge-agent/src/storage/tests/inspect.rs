//! The look from outside: the same beside a running store, after a crash and after a clean end.

use super::*;

fn rows(inspected: &Inspected, table: &str) -> u64 {
    let found = inspected.tables.iter().find(|(name, _)| name == table);
    found.unwrap_or_else(|| panic!("{:?}", inspected.tables)).1
}

/// Every file of a folder with its bytes, but the scratch index that `SQLite` may rebuild.
fn bytes_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && !path.to_string_lossy().ends_with("-shm"))
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn running_and_closed_stores_are_whole_and_stay_as_they_are() {
    let folder = TempDir::new().unwrap();
    assert!(
        inspect(folder.path(), LONG)
            .iter()
            .all(|one| one.found == Found::Missing)
    );
    let mut store = Store::open(folder.path());
    let stream = store
        .storage
        .register_group(group("a", 1, 20))
        .await
        .unwrap();
    store.store(stream, &noise(700, 20, 11)).await;
    let crashed = crash_copy(folder.path());
    let running = inspect(folder.path(), LONG);
    store.storage.close().await.unwrap();
    assert_eq!(inspect(crashed.path(), LONG)[1].found, Found::Unclosed);
    for (folder, found) in [
        (folder.path(), running),
        (folder.path(), inspect(folder.path(), LONG)),
    ] {
        let [core, buffer] = &found;
        assert_eq!((&core.found, &buffer.found), (&Found::Whole, &Found::Whole));
        assert_eq!(core.schema.0, core.schema.1);
        assert_eq!(rows(buffer, "block"), 1, "{folder:?}");
        let before = bytes_of(folder);
        assert_eq!(inspect(folder, LONG)[1].found, Found::Whole);
        assert!(before == bytes_of(folder), "{folder:?} was changed");
    }
    assert!(!folder.path().join("buffer.db-shm").exists());
}

#[tokio::test]
async fn damage_and_a_lack_of_time_are_told() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path());
    store.storage.close().await.unwrap();
    std::fs::write(folder.path().join("buffer.db"), vec![0xA5; 9_000]).unwrap();
    let [core, buffer] = inspect(folder.path(), LONG);
    assert_eq!(core.found, Found::Whole);
    assert!(matches!(buffer.found, Found::Damaged(_)), "{buffer:?}");
    std::fs::rename(
        folder.path().join("buffer.db"),
        folder.path().join("buffer.db.damaged-17"),
    )
    .unwrap();
    assert_eq!(set_aside(folder.path()).len(), 1);
    std::fs::create_dir(folder.path().join("buffer.db")).unwrap();
    let [_, buffer] = inspect(folder.path(), LONG);
    assert!(matches!(buffer.found, Found::Unreadable(_)), "{buffer:?}");
}

#[test]
fn a_statement_that_takes_too_long_is_interrupted() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
                   SELECT count(*) FROM n";
    let ended = crate::storage::inspect::within(&db, Duration::from_millis(20), || {
        db.query_row(endless, [], |row| row.get::<_, u64>(0))
    });
    let code = ended.unwrap_err().sqlite_error_code();
    assert_eq!(code, Some(rusqlite::ErrorCode::OperationInterrupted));
}
