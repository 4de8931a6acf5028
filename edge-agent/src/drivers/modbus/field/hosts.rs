//! A network as people write it (`10.0.0.0/24`) as the addresses to look at. Pure. Never more than
//! a /22: who wants more scans by department.

use crate::transport::host_and_port;
use std::net::{IpAddr, Ipv4Addr};

/// Shortest prefix that is taken: 1,022 hosts.
pub const PREFIX_MIN: u8 = 22;

/// Why a network is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostsError {
    /// Not a network.
    #[error(
        "\"{text}\" is neither a host nor a network; write for example 10.0.0.5 or 10.0.0.0/24"
    )]
    Form {
        /// As written.
        text: String,
    },
    /// Too large.
    #[error("/{prefix} is too large; at most /{PREFIX_MIN} at once (1022 hosts)")]
    TooLarge {
        /// As written.
        prefix: u8,
    },
}

/// The endpoints (`HOST:PORT`) that are meant: of a network each host with `port`; a single host may name
/// its own.
///
/// # Errors
/// What is not understood or too large.
pub fn endpoints(text: &str, port: u16) -> Result<Vec<String>, HostsError> {
    if !text.contains('/')
        && let Some(endpoint) = host_and_port(text, port)
    {
        return Ok(vec![endpoint]);
    }
    let hosts = hosts(text)?;
    Ok(hosts.iter().map(|host| format!("{host}:{port}")).collect())
}

/// The hosts of a network, without its own and its broadcast address; a name or an address alone is
/// itself.
///
/// # Errors
/// What is not understood or too large.
fn hosts(text: &str) -> Result<Vec<String>, HostsError> {
    let form = || HostsError::Form {
        text: text.to_owned(),
    };
    let Some((network, prefix)) = text.split_once('/') else {
        let good = !text.is_empty() && !text.contains([' ', '@', '?', '#']);
        let host = match text.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => text.to_owned(),
        };
        return good.then(|| vec![host]).ok_or_else(form);
    };
    let network: Ipv4Addr = network.parse().map_err(|_| form())?;
    let prefix: u8 = prefix
        .parse()
        .ok()
        .filter(|prefix| *prefix <= 32)
        .ok_or_else(form)?;
    if prefix < PREFIX_MIN {
        return Err(HostsError::TooLarge { prefix });
    }
    let size = 1_u32 << (32 - prefix);
    let first = u32::from(network) & !(size - 1);
    let inside = if size > 2 {
        first + 1..first + (size - 1)
    } else {
        first..first + (size - 1)
    };
    let last = (size <= 2).then_some(first + (size - 1));
    Ok(inside
        .chain(last)
        .map(|host| Ipv4Addr::from(host).to_string())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_their_hosts() {
        let count = |text: &str| hosts(text).map(|hosts| hosts.len());
        assert_eq!(count("10.0.0.0/24"), Ok(254));
        assert_eq!(count("10.0.0.0/22"), Ok(1_022));
        assert_eq!(count("255.255.255.255/31"), Ok(2));
        assert_eq!(hosts("10.0.0.7/30").unwrap(), ["10.0.0.5", "10.0.0.6"]);
        assert_eq!(hosts("10.0.0.5/32").unwrap(), ["10.0.0.5"]);
        assert_eq!(hosts("plc-7").unwrap(), ["plc-7"]);
        assert_eq!(hosts("::1").unwrap(), ["[::1]"]);
        let one = |text: &str| endpoints(text, 502).map(|all| all.join(" "));
        assert_eq!(one("10.0.0.5:5020").unwrap(), "10.0.0.5:5020");
        assert_eq!(one("plc-7").unwrap(), "plc-7:502");
        assert_eq!(one("::1").unwrap(), "[::1]:502");
        assert_eq!(one("10.0.0.7/30").unwrap(), "10.0.0.5:502 10.0.0.6:502");
        assert_eq!(
            count("10.0.0.0/21"),
            Err(HostsError::TooLarge { prefix: 21 })
        );
        for text in ["", "10.0.0/24", "10.0.0.0/33", "a b", "10.0.0.0/x"] {
            assert!(
                matches!(hosts(text), Err(HostsError::Form { .. })),
                "{text}"
            );
        }
    }
}
