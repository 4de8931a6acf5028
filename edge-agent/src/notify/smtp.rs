//! Mail to a server on the LAN (RFC 5321), with STARTTLS (RFC 3207) or TLS from the beginning where an
//! authority is named, and a password only over TLS (RFC 4954, PLAIN). The conversation is a value
//! (`Talk`): replies in, commands out. Never sends to a server that the authority did not sign.

use super::matter::{Message, Outcome, Sort};
use super::seat::{Seat, Sends, Task};
use super::secret;
use super::words::Language;
use crate::config::{Section, is_mail_address};
use crate::transport::{Stream, TlsSettings, config, host_and_port, wrap_tls};
use data_encoding::BASE64;
use std::path::PathBuf;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Longest line of a reply, with its end; RFC 5321 section 4.5.3.1.5 has 512.
const LINE_BYTES_MAX: u64 = 2_048;
/// Most lines of one reply.
const LINES_MAX: usize = 128;

/// `kind = "smtp"`
#[derive(Clone, Debug)]
pub(super) struct Smtp {
    endpoint: String,
    from: String,
    tls: Option<(TlsSettings, bool)>,
    login: Option<(String, PathBuf)>,
    /// What this box calls itself.
    host: String,
}

/// Reads its keys.
pub(super) fn read(section: &mut Section) -> Option<Smtp> {
    let endpoint = section.required_text("address").and_then(|text| {
        let found = host_and_port(&text, 25);
        if found.is_none() {
            let words = "is not a host and a port; write for example \"mail.plant.lan:25\"";
            section.problem("address", words);
        }
        found
    });
    let from = section.required_text("from").filter(|from| {
        let good = is_mail_address(from);
        if !good {
            section.problem(
                "from",
                "is not a mail address; write for example \"box@plant.lan\"",
            );
        }
        good
    });
    let tls = section.choice(
        "tls",
        &[("off", None), ("starttls", Some(false)), ("on", Some(true))],
    );
    let tls = tls.flatten();
    let authority = config::authority(section, endpoint.as_deref().unwrap_or_default());
    if tls.is_some() && !section.has("ca_file") {
        section.missing("ca_file", "ca_file = \"/etc/edge-agent/mail-ca.pem\"");
    }
    let user = section.text("user");
    let password = config::file(section, "password_file");
    if section.has("user") && tls.is_none() {
        let words =
            "would send its password for everybody to read; write tls = \"starttls\" beside it";
        section.problem("user", words);
    }
    if section.has("user") != section.has("password_file") {
        section.problem(
            "user",
            "needs password_file beside it, and the other way round",
        );
    }
    let host = section
        .text("host")
        .unwrap_or_else(|| "edge-agent.invalid".to_owned());
    Some(Smtp {
        endpoint: endpoint?,
        from: from?,
        tls: authority.zip(tls),
        login: user.zip(password),
        host,
    })
}

impl Sends for Smtp {
    fn send<'a>(&'a mut self, message: &'a Message, seat: &'a Seat) -> Task<'a, Outcome> {
        Box::pin(async move {
            let Some(to) = &message.to else {
                return Outcome::Refused("nobody is named to send it to".to_owned());
            };
            let mail = mail(
                message,
                (&self.from, &to.address),
                seat.language,
                &self.host,
            );
            match self.deliver(&to.address, mail).await {
                Ok(words) => Outcome::Delivered(words),
                Err(Failure::Refused(words)) => Outcome::Refused(words),
                Err(Failure::Failed(words)) => Outcome::Failed(words),
            }
        })
    }
}

/// Why a mail was not taken: for good (5yz), or for now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    Refused(String),
    Failed(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

type Line = BufReader<Box<dyn Stream>>;

impl Smtp {
    async fn deliver(&self, to: &str, mail: String) -> Result<String, Failure> {
        let stream = TcpStream::connect(&self.endpoint).await;
        let stream =
            stream.map_err(|error| Failure::Failed(format!("{}: {error}", self.endpoint)))?;
        let password = match &self.login {
            Some((_, file)) => Some(secret::read(file)?),
            None => None,
        };
        let mut talk = Talk {
            host: self.host.clone(),
            login: self
                .login
                .as_ref()
                .map(|(user, _)| user.clone())
                .zip(password),
            from: self.from.clone(),
            to: to.to_owned(),
            mail,
            wants_tls: matches!(self.tls, Some((_, false))),
            at: At::Greeting,
        };
        match &self.tls {
            Some((settings, true)) => {
                let line: Box<dyn Stream> = Box::new(wrap_tls(settings, stream).await?);
                converse(&mut BufReader::new(line), &mut talk).await
            }
            Some((settings, false)) => {
                // Until the line is safe nothing but STARTTLS is said.
                let stream = until_tls(stream, &mut talk).await?;
                let line: Box<dyn Stream> = Box::new(wrap_tls(settings, stream).await?);
                let mut line: Line = BufReader::new(line);
                say(&mut line, &talk.after_tls()).await?;
                converse(&mut line, &mut talk).await
            }
            None => {
                let line: Box<dyn Stream> = Box::new(stream);
                converse(&mut BufReader::new(line), &mut talk).await
            }
        }
    }
}

async fn until_tls(stream: TcpStream, talk: &mut Talk) -> Result<TcpStream, Failure> {
    let mut line = BufReader::new(stream);
    loop {
        let reply = reply(&mut line).await?;
        match talk.heard(&reply)? {
            Next::Say(words) => say(&mut line, &words).await?,
            Next::Secure => break,
            Next::Done(_) => return Err(Failure::Failed("the server ended before TLS".to_owned())),
        }
    }
    // What was smuggled in before must not count after.
    if !line.buffer().is_empty() {
        let words = "the server says something between STARTTLS and TLS; nothing was sent";
        return Err(Failure::Failed(words.to_owned()));
    }
    Ok(line.into_inner())
}

async fn converse(line: &mut Line, talk: &mut Talk) -> Result<String, Failure> {
    loop {
        let reply = reply(line).await?;
        match talk.heard(&reply)? {
            Next::Say(words) => say(line, &words).await?,
            Next::Secure => return Err(Failure::Failed("the server wants TLS twice".to_owned())),
            Next::Done(words) => {
                // The mail is taken; whether the end is polite does not matter.
                drop(say(line, "QUIT\r\n").await);
                return Ok(words);
            }
        }
    }
}

async fn say<S: Stream>(line: &mut BufReader<S>, words: &str) -> Result<(), Failure> {
    line.write_all(words.as_bytes()).await?;
    line.flush().await?;
    Ok(())
}

/// One reply: its code and its lines.
async fn reply<S: Stream>(line: &mut BufReader<S>) -> Result<Reply, Failure> {
    let mut lines = Vec::new();
    loop {
        let mut text = Vec::new();
        let read = (&mut *line)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut text)
            .await?;
        let text = String::from_utf8_lossy(&text).trim_end().to_owned();
        let code = text.get(..3).and_then(|code| code.parse::<u16>().ok());
        let Some(code) = code.filter(|_| read > 0 && lines.len() < LINES_MAX) else {
            let words = "the server ended, or speaks something else than SMTP";
            return Err(Failure::Failed(words.to_owned()));
        };
        let is_last = text.get(3..4) != Some("-");
        lines.push(text.get(4..).unwrap_or_default().to_owned());
        if is_last {
            return Ok(Reply { code, lines });
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reply {
    code: u16,
    lines: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Greeting,
    Hello,
    StartTls,
    Login,
    From,
    To,
    Data,
    Text,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    Say(String),
    /// The line is to be made safe.
    Secure,
    Done(String),
}

/// One conversation.
struct Talk {
    host: String,
    login: Option<(String, String)>,
    from: String,
    to: String,
    mail: String,
    wants_tls: bool,
    at: At,
}

impl Talk {
    /// Greets again: what the server said before TLS does not count.
    fn after_tls(&mut self) -> String {
        self.wants_tls = false;
        self.at = At::Hello;
        format!("EHLO {}\r\n", self.host)
    }

    fn heard(&mut self, reply: &Reply) -> Result<Next, Failure> {
        let words = reply.lines.join(" ");
        let wanted = match self.at {
            At::Greeting | At::StartTls => 220,
            At::Hello | At::From | At::To | At::Text => 250,
            At::Login => 235,
            At::Data => 354,
        };
        // A mailbox of somebody else that the server forwards to (section 3.4).
        let forwards = self.at == At::To && reply.code == 251;
        if reply.code != wanted && !forwards {
            let words = format!("the server said {} {words}", reply.code);
            return Err(if reply.code >= 500 {
                Failure::Refused(words)
            } else {
                Failure::Failed(words)
            });
        }
        let (at, next) = match self.at {
            At::Greeting => (At::Hello, format!("EHLO {}\r\n", self.host)),
            At::Hello if self.wants_tls => {
                let offers = reply
                    .lines
                    .iter()
                    .any(|line| line.eq_ignore_ascii_case("STARTTLS"));
                if !offers {
                    let words = "the server does not offer STARTTLS; nothing was sent";
                    return Err(Failure::Refused(words.to_owned()));
                }
                (At::StartTls, "STARTTLS\r\n".to_owned())
            }
            At::StartTls => return Ok(Next::Secure),
            At::Hello if self.login.is_some() => {
                let (user, password) = self.login.clone().unwrap_or_default();
                let login = BASE64.encode(format!("\0{user}\0{password}").as_bytes());
                (At::Login, format!("AUTH PLAIN {login}\r\n"))
            }
            At::Hello | At::Login => (At::From, format!("MAIL FROM:<{}>\r\n", self.from)),
            At::From => (At::To, format!("RCPT TO:<{}>\r\n", self.to)),
            At::To => (At::Data, "DATA\r\n".to_owned()),
            At::Data => (At::Text, dotted(&self.mail)),
            At::Text => return Ok(Next::Done(words)),
        };
        self.at = at;
        Ok(Next::Say(next))
    }
}

/// A text as it is sent: a dot in front of a line gets another one, a lone one ends it (section 4.5.2).
fn dotted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.lines() {
        if line.starts_with('.') {
            out.push('.');
        }
        out.push_str(line);
        out.push_str("\r\n");
    }
    out.push_str(".\r\n");
    out
}

/// The mail (RFC 5322), its text in base64 so that no letter and no long line is in the way.
fn mail(message: &Message, (from, to): (&str, &str), language: Language, host: &str) -> String {
    let subject = match message.head() {
        Some(head) if head.sort == Sort::Test => language.test().to_owned(),
        _ => message.subject(language),
    };
    let mut body = message.body(language);
    if let Some(head) = message.head() {
        let time = protocol::view::rfc3339(head.time);
        body.push_str(&format!("\n\n{time}"));
        if let Some(alert) = head.alert {
            body.push_str(&format!("\nalert {alert}"));
        }
    }
    body.push('\n');
    let encoded = BASE64.encode(body.as_bytes());
    let lines: Vec<String> = encoded
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let date = jiff::Timestamp::from_microsecond(message.since().0).ok();
    let date = date.and_then(|date| {
        jiff::fmt::rfc2822::to_string(&date.to_zoned(jiff::tz::TimeZone::UTC)).ok()
    });
    let urgent = message.severity() >= protocol::event::Severity::High;
    let priority = if urgent { "Importance: high\n" } else { "" };
    format!(
        "Date: {}\nFrom: <{from}>\nTo: <{to}>\nSubject: {}\nMessage-ID: <{}@{host}>\n{priority}\
         Auto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: base64\n\n{}\n",
        date.unwrap_or_default(),
        header_text(&subject),
        message.id,
        lines.join("\n"),
    )
}

/// A text in a header: as it is where it is short ASCII, else in encoded words (RFC 2047) of whole
/// characters, each at most 75 long.
fn header_text(text: &str) -> String {
    const BYTES: usize = 42;
    if text.len() <= 60 && text.bytes().all(|byte| (0x20..0x7F).contains(&byte)) {
        return text.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    let mut part = String::new();
    for c in text.chars() {
        if part.len() + c.len_utf8() > BYTES {
            words.push(std::mem::take(&mut part));
        }
        part.push(c);
    }
    words.push(part);
    let encoded = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", BASE64.encode(word.as_bytes())));
    encoded.collect::<Vec<_>>().join("\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk() -> Talk {
        Talk {
            host: "box.lan".to_owned(),
            login: Some(("box".to_owned(), "secret".to_owned())),
            from: "box@plant.lan".to_owned(),
            to: "anna@plant.lan".to_owned(),
            mail: "Subject: x\n\n.dot\nend".to_owned(),
            wants_tls: true,
            at: At::Greeting,
        }
    }

    fn reply(code: u16, lines: &[&str]) -> Reply {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Reply { code, lines }
    }

    #[test]
    fn the_conversation_goes_step_by_step() {
        let mut talk = talk();
        let say = |next: Result<Next, Failure>| match next.unwrap() {
            Next::Say(words) => words,
            other => format!("{other:?}"),
        };
        assert_eq!(say(talk.heard(&reply(220, &["ready"]))), "EHLO box.lan\r\n");
        let offered = reply(250, &["mail.lan", "SIZE 1000", "STARTTLS"]);
        assert_eq!(say(talk.heard(&offered)), "STARTTLS\r\n");
        assert_eq!(talk.heard(&reply(220, &["go on"])), Ok(Next::Secure));
        assert_eq!(talk.after_tls(), "EHLO box.lan\r\n");
        let login = say(talk.heard(&reply(250, &["mail.lan", "AUTH PLAIN"])));
        assert_eq!(login, "AUTH PLAIN AGJveABzZWNyZXQ=\r\n");
        assert_eq!(
            say(talk.heard(&reply(235, &["ok"]))),
            "MAIL FROM:<box@plant.lan>\r\n"
        );
        assert_eq!(
            say(talk.heard(&reply(250, &["ok"]))),
            "RCPT TO:<anna@plant.lan>\r\n"
        );
        assert_eq!(say(talk.heard(&reply(251, &["forwards"]))), "DATA\r\n");
        let text = say(talk.heard(&reply(354, &["end with ."])));
        assert_eq!(text, "Subject: x\r\n\r\n..dot\r\nend\r\n.\r\n");
        assert_eq!(
            talk.heard(&reply(250, &["queued"])),
            Ok(Next::Done("queued".to_owned()))
        );
    }

    #[test]
    fn a_server_without_tls_and_a_refusal_end_it() {
        let mut one = talk();
        one.heard(&reply(220, &[""])).unwrap();
        let told = one.heard(&reply(250, &["mail.lan"]));
        assert!(matches!(told, Err(Failure::Refused(words)) if words.contains("STARTTLS")));
        let mut two = talk();
        let told = two.heard(&reply(554, &["no"]));
        assert_eq!(
            told,
            Err(Failure::Refused("the server said 554 no".to_owned()))
        );
        let told = two.heard(&reply(421, &["later"]));
        assert_eq!(
            told,
            Err(Failure::Failed("the server said 421 later".to_owned()))
        );
    }

    #[test]
    fn a_subject_of_any_letters_is_one_header() {
        assert_eq!(header_text("High: pump"), "High: pump");
        let long = header_text(&"Überhitzung ".repeat(9));
        assert!(long.lines().all(|line| line.len() <= 76), "{long}");
        assert!(long.starts_with("=?utf-8?B?"));
        assert!(!header_text("a\nBcc: x").contains("\nBcc"));
    }
}
