//! The one place that writes and reads a gateway's name in a certificate:
//! `cfe://tenant/gateway/<uuid>` as URI in the subject alternative name (RFC 5280, 4.2.1.6);
//! also whether its key signed something.

use super::CaError;
use protocol::id::GatewayId;
use rcgen::string::Ia5String;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Whom a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateOwner {
    /// The tenant.
    pub tenant: String,
    /// The gateway.
    pub gateway: GatewayId,
    /// Serial number of the certificate, big-endian.
    pub serial: Vec<u8>,
}

pub(super) fn uri(tenant: &str, gateway: GatewayId) -> Result<Ia5String, CaError> {
    format!("cfe://{tenant}/gateway/{gateway}")
        .try_into()
        .map_err(|source| CaError::Certificate {
            action: "naming the gateway in its certificate",
            source,
        })
}

/// Reads the gateway's name from a verified certificate (DER).
pub fn owner_of(certificate: &[u8]) -> Result<CertificateOwner, CaError> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| CaError::NoGateway)?;
    let names = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let serial = certificate.raw_serial().to_vec();
    names
        .iter()
        .find_map(|name| match name {
            GeneralName::URI(uri) => parse(uri),
            _ => None,
        })
        .map(|(tenant, gateway)| CertificateOwner {
            tenant,
            gateway,
            serial,
        })
        .ok_or(CaError::NoGateway)
}

/// The last second in which a certificate (DER) is valid, since 1970.
pub fn last_second(certificate: &[u8]) -> Option<u64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp()).ok()
}

/// The common name in a certificate (DER); empty when it has none.
pub fn common_name(certificate: &[u8]) -> String {
    let parsed = X509Certificate::from_der(certificate).ok();
    let name = parsed.as_ref().and_then(|(_, parsed)| {
        let mut names = parsed.subject().iter_common_name();
        names.next()?.as_str().ok()
    });
    name.unwrap_or_default().to_owned()
}

/// The public key in a certificate (DER).
pub(super) fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.public_key().subject_public_key.data.to_vec())
}

/// Whether the key in a certificate (DER) signed `message` (ECDSA on P-256 with SHA-256, DER).
pub fn has_signed(certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let key = &certificate.public_key().subject_public_key.data;
    let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1;
    let key = ring::signature::UnparsedPublicKey::new(algorithm, key);
    key.verify(message, signature).is_ok()
}

fn parse(uri: &str) -> Option<(String, GatewayId)> {
    let (tenant, gateway) = uri.strip_prefix("cfe://")?.split_once("/gateway/")?;
    Some((tenant.to_owned(), gateway.parse().ok()?))
}
