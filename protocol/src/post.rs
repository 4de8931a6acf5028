//! One POST of HTTP/1.1 (RFC 9112) as a value: its bytes, and the answer as far as it came. As much as
//! a webhook needs; both programs have some. Never opens a connection, never follows a redirect.

/// Longest answer that needs to be read, head and body.
pub const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// The parts of an address of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `https`.
    pub is_tls: bool,
    /// As the `Host` header has it.
    pub host: String,
    /// `HOST:PORT` to connect to.
    pub endpoint: String,
    /// Path and query.
    pub path: String,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, as far as it was read; of one in chunks without their lengths.
    pub body: Vec<u8>,
}

impl Target {
    /// From an address; `None` when it is none of HTTP, or has a user in it.
    pub fn parse(url: &str) -> Option<Self> {
        let (is_tls, rest, port) = match url.strip_prefix("http://") {
            Some(rest) => (false, rest, 80),
            None => (true, url.strip_prefix("https://")?, 443),
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at_checked(at)?;
        let path = match path {
            "" => "/".to_owned(),
            path if path.starts_with('?') => format!("/{path}"),
            path => path.to_owned(),
        };
        let good = path.bytes().all(|byte| byte.is_ascii_graphic());
        let endpoint = endpoint(host, port).filter(|_| good)?;
        Some(Self {
            is_tls,
            host: host.to_owned(),
            endpoint,
            path,
        })
    }

    /// A request with further headers, whose connection is closed after it.
    pub fn post(&self, headers: &[(&str, String)], body: &[u8]) -> Vec<u8> {
        let mut head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.path,
            self.host,
            body.len()
        );
        for (name, value) in headers {
            // A value with a line end would be a header of its own.
            let value: String = value.chars().filter(|c| !c.is_control()).collect();
            head.push_str(name);
            head.push_str(": ");
            head.push_str(&value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        [head.as_bytes(), body].concat()
    }
}

fn endpoint(host: &str, usual_port: u16) -> Option<String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => (name, port.parse::<u16>().ok()?),
        _ => (host, usual_port),
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let good = match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.chars().all(letter),
    };
    (good && port > 0).then(|| format!("{name}:{port}"))
}

/// Whether an answer is there as far as its head says how long it is.
pub fn is_whole(bytes: &[u8]) -> bool {
    let Some((head, body)) = halves(bytes) else {
        return false;
    };
    let length = header(&head, "content-length").and_then(|text| text.parse::<usize>().ok());
    let is_empty = matches!(status(&head), Some(204 | 304));
    is_empty || length.is_some_and(|length| body.len() >= length)
}

/// An answer as far as it came; `None` when it is none of HTTP/1.
pub fn answer(bytes: &[u8]) -> Option<Answer> {
    let (head, body) = halves(bytes)?;
    let coding = header(&head, "transfer-encoding").map(str::to_ascii_lowercase);
    let is_chunked = coding.is_some_and(|coding| coding.contains("chunked"));
    Some(Answer {
        status: status(&head)?,
        body: if is_chunked {
            unchunked(body)
        } else {
            body.to_vec()
        },
    })
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

/// The chunks of a body (section 7.1), as far as they are there.
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
    use proptest::prelude::*;

    #[test]
    fn addresses_are_taken_apart() {
        let plain = Target::parse("http://andon.lan:8000/hook?a=1").unwrap();
        assert_eq!(
            (plain.is_tls, plain.endpoint.as_str()),
            (false, "andon.lan:8000")
        );
        assert_eq!(
            (plain.host.as_str(), plain.path.as_str()),
            ("andon.lan:8000", "/hook?a=1")
        );
        assert_eq!(
            Target::parse("https://10.0.0.5").unwrap().endpoint,
            "10.0.0.5:443"
        );
        assert_eq!(
            Target::parse("http://[::1]:80/").unwrap().endpoint,
            "[::1]:80"
        );
        for wrong in [
            "ftp://x/",
            "http://",
            "http://a b/",
            "http://u@host/",
            "http://h/a b",
            "http://h:0/",
        ] {
            assert_eq!(Target::parse(wrong), None, "{wrong}");
        }
        let bytes = plain.post(&[("A", "1\r\nEvil: 2".to_owned())], b"{}");
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with("POST /hook?a=1 HTTP/1.1\r\nHost: andon.lan:8000\r\n"),
            "{text}"
        );
        assert!(
            !text.contains("\nEvil") && text.ends_with("\r\n\r\n{}"),
            "{text}"
        );
    }

    #[test]
    fn answers_are_read_as_far_as_they_are_there() {
        let text = b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno";
        assert!(is_whole(text) && !is_whole(&text[..text.len() - 1]));
        assert_eq!(answer(text).unwrap().status, 503);
        let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(answer(chunks).unwrap().body, b"{\"a\":1}");
        let cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx";
        assert_eq!(answer(cut).unwrap().body, b"x");
        assert_eq!(answer(b"SSH-2.0\r\n\r\n"), None);
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let with_head = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(), &bytes].concat();
            for bytes in [&bytes, &with_head] {
                let length = answer(bytes).map_or(0, |answer| answer.body.len());
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
