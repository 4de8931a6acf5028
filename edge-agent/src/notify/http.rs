//! One POST of HTTP/1.1 (RFC 9112) and the beginning of its answer: as much as a webhook needs. The
//! connection is closed after it. Never follows a redirect.

use crate::transport::{Stream, TlsSettings, wrap_tls};
use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest answer that is read, head and body; the rest is not read.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// `HOST:PORT` to connect to.
    pub endpoint: String,
    /// As the `Host` header has it.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// TLS for `https`.
    pub tls: Option<TlsSettings>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status.
    pub status: u16,
    /// What `Retry-After` says, in seconds.
    pub retry_after_s: Option<u64>,
    /// The body, as far as it was read; of one in chunks without their lengths.
    pub body: Vec<u8>,
}

/// Parts of an address: whether TLS is wanted, host as written, `HOST:PORT`, path. `None` when it is
/// no address of HTTP, or has a user in it.
pub(super) fn parts(url: &str) -> Option<(bool, String, String, String)> {
    let (is_tls, rest, port) = match url.strip_prefix("http://") {
        Some(rest) => (false, rest, 80),
        None => (true, url.strip_prefix("https://")?, 443),
    };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(at)?;
    let endpoint = crate::transport::host_and_port(host, port)?;
    let path = match path {
        "" => "/".to_owned(),
        path if path.starts_with('?') => format!("/{path}"),
        path => path.to_owned(),
    };
    let good = path.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| (is_tls, host.to_owned(), endpoint, path))
}

/// Posts a body with further headers.
///
/// # Errors
/// When the receiver cannot be reached, or what it says is no answer of HTTP.
pub(super) async fn post(
    target: &Target,
    headers: &[(&str, String)],
    body: &[u8],
) -> io::Result<Answer> {
    let stream = TcpStream::connect(&target.endpoint).await?;
    stream.set_nodelay(true)?;
    let mut stream: Box<dyn Stream> = match &target.tls {
        Some(settings) => Box::new(wrap_tls(settings, stream).await?),
        None => Box::new(stream),
    };
    let mut head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
        target.path,
        target.host,
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).await?;
    stream.flush().await?;
    let mut bytes = Vec::new();
    let mut taken = stream.take(ANSWER_BYTES_MAX);
    loop {
        let mut piece = [0; 1_024];
        let read = taken.read(&mut piece).await;
        match read {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(piece.get(..count).unwrap_or_default()),
            // Some close the connection badly after all was said.
            Err(_) if is_whole(&bytes) => break,
            Err(error) => return Err(error),
        }
        if is_whole(&bytes) {
            break;
        }
    }
    answer(&bytes).ok_or_else(|| io::Error::other("what came back is no answer of HTTP"))
}

/// Whether the body is there as far as the head says how long it is.
fn is_whole(bytes: &[u8]) -> bool {
    let Some((head, body)) = halves(bytes) else {
        return false;
    };
    let length = header(&head, "content-length").and_then(|text| text.parse::<usize>().ok());
    let is_empty = matches!(status(&head), Some(204 | 304));
    is_empty || length.is_some_and(|length| body.len() >= length)
}

fn halves(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at_checked(end)?;
    Some((String::from_utf8_lossy(head).into_owned(), rest.get(4..)?))
}

fn status(head: &str) -> Option<u16> {
    let line = head.lines().next()?.strip_prefix("HTTP/1.")?;
    line.split(' ').nth(1)?.parse().ok()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(known, _)| known.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim())
}

fn answer(bytes: &[u8]) -> Option<Answer> {
    let (head, body) = halves(bytes)?;
    let is_chunked = header(&head, "transfer-encoding")
        .is_some_and(|text| text.to_ascii_lowercase().contains("chunked"));
    Some(Answer {
        status: status(&head)?,
        retry_after_s: header(&head, "retry-after").and_then(|text| text.parse().ok()),
        body: if is_chunked {
            unchunked(body)
        } else {
            body.to_vec()
        },
    })
}

/// The chunks of a body (RFC 9112 section 7.1), as far as they are there.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let line = String::from_utf8_lossy(body.get(..end).unwrap_or_default()).into_owned();
        let length = line
            .split(';')
            .next()
            .and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let rest = body.get(end + 2..).unwrap_or_default();
        let Some(length) = length.filter(|length| *length > 0) else {
            break;
        };
        out.extend_from_slice(rest.get(..length.min(rest.len())).unwrap_or_default());
        body = rest.get(length.saturating_add(2)..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let whole = |url: &str| parts(url);
        let plain = whole("http://andon.lan:8000/hook?a=1").unwrap();
        assert_eq!(
            plain,
            (
                false,
                "andon.lan:8000".into(),
                "andon.lan:8000".into(),
                "/hook?a=1".into()
            )
        );
        assert_eq!(whole("https://10.0.0.5").unwrap().2, "10.0.0.5:443");
        for wrong in [
            "ftp://x/",
            "http://",
            "http://a b/",
            "http://user@host/",
            "http://h/a b",
        ] {
            assert_eq!(whole(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn answers_are_read_as_far_as_they_are_there() {
        let text = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno";
        assert!(is_whole(text) && !is_whole(&text[..text.len() - 1]));
        let read = answer(text).unwrap();
        assert_eq!((read.status, read.retry_after_s), (503, Some(7)));
        let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(answer(chunks).unwrap().body, b"{\"a\":1}");
        let cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx";
        assert_eq!(answer(cut).unwrap().body, b"x");
        assert_eq!(answer(b"SSH-2.0\r\n\r\n"), None);
    }
}
