//! The certificate with which the page is served now. A box that is reached under an address that is
//! not in it, or whose certificate grows old, gets another one at once: nobody has to renew anything.

use super::{Name, SiteAuthority, TrustError, host_name};
use protocol::time::Timestamp;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Names and addresses in one certificate. Of more addresses, the one that was met first goes.
const NAMES_MAX: usize = 64;
/// After this part of its life another one is made.
const RENEW_AFTER_US: i64 = super::authority::SERVER_DAYS * 86_400_000_000 * 2 / 3;

/// Gives every connection the certificate that counts.
pub struct Door {
    authority: SiteAuthority,
    now: Mutex<Shown>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

struct Shown {
    certified: Arc<CertifiedKey>,
    names: Vec<Name>,
    /// How many of them stay whatever happens.
    fixed: usize,
    made: Timestamp,
}

impl Door {
    /// A door with a certificate for the machine's name and `more`.
    pub fn new(
        authority: SiteAuthority,
        more: &[Name],
        now: Timestamp,
    ) -> Result<Self, TrustError> {
        let mut names = vec![Name::Dns("localhost".to_owned())];
        if let Some(host) = host_name() {
            let host_alone = host.split('.').next().unwrap_or_default().to_owned();
            names.push(Name::Dns(format!("{host_alone}.local")));
            names.push(Name::Dns(format!("{host_alone}.lan")));
            names.push(Name::Dns(host));
        }
        names.extend(more.iter().cloned());
        names.truncate(NAMES_MAX / 2);
        for name in names.iter().filter(|name| !authority.may_vouch_for(name)) {
            tracing::warn!(
                %name,
                "the site's authority may not vouch for this name, so HTTPS does not work under it; \
                 `edge-agent trust init --again` makes one that may"
            );
        }
        let shown = Shown {
            certified: Arc::new(authority.issue(&names, now)?),
            fixed: names.len(),
            names,
            made: now,
        };
        Ok(Self {
            authority,
            now: Mutex::new(shown),
        })
    }

    /// The site's authority.
    pub const fn authority(&self) -> &SiteAuthority {
        &self.authority
    }

    /// A connection came in under this address: the certificate is to name it, and to count. When
    /// none can be made, the one before goes on.
    pub fn cover(&self, address: IpAddr, now: Timestamp) {
        let name = Name::Address(address.to_canonical());
        let mut shown = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.micros_since(shown.made);
        // A clock that was set back by more than a day makes it one of the future.
        let is_good = (-86_400_000_000..RENEW_AFTER_US).contains(&age);
        let is_named = shown.names.contains(&name) || !self.authority.may_vouch_for(&name);
        if is_good && is_named {
            return;
        }
        let mut names = shown.names.clone();
        if !is_named {
            if names.len() >= NAMES_MAX {
                names.remove(shown.fixed);
            }
            names.push(name);
        }
        match self.authority.issue(&names, now) {
            Ok(certified) => {
                shown.certified = Arc::new(certified);
                shown.names = names;
                shown.made = now;
            }
            Err(error) => tracing::warn!(%error, "the page keeps its certificate"),
        }
    }

    /// How TLS is spoken at this door.
    pub fn tls(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TrustError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        let shown = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&shown.certified)
    }
}

impl ResolvesServerCert for Door {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

#[cfg(test)]
impl Door {
    /// The certificate that is shown now (DER).
    pub(super) fn shown(&self) -> Vec<u8> {
        self.certified().cert.first().unwrap().to_vec()
    }
}
