//! Renewal: at one third of its life left the box has a new key certified, with the certificate
//! that it has. The new ones take the place of the old ones in one step (PROTOCOL §7.3).
//! Never gives the old ones up before the new ones are on the disk.

use super::enrol::{digest, exchange, message};
use super::tls::{config_for, crypto};
use super::{Files, Identity, IdentityError, store};
use crate::config::HubConfig;
use crate::dial::{Way, dial};
use protocol::sync::ALPN_RENEW;
use protocol::time::Timestamp;
use protocol::wire::v1::{Message, RenewV1, RenewedV1};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use std::path::Path;
use std::time::Duration;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// When the certificate is to be renewed: between one third and one quarter of its life before its
/// end. Boxes that were enrolled together renew apart, each always at its own moment.
pub fn renew_at(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let end_s = validity.not_after.timestamp();
    let life_s = end_s - validity.not_before.timestamp();
    let third_us = life_s.saturating_mul(1_000_000) / 3;
    let share = i64::from(digest(certificate).first().copied().unwrap_or(0));
    let left_us = third_us - third_us / 4 * share / 255;
    Some(Timestamp(end_s.saturating_mul(1_000_000) - left_us))
}

/// From when to when a certificate counts.
pub fn validity(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let micros = |seconds: i64| Timestamp(seconds.saturating_mul(1_000_000));
    Some((
        micros(validity.not_before.timestamp()),
        micros(validity.not_after.timestamp()),
    ))
}

/// Has a new key certified and stores it with its certificate and the authorities that the hub
/// names. When it fails, the box is what it was.
pub async fn renew(
    folder: &Path,
    hub: &HubConfig,
    identity: &Identity,
) -> Result<(), IdentityError> {
    let key = KeyPair::generate().map_err(crypto("making the box's key"))?;
    let request = CertificateParams::default()
        .serialize_request(&key)
        .map_err(crypto("making the certificate request"))?;
    let ask = Message::Renew(RenewV1 {
        request: request.der().to_vec(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
    });
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| IdentityError::Connect {
        address: hub.to_string(),
        source,
    };
    let tls = config_for(identity, ALPN_RENEW)?;
    let dialled = dial(hub, &tls, Way::Quic).await;
    let dialled = dialled.map_err(|error| failed(error.into()))?;
    let bytes = ask.encode().map_err(IdentityError::Answer)?;
    let answer = match tokio::time::timeout(ANSWER_WAIT, exchange(dialled, &bytes)).await {
        Ok(answer) => read_answer(&answer.map_err(failed)?)?,
        Err(elapsed) => return Err(failed(elapsed.into())),
    };
    let mut authorities: Vec<&[u8]> = answer.authorities.iter().map(Vec::as_slice).collect();
    if authorities.is_empty() {
        authorities = identity.authorities.iter().map(AsRef::as_ref).collect();
    }
    let key = key.serialize_pem();
    store(&Files::new(folder), &key, &answer.certificate, &authorities)
}

fn read_answer(bytes: &[u8]) -> Result<RenewedV1, IdentityError> {
    let not_renewed = |words: &str| IdentityError::NotRenewed {
        words: words.to_owned(),
    };
    match message(bytes)? {
        Some(Message::Renewed(answer)) => Ok(answer),
        Some(Message::Refuse(refuse)) => Err(not_renewed(&refuse.words)),
        Some(_) => Err(not_renewed("it answered with another message")),
        None => Err(not_renewed("it closed the connection without an answer")),
    }
}
