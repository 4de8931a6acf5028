//! Attachments on the box: bytes before the event, room by giving up what the hub has, and order
//! after whatever happened.

use super::records::append;
use super::{Store, options};
use crate::storage::{AttachError, Disk, NewAttachment, NewEvent, Received, StorageOptions};
use protocol::attachment::ContentHash;
use protocol::event::{Actor, Body, WorkOrderCreated, WorkOrderEvent, WorkType};
use protocol::id::WorkOrderId;
use protocol::limits::ATTACHMENT_BYTES_MAX;
use std::path::Path;
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

const ORDER: WorkOrderId = WorkOrderId(Uuid::from_u128(0xB1));

async fn with_order(options: StorageOptions) -> Store {
    let store = Store::open_with(options);
    let created = WorkOrderCreated {
        number: "B1-0001".into(),
        title: "Seal leaks".into(),
        description: String::new(),
        work_type: WorkType::Corrective,
        priority: 3,
        asset: None,
        alert: None,
        dedupe_key: None,
        requested: false,
    };
    let event = NewEvent {
        id: None,
        actor: ana(),
        record: ORDER.into(),
        body: Body::WorkOrder(WorkOrderEvent::Created(created)),
    };
    append(&store.storage, event).await.unwrap();
    store
}

fn ana() -> Actor {
    Actor::Person("Ana".into(), None)
}

async fn receive(store: &Store, bytes: Vec<u8>) -> Result<Received, AttachError> {
    let (sender, parts) = mpsc::channel(4);
    let send = async move {
        for part in bytes.chunks(50_000) {
            if sender.send(Some(part.to_vec())).await.is_err() {
                return;
            }
        }
        drop(sender.send(None).await);
    };
    tokio::join!(store.storage.receive(parts), send).0
}

async fn attach(store: &Store, bytes: Vec<u8>) -> Result<ContentHash, AttachError> {
    let received = receive(store, bytes).await?;
    let hash = received.hash;
    let new = NewAttachment {
        order: ORDER,
        actor: ana(),
        name: "../pump.jpg".into(),
        note: Some("before".into()),
        received,
    };
    store.storage.attach(new).await.map(|_| hash)
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("attachments")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_attachment_is_a_file_and_an_event_and_the_same_bytes_are_one() {
    let folder = TempDir::new().unwrap();
    let store = with_order(options(folder.path())).await;
    let mut photo = b"\xFF\xD8\xFF".to_vec();
    photo.extend(vec![7; 120_000]);
    let hash = attach(&store, photo.clone()).await.unwrap();
    assert_eq!(attach(&store, photo.clone()).await.unwrap(), hash);
    let order = store.storage.work_order(ORDER).await.unwrap().unwrap();
    assert_eq!(order.attachments.len(), 1);
    let attached = &order.attachments[0].content;
    assert_eq!(
        (attached.name.as_str(), attached.media_type.as_str()),
        ("pump.jpg", "image/jpeg")
    );
    assert_eq!(attached.bytes, 120_003);
    assert_eq!(files(folder.path()), [hash.to_string()]);
    let read = store.storage.content(hash, 120_000, 1 << 20).await.unwrap();
    assert_eq!(read, photo[120_000..]);
    let waiting = store.storage.contents_waiting().await.unwrap();
    assert_eq!(waiting.len(), 1);
    // The hub has it: told to whoever looks at the order, and not offered again.
    let mut changes = store.storage.changes();
    store.storage.content_at_hub(hash).await.unwrap();
    assert_eq!(changes.recv().await.unwrap().record, ORDER.into());
    assert_eq!(store.storage.contents_waiting().await.unwrap(), []);
    let places = store.storage.content_places(vec![hash]).await.unwrap();
    assert!(places[0].here && places[0].at_hub);
    store.storage.doubt_contents().await.unwrap();
    assert_eq!(store.storage.contents_waiting().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let store = with_order(options(folder.path())).await;
    let long = vec![1; usize::try_from(ATTACHMENT_BYTES_MAX).unwrap() + 1];
    assert!(matches!(
        receive(&store, long).await,
        Err(AttachError::TooLong)
    ));
    assert!(matches!(
        receive(&store, vec![]).await,
        Err(AttachError::Empty)
    ));
    // The sender goes before the end.
    let (sender, parts) = mpsc::channel(4);
    sender.send(Some(vec![1; 100])).await.unwrap();
    drop(sender);
    let broken = store.storage.receive(parts).await;
    assert!(matches!(broken, Err(AttachError::Broken)));
    // An order that nobody knows.
    let new = NewAttachment {
        order: WorkOrderId(Uuid::from_u128(9)),
        actor: ana(),
        name: "a".into(),
        note: None,
        received: receive(&store, vec![1]).await.unwrap(),
    };
    let unknown = store.storage.attach(new).await;
    assert!(matches!(unknown, Err(AttachError::NoOrder)));
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn what_the_hub_has_makes_room_oldest_first_and_what_it_has_not_never_does() {
    let folder = TempDir::new().unwrap();
    let options = StorageOptions {
        attachments_bytes_max: 3_000,
        ..options(folder.path())
    };
    let store = with_order(options).await;
    let mut hashes = Vec::new();
    for number in 1..=3 {
        hashes.push(attach(&store, vec![number; 1_000]).await.unwrap());
    }
    let full = attach(&store, vec![4; 1_000]).await.unwrap_err();
    let words = full.to_string();
    assert!(
        words.contains("holds 3 photos") && words.contains("attachments_max"),
        "{words}"
    );
    assert_eq!(files(folder.path()).len(), 3);
    // A later one is at the hub first; it goes, the others stay.
    store.storage.content_at_hub(hashes[1]).await.unwrap();
    let new = attach(&store, vec![5; 1_000]).await.unwrap();
    let mut expected = [hashes[0], hashes[2], new].map(|hash| hash.to_string());
    expected.sort();
    assert_eq!(files(folder.path()), expected);
    let places = store.storage.content_places(vec![hashes[1]]).await.unwrap();
    assert!(!places[0].here && places[0].at_hub);
    let order = store.storage.work_order(ORDER).await.unwrap().unwrap();
    assert_eq!(order.attachments.len(), 4, "the fact stays");
    let read = store.storage.content(hashes[1], 0, 10).await.unwrap();
    assert!(read.is_empty());
}

#[tokio::test]
async fn a_nearly_full_disk_is_left_to_readings_and_events() {
    let folder = TempDir::new().unwrap();
    let options = StorageOptions {
        disk: |_| {
            Some(Disk {
                bytes: 1 << 30,
                free_bytes: 20 << 20,
            })
        },
        ..options(folder.path())
    };
    let store = with_order(options).await;
    let refused = attach(&store, vec![1]).await.unwrap_err();
    assert!(matches!(refused, AttachError::DiskFull));
}

#[tokio::test]
async fn a_start_removes_files_without_an_event_and_tells_of_those_that_are_gone() {
    let folder = TempDir::new().unwrap();
    let store = with_order(options(folder.path())).await;
    let kept = attach(&store, vec![1; 10]).await.unwrap();
    let lost = attach(&store, vec![2; 10]).await.unwrap();
    store.storage.close().await.unwrap();
    let attachments = folder.path().join("attachments");
    // A crash came between the file and its event, and in the middle of another file.
    std::fs::write(attachments.join(ContentHash::of(b"x").to_string()), b"x").unwrap();
    std::fs::write(attachments.join("7.part"), b"half").unwrap();
    std::fs::remove_file(attachments.join(lost.to_string())).unwrap();
    let store = Store::open(folder.path());
    assert_eq!(files(folder.path()), [kept.to_string()]);
    let waiting = store.storage.contents_waiting().await.unwrap();
    assert_eq!(waiting.iter().map(|w| w.hash).collect::<Vec<_>>(), [kept]);
    let sum = store.storage.contents_sum().await.unwrap();
    assert_eq!((sum.count, sum.bytes, sum.waiting), (1, 10, 1));
}

#[tokio::test]
async fn bytes_that_changed_on_the_disk_are_told_and_no_longer_sent() {
    let folder = TempDir::new().unwrap();
    let store = with_order(options(folder.path())).await;
    let hash = attach(&store, vec![1; 10]).await.unwrap();
    assert!(store.storage.content_is_right(hash).await.unwrap());
    let file = folder.path().join("attachments").join(hash.to_string());
    std::fs::write(file, [2; 10]).unwrap();
    assert!(!store.storage.content_is_right(hash).await.unwrap());
    assert_eq!(store.storage.contents_waiting().await.unwrap(), []);
}
