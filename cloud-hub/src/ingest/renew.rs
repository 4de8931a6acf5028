//! A box asks for a new certificate with the one that it has (PROTOCOL §7.3). Never signs for a box
//! that was withdrawn, nor for a name that its certificate does not carry. A certificate past its
//! last day is taken here and nowhere else, however old: a plant that was shut for years must not
//! need a person at the box, and what must not come back is withdrawn, which has no end.

use super::accept::Peer;
use super::enrol::{self, sha256};
use super::{IngestError, Shared};
use crate::ca::owner_of;
use protocol::sync::Refusal;
use protocol::wire::v1::{Message, RefuseV1, RenewV1, RenewedV1};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

/// A renewal that takes longer is given up.
const RENEW_WAIT: Duration = Duration::from_secs(20);

pub(super) async fn serve(
    shared: &Shared,
    peer: &Peer,
    mut receive: impl AsyncRead + Unpin,
    mut send: impl AsyncWrite + Unpin,
) -> Result<(), IngestError> {
    let exchange = async {
        let answer = match enrol::read(&mut receive).await? {
            Some(Message::Renew(ask)) => answer(shared, peer, ask).await?,
            _ => refuse(
                Refusal::Violation,
                "this is no renewal; update the program on the box",
            ),
        };
        send.write_all(&answer.encode()?)
            .await
            .map_err(enrol::failed)?;
        send.shutdown().await.map_err(enrol::failed)
    };
    tokio::time::timeout(RENEW_WAIT, exchange)
        .await
        .unwrap_or(Ok(()))
}

async fn answer(shared: &Shared, peer: &Peer, ask: RenewV1) -> Result<Message, IngestError> {
    let Some(certificate) = &peer.certificate else {
        return Ok(refuse(
            Refusal::Revoked,
            "a renewal needs the certificate that is to be renewed; enrol this box with a new claim",
        ));
    };
    let owner = owner_of(certificate)?;
    let known = shared.store.certificate(sha256(certificate)).await?;
    let Some(known) = known.filter(|row| row.revoked.is_none()) else {
        tracing::warn!(gateway = %owner.gateway, from = %peer.remote, "a renewal was refused");
        return Ok(refuse(Refusal::Revoked, super::connection::WITHDRAWN));
    };
    // The signature of the request is checked when it is read.
    let signed = enrol::sign(shared, known.scope, owner.gateway, &ask.request).await;
    let certificate = match signed {
        Ok(certificate) => certificate,
        Err(IngestError::Authority(error)) => {
            let words = format!("the box's request cannot be read ({error})");
            return Ok(refuse(Refusal::Violation, &words));
        }
        Err(error) => return Err(error),
    };
    tracing::info!(gateway = %owner.gateway, build = ask.build, "a certificate was renewed");
    Ok(Message::Renewed(RenewedV1 {
        certificate,
        authorities: shared.authority.trusted().map(|one| one.to_vec()).collect(),
    }))
}

fn refuse(refusal: Refusal, words: &str) -> Message {
    Message::Refuse(RefuseV1 {
        code: refusal.code(),
        words: words.to_owned(),
        retry_after_s: None,
    })
}
