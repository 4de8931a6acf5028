//! TLS settings of the box, set by hand: TLS 1.3 with ring, no early data.
//! Never falls back to the system's certificates: the only trusted authority is the pinned one.

use super::{Identity, IdentityError};
use protocol::sync::ALPN_SYNC;
use rustls::RootCertStore;
use std::sync::Arc;

/// TLS settings that present this box's certificate and trust its hub only.
pub fn client_config(identity: &Identity) -> Result<rustls::ClientConfig, IdentityError> {
    config_for(identity, ALPN_SYNC)
}

/// The same for another protocol name.
pub(super) fn config_for(
    identity: &Identity,
    protocol: &[u8],
) -> Result<rustls::ClientConfig, IdentityError> {
    let mut roots = RootCertStore::empty();
    for authority in &identity.authorities {
        roots
            .add(authority.clone())
            .map_err(crypto("trusting the hub's authority"))?;
    }
    let mut tls = builder()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())
        .map_err(crypto("taking the box's certificate"))?;
    tls.alpn_protocols = vec![protocol.to_vec()];
    tls.enable_early_data = false;
    Ok(tls)
}

pub(super) fn builder()
-> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, IdentityError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(crypto("choosing TLS 1.3"))
}

pub(super) fn crypto<E>(action: &'static str) -> impl FnOnce(E) -> IdentityError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |source| IdentityError::Crypto {
        action,
        source: source.into(),
    }
}
