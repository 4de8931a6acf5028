//! Who this box is to its hub: the key made here, the certificate the hub signed, the authority
//! it trusts. Never sends the key anywhere, never trusts an authority that no claim pinned.

mod enrol;
mod renew;
mod tls;

pub use enrol::{Asked, Enrolled, ask};
pub use renew::{renew, renew_at, validity};
pub use tls::client_config;

use protocol::claim::ClaimError;
use protocol::wire::WireError;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What went wrong with the box's identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// A file could not be read or written.
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
    /// A stored file is not what it should be.
    #[error("{path} is damaged; enrol this box again with a new claim")]
    Damaged {
        /// Which file.
        path: String,
    },
    /// The claim text cannot be read.
    #[error("reading the claim")]
    Claim(#[from] ClaimError),
    /// The box already belongs to a hub.
    #[error("this box is enrolled already; add --again to replace its certificate")]
    AlreadyEnrolled,
    /// No connection to the hub.
    #[error(
        "connecting to the hub at {address}; check the address, and that this network lets the box through"
    )]
    Connect {
        /// Address as configured.
        address: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another hub answered than the one that made the claim.
    #[error(
        "the hub at {address} is not the one that made this claim (its authority differs); \
         check [hub] address, or get a claim from this hub"
    )]
    OtherHub {
        /// Address as configured.
        address: String,
    },
    /// The hub said no.
    #[error("the hub refused the claim: {words}")]
    Refused {
        /// In the hub's words.
        words: String,
    },
    /// The hub does not renew the certificate.
    #[error("the hub did not renew this box's certificate: {words}")]
    NotRenewed {
        /// In the hub's words.
        words: String,
    },
    /// The hub's answer is no answer.
    #[error("reading the hub's answer")]
    Answer(#[source] WireError),
    /// Keys or TLS settings could not be made.
    #[error("{action}")]
    Crypto {
        /// What was being done.
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The box's key, certificate and trusted authority.
#[derive(Debug)]
pub struct Identity {
    /// The key made on this box.
    pub key: PrivateKeyDer<'static>,
    /// The certificate that names it.
    pub certificate: CertificateDer<'static>,
    /// The hub's authorities: the one that signs, and others that are trusted meanwhile.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Identity {
    /// Reads the identity in `folder`; `None` when the box is not enrolled.
    pub fn load(folder: &Path) -> Result<Option<Self>, IdentityError> {
        let files = Files::new(folder);
        if !files.identity.exists() {
            return Ok(None);
        }
        let damaged = || IdentityError::Damaged {
            path: files.identity.display().to_string(),
        };
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&files.identity)
            .map_err(|_| damaged())?
            .collect();
        let mut certificates = certificates.map_err(|_| damaged())?.into_iter();
        let identity = Self {
            key: PrivateKeyDer::from_pem_file(&files.identity).map_err(|_| damaged())?,
            certificate: certificates.next().ok_or_else(damaged)?,
            authorities: certificates.collect(),
        };
        if identity.authorities.is_empty() {
            return Err(damaged());
        }
        Ok(Some(identity))
    }
}

/// Keeps key, certificate and authorities as one file, so that a crash at any point leaves the old
/// ones or the new ones, and never one of each.
fn store(
    files: &Files,
    key_pem: &str,
    certificate: &[u8],
    authorities: &[&[u8]],
) -> Result<(), IdentityError> {
    let mut text = key_pem.to_owned();
    for der in [certificate].iter().chain(authorities) {
        text.push_str(&enrol::pem(der));
    }
    write(&files.identity, &text)
}

impl Identity {
    /// Signs `message` with the box's key (ECDSA on P-256 with SHA-256, DER).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let random = ring::rand::SystemRandom::new();
        let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let key =
            ring::signature::EcdsaKeyPair::from_pkcs8(algorithm, self.key.secret_der(), &random)
                .map_err(|source| IdentityError::Crypto {
                    action: "reading the box's key",
                    source: source.to_string().into(),
                })?;
        let signature = key
            .sign(&random, message)
            .map_err(|_| IdentityError::Crypto {
                action: "signing with the box's key",
                source: "the system gives no random bytes".into(),
            })?;
        Ok(signature.as_ref().to_vec())
    }

    /// Whether the hub, which was believed, is of an authority that is new to this box: the next
    /// one, which a trusted one has signed. Behind its own certificate the hub shows that one's.
    pub fn is_superseded(&self, shown: &[CertificateDer<'_>]) -> bool {
        shown
            .get(1)
            .is_some_and(|authority| !self.authorities.iter().any(|known| known == authority))
    }

    /// Whether `certificate` is that of a trusted authority of the hub, and its key signed `message`.
    pub fn is_from_authority(&self, certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let algorithm = webpki::ring::ECDSA_P256_SHA256;
        let signed = |authority: &CertificateDer<'_>| {
            // Parsed only, not judged: it is trusted because a claim pinned it.
            webpki::EndEntityCert::try_from(authority).is_ok_and(|authority| {
                let checked = authority.verify_signature(algorithm, message, signature);
                checked.is_ok()
            })
        };
        let mut authorities = self.authorities.iter();
        authorities.any(|authority| authority.as_ref() == certificate && signed(authority))
    }
}

/// Where the key and the certificates of a box with this data folder are.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("identity")
}

/// When the certificate was stored; `None` when the box is not enrolled.
pub fn enrolled_at(folder: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(Files::new(folder).identity)
        .and_then(|data| data.modified())
        .ok()
}

/// Trusts only the authority that signs, where the hub, which was believed, shows that the one before it
/// is over: a hub that still changes over shows the new one a second time, signed by the one before
/// (PROTOCOL §7.5). Answers whether trust in one ended. `shown` is the hub's chain, its own certificate
/// first.
///
/// # Errors
///
/// The identity cannot be read or written; then both are trusted still.
pub fn retire(folder: &Path, shown: &[CertificateDer<'_>]) -> Result<bool, IdentityError> {
    // As it is now: a renewal may have written it since.
    let Some(identity) = Identity::load(folder)? else {
        return Ok(false);
    };
    let ([signs, _, ..], [_, only]) = (identity.authorities.as_slice(), shown) else {
        return Ok(false);
    };
    // Whoever has the key of an older one must not end the trust in the newer.
    if only != signs {
        return Ok(false);
    }
    let files = Files::new(folder);
    let path = &files.identity;
    let text = fs::read_to_string(path).map_err(|source| IdentityError::File {
        action: "reading",
        path: path.display().to_string(),
        source,
    })?;
    let key = text.split("-----BEGIN CERTIFICATE").next();
    let key = key.unwrap_or_default();
    store(&files, key, &identity.certificate, &[signs.as_ref()])?;
    Ok(true)
}

#[derive(Debug)]
struct Files {
    /// Key, certificate, authorities, in this order.
    identity: PathBuf,
    /// Key of an enrolment that was begun and not completed.
    pending: PathBuf,
}

impl Files {
    fn new(folder: &Path) -> Self {
        Self {
            identity: folder.join("identity.pem"),
            pending: folder.join("pending.key"),
        }
    }
}

/// Writes whole or not at all, readable by the owner only.
fn write(path: &Path, content: &str) -> Result<(), IdentityError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let temporary = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(content.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|source| IdentityError::File {
            action: "writing",
            path: path.display().to_string(),
            source,
        })
}

#[cfg(test)]
mod tests;
