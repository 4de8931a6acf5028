//! What every answer carries and every write must show, whatever the resource.
//! Never knows who the caller is: that is `session`'s.

use super::problem::Problem;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;

const CONTENT_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; \
    object-src 'none'";
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    ),
];

/// Adds the headers that keep a browser from being used against its owner. An answer that says
/// nothing about caching is not cached; one with a policy of its own, an attachment, keeps it.
pub(super) fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(CONTENT_POLICY));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The hub's address as people type it: scheme and authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicAddress {
    secure: bool,
    authority: String,
}

impl PublicAddress {
    /// From a URL like `https://hub.example.org`. `None` when it is not one.
    pub fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.trim().parse().ok()?;
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?.as_str().to_ascii_lowercase();
        Some(Self { secure, authority })
    }

    /// Whether browsers come by HTTPS: then cookies are for HTTPS only.
    pub const fn secure(&self) -> bool {
        self.secure
    }
}

/// Refuses a write that another site's page made the browser send.
///
/// The `Host` must be an address in figures, `localhost` or the configured public address: a name
/// that somebody else's name server points here is none of them. An `Origin` must be that host.
pub(super) fn same_origin(
    headers: &HeaderMap,
    public: Option<&PublicAddress>,
) -> Result<(), Problem> {
    let host = text(headers, header::HOST).to_ascii_lowercase();
    let known = public.is_some_and(|public| public.authority == host) || is_local_or_ip(&host);
    if !known {
        return Err(refused(format!(
            "The hub was called \"{host}\", a name it does not know. Set public_url under [web] in \
             the hub's configuration to the address that people use."
        )));
    }
    let origin = text(headers, header::ORIGIN);
    let foreign = match origin.split_once("://") {
        Some((_, authority)) => {
            let authority = authority.to_ascii_lowercase();
            authority != host && public.is_none_or(|public| public.authority != authority)
        }
        None => !origin.is_empty(),
    };
    let site = text(headers, HeaderName::from_static("sec-fetch-site"));
    if foreign || !matches!(site, "" | "same-origin" | "none") {
        return Err(refused(
            "The request came from another site's page. Open the hub's own address and try again."
                .to_owned(),
        ));
    }
    Ok(())
}

fn refused(detail: String) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "foreign_origin",
        "This request is not taken from there",
        detail,
    )
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn is_local_or_ip(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // The last colon of `[::1]` is not a port's.
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_known_hosts_and_the_own_origin_may_write() {
        let public = PublicAddress::parse("https://hub.example.org").unwrap();
        let cases: [(&[(&'static str, &str)], bool); 10] = [
            (&[("host", "127.0.0.1:8000")], true),
            (
                &[("host", "[::1]:8000"), ("origin", "http://[::1]:8000")],
                true,
            ),
            (&[("host", "[::1]")], true),
            (
                &[
                    ("host", "localhost:8000"),
                    ("origin", "http://localhost:8000"),
                ],
                true,
            ),
            (
                &[
                    ("host", "hub.example.org"),
                    ("origin", "https://hub.example.org"),
                ],
                true,
            ),
            (
                &[
                    ("host", "127.0.0.1:8000"),
                    ("origin", "https://hub.example.org"),
                ],
                true,
            ),
            (&[("host", "evil.example")], false),
            (
                &[
                    ("host", "127.0.0.1:8000"),
                    ("origin", "http://evil.example"),
                ],
                false,
            ),
            (&[("host", "127.0.0.1:8000"), ("origin", "null")], false),
            (
                &[("host", "127.0.0.1:8000"), ("sec-fetch-site", "cross-site")],
                false,
            ),
        ];
        for (pairs, taken) in cases {
            let answer = same_origin(&headers(pairs), Some(&public));
            assert_eq!(answer.is_ok(), taken, "{pairs:?}");
        }
        assert!(same_origin(&headers(&[("host", "hub.example.org")]), None).is_err());
    }

    #[test]
    fn only_web_addresses_are_public_addresses() {
        assert!(
            PublicAddress::parse("https://hub.example.org")
                .unwrap()
                .secure()
        );
        assert!(
            !PublicAddress::parse("http://10.0.0.5:8000")
                .unwrap()
                .secure()
        );
        assert_eq!(PublicAddress::parse("ftp://hub"), None);
        assert_eq!(PublicAddress::parse("hub.example.org"), None);
    }
}
