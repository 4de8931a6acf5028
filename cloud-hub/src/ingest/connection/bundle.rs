//! The site bundle between session and store (PROTOCOL §9). Signed when a box wants it, by the oldest
//! authority that counts: all boxes know that one. Never sends what a session did not ask for.

use super::super::IngestError;
use super::Gateway;
use crate::ca::{Authority, CaError};
use protocol::bundle::to_sign;
use protocol::sync::{BundleName, HubAction};
use protocol::wire::v1::{BundleHeadV1, BundleStateV1};

impl Gateway {
    /// Says which bundle is the newest of the gateway's site by now.
    pub(super) async fn bundle_wanted(&mut self) -> Result<(), IngestError> {
        let newest = self.store.bundle_wanted(self.scope, self.id).await?;
        self.session.handle_bundle_wanted(newest);
        Ok(())
    }

    /// Does what the session wants for a bundle.
    pub(super) async fn bundle(&mut self, action: HubAction) -> Result<(), IngestError> {
        match action {
            HubAction::BundleState(state) => self.bundle_state(state).await,
            HubAction::SignBundle(name) => self.sign_bundle(name),
            HubAction::FetchBundle {
                number,
                offset,
                bytes_max,
            } => self.fetch_bundle((number, offset), bytes_max).await,
            _ => Ok(()),
        }
    }

    async fn bundle_state(&mut self, state: BundleStateV1) -> Result<(), IngestError> {
        if !state.refused.is_empty() {
            tracing::warn!(
                gateway = %self.id, number = state.number, words = state.refused,
                "a gateway does not take the bundle of its site"
            );
        }
        // What is on its way changes with each piece; what is held is what is kept.
        let told = (state.held, state.refused.clone());
        if self.bundle_told.as_ref() != Some(&told) {
            self.store.bundle_told(self.scope, self.id, state).await?;
            self.bundle_told = Some(told);
        }
        self.bundle_wanted().await
    }

    fn sign_bundle(&mut self, name: BundleName) -> Result<(), IngestError> {
        let head = head(&self.authority, None, name)?;
        Ok(self.session.handle_bundle_signed(head)?)
    }

    async fn fetch_bundle(
        &mut self,
        place: (u64, u64),
        bytes_max: usize,
    ) -> Result<(), IngestError> {
        let piece = self
            .store
            .bundle_piece(self.scope, self.id, place, bytes_max)
            .await?;
        Ok(self.session.handle_bundle_piece(piece)?)
    }
}

/// The head of a bundle, signed by the authority with this SHA-256 where one is named.
pub(in crate::ingest) fn head(
    authority: &Authority,
    named: Option<[u8; 32]>,
    name: BundleName,
) -> Result<BundleHeadV1, CaError> {
    let (certificate, signature) = authority.sign_for(named, &to_sign(&name.hash))?;
    Ok(BundleHeadV1 {
        number: name.number,
        hash: name.hash,
        length: name.length,
        certificate: certificate.to_vec(),
        signature,
    })
}
