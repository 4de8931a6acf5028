//! Mail to a server on the LAN (RFC 5321), with STARTTLS (RFC 3207) or TLS from the beginning where an
//! authority is named, and a password only over TLS (RFC 4954, PLAIN). The conversation is a value
//! (`protocol::smtp`). Never sends to a server that the authority did not sign.

use super::matter::{Message, Outcome, Sort};
use super::seat::{Seat, Sends, Task};
use super::secret;
use super::words::Language;
use crate::config::Section;
use crate::transport::{Stream, TlsSettings, config, host_and_port, wrap_tls};
use jiff::tz::TimeZone;
use protocol::event::Severity;
use protocol::smtp::{Errand, Failure, Mail, Next, Reply, Talk, is_mail_address};
use std::path::PathBuf;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Longest line of a reply, with its end; RFC 5321 section 4.5.3.1.5 has 512.
const LINE_BYTES_MAX: u64 = 2_048;
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

fn failed(error: &std::io::Error) -> Failure {
    Failure::Failed(error.to_string())
}

type Line = BufReader<Box<dyn Stream>>;

impl Smtp {
    async fn deliver(&self, to: &str, mail: String) -> Result<String, Failure> {
        let stream = TcpStream::connect(&self.endpoint).await;
        let stream =
            stream.map_err(|error| Failure::Failed(format!("{}: {error}", self.endpoint)))?;
        let password = match &self.login {
            Some((_, file)) => Some(secret::read(file).map_err(|error| failed(&error))?),
            None => None,
        };
        let mut talk = Talk::new(Errand {
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
        });
        match &self.tls {
            Some((settings, true)) => {
                let line: Box<dyn Stream> = Box::new(safe(settings, stream).await?);
                converse(&mut BufReader::new(line), &mut talk).await
            }
            Some((settings, false)) => {
                // Until the line is safe nothing but STARTTLS is said.
                let stream = until_tls(stream, &mut talk).await?;
                let line: Box<dyn Stream> = Box::new(safe(settings, stream).await?);
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

async fn safe(settings: &TlsSettings, stream: TcpStream) -> Result<impl Stream + use<>, Failure> {
    wrap_tls(settings, stream)
        .await
        .map_err(|error| failed(&error))
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
    line.write_all(words.as_bytes())
        .await
        .map_err(|error| failed(&error))?;
    line.flush().await.map_err(|error| failed(&error))
}

/// One reply.
async fn reply<S: Stream>(line: &mut BufReader<S>) -> Result<Reply, Failure> {
    let mut reply = Reply::default();
    loop {
        let mut text = Vec::new();
        let read = (&mut *line)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut text)
            .await;
        read.map_err(|error| failed(&error))?;
        let words = "the server ended, or speaks something else than SMTP";
        match reply.line(&String::from_utf8_lossy(&text)) {
            Some(true) => return Ok(reply),
            Some(false) => {}
            None => return Err(Failure::Failed(words.to_owned())),
        }
    }
}

/// The mail with its headers.
fn mail(message: &Message, (from, to): (&str, &str), language: Language, host: &str) -> String {
    let subject = match message.head() {
        Some(head) if head.sort == Sort::Test => language.test().to_owned(),
        _ => message.subject(language),
    };
    let mut body = message.body(language);
    if let Some(head) = message.head() {
        body.push_str("\n\n");
        body.push_str(&protocol::view::rfc3339(head.time));
        if let Some(alert) = head.alert {
            body.push_str("\nalert ");
            body.push_str(&alert.to_string());
        }
    }
    body.push('\n');
    let date = jiff::Timestamp::from_microsecond(message.since().0).ok();
    let date =
        date.and_then(|date| jiff::fmt::rfc2822::to_string(&date.to_zoned(TimeZone::UTC)).ok());
    Mail {
        from,
        to,
        subject: &subject,
        body: &body,
        date: date.as_deref().unwrap_or_default(),
        id: (&message.id.to_string(), host),
        is_urgent: message.severity() >= Severity::High,
    }
    .text()
}
