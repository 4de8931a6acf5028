//! `/trust`: helps a phone to trust the site's authority, over plain HTTP, for whoever cannot open the
//! page by HTTPS yet. What it gives away is public; the fingerprint is there to be compared.

use super::Page;
use super::problem::Problem;
use crate::trust::{SiteAuthority, svg};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// What the pages are told of HTTPS: where, and whose certificate.
#[derive(Debug)]
pub struct Https {
    /// Its port.
    pub port: u16,
    /// The site's authority (DER), its fingerprint and name.
    pub certificate: Vec<u8>,
    /// SHA-256 of it, as phones show it.
    pub fingerprint: String,
}

impl Https {
    /// For a door on this port.
    pub fn new(port: u16, authority: &SiteAuthority) -> Self {
        Self {
            port,
            certificate: authority.certificate().to_vec(),
            fingerprint: authority.fingerprint(),
        }
    }
}

/// What is for everybody, beside the interface.
pub(super) fn routes() -> Router<Page> {
    Router::new()
        .route("/trust", get(help))
        .route("/ca.crt", get(certificate))
        .route("/ca.mobileconfig", get(profile))
}

/// `GET /api/v1/trust`
pub(super) async fn about(State(page): State<Page>, headers: HeaderMap) -> Json<Value> {
    let Some(https) = &page.https else {
        return Json(json!({ "https": null }));
    };
    let host = host(&headers);
    Json(json!({
        "https": {
            "port": https.port,
            "address": format!("https://{host}:{}/", https.port),
            "fingerprint": https.fingerprint,
            "certificate": "/ca.crt",
            "profile": "/ca.mobileconfig",
            "page": "/trust",
        },
    }))
}

/// `GET /ca.crt`
async fn certificate(State(page): State<Page>) -> Result<Response, Problem> {
    let https = of(&page)?;
    let kind = "application/x-x509-ca-cert";
    Ok(file(https.certificate.clone(), kind, "site-ca.crt"))
}

/// `GET /ca.mobileconfig`: a profile for iPhone and iPad.
async fn profile(State(page): State<Page>) -> Result<Response, Problem> {
    let https = of(&page)?;
    let id = |what: &str| {
        Uuid::new_v5(
            &Uuid::NAMESPACE_URL,
            format!("{what} {}", https.fingerprint).as_bytes(),
        )
    };
    let (whole, part) = (id("profile"), id("certificate"));
    let content = data_encoding::BASE64.encode(&https.certificate);
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\"><dict>\n\
         <key>PayloadType</key><string>Configuration</string>\n\
         <key>PayloadVersion</key><integer>1</integer>\n\
         <key>PayloadIdentifier</key><string>chatterfix.site.{whole}</string>\n\
         <key>PayloadUUID</key><string>{whole}</string>\n\
         <key>PayloadDisplayName</key><string>ChatterFix site</string>\n\
         <key>PayloadDescription</key><string>Lets this device trust the boxes of the site. It can \
         vouch for private addresses only.</string>\n\
         <key>PayloadContent</key><array><dict>\n\
         <key>PayloadType</key><string>com.apple.security.root</string>\n\
         <key>PayloadVersion</key><integer>1</integer>\n\
         <key>PayloadIdentifier</key><string>chatterfix.site.ca.{part}</string>\n\
         <key>PayloadUUID</key><string>{part}</string>\n\
         <key>PayloadDisplayName</key><string>ChatterFix site authority</string>\n\
         <key>PayloadCertificateFileName</key><string>site-ca.crt</string>\n\
         <key>PayloadContent</key><data>{content}</data>\n\
         </dict></array>\n</dict></plist>\n"
    );
    let kind = "application/x-apple-aspen-config";
    Ok(file(
        text.into_bytes(),
        kind,
        "chatterfix-site.mobileconfig",
    ))
}

/// `GET /trust`
async fn help(State(page): State<Page>, headers: HeaderMap) -> Response {
    let body = match &page.https {
        Some(https) => steps(https, host(&headers)),
        None => String::from(
            "<h1>This box has no HTTPS</h1><p>The page works here as it is, but it cannot be \
             installed on a phone and does not open while the phone has no network. Whoever looks \
             after the box can turn HTTPS on: <code>[web] https_listen = \"0.0.0.0:8443\"</code>.",
        ),
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Trust this box</title><style>{STYLE}</style><body><main>{body}</main></body></html>"
    );
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], html).into_response()
}

/// The colours and sizes of the page (`web/src/shared/tokens.css`).
const STYLE: &str = "body{font:17px/1.5 system-ui,sans-serif;margin:0;color:#18202c;background:#f3f4f6}\
    main{max-width:42rem;margin:0 auto;padding:1rem;overflow-wrap:anywhere}h1{font-size:1.4rem;line-height:1.25}\
    h2{font-size:1.1rem;margin-top:1.6rem}a{color:#1552c8}a.go{display:flex;align-items:center;\
    justify-content:center;min-height:56px;margin:.5rem 0;background:#1552c8;color:#fff;\
    border-radius:8px;font-weight:600;text-decoration:none}a:focus-visible{outline:3px solid #1552c8;\
    outline-offset:2px}code{word-break:break-all}svg{width:12rem;max-width:100%;border-radius:6px}\
    li{margin:.4rem 0}@media(prefers-color-scheme:dark){body{color:#e8ecf2;background:#10141a}\
    a{color:#82abff}a.go{background:#82abff;color:#0b1220}a:focus-visible{outline-color:#82abff}}";

fn steps(https: &Https, host: &str) -> String {
    let shown = escaped(host);
    let address = format!("https://{shown}:{}/", https.port);
    let code = svg(&format!("https://{host}:{}/", https.port)).unwrap_or_default();
    let fingerprint = &https.fingerprint;
    format!(
        "<h1>Make this page work without the network</h1>\
         <p>Opened by HTTPS, the page can be installed on your phone, and what you write while the \
         phone has no network is kept and sent later. Opened as it is now (plain HTTP) it works only \
         while the box answers. Your phone has to trust this site once.</p>\
         <p><b>Compare first.</b> Whoever looks after the box can show this number with \
         <code>edge-agent trust show</code>. It must be the same:<br><code>{fingerprint}</code></p>\
         <h2>iPhone and iPad</h2><a class=\"go\" href=\"/ca.mobileconfig\">Get the profile</a>\
         <ol><li>Tap the button in Safari and allow the download.\
         <li>Settings, at the top: <b>Profile Downloaded</b>. Tap <b>Install</b>.\
         <li>Settings, General, About, <b>Certificate Trust Settings</b>: switch the entry \
         beginning with ChatterFix on.<li>Open the address below; Share, <b>Add to Home Screen</b>.\
         </ol><h2>Android</h2><a class=\"go\" href=\"/ca.crt\">Get the certificate</a>\
         <ol><li>Tap the button; the file <code>site-ca.crt</code> is saved.\
         <li>Settings, search for <b>CA certificate</b> (Security, More security settings, \
         Install from device storage, CA certificate).\
         <li>Tap <b>Install anyway</b> and choose <code>site-ca.crt</code>. The phone says that the \
         network may be monitored; this authority can vouch for private addresses only.\
         <li>Open the address below in Chrome; menu, <b>Install app</b>.</ol>\
         <h2>Then open</h2><a class=\"go\" href=\"{address}\">{address}</a>{code}"
    )
}

/// For HTML: a host is told back to whoever named it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn of(page: &Page) -> Result<&Arc<Https>, Problem> {
    let https = page.https.as_ref();
    https.ok_or_else(|| Problem::not_found("certificate: this box has no HTTPS"))
}

fn file(bytes: Vec<u8>, kind: &'static str, name: &str) -> Response {
    let mut response = (StatusCode::OK, bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// The name or address under which the caller reached the box, without its port. The guard let
/// only safe ones through.
fn host(headers: &HeaderMap) -> &str {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.unwrap_or("localhost");
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
