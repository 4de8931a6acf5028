//! Who this box is to its hub: the key made here, the certificate the hub signed, the authority
//! it trusts. Never sends the key anywhere, never trusts an authority that no claim pinned.

mod enrol;
mod tls;

pub use enrol::{Enrolled, enrol};
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
    /// The hub's authority.
    pub authority: CertificateDer<'static>,
}

impl Identity {
    /// Reads the identity in `folder`; `None` when the box is not enrolled.
    pub fn load(folder: &Path) -> Result<Option<Self>, IdentityError> {
        let files = Files::new(folder);
        if !files.certificate.exists() {
            return Ok(None);
        }
        let damaged = |path: &Path| IdentityError::Damaged {
            path: path.display().to_string(),
        };
        Ok(Some(Self {
            key: PrivateKeyDer::from_pem_file(&files.key).map_err(|_| damaged(&files.key))?,
            certificate: CertificateDer::from_pem_file(&files.certificate)
                .map_err(|_| damaged(&files.certificate))?,
            authority: CertificateDer::from_pem_file(&files.authority)
                .map_err(|_| damaged(&files.authority))?,
        }))
    }
}

/// When the certificate was stored; `None` when the box is not enrolled.
pub fn enrolled_at(folder: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(Files::new(folder).certificate)
        .and_then(|data| data.modified())
        .ok()
}

struct Files {
    key: PathBuf,
    /// Key of an enrolment that was begun and not completed.
    pending: PathBuf,
    certificate: PathBuf,
    authority: PathBuf,
}

impl Files {
    fn new(folder: &Path) -> Self {
        Self {
            key: folder.join("gateway.key"),
            pending: folder.join("pending.key"),
            certificate: folder.join("gateway.pem"),
            authority: folder.join("authority.pem"),
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
