//! The wired hub in this process, on real sockets.

use super::*;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How long a test waits before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A hub on free ports.
struct Running {
    web: SocketAddr,
    password: Option<String>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

fn config(folder: &tempfile::TempDir) -> Config {
    let mut config = Config {
        data_dir: folder.path().join("data"),
        ..Config::default()
    };
    config.quic.listen.set_port(0);
    config.web.listen.set_port(0);
    config
}

async fn start(config: &Config) -> Result<Running, ServerError> {
    let told = Mutex::new((None, None));
    let tell = |notice: &Notice| {
        let mut told = told.lock().unwrap();
        match notice {
            Notice::Administrator { password, .. } => told.0 = Some(password.clone()),
            Notice::Listening { web, .. } => told.1 = Some(*web),
        }
    };
    let (stop, stopping) = watch::channel(false);
    let bound = Bound::new(config, &tell, stopping).await?;
    let serving = tokio::spawn(bound.serve());
    let (password, web) = told.into_inner().unwrap();
    let web = web.unwrap();
    Ok(Running {
        web,
        password,
        stop,
        serving,
    })
}

impl Running {
    /// Sends a request as it is and reads until `end` has come.
    async fn ask(&self, request: &str, end: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.web).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let mut part = [0; 4_096];
        while !text.contains(end) {
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut part));
            let length = read.await.expect("an answer in time").unwrap();
            assert_ne!(length, 0, "the connection ended after: {text}");
            text.push_str(std::str::from_utf8(&part[..length]).unwrap());
        }
        (stream, text)
    }

    async fn sign_in(&self) -> String {
        let password = self.password.as_deref().unwrap();
        let body = format!(r#"{{"name":"admin","password":"{password}"}}"#);
        let web = self.web;
        let length = body.len();
        let request = format!(
            "POST /api/v1/session HTTP/1.1\r\nHost: {web}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let (_, answer) = self.ask(&request, "csrf").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let cookie = answer
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "));
        cookie.unwrap().split(';').next().unwrap().to_owned()
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.serving).await;
        ended.expect("the hub ends in time").unwrap();
    }
}

#[tokio::test]
async fn the_first_start_makes_an_administrator_and_the_second_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let first = start(&config).await.unwrap();
    first.sign_in().await;
    let (_, health) = first
        .ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "ok\n")
        .await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    first.stop().await;
    let second = start(&config).await.unwrap();
    assert_eq!(second.password, None);
    second.stop().await;
}

#[tokio::test]
async fn an_open_stream_does_not_hold_up_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let hub = start(&config(&folder)).await.unwrap();
    let cookie = hub.sign_in().await;
    let web = hub.web;
    let request = format!("GET /api/v1/stream HTTP/1.1\r\nHost: {web}\r\nCookie: {cookie}\r\n\r\n");
    let (mut stream, answer) = hub.ask(&request, "\r\n\r\n").await;
    assert!(answer.contains("text/event-stream"), "{answer}");
    hub.stop().await;
    let mut rest = String::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut rest));
    end.await.expect("the stream ends").unwrap();
}

#[tokio::test]
async fn a_second_hub_on_the_same_folder_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let hub = start(&config).await.unwrap();
    let refused = start(&config).await.err().unwrap();
    assert!(matches!(refused, ServerError::AlreadyRuns { .. }));
    assert!(refused.to_string().contains("another hub runs on"));
    hub.stop().await;
    start(&config).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_taken_address_is_named_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
    let taken = TcpListener::bind((localhost, 0)).await.unwrap();
    let mut config = config(&folder);
    config.web.listen = taken.local_addr().unwrap();
    let words = start(&config).await.err().unwrap().to_string();
    assert!(words.contains("[web] listen"), "{words}");
    assert!(words.contains(&config.web.listen.to_string()), "{words}");
}

#[tokio::test]
async fn connections_over_the_limit_wait_until_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    config.web.connections_max = 1;
    let hub = start(&config).await.unwrap();
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let (first, _) = hub.ask(request, "ok\n").await;
    let mut waiting = Box::pin(hub.ask(request, "ok\n"));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "served beside the one that is allowed");
    drop(first);
    drop(waiting.await);
    hub.stop().await;
}
