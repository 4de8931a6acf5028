//! Enrolment: once, with a claim. The key is made here and stays here; the hub is trusted only
//! when its authority is the one that the claim pins (PROTOCOL §7).

use super::tls::{builder, crypto};
use super::{Files, IdentityError, store, write};
use crate::config::HubConfig;
use crate::dial::{Dialled, Way, dial};
use protocol::claim::Claim;
use protocol::id::GatewayId;
use protocol::sync::ALPN_ENROL;
use protocol::wire::FrameReader;
use protocol::wire::v1::{EnrolV1, EnrolledV1, Message, ReferenceV1};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

const ANSWER_WAIT: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = protocol::limits::FRAME_BYTES_MAX + 4;

/// What enrolment gave.
#[derive(Debug)]
pub struct Enrolled {
    /// Names of gateway and site, people.
    pub reference: ReferenceV1,
    /// SHA-256 of the box's certificate, for a person to compare.
    pub fingerprint: String,
}

/// The hub's yes, not yet kept.
#[derive(Debug)]
pub struct Asked {
    /// Whom the certificate names: this box, or the one whose place it takes.
    pub gateway: GatewayId,
    files: Files,
    key: KeyPair,
    answer: EnrolledV1,
}

/// Asks the hub to enrol `gateway`; nothing changes here before [`Asked::keep`]. Only the key of the
/// attempt is kept, for the hub takes a claim a second time from the box and key that it took it
/// from (an answer that was lost on the way), and from no other.
pub async fn ask(
    folder: &Path,
    hub: &HubConfig,
    claim: &Claim,
    gateway: GatewayId,
) -> Result<Asked, IdentityError> {
    let files = Files::new(folder);
    let key = pending_key(folder, &files)?;
    let request = CertificateParams::default()
        .serialize_request(&key)
        .map_err(crypto("making the certificate request"))?;
    let ask = Message::Enrol(EnrolV1 {
        token: claim.token.to_vec(),
        gateway: gateway.0,
        request: request.der().to_vec(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
    });
    let answer = ask_hub(hub, claim, &ask).await?;
    if digest(&answer.authority) != claim.authority {
        return Err(IdentityError::OtherHub {
            address: hub.to_string(),
        });
    }
    let named = if claim.replaces {
        named_in(&answer.certificate).ok_or(IdentityError::Refused {
            words: "its certificate names no gateway".to_owned(),
        })?
    } else {
        gateway
    };
    Ok(Asked {
        gateway: named,
        files,
        key,
        answer,
    })
}

impl Asked {
    /// Stores key, certificate and authority: the box is enrolled.
    pub fn keep(self) -> Result<Enrolled, IdentityError> {
        let Self {
            files, key, answer, ..
        } = self;
        let key = key.serialize_pem();
        store(&files, &key, &answer.certificate, &[&answer.authority])?;
        // Until here a crash leaves an attempt that the same claim completes.
        if let Err(error) = fs::remove_file(&files.pending) {
            tracing::warn!(%error, path = %files.pending.display(), "a key that is no longer needed stays");
        }
        let fingerprint = hex(&digest(&answer.certificate));
        Ok(Enrolled {
            reference: answer.reference,
            fingerprint,
        })
    }
}

/// The gateway that a certificate names (PROTOCOL §1.3).
fn named_in(certificate: &[u8]) -> Option<GatewayId> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::URI(uri) => uri.split_once("/gateway/")?.1.parse().ok(),
            _ => None,
        })
}

/// The key of the attempt before, if that one was not completed; else a new one.
fn pending_key(folder: &Path, files: &Files) -> Result<KeyPair, IdentityError> {
    if let Ok(text) = fs::read_to_string(&files.pending)
        && let Ok(key) = KeyPair::from_pem(&text)
    {
        return Ok(key);
    }
    let key = KeyPair::generate().map_err(crypto("making the box's key"))?;
    fs::create_dir_all(folder).map_err(|source| IdentityError::File {
        action: "making the folder",
        path: folder.display().to_string(),
        source,
    })?;
    write(&files.pending, &key.serialize_pem())?;
    Ok(key)
}

async fn ask_hub(
    hub: &HubConfig,
    claim: &Claim,
    ask: &Message,
) -> Result<EnrolledV1, IdentityError> {
    let verifier = Arc::new(Pinned {
        authority: claim.authority,
    });
    let mut tls = builder()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN_ENROL.to_vec()];
    let address = hub.to_string();
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| IdentityError::Connect {
        address: address.clone(),
        source,
    };
    let dialled = match dial(hub, &tls, Way::Quic).await {
        Ok(dialled) => dialled,
        Err(error) if other_authority(&error) => return Err(IdentityError::OtherHub { address }),
        Err(error) => return Err(failed(error.into())),
    };
    let bytes = ask.encode().map_err(IdentityError::Answer)?;
    match tokio::time::timeout(ANSWER_WAIT, exchange(dialled, &bytes)).await {
        Ok(answer) => read_answer(&answer.map_err(failed)?),
        Err(elapsed) => Err(failed(elapsed.into())),
    }
}

/// Sends one frame and reads until the hub ends its side.
pub(super) async fn exchange(
    dialled: Dialled,
    ask: &[u8],
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    match dialled {
        Dialled::Quic(connection, endpoint) => {
            let (mut send, mut receive) = connection.open_bi().await?;
            send.write_all(ask).await?;
            send.finish()?;
            let answer = receive.read_to_end(ANSWER_BYTES_MAX).await?;
            connection.close(0_u32.into(), b"");
            endpoint.wait_idle().await;
            Ok(answer)
        }
        Dialled::Tcp(mut stream, _) => {
            stream.write_all(ask).await?;
            stream.flush().await?;
            let mut answer = Vec::new();
            let most = u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
            stream.take(most).read_to_end(&mut answer).await?;
            Ok(answer)
        }
    }
}

fn other_authority(error: &dyn std::error::Error) -> bool {
    let text = error.to_string();
    text.contains(OTHER_AUTHORITY) || error.source().is_some_and(other_authority)
}

fn read_answer(bytes: &[u8]) -> Result<EnrolledV1, IdentityError> {
    let refused = |words| Err(IdentityError::Refused { words });
    match message(bytes)? {
        Some(Message::Enrolled(answer)) => Ok(answer),
        Some(Message::Refuse(refuse)) => refused(refuse.words),
        Some(_) => refused("it answered with another message".to_owned()),
        None => refused("it closed the connection without an answer".to_owned()),
    }
}

/// The one message of an answer, if it is whole.
pub(super) fn message(bytes: &[u8]) -> Result<Option<Message>, IdentityError> {
    let mut reader = FrameReader::default();
    reader.push(bytes);
    let frame = reader.next_frame().map_err(IdentityError::Answer)?;
    frame
        .map(|frame| Message::decode(&frame))
        .transpose()
        .map_err(IdentityError::Answer)
}

const OTHER_AUTHORITY: &str = "another authority than the claim names";

/// Accepts the hub whose chain ends in the authority that the claim pins.
#[derive(Debug)]
struct Pinned {
    authority: [u8; 32],
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = intermediates
            .iter()
            .find(|certificate| digest(certificate) == self.authority)
            .ok_or_else(|| rustls::Error::General(OTHER_AUTHORITY.to_owned()))?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// A certificate as PEM (RFC 7468).
pub(super) fn pem(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let mut lines = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        lines.push_str(&String::from_utf8_lossy(line));
        lines.push('\n');
    }
    lines.push_str("-----END CERTIFICATE-----\n");
    lines
}
