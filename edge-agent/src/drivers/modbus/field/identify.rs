//! What a unit says that it is: functions 0x2B/0x0E and 0x11. Many devices know neither: that is no
//! error. Never takes a text of a device further than a line of printable characters.

use crate::drivers::modbus::link::{Link, RequestError};
use crate::drivers::modbus::pdu::{Request, Response};
use serde::Serialize;

/// Answers that a device may spread its texts over.
const PARTS_MAX: usize = 8;
/// Characters of one text that are kept.
const TEXT_CHARS_MAX: usize = 64;

/// What a unit says that it is; empty when it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Who made it.
    pub maker: Option<String>,
    /// Product code.
    pub product: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// Name of the product or of its model.
    pub name: Option<String>,
    /// What it says to function 0x11: texts, else hexadecimal digits.
    pub server_id: Option<String>,
}

impl Identity {
    /// In one line; empty when it said nothing.
    pub fn words(&self) -> String {
        let mut parts: Vec<&str> = [&self.maker, &self.product, &self.name, &self.version]
            .into_iter()
            .filter_map(|part| part.as_deref())
            .collect();
        parts.dedup();
        if parts.is_empty() {
            parts.extend(self.server_id.as_deref());
        }
        parts.join(" ")
    }

    /// Takes one object of function 0x2B/0x0E.
    fn take(&mut self, number: u8, bytes: &[u8]) {
        let text = printable(bytes);
        let place = match number {
            0 => &mut self.maker,
            1 => &mut self.product,
            2 => &mut self.version,
            4 | 5 if self.name.is_none() => &mut self.name,
            _ => return,
        };
        *place = Some(text).filter(|text| !text.is_empty());
    }
}

/// Asks a unit that is known to be there.
///
/// # Errors
/// When the port cannot be used any more.
pub async fn identify(link: &mut Link, unit: u8) -> Result<Identity, RequestError> {
    let mut identity = Identity::default();
    // Level 2 has the names too; who knows only the basic texts answers with those.
    let mut next = Some(0);
    for _ in 0..PARTS_MAX {
        let Some(object) = next else { break };
        let request = Request::ReadDeviceIdentification { level: 2, object };
        match gently(link.ask(unit, &request).await)? {
            Some(Response::DeviceIdentification(found)) => {
                for (number, text) in &found.objects {
                    identity.take(*number, text);
                }
                next = found.more;
            }
            _ => break,
        }
    }
    if let Some(Response::ServerId(data)) = gently(link.ask(unit, &Request::ReportServerId).await)?
    {
        identity.server_id = Some(server_id(&data)).filter(|text| !text.is_empty());
    }
    Ok(identity)
}

/// A question that a device does not know is no error.
fn gently(asked: Result<Response, RequestError>) -> Result<Option<Response>, RequestError> {
    match asked {
        Ok(response) => Ok(Some(response)),
        Err(error @ RequestError::NoConnection { .. }) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Its texts, or its bytes where it has none.
fn server_id(data: &[u8]) -> String {
    let text = printable(data);
    if text.chars().count() >= 3 {
        return text;
    }
    let digits = data.iter().take(TEXT_CHARS_MAX / 2);
    let digits: Vec<u8> = digits.copied().collect();
    data_encoding::HEXUPPER.encode(&digits)
}

/// What can be shown of a text, without doubled blanks.
fn printable(bytes: &[u8]) -> String {
    let shown = bytes.iter().map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => ' ',
    });
    let text: String = shown.take(TEXT_CHARS_MAX).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_one_line_of_printable_characters() {
        let mut identity = Identity::default();
        identity.take(0, b"Eastron\0\0");
        identity.take(1, b"SDM  120");
        identity.take(2, b"1.02\x1b[31m");
        identity.take(4, b"");
        identity.take(5, b"Meter");
        identity.take(200, b"own");
        assert_eq!(identity.words(), "Eastron SDM 120 Meter 1.02 [31m");
        assert_eq!(Identity::default().words(), "");
    }

    #[test]
    fn a_server_id_is_shown_as_text_or_as_digits() {
        assert_eq!(server_id(b"\x12\xFFWago 750"), "Wago 750");
        assert_eq!(server_id(&[0x12, 0xFF]), "12FF");
        assert_eq!(server_id(&[1; 200]).len(), 64);
    }
}
