//! Writing through a port that polls: released or not, read before and after, between two requests.

use super::super::frame::Framing;
use super::super::pdu::Request;
use super::units::{Memory, Reply, SerialLine, refused};
use super::*;
use crate::drivers::{WriteError, WritePlace, WriteRequest, Written};

const PLANT: &str = r#"
[[device]]
name = "pump"
port = "p"
unit = 1
poll = "50ms"
write = ["hr:100-110", "co:5"]
  [[device.sensor]]
  name = "speed"
  address = "hr:100"
  type = "f32"
  order = "CDAB"
  range = [0, 3000]
  [[device.sensor]]
  name = "level"
  address = "hr:103"
  type = "i16"
  scale = 0.1
  offset = -50
  [[device.sensor]]
  name = "valve"
  address = "hr:104"
  type = "bit:3"
  [[device.sensor]]
  name = "lamp"
  address = "co:5"
  [[device.sensor]]
  name = "fixed"
  address = "hr:200"
"#;

fn run(line: &SerialLine) -> Run {
    let port = line.port("");
    let timeout = TIMEOUT.as_millis();
    let head =
        format!("[[port]]\nname = \"p\"\nprotocol = \"modbus\"\ntimeout = \"{timeout}ms\"\n");
    Run::configured(&format!("{head}{port}\n{PLANT}"), 1)
}

fn sensor(name: &str, value: &str) -> WriteRequest {
    WriteRequest {
        device: "pump".to_owned(),
        place: WritePlace::Sensor(name.to_owned()),
        value: value.to_owned(),
    }
}

fn at(address: &str, value: &str) -> WriteRequest {
    WriteRequest {
        place: WritePlace::Address(address.to_owned()),
        ..sensor("", value)
    }
}

fn values(written: &Written) -> (Option<&str>, &str, &str) {
    let before = written.before.as_deref();
    (before, &written.written, &written.after)
}

#[tokio::test]
async fn values_are_written_by_type_order_scale_and_read_back() {
    let mut line = SerialLine::new();
    let memory = Memory::default();
    memory.set(1, 100, 0);
    memory.set(1, 101, 0);
    memory.set(1, 104, 0b0001_0100);
    line.plug(Framing::Rtu, &memory, |_, _, _| Reply::Right);
    let run = run(&line);
    let write = async |request| run.handles.write(request).await.unwrap();
    let written = write(sensor("speed", "1480.5")).await;
    assert_eq!(values(&written), (Some("0"), "1480.5", "1480.5"));
    assert_eq!(written.place, "hr:100 f32 CDAB");
    let bits = 1_480.5_f32.to_bits();
    let (low, high) = (memory.register(1, 100), memory.register(1, 101));
    assert_eq!((u32::from(high) << 16) | u32::from(low), bits);
    // 21.5 in its unit is 715 in the device.
    let written = write(sensor("level", "21.5")).await;
    assert_eq!(values(&written), (Some("1103"), "715", "715"));
    let written = write(sensor("valve", "on")).await;
    assert_eq!(values(&written), (Some("0"), "1", "1"));
    assert_eq!(memory.register(1, 104), 0b0001_1100, "the other bits stay");
    write(sensor("lamp", "true")).await;
    assert!(memory.coil(1, 5));
    let written = write(at("hr:110:u16", "0x1F4")).await;
    assert_eq!(
        (written.after.as_str(), memory.register(1, 110)),
        ("500", 500)
    );
    run.end().await;
}

#[tokio::test]
async fn what_is_not_released_or_does_not_fit_never_reaches_the_line() {
    let mut line = SerialLine::new();
    let memory = Memory::default();
    line.plug(Framing::Rtu, &memory, |_, _, _| Reply::Right);
    let run = run(&line);
    for (request, words) in [
        (sensor("fixed", "1"), "released is hr:100-110, co:5"),
        (at("hr:110:u32", "1"), "not released"),
        (at("ir:100", "1"), "only be read"),
        (at("co:6", "1"), "not released"),
        (at("hr:x", "1"), "is not an address"),
        (sensor("spead", "1"), "no sensor \"spead\""),
        (sensor("speed", "3001"), "range is 0 to 3000"),
        (sensor("level", "21.55"), "steps of 0.1"),
        (sensor("level", "5000"), "cannot be written"),
        (at("hr:100:u16", "70000"), "cannot be written"),
        (at("hr:100:u16", "fast"), "not a number"),
    ] {
        let error = run.handles.write(request).await.unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    let other = WriteRequest {
        device: "fan".to_owned(),
        ..sensor("speed", "1")
    };
    assert!(matches!(
        run.handles.write(other).await,
        Err(WriteError::NoDevice { .. })
    ));
    assert!(memory.log().iter().all(|(_, request)| !request.writes()));
    run.end().await;
}

#[tokio::test]
async fn a_device_without_mask_write_gets_its_bit_all_the_same() {
    let mut line = SerialLine::new();
    let memory = Memory::default();
    memory.set(1, 104, 0b0001_0100);
    let simple = |_: u8, request: &Request, _: usize| match request {
        Request::MaskWriteRegister { .. } => Reply::Other(refused(request, 1)),
        _ => Reply::Right,
    };
    line.plug(Framing::Rtu, &memory, simple);
    let run = run(&line);
    run.handles.write(sensor("valve", "on")).await.unwrap();
    assert_eq!(memory.register(1, 104), 0b0001_1100);
    run.end().await;
}

#[tokio::test]
async fn refused_not_kept_and_not_answered_are_told_apart() {
    let mut line = SerialLine::new();
    let memory = Memory::default();
    let odd = |_: u8, request: &Request, _: usize| match request {
        Request::WriteRegister(105, _) => Reply::Other(refused(request, 3)),
        Request::WriteRegister(106, value) => Reply::Other(super::super::pdu::Response::WroteOne {
            function: 6,
            address: 106,
            value: *value,
        }),
        Request::WriteRegister(107, _) => Reply::Nothing,
        _ => Reply::Right,
    };
    line.plug(Framing::Rtu, &memory, odd);
    let mut run = run(&line);
    let error = run.handles.write(at("hr:105", "7")).await.unwrap_err();
    assert!(matches!(error, WriteError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("Modbus exception 3"), "{error}");
    let error = run.handles.write(at("hr:106", "7")).await.unwrap_err();
    let expected = "7 was written to hr:106 u16, and the device holds 1106 now";
    assert_eq!(error.to_string(), expected);
    let error = run.handles.write(at("hr:107", "7")).await.unwrap_err();
    assert!(matches!(error, WriteError::Unknown { .. }), "{error}");
    // The poll goes on as if nothing had been.
    let from = run.of(0).count();
    run.until("polls", |run| run.of(0).count() >= from + 3)
        .await;
    assert_eq!(run.polls.last().unwrap().1.cells[4], value(1_200));
    run.end().await;
}

#[tokio::test]
async fn a_silent_unit_is_not_written_to_and_costs_nobody_time() {
    let mut line = SerialLine::new();
    line.plug(Framing::Rtu, &Memory::default(), |_, _, _| Reply::Nothing);
    let mut run = run(&line);
    run.until("silent", |run| {
        run.told("pump", DeviceState::Silent).is_some()
    })
    .await;
    let error = run.handles.write(sensor("speed", "1")).await.unwrap_err();
    assert!(matches!(error, WriteError::Silent { .. }), "{error}");
    run.end().await;
}

#[tokio::test]
async fn a_write_waits_for_one_request_of_the_poll_at_most_and_the_poll_goes_on_between_writes() {
    // A line that is always busy: forty requests in each poll, and each poll is late.
    let mut line = SerialLine::new();
    let memory = Memory::default();
    let slow = |_: u8, _: &Request, _: usize| Reply::Late(Duration::from_millis(2));
    line.plug(Framing::Rtu, &memory, slow);
    let offsets: Vec<u16> = (0..40).map(|at| 1_000 + at * 100).collect();
    let port = line.port("");
    let mut run = Run::on_port_releasing(&port, &[("pump", 1, &offsets)], "write = [\"hr:100\"]");
    run.until("busy", |run| run.of(0).count() >= 1).await;
    for value in 1..=20 {
        let before = memory.log().len();
        run.handles
            .write(at("hr:100", &value.to_string()))
            .await
            .unwrap();
        let log = memory.log();
        let write = log.iter().rposition(|(_, r)| r.writes()).unwrap();
        // One under way, perhaps one that had just begun, and the reading before the write.
        assert!(write <= before + 3, "asked at {before}, written at {write}");
        assert_eq!(memory.register(1, 100), value);
    }
    // Many at once: each is followed by a request of the poll, what is too much is refused at once.
    let handles = run.handles.clone();
    let before = memory.log().len();
    let all = (0..40).map(|value| {
        let handles = handles.clone();
        async move { handles.write(at("hr:100", &value.to_string())).await }
    });
    let results = futures_util::future::join_all(all).await;
    let full =
        |result: &&Result<Written, WriteError>| matches!(result, Err(WriteError::Full { .. }));
    let refused = results.iter().filter(full).count();
    assert!((20..=24).contains(&refused), "{refused}");
    assert_eq!(
        results.iter().filter(|result| result.is_ok()).count(),
        40 - refused
    );
    let polled = memory.log()[before..]
        .iter()
        .filter(|(_, request)| {
            matches!(request, Request::ReadHoldingRegisters(span) if span.start >= 1_000)
        })
        .count();
    assert!(
        polled >= 14,
        "{polled} requests of the poll between 16 writes"
    );
    run.end().await;
}
