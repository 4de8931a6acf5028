//! A port as people write it on the command line: `tcp://10.0.0.5`, `/dev/ttyUSB0`,
//! `serial:///dev/ttyUSB0?baud=9600&parity=N`. Never guesses: what is not understood is told.

use super::frame::Framing;
use super::link::LinkSettings;
use crate::transport::{Address, Parity, SerialPlace, SerialSettings, TlsSettings, host_and_port};
use std::path::PathBuf;

/// Usual port of Modbus TCP.
pub(super) const PORT: u16 = 502;
/// Usual port of Modbus/TCP Security.
pub(super) const PORT_TLS: u16 = 802;

/// What a person named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How it is talked to, with the usual times.
    pub link: LinkSettings,
}

/// Why a target is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No form that is known.
    #[error(
        "\"{text}\" is not an address; write tcp://HOST:PORT, for example tcp://10.0.0.5:502 (or \
         tls://, rtu+tcp://, ascii+tcp://), /dev/ttyUSB0, or serial:///dev/ttyUSB0?baud=9600&parity=N"
    )]
    Form {
        /// As written.
        text: String,
    },
    /// An option that is not known.
    #[error("\"{key}\" is not an option of {kind}; there is {known}")]
    Option {
        /// As written.
        key: String,
        /// `serial://`.
        kind: &'static str,
        /// What there is.
        known: &'static str,
    },
    /// An option with a value that it cannot have.
    #[error("{key}={value} cannot be; write {wanted}")]
    Value {
        /// The option.
        key: &'static str,
        /// As written.
        value: String,
        /// What can be.
        wanted: &'static str,
    },
    /// TLS without an authority to trust.
    #[error("tls:// needs the file of the authority: add ?ca_file=/path/to/ca.pem")]
    NoAuthority,
}

impl Target {
    /// Reads one of the forms above; a host alone means Modbus TCP, a path alone RTU.
    ///
    /// # Errors
    /// What is not understood, and what to write.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let form = || TargetError::Form {
            text: text.to_owned(),
        };
        let (kind, rest) = text.split_once("://").unwrap_or(("", text));
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let options: Vec<(&str, &str)> = options
            .split('&')
            .filter(|option| !option.is_empty())
            .map(|option| option.split_once('=').unwrap_or((option, "")))
            .collect();
        let tcp = |port| host_and_port(place, port).ok_or_else(form);
        let (address, framing) = match kind {
            "" | "serial" | "rtu" if place.starts_with('/') => {
                (serial(place, &options)?, Framing::Rtu)
            }
            "ascii" if place.starts_with('/') => (serial(place, &options)?, Framing::Ascii),
            "" | "tcp" => (Address::Tcp(tcp(PORT)?), Framing::Mbap),
            "tls" => (tls(tcp(PORT_TLS)?, &options)?, Framing::Mbap),
            "rtu+tcp" => (Address::Tcp(tcp(PORT)?), Framing::Rtu),
            "ascii+tcp" => (Address::Tcp(tcp(PORT)?), Framing::Ascii),
            _ => return Err(form()),
        };
        if let (Address::Tcp(_), Some((key, _))) = (&address, options.first()) {
            return Err(TargetError::Option {
                key: (*key).to_owned(),
                kind: "a TCP address",
                known: "none",
            });
        }
        Ok(Self {
            link: LinkSettings::new(address, framing),
        })
    }
}

fn serial(path: &str, options: &[(&str, &str)]) -> Result<Address, TargetError> {
    let mut settings = SerialSettings::new(SerialPlace::Path(path.into()));
    for (key, value) in options {
        let wrong = |key, wanted| TargetError::Value {
            key,
            value: (*value).to_owned(),
            wanted,
        };
        match *key {
            "baud" => {
                let baud = value.parse().ok();
                settings.baud = baud
                    .filter(|baud| (300..=4_000_000).contains(baud))
                    .ok_or_else(|| wrong("baud", "300 to 4000000"))?;
            }
            "data" => {
                let data = value.parse().ok();
                settings.data = data
                    .filter(|data| (7..=8).contains(data))
                    .ok_or_else(|| wrong("data", "7 or 8"))?;
            }
            "parity" => {
                settings.parity =
                    Parity::from_letter(value).ok_or_else(|| wrong("parity", "N, E or O"))?;
            }
            "stop" => {
                let stop = value.parse().ok();
                settings.stop = stop
                    .filter(|stop| (1..=2).contains(stop))
                    .ok_or_else(|| wrong("stop", "1 or 2"))?;
            }
            other => {
                return Err(TargetError::Option {
                    key: other.to_owned(),
                    kind: "a serial port",
                    known: "baud, data, parity, stop",
                });
            }
        }
    }
    Ok(Address::Serial(settings))
}

fn tls(endpoint: String, options: &[(&str, &str)]) -> Result<Address, TargetError> {
    let (mut ca_file, mut certificate, mut key_file, mut server_name) = (None, None, None, None);
    for (key, value) in options {
        match *key {
            "ca_file" => ca_file = Some(PathBuf::from(value)),
            "certificate_file" => certificate = Some(PathBuf::from(value)),
            "key_file" => key_file = Some(PathBuf::from(value)),
            "server_name" => server_name = Some((*value).to_owned()),
            other => {
                return Err(TargetError::Option {
                    key: other.to_owned(),
                    kind: "tls://",
                    known: "ca_file, certificate_file, key_file, server_name",
                });
            }
        }
    }
    Ok(Address::Tls(TlsSettings {
        endpoint,
        ca_file: ca_file.ok_or(TargetError::NoAuthority)?,
        own: certificate.zip(key_file),
        server_name,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Option<(String, Framing)> {
        let link = Target::parse(text).ok()?.link;
        match link.address {
            Address::Tcp(endpoint) => Some((endpoint, link.framing)),
            Address::Tls(_) | Address::Serial(_) => None,
        }
    }

    #[test]
    fn endpoints_as_people_write_them() {
        for (text, expected) in [
            ("tcp://10.0.0.5:1502", Some("10.0.0.5:1502")),
            ("10.0.0.5:502", Some("10.0.0.5:502")),
            ("plc-7.example", Some("plc-7.example:502")),
            ("tcp://plc-7/", Some("plc-7:502")),
            ("[fe80::1]:503", Some("[fe80::1]:503")),
            ("[fe80::1]", Some("[fe80::1]:502")),
            ("fe80::1", Some("[fe80::1]:502")),
            ("", None),
            (":502", None),
            ("10.0.0.5:70000", None),
            ("10.0.0.5:0", None),
            ("10.0.0.5:", None),
            ("udp://10.0.0.5", None),
            ("a b", None),
            ("[10.0.0.5]:502", None),
        ] {
            let found = tcp(text).map(|(endpoint, _)| endpoint);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        let rtu = Some(("10.0.0.5:4001".to_owned(), Framing::Rtu));
        assert_eq!(tcp("rtu+tcp://10.0.0.5:4001"), rtu);
        let ascii = Some(("plc:502".to_owned(), Framing::Ascii));
        assert_eq!(tcp("ascii+tcp://plc"), ascii);
    }

    #[test]
    fn serial_lines_and_tls_with_their_options() {
        let serial = |text: &str| match Target::parse(text).unwrap().link {
            LinkSettings {
                address: Address::Serial(serial),
                framing,
                ..
            } => format!("{} {} {framing:?}", serial.place, serial.words()),
            other => format!("{other:?}"),
        };
        assert_eq!(serial("/dev/ttyS0"), "/dev/ttyS0 19200 8E1 Rtu");
        assert_eq!(
            serial("serial:///dev/ttyUSB0?baud=9600&parity=N&stop=2"),
            "/dev/ttyUSB0 9600 8N2 Rtu"
        );
        assert_eq!(
            serial("ascii:///dev/ttyS1?data=7"),
            "/dev/ttyS1 19200 7E1 Ascii"
        );
        let tls = Target::parse("tls://plc?ca_file=/etc/ca.pem&server_name=plc-7").unwrap();
        assert_eq!(tls.link.place().to_string(), "plc:802");
        for (text, words) in [
            ("serial:///dev/ttyS0?baud=12", "300 to 4000000"),
            ("/dev/ttyS0?parity=X", "N, E or O"),
            ("/dev/ttyS0?speed=1", "baud, data, parity, stop"),
            ("tls://plc", "ca_file"),
            ("tcp://plc?baud=9600", "not an option of a TCP address"),
            ("serial://ttyS0", "serial:///dev/ttyUSB0"),
        ] {
            let told = Target::parse(text).unwrap_err().to_string();
            assert!(told.contains(words), "{text}: {told}");
        }
    }
}
