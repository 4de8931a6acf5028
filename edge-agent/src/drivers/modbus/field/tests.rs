//! The tools against a peer in memory that does as it is told, over TCP in two forms.

use super::identify::{Identity, identify};
use super::map::{Mapper, State};
use super::probe::{BlockEnd, probe};
use super::scan::{Found, Scanned, Setting, scan};
use super::sweep::sweep;
use super::{Said, read};
use crate::drivers::modbus::address::{Address, Table};
use crate::drivers::modbus::frame::{Frame, Framing, Reader, Side, encode};
use crate::drivers::modbus::link::{Link, LinkSettings};
use crate::drivers::modbus::pdu::{ExceptionCode, Identification, Request, Response, Span};
use crate::transport;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a peer does with a request to a unit: bytes of an answer's message, or nothing.
type Script = dyn Fn(u8, &Request) -> Reply + Send + Sync;

enum Reply {
    Answer(Response),
    Nothing,
    /// A right frame of which a byte is wrong.
    Rubbish,
}

fn refuse(request: &Request, code: ExceptionCode) -> Reply {
    Reply::Answer(Response::Refused {
        function: request.function(),
        code,
    })
}

/// Serves for as long as the test runs; its address.
async fn peer(
    framing: Framing,
    script: impl Fn(u8, &Request) -> Reply + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let script: Arc<Script> = Arc::new(script);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, framing, Arc::clone(&script)));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, framing: Framing, script: Arc<Script>) {
    let mut reader = Reader::new(framing, Side::Requests);
    let mut buffer = [0; 512];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        reader.push(&buffer[..count]);
        while let Some(Ok(frame)) = reader.next_frame() {
            let request = Request::decode(&frame.pdu).unwrap();
            let (response, spoil) = match script(frame.unit, &request) {
                Reply::Answer(response) => (response, false),
                Reply::Nothing => continue,
                Reply::Rubbish => (
                    Response::Registers {
                        function: 3,
                        words: vec![1],
                    },
                    true,
                ),
            };
            let mut bytes = encode(
                framing,
                &Frame {
                    pdu: response.encode(),
                    ..frame
                },
            );
            if spoil {
                bytes[3] ^= 0x55;
            }
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
}

fn settings(endpoint: &str, framing: Framing, timeout_ms: u64) -> LinkSettings {
    LinkSettings::new(transport::Address::Tcp(endpoint.to_owned()), framing)
        .with_timeout(Duration::from_millis(timeout_ms))
}

fn registers(request: &Request, has: impl Fn(u16) -> bool, most: u16) -> Reply {
    let Request::ReadHoldingRegisters(span) = request else {
        return refuse(request, ExceptionCode::IllegalFunction);
    };
    let all = (span.start..=u16::MAX).take(span.count.into());
    if span.count > most {
        refuse(request, ExceptionCode::IllegalDataValue)
    } else if all.clone().all(has) {
        Reply::Answer(Response::Registers {
            function: 3,
            words: all.collect(),
        })
    } else {
        refuse(request, ExceptionCode::IllegalDataAddress)
    }
}

fn identification(request: &Request) -> Reply {
    match request {
        Request::ReadDeviceIdentification { object: 0, .. } => {
            Reply::Answer(Response::DeviceIdentification(Identification {
                level: 1,
                conformity: 1,
                more: Some(2),
                objects: vec![(0, b"Eastron".to_vec()), (1, b"SDM120".to_vec())],
            }))
        }
        Request::ReadDeviceIdentification { object: 2, .. } => {
            Reply::Answer(Response::DeviceIdentification(Identification {
                level: 1,
                conformity: 1,
                more: None,
                objects: vec![(2, b"1.02".to_vec())],
            }))
        }
        other => registers(other, |at| at < 10, 125),
    }
}

#[tokio::test]
async fn a_scan_finds_units_by_any_answer_and_tells_rubbish_and_gateways() {
    let rtu = peer(Framing::Rtu, |unit, request| match unit {
        2 => identification(request),
        // It knows nothing and says so: it is there.
        3 => refuse(request, ExceptionCode::IllegalFunction),
        4 => Reply::Rubbish,
        _ => Reply::Nothing,
    })
    .await;
    let setting = |words: &str, link| Setting {
        words: words.to_owned(),
        link,
    };
    let lines = [setting("9600 8N1", settings(&rtu, Framing::Rtu, 120))];
    let mut steps = Vec::new();
    let scanned = scan(&lines, &[1, 2, 3, 4], &mut |step| steps.push(step.done)).await;
    assert_eq!(steps, [(0, 4), (1, 4), (2, 4), (3, 4)]);
    let found: Vec<_> = scanned
        .found
        .iter()
        .map(|found| (found.unit, found.identity.words()))
        .collect();
    assert_eq!(
        found,
        [(2, "Eastron SDM120 1.02".to_owned()), (3, String::new())]
    );
    assert_eq!(scanned.rubbish.len(), 1);
    let hints = scanned.hints(true);
    assert!(
        hints[0].starts_with("Unit 4: something came with 9600 8N1") && hints[0].contains("parity"),
        "{hints:?}"
    );
    let gateway = peer(Framing::Mbap, |unit, request| match unit {
        1 => refuse(request, ExceptionCode::GatewayTargetDevice),
        _ => registers(request, |_| true, 125),
    })
    .await;
    let lines = [setting("gw", settings(&gateway, Framing::Mbap, 1_000))];
    let scanned = scan(&lines, &[1, 9], &mut |_| ()).await;
    assert_eq!(scanned.gateways, ["gw"]);
    assert_eq!(scanned.found[0].unit, 9);
}

#[tokio::test]
async fn a_port_that_is_not_there_is_told_once_for_all_settings() {
    let setting = |words: &str| {
        let serial =
            transport::SerialSettings::new(transport::SerialPlace::Path("/nowhere/ttyUSB9".into()));
        Setting {
            words: words.to_owned(),
            link: LinkSettings::new(transport::Address::Serial(serial), Framing::Rtu),
        }
    };
    let settings = [setting("9600 8N1"), setting("9600 8E1")];
    let scanned = scan(&settings, &[1, 2], &mut |_| ()).await;
    let [words] = scanned.unusable.as_slice() else {
        panic!("{:?}", scanned.unusable)
    };
    assert!(
        words.starts_with("9600 8N1, 9600 8E1: /nowhere/ttyUSB9 cannot be opened: "),
        "{words}"
    );
    assert!(words.ends_with("is the adapter plugged in?"), "{words}");
    assert_eq!(words.matches("ttyUSB9").count(), 1, "{words}");
}

#[test]
fn a_map_of_a_unit_that_a_gateway_does_not_reach_ends_at_once() {
    let mut mapper = Mapper::new(Table::Holding, 0, 99);
    let span = mapper.next_span().unwrap();
    mapper.took(span, Said::Refused(ExceptionCode::GatewayTargetDevice));
    assert_eq!(mapper.next_span(), None);
    assert!(
        mapper
            .ended()
            .unwrap()
            .contains("a gateway answers for the unit")
    );
    assert!(matches!(mapper.ranges()[0].state, State::Unanswered { .. }));
}

#[test]
fn units_that_are_set_differently_are_told_together() {
    let found = |setting: &str, unit| Found {
        setting: setting.to_owned(),
        unit,
        milliseconds: 1.0,
        identity: Identity::default(),
    };
    let mut scanned = Scanned {
        found: vec![found("9600 8N1", 1), found("9600 8N1", 2)],
        ..Scanned::default()
    };
    assert_eq!(scanned.hints(true), Vec::<String>::new());
    scanned.found.push(found("9600 8E1", 4));
    let hints = scanned.hints(true);
    let expected = "set differently: 9600 8N1 (unit 1, 2), 9600 8E1 (unit 4).";
    assert!(hints[0].contains(expected), "{hints:?}");
    assert_eq!(scanned.hints(false), Vec::<String>::new());
}

#[tokio::test]
async fn a_port_that_cannot_be_used_ends_its_part_of_a_scan() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let lines = [Setting {
        words: "gone".to_owned(),
        link: settings(&address, Framing::Mbap, 200),
    }];
    let scanned = scan(&lines, &[1, 2, 3], &mut |_| ()).await;
    assert_eq!(scanned.asked, 1);
    assert!(scanned.unusable[0].starts_with("gone: no connection"));
    assert_eq!(scanned.hints(false), Vec::<String>::new());
    let nobody = Scanned::default().hints(true);
    assert!(nobody[0].starts_with("Nobody answered."));
}

#[tokio::test]
async fn a_probe_measures_and_tells_a_limit_from_the_end_of_the_registers() {
    for (most, last, block, ended) in [
        (50, u16::MAX, 50, BlockEnd::Device),
        (125, u16::MAX, 125, BlockEnd::Protocol),
        (125, 30, 31, BlockEnd::Registers),
    ] {
        let script = move |_, request: &Request| registers(request, |at| at <= last, most);
        let address = peer(Framing::Mbap, script).await;
        let from = Address {
            table: Table::Holding,
            offset: 0,
        };
        let link = settings(&address, Framing::Mbap, 2_000);
        let mut doing = Vec::new();
        let mut told = |words: &str| doing.push(words.to_owned());
        let probed = probe(&link, 1, from, &mut told).await.unwrap();
        assert_eq!((probed.block, probed.block_ended), (block, ended));
        assert_eq!((probed.gap_ms, probed.failed), (Some(0), 0));
        let times = probed.turnaround.unwrap();
        assert!(times.min_ms > 0.0 && times.min_ms <= times.median_ms);
        let limit = (ended == BlockEnd::Device).then(|| format!("max_regs = {block}"));
        assert_eq!(probed.advice.device, Vec::from_iter(limit));
        assert!(doing.len() >= 4);
    }
}

#[tokio::test]
async fn a_probe_of_nothing_says_what_to_do() {
    let address = peer(Framing::Mbap, |_, request| {
        registers(request, |at| at > 5, 125)
    })
    .await;
    let from = Address {
        table: Table::Holding,
        offset: 0,
    };
    let link = settings(&address, Framing::Mbap, 500);
    let error = probe(&link, 1, from, &mut |_| ()).await.unwrap_err();
    let words = error.to_string();
    assert!(
        words.contains("40001 (hr:0) cannot be read") && words.contains("--from"),
        "{words}"
    );
}

#[tokio::test]
async fn reading_tells_every_kind_of_answer_apart() {
    let address = peer(Framing::Rtu, |unit, request| match unit {
        1 => registers(request, |_| true, 125),
        2 => refuse(request, ExceptionCode::ServerDeviceBusy),
        3 => Reply::Rubbish,
        _ => Reply::Nothing,
    })
    .await;
    let mut link = Link::new(settings(&address, Framing::Rtu, 100));
    let place = (Table::Holding, Span { start: 7, count: 2 });
    let mut said = Vec::new();
    for unit in 1..=4 {
        said.push(read(&mut link, unit, place, 0).await.unwrap());
    }
    assert_eq!(said[0], Said::Words(vec![7, 8]));
    assert_eq!(said[1], Said::Refused(ExceptionCode::ServerDeviceBusy));
    assert!(matches!(said[2], Said::Garbled(_)), "{said:?}");
    assert_eq!(said[3], Said::Silent);
    assert_eq!(
        said.iter().map(Said::is_heard).collect::<Vec<_>>(),
        [true, true, false, false]
    );
    let identity = identify(&mut link, 1).await.unwrap();
    assert_eq!(identity.words(), "");
}

#[tokio::test]
async fn a_sweep_finds_who_accepts_no_faster_than_told() {
    let open = peer(Framing::Mbap, |_, _| Reply::Nothing).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = closed.local_addr().unwrap().to_string();
    drop(closed);
    let endpoints: Vec<String> = (0..20)
        .map(|at| {
            if at % 5 == 0 {
                open.clone()
            } else {
                gone.clone()
            }
        })
        .collect();
    let begin = std::time::Instant::now();
    let mut last = (0, 0);
    let longest = Duration::from_secs(2);
    let found = sweep(&endpoints, longest, 100, &mut |done, open| {
        last = (done, open);
    })
    .await;
    assert_eq!((found.len(), last), (4, (20, 4)));
    assert!(begin.elapsed() >= Duration::from_millis(180));
}
