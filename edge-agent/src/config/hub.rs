//! `[hub]`: where the hub is and how to get there. Never shows the proxy's password, not even in a
//! complaint about it.

use super::section::Section;
use super::value::quoted;
use std::fmt;
use std::time::Duration;

/// Port of TLS over TCP when the file names none: the one that firewalls leave open.
const TCP_PORT: u16 = 443;

/// `[hub]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubConfig {
    /// Name or IP address, without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// TCP port, for where UDP does not get through.
    pub tcp_port: u16,
    /// What the TCP connection goes through.
    pub proxy: Option<ProxyConfig>,
    /// How often the path is kept open; two and a half times this without a sign of the hub is
    /// the end of a connection.
    pub keep_alive: Duration,
    /// Longest wait between two attempts to connect.
    pub reconnect_max: Duration,
    /// New readings are sent together, once in this time; events and alerts never wait.
    pub live_every: Duration,
    /// Whether the hub may say what the plant is (ports, devices, rules).
    pub accept_configuration: bool,
    /// How long a document of the hub runs on trial before it is kept.
    pub configuration_trial: Duration,
}

/// An HTTP proxy that knows CONNECT.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    credentials: Option<(Vec<u8>, Vec<u8>)>,
}

impl ProxyConfig {
    /// User and password; secret.
    pub fn credentials(&self) -> Option<(&[u8], &[u8])> {
        let (user, password) = self.credentials.as_ref()?;
        Some((user, password))
    }

    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => {
                let (user, password) = credentials.split_once(':')?;
                (Some((decoded(user)?, decoded(password)?)), address)
            }
            None => (None, rest),
        };
        let (host, port) = host_and_port(address)?;
        Some(Self {
            host,
            port,
            credentials,
        })
    }
}

/// Without user and password.
impl fmt::Display for ProxyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.host, self.port)
    }
}

/// Never shows the secret.
impl fmt::Debug for ProxyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyConfig({self})")
    }
}

impl fmt::Display for HubConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.host, self.port)
    }
}

fn show(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') {
        return write!(f, "[{host}]:{port}");
    }
    write!(f, "{host}:{port}")
}

pub(super) fn read(mut section: Section) -> Option<HubConfig> {
    let text = section.required_text("address");
    let hub = text.as_deref().and_then(host_and_port);
    if let (Some(text), None) = (&text, &hub) {
        let words = "is not a host and a port; write for example \"hub.example.com:7443\"";
        section.problem("address", &format!("{} {words}", quoted(text)));
    }
    let tcp_port = section.integer("tcp_port", 1..=65_535).unwrap_or(TCP_PORT);
    let text = section.text("proxy");
    let proxy = text.as_deref().and_then(ProxyConfig::parse);
    if text.is_some() && proxy.is_none() {
        // What was written may hold a password: it is not repeated.
        let words = "is not an address of a proxy; write \"http://host:port\" or \
                     \"http://user:password@host:port\", with %40 for @ and %3A for : in user and \
                     password";
        section.problem("proxy", words);
    }
    let second = Duration::from_secs(1);
    let keep_alive = section
        .duration("keep_alive", second..=second * 120)
        .unwrap_or(second * 10);
    let reconnect_max = section
        .duration("reconnect_max", second..=second * 3_600)
        .unwrap_or(second * 60);
    let live_every = section
        .duration("live_every", second..=second * 60)
        .unwrap_or(second * 5);
    let accept_configuration = section.boolean("accept_configuration").unwrap_or(false);
    let configuration_trial = section
        .duration("configuration_trial", second..=second * 3_600)
        .unwrap_or(second * 60);
    section.finish();
    hub.map(|(host, port)| HubConfig {
        host,
        port,
        tcp_port,
        proxy,
        keep_alive,
        reconnect_max,
        live_every,
        accept_configuration,
        configuration_trial,
    })
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let good = match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '/', ' ']),
    };
    good.then(|| (bare.unwrap_or(host).to_owned(), port))
}

/// Undoes `%40` and the like (RFC 3986, section 2.1).
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        out.push(u8::try_from(value).ok()?);
    }
    Some(out)
}
