//! A client of the two JSON interfaces of `docs/api.md`: plain for the box, with cookie and CSRF
//! token for the hub. Never interprets an answer: it gives status and JSON.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::time::Duration;
use uuid::Uuid;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One caller of one program.
#[derive(Clone, Debug)]
pub struct Api {
    agent: ureq::Agent,
    base: String,
    cookie: Option<String>,
    csrf: Option<String>,
}

/// What came back, whatever the status.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body; `null` when there was none, a string when it was no JSON.
    pub body: Value,
}

impl Answer {
    /// The body of a success; a refusal becomes an error with the problem's words.
    pub fn ok(self) -> Result<Value> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        bail!("status {}: {}", self.status, self.body)
    }

    /// The `code` of a problem, else "".
    pub fn code(&self) -> &str {
        self.body
            .get("code")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

impl Api {
    /// A caller of the program whose pages are at `address`, not signed in.
    pub fn new(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .build();
        let base = format!("http://{address}");
        Self {
            agent: config.new_agent(),
            base,
            cookie: None,
            csrf: None,
        }
    }

    /// The same program as another person.
    pub fn sign_in(&self, name: &str, password: &str) -> Result<Self> {
        let body = json!({"name": name, "password": password});
        let request = self
            .agent
            .post(self.url("/session"))
            .header("Origin", &self.base);
        let mut response = request.send_json(&body).context("signing in")?;
        let cookie = response
            .headers()
            .get("set-cookie")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(str::to_owned);
        let answer = answer_of(&mut response)?
            .ok()
            .with_context(|| format!("signing in {name}"))?;
        let csrf = answer
            .get("csrf")
            .and_then(Value::as_str)
            .map(str::to_owned);
        Ok(Self {
            cookie,
            csrf,
            ..self.clone()
        })
    }

    /// The same box, with the access code that its page asks for beyond the loopback.
    pub fn enter_code(&self, code: &str) -> Result<Self> {
        let request = self.agent.post(self.url("/session"));
        let mut response = request
            .header("Origin", &self.base)
            .send_json(json!({"code": code}))
            .context("entering the access code")?;
        let cookie = response
            .headers()
            .get("set-cookie")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(str::to_owned);
        answer_of(&mut response)?.ok()?;
        Ok(Self {
            cookie,
            ..self.clone()
        })
    }

    /// The same box as a person who signs in with their PIN.
    pub fn sign_in_pin(&self, person: &str, pin: &str) -> Result<Self> {
        let request = self.agent.post(self.url("/session"));
        let mut response = request
            .header("Origin", &self.base)
            .send_json(json!({"person": person, "pin": pin}))
            .context("signing in with a PIN")?;
        let cookies = response.headers().get_all("set-cookie").into_iter();
        let cookies: Vec<String> = cookies
            .filter_map(|value| value.to_str().ok()?.split(';').next().map(str::to_owned))
            .collect();
        answer_of(&mut response)?
            .ok()
            .with_context(|| format!("signing in {person}"))?;
        Ok(Self {
            cookie: Some(cookies.join("; ")),
            ..self.clone()
        })
    }

    /// Address of the pages, for a person or a browser.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET /api/v1{path}`, whatever the status.
    pub fn try_get(&self, path: &str) -> Result<Answer> {
        let mut request = self.agent.get(self.url(path));
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        answer_of(&mut request.call().with_context(|| format!("GET {path}"))?)
    }

    /// `POST /api/v1{path}`, whatever the status.
    pub fn try_post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.agent.post(self.url(path)), path, body)
    }

    /// `POST` under an `Idempotency-Key`, whatever the status.
    pub fn try_post_once(&self, path: &str, key: Uuid, body: &Value) -> Result<Answer> {
        let request = self.agent.post(self.url(path));
        self.send(
            request.header("Idempotency-Key", key.to_string()),
            path,
            body,
        )
    }

    /// `PATCH` under an `Idempotency-Key`, whatever the status.
    pub fn try_patch_once(&self, path: &str, key: Uuid, body: &Value) -> Result<Answer> {
        let request = self.agent.patch(self.url(path));
        self.send(
            request.header("Idempotency-Key", key.to_string()),
            path,
            body,
        )
    }

    /// `PATCH /api/v1{path}`, whatever the status.
    pub fn try_patch(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.agent.patch(self.url(path)), path, body)
    }

    /// `GET`, a refusal is an error.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.try_get(path)?
            .ok()
            .with_context(|| format!("GET {path}"))
    }

    /// `POST`, a refusal is an error.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.try_post(path, body)?
            .ok()
            .with_context(|| format!("POST {path} {body}"))
    }

    /// `PATCH`, a refusal is an error.
    pub fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.try_patch(path, body)?
            .ok()
            .with_context(|| format!("PATCH {path} {body}"))
    }

    /// Every item of a list, over all its pages.
    pub fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                None => self.get(&format!("{path}{joint}limit=200"))?,
                Some(cursor) => self.get(&format!("{path}{joint}limit=200&cursor={cursor}"))?,
            };
            let data = page.get("data").and_then(Value::as_array);
            items.extend(
                data.with_context(|| format!("{path} is no list: {page}"))?
                    .clone(),
            );
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(items),
            }
        }
    }

    /// Reads `/stream` until `look` gives something for an event (its name and data).
    pub fn stream<T>(
        &self,
        deadline: Duration,
        mut look: impl FnMut(&str, &Value) -> Option<T>,
    ) -> Result<T> {
        let request = self.agent.get(self.url("/stream")).config();
        let mut request = request.timeout_global(Some(deadline)).build();
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        let response = request.call().context("opening the event stream")?;
        let mut event = String::new();
        for line in std::io::BufReader::new(response.into_body().into_reader()).lines() {
            let line = line.context("reading the event stream")?;
            if let Some(name) = line.strip_prefix("event:") {
                name.trim().clone_into(&mut event);
            } else if let Some(data) = line.strip_prefix("data:") {
                let data = serde_json::from_str(data.trim()).context("reading an event's data")?;
                if let Some(found) = look(&event, &data) {
                    return Ok(found);
                }
            }
        }
        bail!("the event stream ended before what was waited for")
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base)
    }

    fn send(
        &self,
        mut request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        path: &str,
        body: &Value,
    ) -> Result<Answer> {
        request = request.header("Origin", &self.base);
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        if let Some(csrf) = &self.csrf {
            request = request.header("X-CSRF-Token", csrf);
        }
        answer_of(
            &mut request
                .send_json(body)
                .with_context(|| format!("writing to {path}"))?,
        )
    }
}

fn answer_of(response: &mut ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let status = response.status().as_u16();
    let body = response
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_string();
    let text = body.context("reading an answer")?;
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    Ok(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// Answers one request after the other with the given texts and gives what it was sent.
    fn server(answers: Vec<String>) -> (SocketAddr, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 4_096];
                let mut request = String::new();
                while !request.contains("\r\n\r\n")
                    || request.starts_with("POST") && !request.ends_with('}')
                {
                    let length = stream.read(&mut buffer).unwrap();
                    request.push_str(&String::from_utf8_lossy(&buffer[..length]));
                }
                requests.push(request.to_lowercase());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            requests
        });
        (address, thread)
    }

    fn http(head: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    #[test]
    fn signs_in_and_sends_cookie_and_token() {
        let (address, thread) = server(vec![
            http(
                "200 OK\r\nSet-Cookie: s=1; HttpOnly",
                r#"{"user":{},"csrf":"t"}"#,
            ),
            http("404 Not Found", r#"{"code":"not_found"}"#),
            http("200 OK", r#"{"data":[1],"next_cursor":"n"}"#),
            http("200 OK", r#"{"data":[2],"next_cursor":null}"#),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n: hi\n\nevent: link\ndata: {\"a\":1}\n\n"
                .into(),
        ]);
        let api = Api::new(address).sign_in("admin", "secret").unwrap();
        let answer = api.try_post("/x", &json!({"a": 1})).unwrap();
        assert_eq!((answer.status, answer.code()), (404, "not_found"));
        assert_eq!(
            api.list("/alerts?state=open").unwrap(),
            [json!(1), json!(2)]
        );
        let deadline = Duration::from_secs(10);
        let seen = api.stream(deadline, |name, data| {
            (name == "link").then(|| data.clone())
        });
        assert_eq!(seen.unwrap(), json!({"a": 1}));
        let requests = thread.join().unwrap();
        assert!(
            requests[0].contains(r#""password": "secret""#),
            "{requests:?}"
        );
        assert!(requests[1].contains("cookie: s=1") && requests[1].contains("x-csrf-token: t"));
        assert!(requests[2].starts_with("get /api/v1/alerts?state=open&limit=200 "));
        assert!(requests[3].contains("&cursor=n "));
    }
}
