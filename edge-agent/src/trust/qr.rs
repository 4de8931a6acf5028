//! QR codes (ISO/IEC 18004) of addresses, for a page and for a terminal.

use super::TrustError;
use qrcodegen::{QrCode, QrCodeEcc};
use std::fmt::Write as _;

/// Light modules around the code.
const BORDER: i32 = 4;

/// As a picture of black modules on white.
pub fn svg(text: &str) -> Result<String, TrustError> {
    let code = code(text)?;
    let size = code.size() + 2 * BORDER;
    let mut path = String::new();
    for (x, y) in modules(&code) {
        // Writing into a text does not fail.
        write!(path, "M{},{}h1v1h-1z", x + BORDER, y + BORDER).unwrap_or_default();
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" role=\"img\" \
         shape-rendering=\"crispEdges\"><rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/>\
         <path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}

/// As half blocks, two rows of modules in one line, light on dark turned round.
pub fn terminal(text: &str) -> Result<String, TrustError> {
    let code = code(text)?;
    let end = code.size() + BORDER / 2;
    let mut lines = String::new();
    let mut y = -BORDER / 2;
    while y < end {
        for x in -BORDER / 2..end {
            lines.push(match (code.get_module(x, y), code.get_module(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        }
        lines.push('\n');
        y += 2;
    }
    Ok(lines)
}

fn code(text: &str) -> Result<QrCode, TrustError> {
    QrCode::encode_text(text, QrCodeEcc::Medium).map_err(|_| TrustError::TooLong)
}

fn modules(code: &QrCode) -> impl Iterator<Item = (i32, i32)> + '_ {
    let all = (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y)));
    all.filter(|(x, y)| code.get_module(*x, *y))
}
