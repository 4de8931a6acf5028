//! The hub's certificate authority: makes it at first start, signs what a gateway asks for after
//! its claim, and says which gateway a certificate names. Never sees a gateway's key.

mod names;
mod rollover;

pub use names::{CertificateOwner, common_name, has_signed, last_second, owner_of};
pub use rollover::{retire, rotate};

use protocol::claim::Claim;
use protocol::id::GatewayId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
    SerialNumber, SigningKey as _,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, pem::PemObject as _,
};
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

/// The name in the hub's own certificate: gateways ask for it whatever address they dial.
pub const SERVER_NAME: &str = "cloud-hub";
/// How long a gateway's certificate is valid.
pub const GATEWAY_VALID: Duration = Duration::days(365);
/// A certificate is valid from a little before it was made, for clocks that differ.
const NOT_BEFORE: Duration = Duration::hours(1);
/// The authority and the hub's own certificate are valid for any clock that was never set: such a
/// box must reach the hub to learn the time.
const ANY_CLOCK: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
/// How long the authority is valid.
const AUTHORITY_DAYS: i64 = 20 * 365;

/// What went wrong with certificates.
#[derive(Debug, Error)]
pub enum CaError {
    /// A file of the authority could not be read or written.
    #[error("{action} {path}")]
    File {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A key or certificate could not be made or read.
    #[error("{action}")]
    Certificate {
        /// What was being done.
        action: &'static str,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// A stored file is not what it should be.
    #[error(
        "{path} does not hold a key or certificate; restore it from the backup of the data folder"
    )]
    Damaged {
        /// Which file.
        path: String,
    },
    /// A certificate does not name a gateway of this hub.
    #[error("the certificate does not name a gateway of this hub")]
    NoGateway,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// A roll-over is under way already.
    #[error(
        "the authority before this one is still trusted; retire it first (`cloud-hub ca retire`)"
    )]
    TwoAlready,
    /// There is nothing to retire.
    #[error("there is one authority only; `cloud-hub ca rotate` makes the next one")]
    OnlyOne,
}

/// A certificate that was just signed.
#[derive(Debug)]
pub struct Issued {
    /// The certificate (DER).
    pub certificate: Vec<u8>,
    /// Its serial number, big-endian.
    pub serial: Vec<u8>,
    /// Last day, seconds since 1970.
    pub not_after_s: i64,
}

/// The authority, ready to sign, and the one before it while that is trusted too.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// The one before, while it is trusted.
    previous: Option<Previous>,
    /// Of everything that must stay the same over a restart and a roll-over.
    secret: [u8; 32],
}

/// The authority before a roll-over.
#[derive(Debug)]
struct Previous {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// The new authority's certificate as the old one signed it: who knows the old one only
    /// believes the hub by it.
    cross: CertificateDer<'static>,
}

impl Authority {
    /// Opens the authority in `folder`, or makes it at first start (files `ca.key`, `ca.pem`,
    /// `hub.secret`; `ca.previous.key` during a roll-over).
    pub fn open(folder: &Path) -> Result<Self, CaError> {
        let files = Files::new(folder);
        if !files.key.exists() {
            make(&files)?;
        }
        rollover::finish(&files)?;
        let mut certificates = read_certificates(&files)?.into_iter();
        let damaged = || files.damaged();
        let certificate = certificates.next().ok_or_else(damaged)?;
        let previous = match (certificates.next(), certificates.next()) {
            (Some(before), Some(cross)) => Some(Previous {
                issuer: issuer(&before, read_key(&files.previous_key)?)?,
                certificate: before,
                cross,
            }),
            (None, _) => None,
            (Some(_), None) => return Err(damaged()),
        };
        Ok(Self {
            issuer: issuer(&certificate, read_key(&files.key)?)?,
            certificate,
            previous,
            secret: secret(&files.secret)?,
        })
    }

    /// The authority's certificate (DER): the one that signs.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The authority before it, while that is trusted too.
    pub fn previous(&self) -> Option<&CertificateDer<'static>> {
        self.previous.as_ref().map(|previous| &previous.certificate)
    }

    /// All authorities whose certificates count, the one that signs first.
    pub fn trusted(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        [&self.certificate].into_iter().chain(self.previous())
    }

    /// The claim text for a new one-time token.
    pub fn claim(&self, token: [u8; 16], replaces: bool) -> Claim {
        Claim {
            token,
            authority: fingerprint(&self.certificate),
            replaces,
        }
    }

    /// Signs a gateway's request. Of the request only the public key is used: the names come
    /// from the claim.
    pub fn sign_gateway(
        &self,
        request: &[u8],
        gateway: GatewayId,
        tenant: &str,
        valid: Duration,
    ) -> Result<Issued, CaError> {
        let request = CertificateSigningRequestDer::from(request);
        let request = CertificateSigningRequestParams::from_der(&request).map_err(|source| {
            CaError::Certificate {
                action: "reading the gateway's request",
                source,
            }
        })?;
        let serial = random_serial()?;
        let not_after = OffsetDateTime::now_utc() + valid;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, gateway.to_string());
        params.subject_alt_names = vec![SanType::URI(names::uri(tenant, gateway)?)];
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        // A box renews at one third of its certificate's life: that it has one is said here.
        params.not_before = OffsetDateTime::now_utc().min(not_after) - NOT_BEFORE;
        params.not_after = not_after;
        let certificate = params
            .signed_by(&request.public_key, &self.issuer)
            .map_err(|source| CaError::Certificate {
                action: "signing the gateway's certificate",
                source,
            })?;
        let certificate = certificate.der().to_vec();
        Ok(Issued {
            certificate,
            serial: serial.to_vec(),
            not_after_s: not_after.unix_timestamp(),
        })
    }

    /// Signs `message` with the key of the authority with this SHA-256, which is named too, or of
    /// the present one (ECDSA on P-256 with SHA-256, DER).
    pub fn sign_for(
        &self,
        authority: Option<[u8; 32]>,
        message: &[u8],
    ) -> Result<(&CertificateDer<'static>, Vec<u8>), CaError> {
        let previous = self.previous.as_ref().filter(|previous| {
            authority.is_none_or(|wanted| fingerprint(&previous.certificate) == wanted)
        });
        let (issuer, certificate) = match previous {
            Some(previous) => (&previous.issuer, &previous.certificate),
            None => (&self.issuer, &self.certificate),
        };
        let signed = issuer.key().sign(message);
        let signature = signed.map_err(|source| CaError::Certificate {
            action: "signing with the authority's key",
            source,
        })?;
        Ok((certificate, signature))
    }

    /// A secret for one purpose that is the same after a restart.
    pub fn secret(&self, purpose: &[u8]) -> [u8; 32] {
        let mut secret = [0; 32];
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.secret);
        secret.copy_from_slice(ring::hmac::sign(&key, purpose).as_ref());
        secret
    }

    /// A fresh key and certificate for the hub's own listener; made anew at every start.
    pub fn server_certificate(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CaError> {
        let wrap = |source| CaError::Certificate {
            action: "making the hub's own certificate",
            source,
        };
        let key = KeyPair::generate().map_err(wrap)?;
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).map_err(wrap)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = ANY_CLOCK;
        params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
        let certificate = params.signed_by(&key, &self.issuer).map_err(wrap)?;
        let mut chain = vec![certificate.der().clone(), self.certificate.clone()];
        chain.extend(
            self.previous
                .as_ref()
                .map(|previous| previous.cross.clone()),
        );
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| CaError::Damaged {
            path: "the hub's own key".to_owned(),
        })?;
        Ok((chain, key))
    }
}

/// SHA-256 of the public key in a gateway's request, whose signature is checked (RFC 2986).
pub fn request_key(request: &[u8]) -> Result<[u8; 32], CaError> {
    let request =
        CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))
            .map_err(|source| CaError::Certificate {
                action: "reading the gateway's request",
                source,
            })?;
    let mut digest = [0; 32];
    let key = request.public_key.der_bytes();
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, key).as_ref());
    Ok(digest)
}

/// SHA-256 of a certificate (DER).
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, certificate).as_ref());
    digest
}

/// Where the authority is kept.
#[derive(Debug)]
struct Files {
    key: PathBuf,
    /// The certificate; during a roll-over also the one before and the cross-signed one.
    certificates: PathBuf,
    previous_key: PathBuf,
    /// Key of a roll-over that is not complete.
    next_key: PathBuf,
    secret: PathBuf,
}

impl Files {
    fn new(folder: &Path) -> Self {
        Self {
            key: folder.join("ca.key"),
            certificates: folder.join("ca.pem"),
            previous_key: folder.join("ca.previous.key"),
            next_key: folder.join("ca.next.key"),
            secret: folder.join("hub.secret"),
        }
    }

    fn damaged(&self) -> CaError {
        CaError::Damaged {
            path: self.certificates.display().to_string(),
        }
    }
}

fn make(files: &Files) -> Result<(), CaError> {
    let key = KeyPair::generate().map_err(making)?;
    let certificate = authority_params()?.self_signed(&key).map_err(making)?;
    // The key last: a crash between the two begins anew.
    write(&files.certificates, certificate.pem().as_bytes(), 0o644)?;
    write(&files.key, key.serialize_pem().as_bytes(), 0o600)
}

fn making(source: rcgen::Error) -> CaError {
    CaError::Certificate {
        action: "making the hub's CA certificate",
        source,
    }
}

/// An authority with a name of its own.
fn authority_params() -> Result<CertificateParams, CaError> {
    let serial = random_serial()?;
    let [a, b, c, d, ..] = serial;
    let number = u32::from_be_bytes([a, b, c, d]);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(
        DnType::CommonName,
        format!("ChatterFix hub authority {number:08x}"),
    );
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = ANY_CLOCK;
    params.not_after = OffsetDateTime::now_utc() + Duration::days(AUTHORITY_DAYS);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn issuer(
    certificate: &CertificateDer<'static>,
    key: KeyPair,
) -> Result<Issuer<'static, KeyPair>, CaError> {
    Issuer::from_ca_cert_der(certificate, key).map_err(|source| CaError::Certificate {
        action: "reading the hub's CA certificate",
        source,
    })
}

fn read_certificates(files: &Files) -> Result<Vec<CertificateDer<'static>>, CaError> {
    CertificateDer::pem_file_iter(&files.certificates)
        .and_then(Iterator::collect)
        .map_err(|_| files.damaged())
}

/// Read, or made where it is not there yet.
fn secret(path: &Path) -> Result<[u8; 32], CaError> {
    if !path.exists() {
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| CaError::Random)?;
        write(path, &secret, 0o600)?;
        return Ok(secret);
    }
    let bytes = fs::read(path).map_err(|source| CaError::File {
        action: "reading",
        path: path.display().to_string(),
        source,
    })?;
    bytes.try_into().map_err(|_| CaError::Damaged {
        path: path.display().to_string(),
    })
}

fn read_key(path: &Path) -> Result<KeyPair, CaError> {
    let text = fs::read_to_string(path).map_err(|source| CaError::File {
        action: "reading",
        path: path.display().to_string(),
        source,
    })?;
    KeyPair::from_pem(&text).map_err(|_| CaError::Damaged {
        path: path.display().to_string(),
    })
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), CaError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let temporary: PathBuf = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    options
        .open(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|source| CaError::File {
            action: "writing",
            path: path.display().to_string(),
            source,
        })
}

fn random_serial() -> Result<[u8; 16], CaError> {
    let mut serial = [0; 16];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| CaError::Random)?;
    serial[0] &= 0x7F; // A positive number (RFC 5280, section 4.1.2.2).
    serial[0] |= 0x40;
    Ok(serial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_same_authority_comes_back_and_signs_what_a_gateway_asks() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path()).unwrap();
        let again = Authority::open(folder.path()).unwrap();
        assert_eq!(first.claim([1; 16], false), again.claim([1; 16], false));
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let gateway = GatewayId(Uuid::from_u128(5));
        let issued = again
            .sign_gateway(request.der(), gateway, "default", GATEWAY_VALID)
            .unwrap();
        let owner = owner_of(&issued.certificate).unwrap();
        assert_eq!(owner.gateway, gateway);
        assert_eq!(owner.tenant, "default");
        assert_eq!(owner.serial, issued.serial);
    }

    #[test]
    fn a_damaged_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        Authority::open(folder.path()).unwrap();
        fs::write(folder.path().join("ca.key"), "nonsense").unwrap();
        let error = Authority::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("ca.key"), "{error}");
    }

    #[test]
    fn the_authority_does_not_sign_garbage() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let gateway = GatewayId(Uuid::from_u128(5));
        assert!(
            authority
                .sign_gateway(b"garbage", gateway, "default", GATEWAY_VALID)
                .is_err()
        );
    }
}
