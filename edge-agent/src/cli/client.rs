//! A caller of the running agent's own interface (docs/api.md, "The box"), with the access code of
//! the configuration where one is needed. Never reads the agent's store.

use crate::config::Config;
use crate::web::LOCAL_TOKEN_FILE;
use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// Longest wait for an answer: the agent is on the same box.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// Characters from which on the beginning of an id is taken for it.
const PREFIX_MIN: usize = 4;
/// Records on one page of a list.
const PAGE: usize = 200;

/// The running agent of one configuration.
pub(super) struct Client {
    agent: ureq::Agent,
    base: String,
    access_code_file: Option<PathBuf>,
    cookie: Option<String>,
    /// The secret of this run of the agent, where this user may read it.
    token: Option<String>,
}

impl Client {
    /// Asks nothing yet.
    pub(super) fn new(config: &Config) -> Self {
        let settings = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .build();
        Self {
            agent: settings.new_agent(),
            base: format!("http://{}", reachable(config.web.listen)),
            access_code_file: config.web.access_code_file.clone(),
            cookie: None,
            token: std::fs::read_to_string(config.gateway.data_dir.join(LOCAL_TOKEN_FILE)).ok(),
        }
    }

    /// `GET /api/v1{path}`.
    pub(super) fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        self.call(path, None)
    }

    /// `POST /api/v1{path}`.
    pub(super) fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(path, Some(body))
    }

    /// `POST /api/v1{path}` of something that takes its time, without a limit for the whole.
    pub(super) fn post_patiently(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let body = serde_json::to_vec(body)?;
        let mut response = self.post_long(path, "application/json", &body)?;
        read(&mut response)
    }

    /// Every item of a list, over all its pages.
    pub(super) fn list(&mut self, path: &str) -> anyhow::Result<Vec<Value>> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}limit={PAGE}");
        let (mut items, mut next) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}{next}"))?;
            let data = page.get("data").and_then(Value::as_array);
            items.extend(data.context("the agent's answer is no list")?.clone());
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => return Ok(items),
            }
        }
    }

    /// `POST /api/v1{path}` with JSON, answered with bytes that may take their time.
    pub(super) fn post_for_bytes(
        &mut self,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<impl std::io::Read + use<>> {
        let body = serde_json::to_vec(body)?;
        let response = self.post_long(path, "application/json", &body)?;
        Ok(response.into_body().into_reader())
    }

    /// `GET /api/v1{path}`, answered with bytes that come as long as they come.
    #[cfg(feature = "driver-modbus")]
    pub(super) fn get_for_bytes(
        &mut self,
        path: &str,
    ) -> anyhow::Result<impl std::io::Read + use<>> {
        let url = format!("{}/api/v1{path}", self.base);
        loop {
            let request = self.signed(self.agent.get(&url));
            let request = request.config().timeout_global(None).build();
            let sent = request.call();
            let mut response = sent.map_err(|error| self.no_answer(error))?;
            let status = response.status().as_u16();
            if (200..300).contains(&status) {
                return Ok(response.into_body().into_reader());
            }
            if status != 401 || self.cookie.is_some() || !self.sign_in()? {
                let answer = read(&mut response)?;
                return Err(refusal(status, &answer));
            }
        }
    }

    /// `POST /api/v1{path}` with bytes.
    pub(super) fn post_bytes(&mut self, path: &str, body: &[u8]) -> anyhow::Result<Value> {
        let mut response = self.post_long(path, "application/octet-stream", body)?;
        read(&mut response)
    }

    /// Without a limit for the whole: a long file takes as long as it takes.
    fn post_long(
        &mut self,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
        let url = format!("{}/api/v1{path}", self.base);
        loop {
            let request = self
                .signed(self.agent.post(&url))
                .header("Origin", &self.base)
                .header("Content-Type", kind)
                .config()
                .timeout_global(None)
                .build();
            let sent = request.send(body);
            let mut response = sent.map_err(|error| self.no_answer(error))?;
            let status = response.status().as_u16();
            if (200..300).contains(&status) {
                return Ok(response);
            }
            if status != 401 || self.cookie.is_some() || !self.sign_in()? {
                let answer = read(&mut response)?;
                return Err(refusal(status, &answer));
            }
        }
    }

    fn call(&mut self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let (mut status, mut answer) = self.try_call(path, body)?;
        // The status is answered to everybody, but whoever did not enter the code learns only that.
        let hidden = answer.get("access_code_needed") == Some(&Value::Bool(true));
        if (status == 401 || hidden) && self.cookie.is_none() && self.sign_in()? {
            (status, answer) = self.try_call(path, body)?;
        }
        if hidden && self.cookie.is_none() {
            bail!(
                "the agent asks for an access code, and the configuration names no access_code_file"
            );
        }
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        Err(refusal(status, &answer))
    }

    fn try_call(&self, path: &str, body: Option<&Value>) -> anyhow::Result<(u16, Value)> {
        let url = format!("{}/api/v1{path}", self.base);
        let sent = match body {
            None => self.signed(self.agent.get(url)).call(),
            Some(body) => {
                let request = self.signed(self.agent.post(url));
                request.header("Origin", &self.base).send_json(body)
            }
        };
        let mut response = sent.map_err(|error| self.no_answer(error))?;
        let status = response.status().as_u16();
        Ok((status, read(&mut response)?))
    }

    fn signed<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        let request = match &self.token {
            Some(token) => request.header("X-Local-Token", token),
            None => request,
        };
        match &self.cookie {
            Some(cookie) => request.header("Cookie", cookie),
            None => request,
        }
    }

    /// Enters the access code; `false` when the configuration has none.
    fn sign_in(&mut self) -> anyhow::Result<bool> {
        let Some(file) = &self.access_code_file else {
            return Ok(false);
        };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("reading the access code from {}", file.display()))?;
        let url = format!("{}/api/v1/session", self.base);
        let request = self.agent.post(url).header("Origin", &self.base);
        let body = json!({"code": text.trim()});
        let sent = request.send_json(&body);
        let mut response = sent.map_err(|error| self.no_answer(error))?;
        let status = response.status().as_u16();
        let cookie = response
            .headers()
            .get("set-cookie")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(str::to_owned);
        let answer = read(&mut response)?;
        if !(200..300).contains(&status) {
            let words = format!("entering the access code of {}", file.display());
            return Err(refusal(status, &answer).context(words));
        }
        self.cookie = cookie;
        Ok(self.cookie.is_some())
    }

    fn no_answer(&self, error: ureq::Error) -> anyhow::Error {
        let words = format!(
            "the agent does not answer at {}: start it with `edge-agent run` (or `systemctl start \
             edge-agent`), or name its configuration with --config",
            self.base
        );
        anyhow::Error::new(error).context(words)
    }
}

fn read(response: &mut ureq::http::Response<ureq::Body>) -> anyhow::Result<Value> {
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let text = body
        .read_to_string()
        .context("reading the agent's answer")?;
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// The agent's own words for why not.
fn refusal(status: u16, answer: &Value) -> anyhow::Error {
    let text = |key: &str| answer.get(key).and_then(Value::as_str);
    if text("code") == Some("sign_in_needed") {
        return anyhow!(
            "this box asks people for their PIN: act on its page, or run this command as the user \
             that runs the agent (sudo)"
        );
    }
    match (text("title"), text("detail")) {
        (Some(title), Some(detail)) if !detail.is_empty() => {
            // That part is for who sits before the page.
            let detail = detail.trim_end_matches(" Go back to the list.");
            anyhow!("{}: {detail}", title.trim_end_matches('.'))
        }
        (Some(title), _) => anyhow!("{title}"),
        _ => anyhow!("status {status} without words; does another program answer there?"),
    }
}

/// Where a listener of this box can be reached from this box.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The records of a list: those that need somebody, or all.
pub(super) fn list_of(client: &mut Client, path: &str, all: bool) -> anyhow::Result<Vec<Value>> {
    let state = if all { "all" } else { "open" };
    client.list(&format!("{path}?state={state}"))
}

/// The id of the one record that has this id or number, or whose id begins like this.
pub(super) fn one_of(client: &mut Client, path: &str, wanted: &str) -> anyhow::Result<Uuid> {
    if let Ok(id) = Uuid::parse_str(wanted) {
        return Ok(id);
    }
    let records = list_of(client, path, true)?;
    let text = |record: &Value, key| record.get(key).and_then(Value::as_str).map(str::to_owned);
    let named = |record: &&Value| {
        let number = text(record, "number");
        let begins = |id: String| wanted.len() >= PREFIX_MIN && id.starts_with(wanted);
        number.is_some_and(|number| number.eq_ignore_ascii_case(wanted))
            || text(record, "id").is_some_and(begins)
    };
    let mut found = records.iter().filter(named);
    let what = path.trim_start_matches('/').replace('-', " ");
    match (found.next(), found.next()) {
        (Some(record), None) => {
            let id = text(record, "id").unwrap_or_default();
            Uuid::parse_str(&id).context("reading the id of a record")
        }
        (Some(_), Some(_)) => bail!("several {what} begin with \"{wanted}\"; write more of the id"),
        (None, _) => bail!(
            "none of the {what} is \"{wanted}\"; `edge-agent {} list --all` shows them",
            if path == "/alerts" { "alerts" } else { "wo" }
        ),
    }
}

/// Who does something: as told, else the user who is signed in.
pub(super) fn person(by: Option<String>) -> anyhow::Result<String> {
    let by = by.or_else(|| std::env::var("USER").ok());
    by.filter(|name| !name.trim().is_empty())
        .context("say who you are: --by NAME")
}

/// A text of an answer that must be there.
pub(super) fn required<'a>(answer: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    match answer.pointer(pointer).and_then(Value::as_str) {
        Some(text) => Ok(text),
        None => bail!("the agent's answer has no {pointer}; is it of another version?"),
    }
}
