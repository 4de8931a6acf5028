//! Names and addresses under which a box is reached, and which of them are private.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Where a kernel says how the machine is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// Endings that no public name has (RFC 6762, RFC 8375, ICANN's "internal", and what routers use).
pub(super) const PRIVATE_ENDINGS: [&str; 5] =
    ["local", "lan", "home.arpa", "internal", "localhost"];
/// Networks that no public address is in: first address and length of the prefix.
pub(super) const PRIVATE_NETWORKS: [(&str, u8); 8] = [
    ("10.0.0.0", 8),
    ("172.16.0.0", 12),
    ("192.168.0.0", 16),
    ("169.254.0.0", 16),
    ("127.0.0.0", 8),
    ("::1", 128),
    ("fc00::", 7),
    ("fe80::", 10),
];

/// A name or an address of a box.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A DNS name in lower case.
    Dns(String),
    /// An address.
    Address(IpAddr),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let name = text.to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() <= 253 && name.split('.').all(label) {
            return Ok(Self::Dns(name));
        }
        Err("is neither a name nor an address; write for example box-7.lan or 192.168.1.20")
    }
}

/// How this machine is called, when its name can stand in a certificate.
pub fn host_name() -> Option<String> {
    let text = std::fs::read_to_string(HOST_NAME).ok()?;
    match text.trim().parse() {
        Ok(Name::Dns(name)) => Some(name),
        _ => None,
    }
}
