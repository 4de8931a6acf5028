//! TLS and QUIC settings of the hub, set by hand: TLS 1.3 with ring, no early data, bounded
//! windows, keys that survive a restart where that helps gateways to notice it.

use super::IngestError;
use crate::ca::{Authority, last_second};
use protocol::sync::{ALPN_ENROL, ALPN_RENEW, ALPN_SYNC};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{EndpointConfig, ServerConfig, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;
use std::time::Duration;

const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
const SEND_WINDOW_BYTES: u64 = 512 << 10;
/// A gateway asks for a shorter one (two and a half times its keep-alive, which is two minutes at
/// most); this is the longest that the hub keeps a silent one.
const IDLE_MS: u32 = 300_000;
/// One stream per lane, and room for the one of an enrolment.
const STREAMS_MAX: u32 = 8;
/// Handshakes that wait at the same time.
const INCOMING_MAX: usize = 1_024;

/// TLS settings of both doors.
pub(super) fn tls_config(authority: &Authority) -> Result<rustls::ServerConfig, IngestError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for trusted in authority.trusted() {
        roots.add(trusted.clone()).map_err(tls)?;
    }
    // A box that enrols has no certificate yet: a synchronising one is asked for it afterwards.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(tls)?;
    let verifier = Arc::new(PastLastDay(verifier));
    let (chain, key) = authority.server_certificate()?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(tls)?;
    config.alpn_protocols = vec![ALPN_SYNC.to_vec(), ALPN_ENROL.to_vec(), ALPN_RENEW.to_vec()];
    config.max_early_data_size = 0;
    Ok(config)
}

/// Lets a certificate past its last day through the handshake, when nothing else is wrong with it:
/// the box is then told in words, or has it renewed. Who it may speak to is decided afterwards.
#[derive(Debug)]
struct PastLastDay(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for PastLastDay {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now);
        let Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) = verified
        else {
            return verified;
        };
        let last = last_second(end_entity).ok_or(rustls::Error::InvalidCertificate(
            CertificateError::BadEncoding,
        ))?;
        let last = UnixTime::since_unix_epoch(Duration::from_secs(last));
        self.0.verify_client_cert(end_entity, intermediates, last)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// QUIC with these TLS settings.
pub(super) fn quic_config(
    tls_config: rustls::ServerConfig,
    authority: &Authority,
) -> Result<ServerConfig, IngestError> {
    let crypto = QuicServerConfig::try_from(tls_config).map_err(tls)?;
    // A token that a gateway got before a restart of the hub proves its address after it as well.
    let token_key = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, &[])
        .extract(&authority.secret(b"quic address token"));
    let mut server = ServerConfig::new(Arc::new(crypto), Arc::new(token_key));
    server
        .transport_config(Arc::new(transport()))
        .max_incoming(INCOMING_MAX);
    Ok(server)
}

/// The keys of resets and connection ids come from the authority, so that a gateway learns of a
/// restart of the hub at once instead of after its idle time (RFC 9000, section 10.3): a hub that
/// does not know its own ids again would stay silent.
pub(super) fn endpoint_config(authority: &Authority) -> EndpointConfig {
    let key = ring::hmac::Key::new(
        ring::hmac::HMAC_SHA256,
        &authority.secret(b"quic stateless reset"),
    );
    let id_key = authority.secret(b"quic connection ids");
    let id_key = u64::from_le_bytes(id_key.first_chunk().copied().unwrap_or_default());
    let mut config = EndpointConfig::new(Arc::new(key));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    config
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_MS).into()))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        // Many datagrams in one call want a buffer of 13 KiB for each connection; the hub mostly
        // receives.
        .enable_segmentation_offload(false);
    transport
}

fn tls<E: Into<Box<dyn std::error::Error + Send + Sync>>>(error: E) -> IngestError {
    IngestError::Tls(error.into())
}
