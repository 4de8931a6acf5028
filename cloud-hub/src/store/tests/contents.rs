//! Contents of attachments: what is held goes on where it ended, only what is right is kept, and a
//! copy of the store has them.

use crate::store::testing::{self, Fixture};
use crate::store::{self, StoreError};
use protocol::attachment::ContentHash;
use protocol::event::{Attached, Body, WorkOrderEvent};
use protocol::id::WorkOrderId;
use protocol::limits::ATTACHMENT_BYTES_MAX;
use protocol::sync::{ChunkStored, ContentChunk, ContentState};
use protocol::wire::v1::OfferedContentV1;
use std::io::Read as _;
use uuid::Uuid;

fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

fn offered(bytes: &[u8]) -> OfferedContentV1 {
    OfferedContentV1 {
        hash: ContentHash::of(bytes),
        bytes: u64::try_from(bytes.len()).unwrap(),
    }
}

async fn held(fixture: &Fixture, content: OfferedContentV1) -> (u64, ContentState) {
    let (scope, gateway) = (fixture.scope, fixture.gateway);
    let held = fixture.store.contents_held(scope, gateway, vec![content]);
    held.await.unwrap()[0]
}

async fn bring(
    fixture: &Fixture,
    content: OfferedContentV1,
    (offset, part): (usize, &[u8]),
) -> ChunkStored {
    let end = u64::try_from(offset + part.len()).unwrap();
    let chunk = ContentChunk {
        hash: content.hash,
        offset: u64::try_from(offset).unwrap(),
        bytes: part.to_vec(),
        last: end == content.bytes,
    };
    let (scope, gateway) = (fixture.scope, fixture.gateway);
    let stored = fixture.store.store_chunk(scope, gateway, chunk);
    stored.await.unwrap()
}

fn part_file(fixture: &Fixture, content: OfferedContentV1) -> std::path::PathBuf {
    let folder = fixture.folder.path().join("attachments");
    let folder = folder.join(fixture.gateway.to_string());
    folder.join(format!("{}.part", content.hash))
}

#[tokio::test]
async fn a_content_goes_on_where_the_disk_stands_also_after_a_restart() {
    let mut fixture = Fixture::new().await;
    let whole = bytes(100_000);
    let content = offered(&whole);
    assert_eq!(held(&fixture, content).await, (0, ContentState::Wanted));
    let first = bring(&fixture, content, (0, &whole[..40_000])).await;
    assert_eq!(first, ChunkStored::Held);
    fixture.reopen();
    // A crash left bytes that nobody noted.
    let part = part_file(&fixture, content);
    let mut file = std::fs::read(&part).unwrap();
    file.extend([0xEE; 5_000]);
    std::fs::write(&part, file).unwrap();
    assert_eq!(
        held(&fixture, content).await,
        (40_000, ContentState::Wanted)
    );
    let (scope, gateway) = (fixture.scope, fixture.gateway);
    let open = fixture.store.open_content(scope, gateway, content.hash);
    assert!(
        matches!(open.await, Err(StoreError::NotFound { .. })),
        "it is not whole"
    );
    let last = bring(&fixture, content, (40_000, &whole[40_000..])).await;
    assert_eq!(last, ChunkStored::Kept);
    assert!(!part.exists());
    assert_eq!(held(&fixture, content).await, (100_000, ContentState::Kept));
    let open = fixture.store.open_content(scope, gateway, content.hash);
    let (mut file, length) = open.await.unwrap();
    let mut read = Vec::new();
    file.read_to_end(&mut read).unwrap();
    assert_eq!((read == whole, length), (true, 100_000));
    // Whose it is counts: another gateway has to bring it itself.
    let other = testing::gateway_id(2);
    let open = fixture.store.open_content(scope, other, content.hash);
    assert!(matches!(open.await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn wrong_bytes_are_thrown_away_and_begin_anew() {
    let fixture = Fixture::new().await;
    let whole = bytes(1_000);
    let content = offered(&whole);
    held(&fixture, content).await;
    assert_eq!(
        bring(&fixture, content, (0, &[7; 1_000])).await,
        ChunkStored::Wrong
    );
    assert!(!part_file(&fixture, content).exists());
    assert_eq!(held(&fixture, content).await, (0, ContentState::Wanted));
    assert_eq!(
        bring(&fixture, content, (0, &whole)).await,
        ChunkStored::Kept
    );
}

#[tokio::test]
async fn what_is_too_long_or_empty_is_not_wanted_and_a_lost_file_is_wanted_again() {
    let fixture = Fixture::new().await;
    for bytes in [0, ATTACHMENT_BYTES_MAX + 1] {
        let content = OfferedContentV1 {
            hash: ContentHash([1; 32]),
            bytes,
        };
        assert_eq!(held(&fixture, content).await, (0, ContentState::Refused));
    }
    let content = offered(b"a report");
    held(&fixture, content).await;
    bring(&fixture, content, (0, b"a report")).await;
    let file = part_file(&fixture, content).with_extension("");
    std::fs::remove_file(file).unwrap();
    assert_eq!(held(&fixture, content).await, (0, ContentState::Wanted));
}

#[tokio::test]
async fn a_check_reads_every_content_and_a_copy_has_them_all() {
    let fixture = Fixture::new().await;
    let folder = fixture.folder.path();
    let content = offered(b"a photo");
    held(&fixture, content).await;
    bring(&fixture, content, (0, b"a photo")).await;
    // One that is not whole is in no copy.
    let half = offered(b"half of it");
    held(&fixture, half).await;
    bring(&fixture, half, (0, b"half")).await;
    let checked = store::check(folder).unwrap();
    assert_eq!((checked.attachments, checked.problems), (1, vec![]));
    let copy = folder.join("copy.db");
    let attachments = folder.join("copy.db.attachments");
    let copied = fixture.store.backup(&copy, &attachments).await.unwrap();
    assert_eq!(copied, 1);
    let name = content.hash.to_string();
    let copied = attachments.join(fixture.gateway.to_string()).join(&name);
    assert_eq!(std::fs::read(copied).unwrap(), b"a photo");
    let file = part_file(&fixture, content).with_extension("");
    std::fs::write(file, b"a phot0").unwrap();
    let problems = store::check(folder).unwrap().problems;
    assert!(
        problems[0].contains(&name) && problems.len() == 1,
        "{problems:?}"
    );
}

#[tokio::test]
async fn who_looks_at_the_order_is_told_when_a_content_is_whole() {
    let fixture = Fixture::new().await;
    let order = WorkOrderId(Uuid::from_u128(0xB1));
    let content = offered(b"a photo");
    let attached = Body::WorkOrder(WorkOrderEvent::Attached(Attached {
        hash: content.hash,
        name: "a.jpg".into(),
        media_type: "image/jpeg".into(),
        bytes: content.bytes,
        note: None,
    }));
    fixture
        .tell(vec![
            testing::created(fixture.gateway, 1, order, "Seal leaks"),
            testing::event(fixture.gateway, 2, order.into(), attached),
        ])
        .await;
    let mut changes = fixture.store.changes();
    held(&fixture, content).await;
    bring(&fixture, content, (0, b"a photo")).await;
    let change = changes.recv().await.unwrap();
    assert!(
        matches!(change.what, store::Changed::WorkOrder(id) if id == order),
        "{change:?}"
    );
}
