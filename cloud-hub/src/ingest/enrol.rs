//! A box asks for its certificate with a claim (PROTOCOL §7). Never signs twice for one claim,
//! except for the same box and key whose answer was lost.

use super::{IngestError, Shared};
use crate::ca::owner_of;
use crate::clock;
use crate::store::{CertificateRow, ClaimInfo, RedeemError};
use protocol::id::GatewayId;
use protocol::limits::FRAME_BYTES_MAX;
use protocol::sync::Refusal;
use protocol::time::Timestamp;
use protocol::wire::FrameReader;
use protocol::wire::v1::{EnrolV1, EnrolledV1, Message, RefuseV1};
use quinn::Connection;
use std::time::Duration;

/// An enrolment that takes longer is given up.
const ENROL_WAIT: Duration = Duration::from_secs(20);

pub(super) async fn serve(shared: &Shared, connection: &Connection) -> Result<(), IngestError> {
    let exchange = async {
        let (mut send, mut receive) = connection.accept_bi().await?;
        let lane = |source: Box<dyn std::error::Error + Send + Sync>| IngestError::Lane {
            action: "enrolling on",
            lane: 0,
            source,
        };
        let bytes = receive
            .read_to_end(FRAME_BYTES_MAX + 4)
            .await
            .map_err(|error| lane(error.into()))?;
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        let message = reader
            .next_frame()?
            .map(|frame| Message::decode(&frame))
            .transpose()?;
        let answer = match message {
            Some(Message::Enrol(ask)) => answer(shared, ask).await?,
            _ => refuse("this is no enrolment; update the program on the box"),
        };
        send.write_all(&answer.encode()?)
            .await
            .map_err(|error| lane(error.into()))?;
        // Already finished only when the box has gone.
        drop(send.finish());
        // The box closes when it has read the answer.
        connection.closed().await;
        Ok(())
    };
    tokio::time::timeout(ENROL_WAIT, exchange)
        .await
        .unwrap_or(Ok(()))
}

async fn answer(shared: &Shared, ask: EnrolV1) -> Result<Message, IngestError> {
    let gateway = GatewayId(ask.gateway);
    // The signature is checked before the claim is spent.
    let key = match crate::ca::request_key(&ask.request) {
        Ok(key) => key,
        Err(error) => {
            return Ok(refuse(&format!(
                "the box's request cannot be read ({error})"
            )));
        }
    };
    let redeemed = shared
        .store
        .redeem(sha256(&ask.token), gateway, key, clock::now())
        .await;
    let info: ClaimInfo = match redeemed {
        Ok(info) => info,
        Err(RedeemError::Store(error)) => return Err(error.into()),
        Err(error) => {
            tracing::warn!(%gateway, %error, "a claim was refused");
            return Ok(refuse(&error.to_string()));
        }
    };
    let tenant = "default";
    let issued = shared
        .authority
        .sign_gateway(&ask.request, gateway, tenant)?;
    let row = CertificateRow {
        scope: info.scope,
        gateway,
        fingerprint: sha256(&issued.certificate),
        serial: owner_of(&issued.certificate)?.serial,
        not_after: Timestamp::from_millis(issued.not_after_s.saturating_mul(1_000)),
        revoked: None,
    };
    shared.store.add_certificate(row).await?;
    tracing::info!(%gateway, name = info.gateway.name, site = info.site.name, "a gateway has enrolled");
    let reference = super::connection::reference(&shared.store, info.scope, gateway).await?;
    let authority = shared.authority.certificate().to_vec();
    Ok(Message::Enrolled(EnrolledV1 {
        certificate: issued.certificate,
        authority,
        reference,
    }))
}

fn refuse(words: &str) -> Message {
    Message::Refuse(RefuseV1 {
        code: Refusal::Claim.code(),
        words: words.to_owned(),
        retry_after_s: None,
    })
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}
