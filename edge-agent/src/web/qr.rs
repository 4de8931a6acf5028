//! Codes on paper: a picture of lines (never of dots that blur) that holds an address of this box
//! with a short code. The code says nothing by itself and is resolved here, with no internet.

use super::Page;
use super::guard;
use super::problem::Problem;
use super::records::order_id;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use data_encoding::{BASE32_NOPAD, Encoding};
use protocol::id::WorkOrderId;
use qrcodegen::{QrCode, QrCodeEcc};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use uuid::Uuid;

/// White modules around the picture (ISO/IEC 18004, 5.3.8).
const QUIET: i32 = 4;
/// Begins the name from which the code of an asset follows.
const ASSET: &str = "chatterfix asset:";

const LETTERS: Encoding = BASE32_NOPAD;

/// What a short code names.
enum Named {
    Order(WorkOrderId),
    Asset(String),
}

/// The end of an id as letters and digits.
fn letters(prefix: char, id: Uuid) -> String {
    let (_, end) = id.as_u64_pair();
    format!("{prefix}{}", LETTERS.encode(&end.to_be_bytes()))
}

pub(super) fn order_code(id: WorkOrderId) -> String {
    letters('W', id.0)
}

/// The same on every box of a site, so that a label on a machine outlives a box.
pub(super) fn asset_code(tag: &str) -> String {
    let name = format!("{ASSET}{tag}");
    letters('A', Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
}

/// What `code` names on this box.
async fn resolve(page: &Page, code: &str) -> Result<Named, Problem> {
    let code = code.to_ascii_uppercase();
    let unknown = || Problem::not_found("code");
    if let Some(letters) = code.strip_prefix('W') {
        let end = LETTERS.decode(letters.as_bytes()).ok();
        let end: [u8; 8] = end
            .and_then(|end| end.try_into().ok())
            .ok_or_else(unknown)?;
        let order = page.storage.order_ending_with(end).await?;
        return order.map(Named::Order).ok_or_else(unknown);
    }
    let tags = tags(page).await?;
    let mut tags = tags.into_iter();
    tags.find(|tag| asset_code(tag) == code)
        .map(Named::Asset)
        .ok_or_else(unknown)
}

/// Every asset that this box knows: of the hub's list, made here, named in the configuration.
async fn tags(page: &Page) -> Result<BTreeSet<String>, Problem> {
    let bundle = page.storage.bundle();
    let listed = bundle.iter().flat_map(|bundle| &bundle.assets);
    let mut tags: BTreeSet<String> = listed.map(|asset| asset.tag.clone()).collect();
    let made = page.storage.provisional_assets().await?;
    tags.extend(made.into_iter().map(|made| made.asset.tag));
    let catalog = page.catalog();
    tags.extend(
        catalog
            .sensors
            .iter()
            .filter_map(|sensor| sensor.asset.clone()),
    );
    Ok(tags)
}

/// `GET /codes/{code}`
pub(super) async fn what(
    State(page): State<Page>,
    Path(code): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(match resolve(&page, &code).await? {
        Named::Order(id) => json!({ "kind": "work_order", "id": id, "tag": null }),
        Named::Asset(tag) => json!({ "kind": "asset", "id": null, "tag": tag }),
    }))
}

/// `GET /c/{code}`: to the page of what it names. Tells nothing else: the page asks who one is.
pub(super) async fn go(
    State(page): State<Page>,
    Path(code): Path<String>,
) -> Result<Redirect, Problem> {
    Ok(match resolve(&page, &code).await? {
        Named::Order(id) => Redirect::to(&format!("/work/{id}")),
        Named::Asset(tag) => Redirect::to(&format!("/asset/{}", encoded(&tag))),
    })
}

/// `GET /qr/{work-orders|assets}/{id or tag}.svg`
pub(super) async fn picture(
    State(page): State<Page>,
    Path((kind, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let name = name.strip_suffix(".svg").unwrap_or(&name);
    let code = match kind.as_str() {
        "work-orders" => {
            let id = order_id(name)?;
            let order = page.storage.work_order(id).await?;
            order_code(order.ok_or_else(|| Problem::not_found("work order"))?.id)
        }
        "assets" if tags(&page).await?.contains(name) => asset_code(name),
        "assets" => return Err(Problem::not_found("asset")),
        _ => return Err(Problem::not_found("address")),
    };
    let host = headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let scheme = if guard::is_secure(&headers) {
        "https"
    } else {
        "http"
    };
    let svg = svg(&format!("{scheme}://{host}/c/{code}"))?;
    let mut response = (StatusCode::OK, svg).into_response();
    let kind = HeaderValue::from_static("image/svg+xml");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// The picture of a text: one path, scaled by whoever prints it.
fn svg(text: &str) -> Result<String, Problem> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium)
        .map_err(|_| Problem::invalid(None, "the address of this box is too long for a code"))?;
    let side = code.size() + 2 * QUIET;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            write!(path, "M{} {}h1v1h-1z", x + QUIET, y + QUIET).unwrap_or_default();
        }
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/>\
         <path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}

/// A tag as part of an address.
fn encoded(tag: &str) -> String {
    let mut text = String::new();
    for byte in tag.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws the picture with four dots a module (a printer of 203 dpi at 21 mm) and reads it with
    /// a decoder that is not ours.
    fn read(svg: &str) -> String {
        let side: usize = {
            let from = svg.split("viewBox=\"0 0 ").nth(1).unwrap();
            from.split(' ').next().unwrap().parse().unwrap()
        };
        let mut modules = vec![vec![false; side]; side];
        let path = svg.split("<path d=\"").nth(1).unwrap();
        for square in path.split('"').next().unwrap().split('M').skip(1) {
            let at: Vec<usize> = square
                .split(['h', ' '])
                .take(2)
                .map(|number| number.parse().unwrap())
                .collect();
            modules[at[1]][at[0]] = true;
        }
        let dots = side * 4;
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(dots, dots, |x, y| {
            if modules[y * side / dots][x * side / dots] {
                0
            } else {
                255
            }
        });
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1, "one code in the picture");
        grids[0].decode().unwrap().1
    }

    #[test]
    fn a_code_is_read_by_another_program_at_the_size_of_a_label() {
        let id = WorkOrderId(Uuid::from_u128(0x0190_1234_5678_7abc_8def_0123_4567_89ab));
        for code in [order_code(id), asset_code("P-101/ä b")] {
            assert_eq!(code.len(), 14);
            let address = format!("https://box-hall-2.plant.lan:8443/c/{code}");
            assert_eq!(read(&svg(&address).unwrap()), address);
        }
        assert!(svg(&"x".repeat(4_000)).is_err());
    }

    #[test]
    fn a_tag_in_an_address_keeps_its_letters() {
        assert_eq!(encoded("P-101/ä"), "P-101%2F%C3%A4");
    }
}
