//! HTTPS for the page: the site's own certificate authority, made on the first box that needs it and
//! carried to the others, and the certificates that it issues for this box. The authority can vouch
//! for private addresses and names only (RFC 5280, section 4.2.1.10), so that a phone that trusts it
//! trusts nothing else by it. Never sends its key anywhere.

mod authority;
mod door;
mod name;
mod qr;

pub use authority::SiteAuthority;
pub use door::Door;
pub use name::{Name, host_name};
pub use qr::{svg, terminal};

use std::path::{Path, PathBuf};
use thiserror::Error;

/// What went wrong with the site's authority.
#[derive(Debug, Error)]
pub enum TrustError {
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
    /// A file does not hold a key and a certificate.
    #[error(
        "{path} does not hold the key and the certificate of a site authority; get it from another \
         box (edge-agent trust export), or make a new one (edge-agent trust init --again)"
    )]
    Damaged {
        /// Which file.
        path: String,
    },
    /// There is one already.
    #[error(
        "this box has a site authority already, and phones may trust it; add --again to replace it: \
         every phone has to trust the new one then"
    )]
    ThereAlready,
    /// A key or certificate could not be made.
    #[error("{action}")]
    Certificate {
        /// What was being done.
        action: &'static str,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// TLS cannot be served with it.
    #[error("serving HTTPS with the certificate of the site's authority")]
    Tls(#[from] rustls::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// A text is too long for a QR code.
    #[error("the address is too long for a QR code")]
    TooLong,
}

/// Where the authority of a box with this data folder is.
pub fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("trust").join("site-ca.pem")
}

#[cfg(test)]
mod tests;
