//! One message to one receiver: mail over SMTP, or a POST. TLS is always checked against the configured
//! authorities. Never follows a redirect.

use crate::config::{By, Form, MailServer, MailTls, NotifyConfig, Receiver};
use crate::store::AlertRow;
use protocol::event::Severity;
use protocol::post::{self, ANSWER_BYTES_MAX, Target};
use protocol::smtp::{Errand, Failure, Mail, Next, Reply, Talk};
use protocol::view::rfc3339;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longest line of a mail server's reply.
const LINE_BYTES_MAX: u64 = 2_048;
/// Alerts that one message lists; of further ones the number.
const LISTED_MAX: usize = 20;
/// What the hub calls itself to a mail server.
const HOST: &str = "cloud-hub.invalid";

/// What was said, or whether another try is useless and why it failed.
pub(super) type Sent = Result<String, (bool, String)>;

/// Sends to one receiver.
pub(super) struct Sender {
    config: Arc<NotifyConfig>,
    receiver: Receiver,
}

trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

impl Sender {
    pub(super) const fn new(config: Arc<NotifyConfig>, receiver: Receiver) -> Self {
        Self { config, receiver }
    }

    /// Tells of these alerts in one message.
    pub(super) async fn send(&self, rows: &[AlertRow]) -> Sent {
        match &self.receiver.by {
            By::Mail(to) => {
                let Some(server) = &self.config.mail else {
                    return Err((true, "no mail server is configured".to_owned()));
                };
                let mut words = String::new();
                for to in to {
                    words = self.mail(server, to, rows).await?;
                }
                Ok(words)
            }
            By::Webhook(form, file) => self.post(*form, file, rows).await,
        }
    }

    async fn post(&self, form: Form, file: &Path, rows: &[AlertRow]) -> Sent {
        let failed = |words: String| (false, words);
        let url = secret(file).map_err(failed)?;
        // The address is a secret: it is not repeated.
        let target = Target::parse(&url)
            .ok_or_else(|| failed(format!("{} holds no address of a server", file.display())))?;
        let body = body(form, rows).to_string();
        let headers = [("Content-Type", "application/json".to_owned())];
        let bytes = target.post(&headers, body.as_bytes());
        let answer = self.exchange(&target, &bytes).await;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        match answer.status {
            200..300 => Ok(format!("the server said {}", answer.status)),
            status @ (408 | 425 | 429 | 500..) => Err((false, format!("the server said {status}"))),
            status => Err((true, format!("the server said {status}"))),
        }
    }

    async fn exchange(&self, target: &Target, bytes: &[u8]) -> std::io::Result<post::Answer> {
        let stream = TcpStream::connect(&target.endpoint).await?;
        let mut line: Box<dyn Line> = if target.is_tls {
            Box::new(self.safe(&target.endpoint, stream).await?)
        } else {
            Box::new(stream)
        };
        line.write_all(bytes).await?;
        line.flush().await?;
        let mut came = Vec::new();
        let mut taken = line.take(ANSWER_BYTES_MAX);
        while !post::is_whole(&came) {
            match taken.read_buf(&mut came).await {
                Ok(0) => break,
                Ok(_) => {}
                // Some close the connection badly after all was said.
                Err(_) if post::answer(&came).is_some() => break,
                Err(error) => return Err(error),
            }
        }
        let words = "what came back is no answer of HTTP";
        post::answer(&came).ok_or_else(|| std::io::Error::other(words))
    }

    async fn safe(
        &self,
        endpoint: &str,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
        let config = tls_config(&self.config.ca_file)?;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    async fn mail(&self, server: &MailServer, to: &str, rows: &[AlertRow]) -> Sent {
        let (subject, text) = words(rows);
        let id = rows
            .first()
            .map(|row| row.alert.id.to_string())
            .unwrap_or_default();
        let date = rows.first().and_then(|row| {
            let time = jiff::Timestamp::from_microsecond(row.alert.raised_at.0).ok()?;
            jiff::fmt::rfc2822::to_string(&time.to_zoned(jiff::tz::TimeZone::UTC)).ok()
        });
        let mail = Mail {
            from: &server.from,
            to,
            subject: &subject,
            body: &text,
            date: date.as_deref().unwrap_or_default(),
            id: (&id, HOST),
            is_urgent: rows
                .iter()
                .any(|row| row.alert.raised.severity >= Severity::High),
        };
        let login = match &server.login {
            Some((user, file)) => {
                Some((user.clone(), secret(file).map_err(|words| (false, words))?))
            }
            None => None,
        };
        let talk = Talk::new(Errand {
            host: HOST.to_owned(),
            login,
            from: server.from.clone(),
            to: to.to_owned(),
            mail: mail.text(),
            wants_tls: server.tls == MailTls::Starttls,
        });
        self.deliver(server, talk)
            .await
            .map_err(|failure| match failure {
                Failure::Refused(words) => (true, words),
                Failure::Failed(words) => (false, words),
            })
    }

    async fn deliver(&self, server: &MailServer, mut talk: Talk) -> Result<String, Failure> {
        let stream = TcpStream::connect(&server.address).await.map_err(failed)?;
        match server.tls {
            MailTls::Off => converse(&mut BufReader::new(stream), &mut talk).await,
            MailTls::On => {
                let line = self.safe(&server.address, stream).await.map_err(failed)?;
                converse(&mut BufReader::new(line), &mut talk).await
            }
            MailTls::Starttls => {
                let mut line = BufReader::new(stream);
                let words = converse(&mut line, &mut talk).await;
                // What was smuggled in before TLS must not count after.
                if !matches!(&words, Ok(words) if words.is_empty()) || !line.buffer().is_empty() {
                    return words.and(Err(Failure::Failed(
                        "the server ended before TLS".to_owned(),
                    )));
                }
                let line = self
                    .safe(&server.address, line.into_inner())
                    .await
                    .map_err(failed)?;
                let mut line = BufReader::new(line);
                say(&mut line, &talk.after_tls()).await?;
                converse(&mut line, &mut talk).await
            }
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
fn failed(error: std::io::Error) -> Failure {
    Failure::Failed(error.to_string())
}

/// Goes on until the mail is taken, or until TLS is agreed: then the words are empty.
async fn converse<S: Line>(line: &mut BufReader<S>, talk: &mut Talk) -> Result<String, Failure> {
    loop {
        let mut reply = Reply::default();
        loop {
            let mut text = Vec::new();
            let read = (&mut *line)
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut text)
                .await;
            read.map_err(failed)?;
            let is_last = reply.line(&String::from_utf8_lossy(&text));
            let words = "the server ended, or speaks something else than SMTP";
            if is_last.ok_or_else(|| Failure::Failed(words.to_owned()))? {
                break;
            }
        }
        match talk.heard(&reply)? {
            Next::Say(words) => say(line, &words).await?,
            Next::Secure => return Ok(String::new()),
            Next::Done(words) => {
                // The mail is taken; whether the end is polite does not matter.
                drop(say(line, "QUIT\r\n").await);
                return Ok(if words.is_empty() {
                    "taken".to_owned()
                } else {
                    words
                });
            }
        }
    }
}

async fn say<S: Line>(line: &mut BufReader<S>, words: &str) -> Result<(), Failure> {
    line.write_all(words.as_bytes()).await.map_err(failed)?;
    line.flush().await.map_err(failed)
}

/// The first line of a file.
fn secret(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
    let line = text.lines().next().map(str::trim).unwrap_or_default();
    if line.is_empty() {
        return Err(format!("{} holds nothing", file.display()));
    }
    Ok(line.to_owned())
}

fn tls_config(ca_file: &Path) -> std::io::Result<rustls::ClientConfig> {
    let unusable = |words: &dyn std::fmt::Display| {
        std::io::Error::other(format!("{} cannot be used: {words}", ca_file.display()))
    };
    let mut roots = rustls::RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(ca_file).map_err(|error| unusable(&error))?;
    // One that cannot be read is no reason not to believe the others.
    let (added, _) = roots.add_parsable_certificates(all.filter_map(Result::ok));
    if added == 0 {
        return Err(unusable(&"it holds no certificate in PEM form"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(std::io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// One line, and the whole text.
fn words(rows: &[AlertRow]) -> (String, String) {
    let lines: Vec<String> = rows.iter().take(LISTED_MAX).map(line).collect();
    let mut text = lines.join("\n");
    if let Some(more) = rows.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        text.push_str("\nand ");
        text.push_str(&more.to_string());
        text.push_str(" more");
    }
    let subject = match (rows.len(), lines.first()) {
        (1, Some(line)) => line.clone(),
        (count, _) => format!("{count} alerts"),
    };
    let subject = subject
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    (subject, text + "\n")
}

fn line(row: &AlertRow) -> String {
    let raised = &row.alert.raised;
    let severity = match raised.severity {
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    };
    let site = row
        .home
        .site
        .as_ref()
        .map(|site| format!(" [{}]", site.name));
    let asset = raised.asset.as_deref().map(|asset| format!(" {asset}"));
    format!(
        "{severity}:{}{} {} ({}){}",
        site.unwrap_or_default(),
        asset.unwrap_or_default(),
        raised.title,
        rfc3339(row.alert.raised_at),
        if row.alert.cleared.is_some() {
            ", normal again"
        } else {
            ""
        }
    )
}

fn body(form: Form, rows: &[AlertRow]) -> Value {
    let (_, text) = words(rows);
    match form {
        Form::Slack => json!({"text": text.trim_end()}),
        Form::Teams => {
            let block = json!({"type": "TextBlock", "text": text.trim_end(), "wrap": true});
            let card = json!({
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [block],
            });
            let kind = "application/vnd.microsoft.card.adaptive";
            json!({"type": "message", "attachments": [{"contentType": kind, "content": card}]})
        }
        Form::Plain => {
            let one = |row: &AlertRow| {
                let order = row.order.clone();
                serde_json::to_value(protocol::view::alert(
                    &row.alert,
                    order,
                    row.home.clone(),
                    false,
                ))
            };
            let alerts: Vec<Value> = rows.iter().filter_map(|row| one(row).ok()).collect();
            json!({"text": text.trim_end(), "alerts": alerts})
        }
    }
}
