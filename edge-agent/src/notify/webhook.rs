//! A POST of JSON to a server on the LAN: signed, with a key by which a repetition is told. An answer
//! may acknowledge. Never follows a redirect, never sends to a server of `https` that its authority
//! did not sign.

use super::http;
use super::matter::{Matter, Message, Outcome, Sort};
use super::seat::{News, Seat, Sends, Task};
use super::secret;
use crate::config::Section;
use crate::transport::{TlsSettings, config};
use data_encoding::BASE64;
use protocol::post::Target;
use ring::hmac;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// `kind = "webhook"`
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    target: Target,
    tls: Option<TlsSettings>,
    secret_file: Option<PathBuf>,
}

/// Reads its keys.
pub(super) fn read(section: &mut Section) -> Option<Webhook> {
    let url = section.required_text("url");
    let target = url.as_deref().and_then(Target::parse);
    if url.is_some() && target.is_none() {
        let words =
            "is not an address of a server; write for example \"http://andon.lan:8000/alerts\"";
        section.problem("url", words);
    }
    let endpoint = target
        .as_ref()
        .map_or("", |target| target.endpoint.as_str());
    let tls = config::authority(section, endpoint);
    let secret_file = config::file(section, "secret_file");
    let target = target?;
    if target.is_tls && tls.is_none() {
        section.missing("ca_file", "ca_file = \"/etc/edge-agent/plant-ca.pem\"");
    }
    let tls = tls.filter(|_| target.is_tls);
    Some(Webhook {
        target,
        tls,
        secret_file,
    })
}

/// What an answer may hold; everything else in it is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answered {
    acknowledge: bool,
    by: Option<String>,
}

impl Sends for Webhook {
    fn send<'a>(&'a mut self, message: &'a Message, seat: &'a Seat) -> Task<'a, Outcome> {
        Box::pin(async move {
            match self.post(message, seat).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::Failed(format!("{}: {error}", self.target.endpoint)),
            }
        })
    }
}

impl Webhook {
    async fn post(&self, message: &Message, seat: &Seat) -> std::io::Result<Outcome> {
        let body = body(message, seat).to_string();
        let stamp = (seat.now)().0 / 1_000_000;
        let mut headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("Idempotency-Key", message.id.to_string()),
            // The names and the form of the signature are those of Standard Webhooks 1.0.
            ("webhook-id", message.id.to_string()),
            ("webhook-timestamp", stamp.to_string()),
        ];
        if let Some(file) = &self.secret_file {
            let key = secret::read(file)?;
            headers.push(("webhook-signature", signature(&key, message, stamp, &body)));
        }
        let request = self.target.post(&headers, body.as_bytes());
        let answer = http::exchange(&self.target, self.tls.as_ref(), &request).await?;
        if (200..300).contains(&answer.status) {
            self.acknowledged(message, &answer.body, seat).await;
            return Ok(Outcome::Delivered(format!(
                "the server said {}",
                answer.status
            )));
        }
        let words = format!("the server said {}", answer.status);
        // What is the message's own fault stays one; too many and too slow do not.
        let is_final =
            (400..500).contains(&answer.status) && !matches!(answer.status, 408 | 425 | 429);
        Ok(if is_final {
            Outcome::Refused(words)
        } else {
            Outcome::Failed(words)
        })
    }

    async fn acknowledged(&self, message: &Message, body: &[u8], seat: &Seat) {
        let answered: Answered = serde_json::from_slice(body).unwrap_or_default();
        if !answered.acknowledge {
            return;
        }
        let by = answered.by.filter(|by| !by.trim().is_empty());
        for alert in message.parts.iter().filter_map(|part| part.matter.alert) {
            seat.tell(News::Acknowledged {
                alert,
                by: by.clone().unwrap_or_else(|| seat.name.clone()),
                channel: seat.name.clone(),
            })
            .await;
        }
    }
}

/// `v1,` and base64 of HMAC-SHA-256 over `id.timestamp.body`.
fn signature(key: &str, message: &Message, stamp: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signed = format!("{}.{stamp}.{body}", message.id);
    format!(
        "v1,{}",
        BASE64.encode(hmac::sign(&key, signed.as_bytes()).as_ref())
    )
}

/// What is posted, and what goes to a broker.
pub(super) fn body(message: &Message, seat: &Seat) -> Value {
    let matters: Vec<Value> = message.parts.iter().map(|part| one(&part.matter)).collect();
    json!({
        "id": message.id,
        "attempt": message.attempt,
        "repeated": message.round,
        "text": message.body(seat.language),
        "matters": matters,
    })
}

fn one(matter: &Matter) -> Value {
    let kind = match matter.sort {
        Sort::Raised => "raised",
        Sort::Again => "again",
        Sort::Cleared => "cleared",
        Sort::Flood => "flood",
        Sort::Order => "order",
        Sort::Test => "test",
    };
    json!({
        "kind": kind,
        "alert": matter.alert,
        "severity": matter.severity,
        "title": matter.title,
        "words": matter.words,
        "asset": matter.asset,
        "rule": matter.rule,
        "time": protocol::view::rfc3339(matter.time),
    })
}
