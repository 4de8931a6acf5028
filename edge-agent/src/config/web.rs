//! `[web]`: where the page for staff is.

use super::{Section, path};
use crate::config::quoted;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Most names in `https_names`.
const NAMES_MAX: usize = 16;

/// `[web]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebConfig {
    /// Address of the page for staff.
    pub listen: SocketAddr,
    /// Address of the same page by HTTPS; `None`: there is none.
    pub https_listen: Option<SocketAddr>,
    /// Further names and addresses under which people open it by HTTPS.
    pub https_names: Vec<String>,
    /// File with the code that people enter; always there when the page can be reached from the
    /// network.
    pub access_code_file: Option<PathBuf>,
}

pub(super) fn web(mut section: Section, base: &Path) -> WebConfig {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let listen = address(&mut section, "listen", "127.0.0.1:8080").unwrap_or(default);
    let https_listen = address(&mut section, "https_listen", "0.0.0.0:8443");
    let https_names = section.text_list("https_names").unwrap_or_default();
    if https_names.len() > NAMES_MAX {
        section.problem("https_names", &format!("has more than {NAMES_MAX} names"));
    }
    for name in https_names.iter().filter(|name| !is_name(name)) {
        let words = "is neither a name nor an address; write for example \"box-7.lan\"";
        section.problem("https_names", &format!("{} {words}", quoted(name)));
    }
    let access_code_file = path(&mut section, "access_code_file", base);
    let doors = [("listen", Some(listen)), ("https_listen", https_listen)];
    for (key, door) in doors {
        let Some(door) = door.filter(|door| !door.ip().is_loopback()) else {
            continue;
        };
        if !section.has("access_code_file") {
            let words = format!(
                "{door} can be reached from the network and there is no access code; \
                 add access_code_file = \"…\" (a file with the code that people enter), \
                 or listen on 127.0.0.1"
            );
            section.problem(key, &words);
        }
    }
    section.finish();
    WebConfig {
        listen,
        https_listen,
        https_names,
        access_code_file,
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    name.parse::<IpAddr>().is_ok() || (!name.is_empty() && name.bytes().all(is_plain))
}

fn address(section: &mut Section, key: &'static str, example: &str) -> Option<SocketAddr> {
    let text = section.text(key)?;
    let address = text.parse().ok();
    if address.is_none() {
        let words = format!("is not an IP address and a port; write for example \"{example}\"");
        section.problem(key, &format!("{} {words}", quoted(&text)));
    }
    address
}
