//! The bytes of an attachment: only whole, only with their order, only for those who may see it,
//! and never so that something of them runs.

use super::*;
use protocol::attachment::ContentHash;
use protocol::event::{Attached, Body as EventBody, WorkOrderEvent};
use protocol::sync::{ChunkStored, ContentChunk};
use protocol::wire::v1::OfferedContentV1;

const PHOTO: &[u8] = b"\xFF\xD8\xFF and so on";

/// The gateway attaches a file to its order.
async fn attach(hub: &Hub, seq: u64, name: &str, media_type: &str, bytes: &[u8]) -> ContentHash {
    let content = OfferedContentV1 {
        hash: ContentHash::of(bytes),
        bytes: u64::try_from(bytes.len()).unwrap(),
    };
    let attached = EventBody::WorkOrder(WorkOrderEvent::Attached(Attached {
        hash: content.hash,
        name: name.into(),
        media_type: media_type.into(),
        bytes: content.bytes,
        note: None,
    }));
    let fixture = &hub.fixture;
    let event = testing::event(fixture.gateway, seq, order_id().into(), attached);
    fixture.tell(vec![event]).await;
    let (store, scope, gateway) = (&fixture.store, fixture.scope, fixture.gateway);
    let held = store.contents_held(scope, gateway, vec![content]);
    held.await.unwrap();
    content.hash
}

async fn bring(hub: &Hub, bytes: &[u8]) {
    let chunk = ContentChunk {
        hash: ContentHash::of(bytes),
        offset: 0,
        bytes: bytes.to_vec(),
        last: true,
    };
    let fixture = &hub.fixture;
    let stored = fixture
        .store
        .store_chunk(fixture.scope, fixture.gateway, chunk);
    assert_eq!(stored.await.unwrap(), ChunkStored::Kept);
}

#[tokio::test]
async fn a_photo_is_shown_when_it_is_whole_and_only_with_its_order() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Viktor").await;
    let order = format!("/work-orders/{}", order_id());
    let hash = attach(&hub, 3, "pump.jpg", "image/jpeg", PHOTO).await;
    let path = format!("{order}/attachments/{hash}");
    let shown = hub.get(&caller, &order).await.body;
    assert_eq!(shown["attachments"][0]["place"], "box");
    assert_eq!(hub.get(&caller, &path).await.status, StatusCode::NOT_FOUND);
    bring(&hub, PHOTO).await;
    let shown = hub.get(&caller, &order).await.body;
    assert_eq!(shown["attachments"][0]["place"], "hub");
    let response = hub.send(request("GET", &path, Some(&caller), None)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "image/jpeg");
    assert_eq!(
        headers["content-security-policy"],
        "default-src 'none'; sandbox"
    );
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    assert_eq!(bytes.unwrap(), PHOTO);
    // Not signed in; of no order; of another order.
    let response = hub.send(request("GET", &path, None, None)).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let fixture = &hub.fixture;
    let other = WorkOrderId(uuid::Uuid::from_u128(0xB2));
    let created = testing::created(fixture.gateway, 4, other, "Another one");
    fixture.tell(vec![created]).await;
    for path in [
        format!("{order}/attachments/{}", "0".repeat(64)),
        format!("/work-orders/{other}/attachments/{hash}"),
        format!("{order}/attachments/..%2F..%2Fhub.db"),
    ] {
        assert_eq!(hub.get(&caller, &path).await.code(), "not_found", "{path}");
    }
}

#[tokio::test]
async fn what_could_run_is_a_download_whatever_the_gateway_calls_it() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Viktor").await;
    let page = b"<script>alert(1)</script>";
    let hash = attach(&hub, 3, "a.html", "text/html", page).await;
    bring(&hub, page).await;
    let path = format!("/work-orders/{}/attachments/{hash}", order_id());
    let response = hub.send(request("GET", &path, Some(&caller), None)).await;
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/octet-stream");
    let disposition = headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment;"), "{disposition}");
}
