//! A command is taken on once, whatever comes between; its result stays until the hub has it.

use super::*;
use crate::storage::TakenOn;
use protocol::limits::COMMANDS_MAX;
use protocol::sync::Outcome;

const ID: Uuid = Uuid::from_u128(7);
/// Long gone, and far away.
const PAST: Timestamp = Timestamp(1);
const FUTURE: Timestamp = Timestamp(i64::MAX);

async fn take_on(store: &Store, id: Uuid, expires: Timestamp) -> TakenOn {
    store.storage.take_on(id, 1, expires, None).await.unwrap()
}

async fn end(store: &Store, id: Uuid) {
    let ended = store
        .storage
        .command_ended(id, Outcome::Done, "ok".to_owned());
    ended.await.unwrap();
}

/// The files of a store that was not closed, opened again.
fn after_a_crash(folder: &TempDir) -> (TempDir, Store) {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let store = Store::open(copy.path());
    (copy, store)
}

#[tokio::test]
async fn a_command_that_a_crash_cut_off_is_unknown_and_never_taken_on_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    assert_eq!(take_on(&store, ID, FUTURE).await, TakenOn::New);
    assert_eq!(take_on(&store, ID, FUTURE).await, TakenOn::Known(None));
    let (_copy, store) = after_a_crash(&folder);
    assert_eq!(store.storage.commands_cut_off().await.unwrap(), 1);
    let TakenOn::Known(Some(result)) = take_on(&store, ID, FUTURE).await else {
        panic!("it is not known")
    };
    assert_eq!(result.outcome, Outcome::Unknown);
    assert_eq!(store.storage.results_waiting().await.unwrap(), [result]);
    // A later word changes nothing, and the hub's acknowledgement ends the telling.
    end(&store, ID).await;
    store.storage.result_acked(ID).await.unwrap();
    assert!(store.storage.results_waiting().await.unwrap().is_empty());
    assert_eq!(store.storage.commands_cut_off().await.unwrap(), 0);
}

#[tokio::test]
async fn one_that_is_not_done_has_its_result_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let ended = Some((Outcome::Expired, "too late".to_owned()));
    let taken = store.storage.take_on(ID, 1, PAST, ended).await.unwrap();
    assert_eq!(taken, TakenOn::New);
    let waiting = store.storage.results_waiting().await.unwrap();
    assert_eq!(
        (waiting[0].outcome, waiting[0].words.as_str()),
        (Outcome::Expired, "too late")
    );
}

#[tokio::test]
async fn only_acknowledged_and_expired_ones_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    for number in 0..u128::try_from(COMMANDS_MAX).unwrap() {
        let id = Uuid::from_u128(number);
        assert_eq!(take_on(&store, id, PAST).await, TakenOn::New);
        end(&store, id).await;
    }
    let next = Uuid::from_u128(1_000);
    assert_eq!(take_on(&store, next, PAST).await, TakenOn::Full);
    store
        .storage
        .result_acked(Uuid::from_u128(0))
        .await
        .unwrap();
    assert_eq!(take_on(&store, next, FUTURE).await, TakenOn::New);
    // The one that made room is forgotten; it had expired, so it cannot be done again.
    let known = take_on(&store, Uuid::from_u128(1), PAST).await;
    assert!(matches!(known, TakenOn::Known(Some(_))));
}
