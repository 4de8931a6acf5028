//! The keys of a `[[port]]` that say where its bytes go; every protocol reads them with this. Never
//! opens anything.

use super::rs485::{Echo, Mode, Rs485};
use super::serial::{Parity, SerialPlace, SerialSettings};
use super::tls::TlsSettings;
use super::{Address, host_and_port};
use crate::config::Section;
use std::path::PathBuf;
use std::time::Duration;

/// Longest pause round a change of direction.
const DELAY_MAX: Duration = Duration::from_secs(1);
/// Slowest and fastest line.
const BAUD: std::ops::RangeInclusive<i64> = 300..=4_000_000;

/// A TCP endpoint from `address`; `None` when it cannot be used, which is noted.
pub fn tcp(section: &mut Section, usual_port: u16) -> Option<Address> {
    endpoint(section, usual_port).map(Address::Tcp)
}

/// TLS over TCP from `address`, `ca_file`, `certificate_file`, `key_file` and `server_name`.
pub fn tls(section: &mut Section, usual_port: u16) -> Option<Address> {
    let endpoint = endpoint(section, usual_port);
    if !section.has("ca_file") {
        section.missing("ca_file", "ca_file = \"/etc/edge-agent/plc-ca.pem\"");
    }
    let ca_file = file(section, "ca_file");
    let certificate_file = file(section, "certificate_file");
    let key_file = file(section, "key_file");
    for (key, other) in [
        ("certificate_file", "key_file"),
        ("key_file", "certificate_file"),
    ] {
        if section.has(key) && !section.has(other) {
            section.problem(key, &format!("needs {other} beside it"));
        }
    }
    let server_name = section.text("server_name");
    Some(Address::Tls(TlsSettings {
        endpoint: endpoint?,
        ca_file: ca_file?,
        own: certificate_file.zip(key_file),
        server_name,
    }))
}

/// A serial line from `path` or `match`, `baud`, `data`, `parity`, `stop` and `rs485`; 19200 8E1 where
/// nothing is written.
pub fn serial(section: &mut Section) -> Option<SerialSettings> {
    serial_or(
        section,
        &SerialSettings::new(SerialPlace::Path(PathBuf::new())),
    )
}

/// The same with other settings where nothing is written.
pub fn serial_or(section: &mut Section, usual: &SerialSettings) -> Option<SerialSettings> {
    let place = place(section);
    let parity = section.choice(
        "parity",
        &[("N", Parity::None), ("E", Parity::Even), ("O", Parity::Odd)],
    );
    let settings = SerialSettings {
        place: place.clone().unwrap_or_else(|| usual.place.clone()),
        baud: section.integer("baud", BAUD).unwrap_or(usual.baud),
        data: section.integer("data", 7..=8).unwrap_or(usual.data),
        parity: parity.unwrap_or(usual.parity),
        stop: section.integer("stop", 1..=2).unwrap_or(usual.stop),
        rs485: section.section("rs485").map(rs485).unwrap_or_default(),
    };
    place.map(|_| settings)
}

fn endpoint(section: &mut Section, usual_port: u16) -> Option<String> {
    let text = section.required_text("address")?;
    let bare = text.strip_prefix("tcp://").unwrap_or(&text);
    let found = host_and_port(bare, usual_port);
    if found.is_none() {
        let words = format!(
            "\"{text}\" is not a host and a port; write for example \"10.0.0.5:{usual_port}\""
        );
        section.problem("address", &words);
    }
    found
}

/// The settings of TLS for a server that the box calls, from `ca_file` and `server_name`; `None` when
/// there is no `ca_file`.
pub fn authority(section: &mut Section, endpoint: &str) -> Option<TlsSettings> {
    let ca_file = file(section, "ca_file");
    let server_name = section.text("server_name");
    Some(TlsSettings {
        endpoint: endpoint.to_owned(),
        ca_file: ca_file?,
        own: None,
        server_name,
    })
}

/// A file by its whole path: a document of the hub has no folder that a shorter one could count from.
pub fn file(section: &mut Section, key: &'static str) -> Option<PathBuf> {
    let text = section.text(key)?;
    if !text.starts_with('/') {
        section.problem(key, "is not a whole path; begin it with /");
        return None;
    }
    Some(text.into())
}

fn place(section: &mut Section) -> Option<SerialPlace> {
    let path = section.text("path");
    let Some(mut fits) = section.section("match") else {
        if !section.has("path") && !section.has("match") {
            section.missing(
                "path",
                "path = \"/dev/ttyUSB0\", or better match = { usb_serial = \"FT4X1ABC\" }",
            );
        }
        let path = path?;
        if path.is_empty() {
            section.problem("path", "is empty; write for example \"/dev/ttyUSB0\"");
            return None;
        }
        return Some(SerialPlace::Path(path.into()));
    };
    if section.has("path") {
        section.problem("match", "stands beside path; one of the two is enough");
    }
    let usb_serial = fits.text("usb_serial");
    let by_path = fits.text("by_path");
    if usb_serial.is_none() && by_path.is_none() {
        fits.missing("usb_serial", "usb_serial = \"FT4X1ABC\"");
        fits.finish();
        return None;
    }
    fits.finish();
    Some(SerialPlace::Match {
        usb_serial,
        by_path,
    })
}

fn rs485(mut section: Section) -> Rs485 {
    let mode = section.choice(
        "mode",
        &[
            ("kernel", Mode::Kernel),
            ("rts", Mode::Rts),
            ("auto", Mode::Auto),
            ("off", Mode::Off),
        ],
    );
    let echo = section.choice(
        "echo",
        &[("auto", Echo::Auto), ("on", Echo::On), ("off", Echo::Off)],
    );
    let delay = Duration::ZERO..=DELAY_MAX;
    let found = Rs485 {
        mode: mode.unwrap_or(Mode::Auto),
        rts_on_send: section.boolean("rts_on_send").unwrap_or(true),
        delay_before: section
            .duration("delay_before", delay.clone())
            .unwrap_or_default(),
        delay_after: section.duration("delay_after", delay).unwrap_or_default(),
        echo: echo.unwrap_or_default(),
    };
    section.finish();
    found
}
