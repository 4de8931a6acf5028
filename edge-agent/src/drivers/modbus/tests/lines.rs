//! The forms of Modbus over real streams: serial lines (pseudo terminals), serial servers, TLS. What goes
//! wrong on them: late answers, noise, echo, adapters that are pulled out, units that are dead.

use super::super::frame::Framing;
use super::super::pdu::Request;
use super::units::{Memory, Play, Reply, SerialLine, refused, serve};
use super::*;
use crate::drivers::bus::UnitCounts;

/// A serial server: RTU or ASCII over TCP.
async fn serial_server(framing: Framing, memory: &Memory, play: impl Play + Clone) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let memory = memory.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream, framing, memory.clone(), play.clone()).await;
        }
    });
    endpoint
}

fn unit(run: &Run, unit: u8) -> UnitCounts {
    run.handles.reports()["p"]
        .units
        .get(&unit)
        .copied()
        .unwrap_or_default()
}

async fn reads_two_units(port: &str) {
    let devices: &[(&str, u8, &[u16])] = &[("a", 1, &[0, 1]), ("b", 2, &[7])];
    let mut run = Run::on_port(port, devices);
    run.until("values of both", |run| {
        run.count(0, value(1_000)) >= 5 && run.count(1, value(2_007)) >= 5
    })
    .await;
    assert!(
        run.of(0)
            .all(|poll| poll.cells == [value(1_000), value(1_001)])
    );
    let counts = unit(&run, 1);
    assert!(counts.answers >= 5, "{counts:?}");
    assert_eq!(
        (counts.timeouts, counts.checksum_errors, counts.late),
        (0, 0, 0)
    );
    run.end().await;
}

#[tokio::test]
async fn rtu_and_ascii_on_a_serial_line() {
    for (framing, kind) in [(Framing::Rtu, "serial"), (Framing::Ascii, "ascii")] {
        let mut line = SerialLine::new();
        line.plug(framing, &Memory::default(), |_, _, _| Reply::Right);
        let port = line.port("").replace("\"serial\"", &format!("\"{kind}\""));
        reads_two_units(&port).await;
    }
}

#[tokio::test]
async fn rtu_and_ascii_behind_a_serial_server() {
    for (framing, kind) in [
        (Framing::Rtu, "rtu_over_tcp"),
        (Framing::Ascii, "ascii_over_tcp"),
    ] {
        let memory = Memory::default();
        let endpoint = serial_server(framing, &memory, |_, _: &Request, _| Reply::Right).await;
        reads_two_units(&format!("kind = \"{kind}\"\naddress = \"{endpoint}\"")).await;
    }
}

#[tokio::test]
async fn a_line_that_hears_itself_is_found_out() {
    let mut line = SerialLine::new();
    let echo = |unit: u8, request: &Request, _: usize| {
        let pdu = request.encode();
        let frame = super::super::frame::Frame { id: 0, unit, pdu };
        Reply::Behind(super::super::frame::encode(Framing::Rtu, &frame))
    };
    line.plug(Framing::Rtu, &Memory::default(), echo);
    reads_two_units(&line.port("rs485 = { mode = \"off\", echo = \"auto\" }")).await;
}

/// Each seventh answer of unit 1 comes after the time-out; all blocks have the same length.
async fn never_takes_a_late_answer_for_another(
    devices: &[(&str, u8, &[u16])],
) -> Vec<(u8, Request)> {
    let late = |unit: u8, _: &Request, count: usize| match (unit, count % 7) {
        (1, 6) => Reply::Late(TIMEOUT + TIMEOUT / 2),
        _ => Reply::Right,
    };
    let mut line = SerialLine::new();
    let memory = Memory::default();
    line.plug(Framing::Rtu, &memory, late);
    let mut run = Run::on_port(&line.port(""), devices);
    run.until("late answers and good ones", |run| {
        unit(run, 1).late >= 4 && run.count(0, value(1_000)) >= 10
    })
    .await;
    for poll in run.of(0) {
        for (cell, right) in poll.cells.iter().zip([1_000, 1_100, 1_200, 1_300]) {
            assert!(
                *cell == value(right) || matches!(cell, RawCell::Missing(_)),
                "{poll:?}"
            );
        }
    }
    // Its neighbour is read while the late answer is on its way, and gets its own or none.
    for poll in run.of(1) {
        assert!(
            poll.cells == [value(2_000)] || matches!(poll.cells[0], RawCell::Missing(_)),
            "{poll:?}"
        );
    }
    run.end().await;
    memory.log()
}

#[tokio::test]
async fn a_late_answer_on_a_line_is_never_taken_for_another() {
    let a: (&str, u8, &[u16]) = ("a", 1, &[0, 100, 200, 300]);
    let log = never_takes_a_late_answer_for_another(&[a]).await;
    // What could be confused was preceded by a question of another shape.
    let question = |(_, request): &(u8, Request)| matches!(request, Request::ReadInputRegisters(_));
    assert!(log.iter().any(question));
    never_takes_a_late_answer_for_another(&[a, ("b", 2, &[0])]).await;
}

#[tokio::test]
async fn a_unit_that_knows_no_other_function_and_says_nothing_to_it_is_read_all_the_same() {
    let odd = |_: u8, request: &Request, count: usize| match request {
        Request::ReadHoldingRegisters(_) if count % 7 == 6 => Reply::Nothing,
        Request::ReadHoldingRegisters(_) => Reply::Right,
        _ => Reply::Nothing,
    };
    let mut line = SerialLine::new();
    line.plug(Framing::Rtu, &Memory::default(), odd);
    let mut run = Run::on_port(&line.port(""), &[("a", 1, &[0])]);
    run.until("values between losses", |run| {
        unit(run, 1).timeouts >= 4 && run.count(0, value(1_000)) >= 15
    })
    .await;
    let cells = run.of(0).map(|poll| poll.cells[0].clone());
    assert!(
        cells
            .into_iter()
            .all(|cell| cell == value(1_000) || cell == missing(Cause::NoAnswer))
    );
    run.end().await;
}

#[tokio::test]
async fn noise_and_wrong_checksums_cost_one_poll_each_and_are_counted() {
    let noisy = |_: u8, _: &Request, count: usize| match count % 4 {
        1 => Reply::Damaged,
        2 => Reply::Behind(vec![0x00, 0xFF, 0x01]),
        _ => Reply::Right,
    };
    let mut line = SerialLine::new();
    line.plug(Framing::Rtu, &Memory::default(), noisy);
    let mut run = Run::on_port(&line.port(""), &[("a", 1, &[0])]);
    run.until("polls", |run| run.of(0).count() >= 24).await;
    let good = run.count(0, value(1_000));
    let damaged = run.count(0, missing(Cause::BadAnswer));
    assert_eq!(good + damaged, run.of(0).count());
    assert!(good >= damaged * 2, "{good} good, {damaged} damaged");
    let counts = unit(&run, 1);
    assert!(
        counts.checksum_errors >= 5 && counts.timeouts == 0,
        "{counts:?}"
    );
    run.end().await;
}

#[tokio::test]
async fn an_adapter_is_pulled_out_told_and_read_again_when_it_is_back() {
    let mut line = SerialLine::new();
    let memory = Memory::default();
    line.plug(Framing::Rtu, &memory, |_, _, _| Reply::Right);
    let mut run = Run::on_port(&line.port(""), &[("a", 1, &[0])]);
    run.until("values", |run| run.count(0, value(1_000)) >= 3)
        .await;
    line.unplug().await;
    run.until("told", |run| {
        run.last_state("a") == Some(DeviceState::Silent)
    })
    .await;
    let words = &run.told("a", DeviceState::Silent).unwrap().words;
    assert!(
        words.contains("ttyUSB0") && words.contains("plugged in"),
        "{words}"
    );
    let before = run.count(0, value(1_000));
    line.plug(Framing::Rtu, &memory, |_, _, _| Reply::Right);
    run.until("values again", |run| run.count(0, value(1_000)) > before)
        .await;
    run.until("ok", |run| run.last_state("a") == Some(DeviceState::Ok))
        .await;
    run.end().await;
}

#[tokio::test]
async fn a_dead_unit_on_a_line_costs_its_neighbour_one_timeout_and_a_twentieth_of_the_time() {
    let dead = |unit: u8, _: &Request, _: usize| match unit {
        2 => Reply::Nothing,
        _ => Reply::Right,
    };
    let mut line = SerialLine::new();
    line.plug(Framing::Rtu, &Memory::default(), dead);
    let devices: &[(&str, u8, &[u16])] =
        &[("pump", 1, &[0]), ("dead", 2, &[0, 500]), ("fan", 3, &[0])];
    let mut run = Run::on_port(&line.port(""), devices);
    run.until("told and polled on", |run| {
        run.told("dead", DeviceState::Silent).is_some() && run.count(0, value(1_000)) >= 160
    })
    .await;
    for group in [0, 2] {
        let times: Vec<Instant> = run
            .polls
            .iter()
            .filter(|(_, poll)| poll.group == group)
            .map(|(at, _)| *at)
            .collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        let longest = gaps.max().unwrap();
        println!("longest time without a reading of group {group}: {longest:?}");
        let slack = Duration::from_millis(150);
        assert!(
            longest <= Duration::from_millis(50) + TIMEOUT + slack,
            "{longest:?}"
        );
    }
    // Found dead by two tries, then tried within its share of the time.
    let lost = f64::from(u32::try_from(unit(&run, 2).timeouts).unwrap()) * TIMEOUT.as_secs_f64();
    let seconds = run.handles.reports()["p"].seconds;
    let free = 3.0 * TIMEOUT.as_secs_f64();
    assert!(
        lost <= 2.0 * TIMEOUT.as_secs_f64() + free + seconds * 0.05,
        "{lost} s of {seconds} s"
    );
    run.end().await;
}

#[tokio::test]
async fn a_line_has_one_master() {
    let mut line = SerialLine::new();
    line.plug(Framing::Rtu, &Memory::default(), |_, _, _| Reply::Right);
    let mut first = Run::on_port(&line.port(""), &[("a", 1, &[0])]);
    first
        .until("values", |run| run.count(0, value(1_000)) >= 1)
        .await;
    let mut second = Run::on_port(&line.port(""), &[("a", 1, &[0])]);
    second
        .until("told", |run| run.told("a", DeviceState::Silent).is_some())
        .await;
    let words = &second.told("a", DeviceState::Silent).unwrap().words;
    assert!(words.contains("two masters"), "{words}");
    first.end().await;
    second.end().await;
}

#[tokio::test]
async fn a_driver_that_cannot_switch_is_told_or_let_be() {
    let mut line = SerialLine::new();
    line.plug(Framing::Rtu, &Memory::default(), |_, _, _| Reply::Right);
    let port = line.port("rs485 = { mode = \"kernel\" }");
    let mut run = Run::on_port(&port, &[("a", 1, &[0])]);
    run.until("told", |run| run.told("a", DeviceState::Silent).is_some())
        .await;
    let words = &run.told("a", DeviceState::Silent).unwrap().words;
    assert!(words.contains("cannot switch RS-485"), "{words}");
    run.end().await;
    reads_two_units(&line.port("rs485 = { mode = \"auto\" }")).await;
}

#[tokio::test]
async fn a_gateways_refusals_on_a_line_find_the_bad_register() {
    let holes = |_: u8, request: &Request, _: usize| match request {
        Request::ReadHoldingRegisters(span)
            if (span.start..span.start + span.count).contains(&3) =>
        {
            Reply::Other(refused(request, 2))
        }
        _ => Reply::Right,
    };
    let mut line = SerialLine::new();
    line.plug(Framing::Rtu, &Memory::default(), holes);
    let mut run = Run::on_port(&line.port(""), &[("a", 1, &[0, 3, 5])]);
    run.until("polls", |run| run.of(0).count() >= 3).await;
    let expected = [value(1_000), missing(Cause::NoSuchAddress), value(1_005)];
    assert!(run.of(0).all(|poll| poll.cells == expected));
    run.end().await;
}

mod tls {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::server::WebPkiClientVerifier;
    use rustls::{RootCertStore, ServerConfig};
    use rustls_pki_types::PrivateKeyDer;
    use std::path::PathBuf;
    use tokio_rustls::TlsAcceptor;

    struct Authority {
        folder: tempfile::TempDir,
        issuer: Issuer<'static, KeyPair>,
        certificate: rcgen::Certificate,
    }

    impl Authority {
        fn new() -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
            let issuer = Issuer::new(params, key);
            Self {
                folder,
                issuer,
                certificate,
            }
        }

        fn file(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn signed(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            std::fs::write(self.file(&format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
            (certificate, key)
        }

        /// A server that lets in whoever this authority knows.
        async fn server(&self, version: &'static rustls::SupportedProtocolVersion) -> String {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut roots = RootCertStore::empty();
            roots.add(self.certificate.der().clone()).unwrap();
            let clients =
                WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
            let (certificate, key) = self.signed("plc-7");
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let config = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .unwrap()
                .with_client_cert_verifier(clients.build().unwrap())
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = listener.local_addr().unwrap().to_string();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let memory = Memory::default();
                        serve(stream, Framing::Mbap, memory, |_, _, _| Reply::Right).await;
                    }
                }
            });
            endpoint
        }

        fn port(&self, endpoint: &str) -> String {
            let file = |name| self.file(name).display().to_string();
            format!(
                "kind = \"tls\"\naddress = \"{endpoint}\"\nserver_name = \"plc-7\"\n\
                 ca_file = \"{}\"\ncertificate_file = \"{}\"\nkey_file = \"{}\"",
                file("ca.pem"),
                file("box.pem"),
                file("box.key")
            )
        }
    }

    #[tokio::test]
    async fn a_server_with_its_own_authority_is_read_in_both_versions() {
        let authority = Authority::new();
        authority.signed("box");
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let endpoint = authority.server(version).await;
            reads_two_units(&authority.port(&endpoint)).await;
        }
    }

    #[tokio::test]
    async fn a_server_of_another_authority_is_not_believed() {
        let (authority, other) = (Authority::new(), Authority::new());
        authority.signed("box");
        let endpoint = other.server(&rustls::version::TLS13).await;
        let mut run = Run::on_port(&authority.port(&endpoint), &[("a", 1, &[0])]);
        run.until("told", |run| run.told("a", DeviceState::Silent).is_some())
            .await;
        let words = &run.told("a", DeviceState::Silent).unwrap().words;
        assert!(words.contains("certificate"), "{words}");
        run.end().await;
    }
}
