//! A box asks for its certificate with a claim (PROTOCOL §7). Never signs twice for one claim,
//! except for the same box and key whose answer was lost.

use super::{IngestError, Shared};
use crate::ca::{GATEWAY_VALID, owner_of};
use crate::clock;
use crate::store::{CertificateRow, ClaimInfo, RedeemError};
use crate::tenants::TenantScope;
use protocol::id::GatewayId;
use protocol::sync::Refusal;
use protocol::time::Timestamp;
use protocol::wire::FrameReader;
use protocol::wire::v1::{EnrolV1, EnrolledV1, Message, RefuseV1};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// An enrolment that takes longer is given up.
const ENROL_WAIT: Duration = Duration::from_secs(20);

pub(super) async fn serve(
    shared: &Shared,
    mut receive: impl AsyncRead + Unpin,
    mut send: impl AsyncWrite + Unpin,
) -> Result<(), IngestError> {
    let exchange = async {
        let answer = match read(&mut receive).await? {
            Some(Message::Enrol(ask)) => answer(shared, ask).await?,
            _ => refuse("this is no enrolment; update the program on the box"),
        };
        send.write_all(&answer.encode()?).await.map_err(failed)?;
        send.shutdown().await.map_err(failed)
    };
    tokio::time::timeout(ENROL_WAIT, exchange)
        .await
        .unwrap_or(Ok(()))
}

/// The one message of the box; `None` when it ends before it is whole.
pub(super) async fn read(
    receive: &mut (impl AsyncRead + Unpin),
) -> Result<Option<Message>, IngestError> {
    let mut reader = FrameReader::default();
    let mut bytes = [0; 4_096];
    loop {
        if let Some(frame) = reader.next_frame()? {
            return Ok(Some(Message::decode(&frame)?));
        }
        let count = receive.read(&mut bytes).await.map_err(failed)?;
        if count == 0 {
            return Ok(None);
        }
        reader.push(bytes.get(..count).unwrap_or_default());
    }
}

pub(super) fn failed(source: std::io::Error) -> IngestError {
    IngestError::Lane {
        action: "enrolling on",
        lane: 0,
        source: source.into(),
    }
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
    // A replacement takes the id of the one before; its certificates ended with the claim.
    let gateway = info.gateway.id;
    let certificate = sign(shared, info.scope, gateway, &ask.request).await?;
    tracing::info!(%gateway, name = info.gateway.name, site = info.site.name, "a gateway has enrolled");
    let reference = super::connection::reference(&shared.store, info.scope, gateway).await?;
    let authority = shared.authority.certificate().to_vec();
    Ok(Message::Enrolled(EnrolledV1 {
        certificate,
        authority,
        reference,
    }))
}

/// Signs a request and notes the certificate.
pub(super) async fn sign(
    shared: &Shared,
    scope: TenantScope,
    gateway: GatewayId,
    request: &[u8],
) -> Result<Vec<u8>, IngestError> {
    let issued = shared.authority.sign_gateway(
        request,
        gateway,
        TenantScope::DEFAULT_NAME,
        GATEWAY_VALID,
    )?;
    let row = CertificateRow {
        scope,
        gateway,
        fingerprint: sha256(&issued.certificate),
        serial: owner_of(&issued.certificate)?.serial,
        not_after: Timestamp::from_millis(issued.not_after_s.saturating_mul(1_000)),
        revoked: None,
        authority: Some(sha256(shared.authority.certificate())),
    };
    shared.store.add_certificate(row).await?;
    Ok(issued.certificate)
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
