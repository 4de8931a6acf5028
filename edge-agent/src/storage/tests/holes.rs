//! Refused registers are still known after the box was off.

use super::*;

#[tokio::test]
async fn the_list_outlives_a_restart_and_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    assert_eq!(store.storage.holes().await.unwrap(), []);
    let hole = |at: i64| ("pump".to_owned(), format!("1/hr:{at}+1"), Timestamp(at));
    store
        .storage
        .set_holes(vec![hole(13), hole(14)])
        .await
        .unwrap();
    store.storage.close().await.unwrap();
    let store = Store::open(folder.path());
    assert_eq!(store.storage.holes().await.unwrap(), [hole(13), hole(14)]);
    store.storage.set_holes(vec![hole(14)]).await.unwrap();
    assert_eq!(store.storage.holes().await.unwrap(), [hole(14)]);
}
