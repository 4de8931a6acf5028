//! The authority itself: one file with its key and its certificate, readable by the agent's user
//! only. Never issues a certificate for a name that it may not vouch for.

use super::name::{PRIVATE_ENDINGS, PRIVATE_NETWORKS};
use super::{Name, TrustError};
use protocol::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, SerialNumber,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// How long an authority counts: phones would have to be visited again.
const AUTHORITY_YEARS: i16 = 20;
/// How long a certificate of the box counts. Phones take none that counts longer than 825 days.
pub(super) const SERVER_DAYS: i64 = 397;
/// A certificate counts from a little before it was made, for clocks that differ.
const EARLIER_DAYS: i64 = 2;
const DAY_US: i64 = 86_400_000_000;

/// The site's authority, ready to issue.
pub struct SiteAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    permitted: Vec<Subtree>,
}

impl std::fmt::Debug for SiteAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiteAuthority").finish_non_exhaustive()
    }
}

/// Something for which the authority may vouch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtree {
    /// This name and all below it.
    Below(String),
    /// Addresses that are these bytes where the mask has ones.
    Network(Vec<u8>, Vec<u8>),
}

impl SiteAuthority {
    /// Reads the authority in `file`; `None` where there is none yet.
    pub fn read(file: &Path) -> Result<Option<Self>, TrustError> {
        match fs::read_to_string(file) {
            Ok(text) => Self::parse(&text, &file.display().to_string()).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(TrustError::File {
                action: "reading",
                path: file.display().to_string(),
                source,
            }),
        }
    }

    /// Makes an authority and keeps it in `file`. It may vouch for private names and addresses, for
    /// this machine's name, and for `more`.
    pub fn make(
        file: &Path,
        (called, more): (&str, &[Name]),
        now: Timestamp,
        again: bool,
    ) -> Result<Self, TrustError> {
        let key = KeyPair::generate().map_err(making)?;
        let certificate = params(called, more, now)?
            .self_signed(&key)
            .map_err(making)?;
        let text = format!("{}{}", key.serialize_pem(), certificate.pem());
        Self::take(file, &text, again)
    }

    /// Keeps the authority of another box, as `export` gave it, in `file`.
    pub fn take(file: &Path, text: &str, again: bool) -> Result<Self, TrustError> {
        let taken = Self::parse(text, "this text")?;
        if !again && file.exists() {
            return Err(TrustError::ThereAlready);
        }
        write(file, text)?;
        Ok(taken)
    }

    fn parse(text: &str, path: &str) -> Result<Self, TrustError> {
        let damaged = || TrustError::Damaged {
            path: path.to_owned(),
        };
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| damaged())?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| damaged())?;
        let key = KeyPair::try_from(&key).map_err(|_| damaged())?;
        let permitted = permitted(&certificate).ok_or_else(damaged)?;
        let is_its_key = X509Certificate::from_der(&certificate).is_ok_and(|(_, parsed)| {
            parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
        });
        if !is_its_key {
            return Err(damaged());
        }
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&certificate, key).map_err(|_| damaged())?,
            certificate,
            pem: text.to_owned(),
            permitted,
        })
    }

    /// Its certificate (DER): what phones are to trust.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of its certificate, as phones show it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.certificate);
        let pairs = digest.as_ref().iter().map(|byte| format!("{byte:02X}"));
        pairs.collect::<Vec<_>>().join(":")
    }

    /// Key and certificate as text, for another box of the site. A secret.
    pub fn secret_pem(&self) -> &str {
        &self.pem
    }

    /// Whether it may vouch for this name. An address that it may not vouch for would spoil the
    /// whole certificate.
    pub fn may_vouch_for(&self, name: &Name) -> bool {
        self.permitted.iter().any(|subtree| match (subtree, name) {
            (Subtree::Below(known), Name::Dns(name)) => name
                .strip_suffix(known.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            (Subtree::Network(bytes, mask), Name::Address(address)) => {
                let octets = match address {
                    IpAddr::V4(v4) => v4.octets().to_vec(),
                    IpAddr::V6(v6) => v6.octets().to_vec(),
                };
                let within = |((octet, byte), mask): ((&u8, &u8), &u8)| octet & mask == byte & mask;
                octets.len() == bytes.len() && octets.iter().zip(bytes).zip(mask).all(within)
            }
            _ => false,
        })
    }

    /// A fresh key and a certificate for those of `names` for which it may vouch.
    pub fn issue(&self, names: &[Name], now: Timestamp) -> Result<CertifiedKey, TrustError> {
        let wrap = |source| TrustError::Certificate {
            action: "making the certificate of the page",
            source,
        };
        let key = KeyPair::generate().map_err(wrap)?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "ChatterFix box");
        for name in names.iter().filter(|name| self.may_vouch_for(name)) {
            params.subject_alt_names.push(match name {
                Name::Dns(name) => SanType::DnsName(name.as_str().try_into().map_err(wrap)?),
                Name::Address(address) => SanType::IpAddress(*address),
            });
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(serial()?);
        let (y, m, d) = day(now.plus_micros(-EARLIER_DAYS * DAY_US));
        params.not_before = rcgen::date_time_ymd(y, m, d);
        let (y, m, d) = day(now.plus_micros((SERVER_DAYS - EARLIER_DAYS) * DAY_US));
        params.not_after = rcgen::date_time_ymd(y, m, d);
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(wrap)?;
        let secret =
            PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| TrustError::Random)?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        Ok(CertifiedKey::new(chain, any_ecdsa_type(&secret)?))
    }
}

fn making(source: rcgen::Error) -> TrustError {
    TrustError::Certificate {
        action: "making the site's authority",
        source,
    }
}

fn params(called: &str, more: &[Name], now: Timestamp) -> Result<CertificateParams, TrustError> {
    let serial = serial()?;
    let bytes = serial.to_bytes();
    let number = data_encoding::HEXLOWER.encode(bytes.get(..4).unwrap_or_default());
    let mut params = CertificateParams::default();
    let name = format!("ChatterFix {called} {number}");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // For any clock that was never set: such a box must serve its page too.
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let year = date(now).year().max(2026).saturating_add(AUTHORITY_YEARS);
    params.not_after = rcgen::date_time_ymd(year.into(), 1, 1);
    params.serial_number = Some(serial);
    let mut permitted: Vec<GeneralSubtree> = PRIVATE_ENDINGS
        .iter()
        .map(|ending| GeneralSubtree::DnsName((*ending).to_owned()))
        .collect();
    for (first, prefix) in PRIVATE_NETWORKS {
        if let Ok(first) = first.parse() {
            let network = CidrSubnet::from_addr_prefix(first, prefix);
            permitted.push(GeneralSubtree::IpAddress(network));
        }
    }
    let own = super::host_name().map(Name::Dns);
    for name in own.iter().chain(more) {
        permitted.push(match name {
            Name::Dns(name) => GeneralSubtree::DnsName(name.clone()),
            Name::Address(address) => {
                let bits = if address.is_ipv4() { 32 } else { 128 };
                GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*address, bits))
            }
        });
    }
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: permitted,
        excluded_subtrees: Vec::new(),
    });
    Ok(params)
}

/// For what the certificate says that its owner may vouch.
fn permitted(certificate: &[u8]) -> Option<Vec<Subtree>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let constraints = parsed.name_constraints().ok()??;
    let subtrees = constraints.value.permitted_subtrees.as_ref()?.iter();
    let known = subtrees.filter_map(|subtree| match &subtree.base {
        GeneralName::DNSName(name) => Some(Subtree::Below((*name).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let (address, mask) = bytes.split_at_checked(bytes.len() / 2)?;
            Some(Subtree::Network(address.to_vec(), mask.to_vec()))
        }
        _ => None,
    });
    Some(known.collect())
}

fn serial() -> Result<SerialNumber, TrustError> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| TrustError::Random)?;
    // Positive, whoever reads it.
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn date(time: Timestamp) -> jiff::civil::Date {
    let at = jiff::Timestamp::from_microsecond(time.0).unwrap_or_default();
    at.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn day(time: Timestamp) -> (i32, u8, u8) {
    let date = date(time);
    let number = |value: i8| u8::try_from(value).unwrap_or(1);
    (date.year().into(), number(date.month()), number(date.day()))
}

/// Whole or not at all, readable by the owner only.
fn write(path: &Path, content: &str) -> Result<(), TrustError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |source| TrustError::File {
        action: "writing",
        path: path.display().to_string(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
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
        .map_err(failed)
}
