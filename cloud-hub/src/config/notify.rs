//! The file that says who outside is told of alerts: mail, Slack, Teams, any webhook, by site. A file of
//! its own, for it names the files with addresses that are secrets. Never reads those.

use super::{ConfigError, Problem};
use protocol::event::Severity;
use protocol::smtp::is_mail_address;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most receivers.
pub const RECEIVERS_MAX: usize = 100;
/// Where Debian keeps the authorities of the internet.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Who is told, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyConfig {
    /// Alerts that are older when they come are not told: a site that was cut off for a week would
    /// else send a week of mails.
    pub age_max: Duration,
    /// PEM file with the authorities that servers may be signed by.
    pub ca_file: PathBuf,
    /// The mail server.
    pub mail: Option<MailServer>,
    /// Who is told.
    pub receivers: Vec<Receiver>,
}

/// `[mail]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailServer {
    /// `HOST:PORT`.
    pub address: String,
    /// Sender.
    pub from: String,
    /// How the connection is made safe.
    pub tls: MailTls,
    /// User, and the file with the password.
    pub login: Option<(String, PathBuf)>,
}

/// How a connection to a mail server is made safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// Not at all; only on a network of one's own.
    Off,
    /// After the greeting.
    #[default]
    Starttls,
    /// From the beginning.
    On,
}

/// `[[receiver]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// Alerts of these sites; empty: of all.
    pub sites: Vec<String>,
    /// What is less urgent is not told.
    pub severity: Severity,
    /// How.
    pub by: By,
}

/// How a receiver is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// Mail to these addresses.
    Mail(Vec<String>),
    /// A POST to the address in this file.
    Webhook(Form, PathBuf),
}

/// What a webhook takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `{"text": …}`
    Slack,
    /// An adaptive card, as workflows of Teams take it.
    Teams,
    /// The alert as JSON.
    Plain,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    age_max_minutes: Option<u32>,
    ca_file: Option<PathBuf>,
    mail: Option<MailTable>,
    #[serde(default)]
    receiver: Vec<ReceiverTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MailTable {
    address: String,
    from: String,
    #[serde(default)]
    tls: MailTls,
    user: Option<String>,
    password_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiverTable {
    name: toml::Spanned<String>,
    #[serde(default)]
    sites: Vec<String>,
    #[serde(default)]
    severity: Severity,
    kind: Kind,
    #[serde(default)]
    to: Vec<String>,
    url_file: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Mail,
    Slack,
    Teams,
    Webhook,
}

impl NotifyConfig {
    /// Reads a file. Its relative paths count from its folder.
    ///
    /// # Errors
    /// With every mistake that was found.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, base).map_err(|problems| ConfigError::Wrong {
            path: path.to_owned(),
            problems,
        })
    }

    /// Takes the text of a file.
    ///
    /// # Errors
    /// With every mistake that was found.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Vec<Problem>> {
        let at = |start: usize, words: String| super::reader::problem(text, start, words);
        let file: Whole = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            vec![at(start, error.message().replace('\n', ", "))]
        })?;
        let mut problems = Vec::new();
        let mail = file.mail.and_then(|table| {
            mail(table, base)
                .map_err(|words| problems.push(at(0, format!("[mail]: {words}"))))
                .ok()
        });
        let mut names = BTreeSet::new();
        let mut receivers = Vec::new();
        for table in file.receiver {
            let start = table.name.span().start;
            let name = table.name.get_ref().clone();
            let taken = if names.insert(name) {
                receiver(table, base, mail.is_some())
            } else {
                Err("this name is used twice; give each receiver its own".to_owned())
            };
            match taken {
                Ok(receiver) => receivers.push(receiver),
                Err(words) => problems.push(at(start, words)),
            }
        }
        if receivers.len() > RECEIVERS_MAX {
            problems.push(at(
                0,
                format!("there are more than {RECEIVERS_MAX} receivers"),
            ));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let minutes = u64::from(file.age_max_minutes.unwrap_or(60));
        Ok(Self {
            age_max: Duration::from_secs(minutes * 60),
            ca_file: base.join(file.ca_file.unwrap_or_else(|| AUTHORITIES.into())),
            mail,
            receivers,
        })
    }
}

fn mail(table: MailTable, base: &Path) -> Result<MailServer, String> {
    let has_port = table.address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !has_port {
        return Err(
            "address is not a host and a port; write for example \"mail.example.org:587\""
                .to_owned(),
        );
    }
    if !is_mail_address(&table.from) {
        return Err("from is not a mail address".to_owned());
    }
    let login = match (table.user, table.password_file) {
        (Some(user), Some(file)) => Some((user, base.join(file))),
        (None, None) => None,
        _ => return Err("user needs password_file beside it, and the other way round".to_owned()),
    };
    if login.is_some() && table.tls == MailTls::Off {
        return Err(
            "would send its password for everybody to read; write tls = \"starttls\"".to_owned(),
        );
    }
    Ok(MailServer {
        address: table.address,
        from: table.from,
        tls: table.tls,
        login,
    })
}

fn receiver(table: ReceiverTable, base: &Path, has_mail: bool) -> Result<Receiver, String> {
    let form = match table.kind {
        Kind::Mail => None,
        Kind::Slack => Some(Form::Slack),
        Kind::Teams => Some(Form::Teams),
        Kind::Webhook => Some(Form::Plain),
    };
    let by = match (form, table.url_file) {
        (Some(form), Some(file)) if table.to.is_empty() => By::Webhook(form, base.join(file)),
        (Some(_), _) => {
            return Err(
                "needs url_file = with the file that holds its address, and no to =".to_owned(),
            );
        }
        (None, None) if !table.to.is_empty() && table.to.iter().all(|to| is_mail_address(to)) => {
            if !has_mail {
                return Err("is told by mail, and there is no [mail]; add it".to_owned());
            }
            By::Mail(table.to)
        }
        (None, _) => return Err("needs to = [\"name@example.org\"], and no url_file =".to_owned()),
    };
    Ok(Receiver {
        name: table.name.into_inner(),
        sites: table.sites,
        severity: table.severity,
        by,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[mail]
address = "mail.example.org:587"
from = "hub@example.org"
user = "hub"
password_file = "mail-password"

[[receiver]]
name = "night shift"
kind = "mail"
to = ["night@example.org"]
sites = ["North works"]
severity = "high"

[[receiver]]
name = "maintenance channel"
kind = "slack"
url_file = "/etc/cloud-hub/slack-url"
"#;

    #[test]
    fn receivers_are_read_and_mistakes_told_with_their_place() {
        let read = |text: &str| NotifyConfig::parse(text, Path::new("/etc/cloud-hub"));
        let config = read(FILE).unwrap();
        assert_eq!(config.age_max, Duration::from_secs(3_600));
        assert_eq!(config.receivers.len(), 2);
        let mail = config.mail.unwrap();
        assert_eq!(mail.tls, MailTls::Starttls);
        assert_eq!(
            mail.login.unwrap().1,
            Path::new("/etc/cloud-hub/mail-password")
        );
        for (right, wrong, words) in [
            ("kind = \"slack\"", "kind = \"slak\"", "slak"),
            (
                "to = [\"night@example.org\"]",
                "to = [\"night\"]",
                "needs to =",
            ),
            (
                "name = \"maintenance channel\"",
                "name = \"night shift\"",
                "used twice",
            ),
            (
                "user = \"hub\"\n",
                "user = \"hub\"\ntls = \"off\"\n",
                "everybody to read",
            ),
            ("org:587", "org", "not a host and a port"),
            ("severity = \"high\"", "severty = \"high\"", "severty"),
        ] {
            let problems = read(&FILE.replace(right, wrong)).unwrap_err();
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(told.join("\n").contains(words), "{wrong}: {told:?}");
        }
        assert!(read("").unwrap().receivers.is_empty());
    }
}
