//! The site bundle between session and box (PROTOCOL §9): what the hub signed is put together over
//! connections, kept, and told. Never believes a head that the pinned authority did not sign.

use super::UplinkError;
use super::connection::Link;
use crate::identity::Identity;
use protocol::bundle;
use protocol::id::SiteId;
use protocol::wire::v1::{BundleHeadV1, BundlePieceV1};

impl Link<'_> {
    /// Tells the hub which bundle the box holds.
    pub(super) async fn tell_bundle(&mut self) -> Result<(), UplinkError> {
        let held = self.uplink.storage.held_bundle().await?;
        let state = self.uplink.incoming.lock().await.state(held);
        Ok(self.session.handle_bundle_state(state)?)
    }

    pub(super) async fn bundle_head(&mut self, head: BundleHeadV1) -> Result<(), UplinkError> {
        // As it is now: it may have been renewed since the connection began.
        let identity = Identity::load(&self.uplink.identity)?;
        let signed = identity.is_some_and(|identity| {
            let message = bundle::to_sign(&head.hash);
            identity.is_from_authority(&head.certificate, &message, &head.signature)
        });
        let held = self.uplink.storage.held_bundle().await?;
        let mut incoming = self.uplink.incoming.lock().await;
        incoming.head(&head, signed, held);
        let refused = incoming.state(held).refused;
        drop(incoming);
        if !refused.is_empty() {
            let number = head.number;
            tracing::error!(number, refused, "a site bundle is not taken");
        }
        self.tell_bundle().await
    }

    pub(super) async fn bundle_piece(&mut self, piece: BundlePieceV1) -> Result<(), UplinkError> {
        let storage = &self.uplink.storage;
        let site = storage.site().await?.map(|site| SiteId(site.site));
        let mut incoming = self.uplink.incoming.lock().await;
        let before = incoming.state(0).refused;
        let whole = incoming.piece(&piece, site);
        let refused = incoming.state(0).refused;
        drop(incoming);
        if refused != before {
            tracing::error!(number = piece.number, refused, "a site bundle is not taken");
        }
        if let Some(bundle) = whole {
            let number = bundle.number;
            if storage.keep_bundle(bundle).await? {
                tracing::info!(number, "a new site bundle counts");
            }
        }
        self.tell_bundle().await
    }
}
