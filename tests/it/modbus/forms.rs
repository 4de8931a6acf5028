//! Every form of Modbus, read from pymodbus and libmodbus as processes: TCP, TLS, RTU over TCP, ASCII
//! over TCP, RTU and ASCII on a serial line. Never our own server.

use super::{Plan, Scene, column};
use crate::plant::recorded;
use crate::readings;
use anyhow::{Context as _, Result, ensure};
use harness::modbus_peer::Serial;
use harness::paced_pty::Pace;
use harness::{
    Certificates, Form, Libmodbus, ModbusPeer, PacedPty, PeerOptions, Scratch, in_scratch, wait_for,
};
use protocol::reading::Raw;

/// Polls of each form that must be stored.
const POLLS: usize = 20;
/// What pymodbus serves; see `peers/modbus_server.py`.
const REPLAY: [(&str, &str, &str, &str); 4] = [
    ("temperature", "hr:0", "f32", "ABCD"),
    ("tenths", "hr:2", "i16", "ABCD"),
    ("row", "hr:3", "u32", "ABCD"),
    ("swapped", "hr:5", "f32", "CDAB"),
];
/// What libmodbus serves; see `peers/libmodbus_server.c`.
pub(super) const FIXED: [(&str, &str, &str, &str, f64); 9] = [
    ("first", "ir:0", "u16", "ABCD", 3.0),
    ("last", "hr:199", "u16", "ABCD", 1_396.0),
    ("coil_off", "co:4", "bool", "ABCD", 0.0),
    ("input_on", "di:9", "bool", "ABCD", 1.0),
    ("both", "ir:10", "u32", "CDAB", 5_242_953.0),
    ("abcd", "ir:100", "f32", "ABCD", 1_234.5),
    ("badc", "hr:102", "f32", "BADC", 1_234.5),
    ("cdab", "ir:104", "f32", "CDAB", 1_234.5),
    ("dcba", "hr:106", "f32", "DCBA", 1_234.5),
];
const PACE: Pace = Pace {
    baud: 115_200,
    bits: 10,
};

#[test]
fn forms() -> Result<()> {
    in_scratch("modbus-forms", run)
}

/// Everything that is read in one run of one box.
struct Peers {
    replays: Vec<(&'static str, ModbusPeer, String)>,
    fixed: Vec<(&'static str, Libmodbus, String)>,
    /// The last one is libmodbus'.
    lines: Vec<PacedPty>,
}

fn run(scratch: &Scratch) -> Result<()> {
    let peers = Peers::start(scratch)?;
    let mut plan = Plan::new();
    let (poll, mut paths) = ("poll = \"100ms\"", Vec::new());
    let fixed = FIXED.map(|(name, address, kind, order, _)| (name, address, kind, order));
    for (name, _, lines) in &peers.replays {
        plan = plan.port(name, lines);
        plan = plan.device((&format!("machine-{name}"), name, 7), poll, &REPLAY);
        paths.extend(REPLAY.map(|sensor| format!("machine-{name}/{}", sensor.0)));
    }
    for (name, _, lines) in &peers.fixed {
        plan = plan.port(name, lines);
        plan = plan.device((name, name, 9), poll, &fixed);
        paths.extend(FIXED.map(|sensor| format!("{name}/{}", sensor.0)));
    }
    let scene = Scene::start(scratch, "box", &plan)?;
    scene.wait_for_values(&paths)?;
    wait_for("answers of every peer", super::DEADLINE, || {
        for (_, peer, _) in &peers.replays {
            if peer.served()?.len() < POLLS * 2 {
                return Ok(None);
            }
        }
        let frames = peers.lines.last().map(PacedPty::frames).unwrap_or_default();
        let asked = frames.iter().filter(|frame| frame.request).count();
        Ok((asked >= POLLS * FIXED.len()).then_some(()))
    })?;
    let gateway = scene.gateway;
    let groups = scene.stored()?;
    let values = recorded()?;
    let mut counts = Vec::new();
    for (name, peer, _) in &peers.replays {
        let measured = readings::measured(gateway, name, &groups)
            .with_context(|| format!("what is stored of {name}"))?;
        ensure!(measured.len() >= POLLS, "{name}: {} polls", measured.len());
        readings::served(7, &measured, &peer.served()?, &values)
            .with_context(|| format!("what is stored of {name}"))?;
        counts.push(format!("pymodbus {name} {}", measured.len()));
    }
    for (name, ..) in &peers.fixed {
        let mut polls = 0;
        for (sensor, _, _, _, right) in FIXED {
            let stored = column(&groups, gateway, &format!("{name}/{sensor}"))?;
            let wrong = stored.iter().find(|raw| raw.map(number) != Some(right));
            ensure!(wrong.is_none(), "{name}/{sensor} is {wrong:?}, not {right}");
            polls = stored.len();
        }
        ensure!(polls >= POLLS, "{name}: {polls} polls");
        counts.push(format!("{name} {polls}"));
    }
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!("measured: polls right to the bit: {}", counts.join(", "));
    }
    Ok(())
}

impl Peers {
    fn start(scratch: &Scratch) -> Result<Self> {
        let certificates = Certificates::make(scratch, "plc")?;
        let mut lines = Vec::new();
        let mut line = || -> Result<(Serial, String)> {
            let line = PacedPty::start(PACE)?;
            let words = format!(
                "path = \"{}\"\nbaud = {}\nparity = \"N\"",
                line.near().display(),
                PACE.baud
            );
            let serial = Serial {
                path: line.far().to_path_buf(),
                baud: PACE.baud,
                parity: 'N',
            };
            lines.push(line);
            Ok((serial, words))
        };
        let (rtu, rtu_words) = line()?;
        let (ascii, ascii_words) = line()?;
        let (c_line, c_words) = line()?;
        let tls_words = format!(
            "ca_file = \"{}\"\ncertificate_file = \"{}\"\nkey_file = \"{}\"",
            certificates.authority.display(),
            certificates.client.0.display(),
            certificates.client.1.display()
        );
        let tls = Form::Tls {
            certificate: certificates.server.0,
            key: certificates.server.1,
            clients: Some(certificates.authority),
        };
        let forms = [
            ("tcp", Form::Tcp, String::new()),
            ("tls", tls, tls_words),
            ("rtu_over_tcp", Form::RtuOverTcp, String::new()),
            ("ascii_over_tcp", Form::AsciiOverTcp, String::new()),
            ("serial", Form::Rtu(rtu), rtu_words),
            ("ascii", Form::Ascii(ascii), ascii_words),
        ];
        let mut replays = Vec::new();
        for (name, form, words) in forms {
            let serial = matches!(form, Form::Rtu(_) | Form::Ascii(_));
            let options = PeerOptions {
                units: vec![7],
                form,
                ..PeerOptions::default()
            };
            let peer = ModbusPeer::start(scratch, options)?;
            let mut words = format!("kind = \"{name}\"\n{words}");
            if !serial {
                words = format!("{words}\naddress = \"{}\"", peer.address());
            }
            replays.push((name, peer, words));
        }
        let c_tcp = Libmodbus::tcp(scratch, 200)?;
        let tcp_words = format!("kind = \"tcp\"\naddress = \"{}\"", c_tcp.address());
        let settings = (c_line.baud, c_line.parity);
        let c_rtu = Libmodbus::rtu(scratch, &c_line.path, settings, 9, 200)?;
        let rtu_words = format!("kind = \"serial\"\n{c_words}");
        Ok(Self {
            replays,
            fixed: vec![
                ("libmodbus-tcp", c_tcp, tcp_words),
                ("libmodbus-rtu", c_rtu, rtu_words),
            ],
            lines,
        })
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "the integers of these peers have at most 23 bits"
)]
pub(super) fn number(raw: Raw) -> f64 {
    match raw {
        Raw::Int(value) => value as f64,
        Raw::Float(value) => value,
    }
}
