//! Instruments that are asked: scales and meters.

use super::*;
use crate::drivers::{WritePlace, WriteRequest};
use std::sync::Mutex;

const SCALE: &str = r#"
[[device]]
name = "scale"
port = "p"
request = "S\r\n"
prefix = "S"
poll = "20ms"
timeout = "1s"
[[device.sensor]]
name = "weight"
columns = [4]
unit_text = "g"
match = { columns = [3, 3], text = "S" }
"#;

#[tokio::test]
async fn a_scale_is_weighed_and_what_is_not_stable_does_not_count() {
    let mut line = Line::new();
    let scale = answers(line.plug(), |request, count| {
        assert_eq!(request, "S");
        match count % 4 {
            0 | 1 => b"S S     12.34 g\r\n".to_vec(),
            2 => b"S D     99.99 g\r\n".to_vec(),
            _ => b"S I\r\n".to_vec(),
        }
    });
    let mut run = Run::start(&line.file(SCALE));
    run.until("weights", |run| {
        run.count(0, float(12.34)) >= 6 && run.count(0, missing(Cause::NotAvailable)) >= 4
    })
    .await;
    let all = run.cells(0).len();
    let seen = run.count(0, float(12.34)) + run.count(0, missing(Cause::NotAvailable));
    assert_eq!(seen, all, "{:?}", run.cells(0));
    run.until("its state", |run| {
        run.last_state("scale") == Some(DeviceState::Ok)
    })
    .await;
    assert_eq!(run.told("scale", DeviceState::Ok), ["It answers."]);
    let counts = run.handles.reports()["p"].units[&1];
    assert!(
        counts.answers >= 10 && counts.timeouts + counts.garbled == 0,
        "{counts:?}"
    );
    scale.abort();
    run.end().await;
}

#[tokio::test]
async fn another_unit_and_damaged_lines_are_told_once_with_their_bytes_and_never_stored() {
    let mut line = Line::new();
    let scale = answers(line.plug(), |_, count| match count {
        4 => b"S S     0.012 kg\r\n".to_vec(),
        6 => b"S S    !2.34 g\r\n".to_vec(),
        _ => b"S S     12.34 g\r\n".to_vec(),
    });
    let mut run = Run::start(&line.file(SCALE));
    run.until("both, and health after it", |run| {
        run.count(0, missing(Cause::BadAnswer)) == 2
            && run.told("scale", DeviceState::Ok).len() == 2
    })
    .await;
    let told = run.told("scale", DeviceState::Error);
    assert_eq!(
        told,
        [
            "Sensor \"weight\": column 4 and what follows of \"S S     0.012 kg\" is \"     0.012 kg\", which is no number \
          with g behind it; check its place and type in the manual."
        ]
    );
    let well = run.told("scale", DeviceState::Ok)[1].to_owned();
    assert_eq!(well, "It answers. 2 frames did not fit since the start.");
    let values = run.cells(0).concat();
    assert!(
        values
            .iter()
            .all(|cell| *cell == float(12.34) || *cell == missing(Cause::BadAnswer))
    );
    scale.abort();
    run.end().await;
}

const METER: &str = r#"
[[device]]
name = "meter"
port = "p"
poll = "20ms"
timeout = "1s"
terminator = "\n"
[[device.sensor]]
name = "voltage"
request = "MEAS:VOLT?\r\n"
[[device.sensor]]
name = "current"
request = "MEAS:CURR?\r\n"
[[device.sensor]]
name = "gross"
request = "W\r\n"
prefix = "G"
[[device.sensor]]
name = "tare"
request = "W\r\n"
prefix = "T"
"#;

#[tokio::test]
async fn each_sensor_has_its_request_and_one_request_may_bring_several_lines() {
    let mut line = Line::new();
    let meter = answers(line.plug(), |request, _| match request {
        "MEAS:VOLT?" => b"+2.301E+02\n".to_vec(),
        "MEAS:CURR?" => b"5.5\n".to_vec(),
        // In another order, and with one that nobody wants.
        "W" => b"N  11.00 kg\nT   1.25 kg\nG  12.25 kg\n".to_vec(),
        other => panic!("{other}"),
    });
    let mut run = Run::start(&line.file(METER));
    let right = [float(230.1), float(5.5), float(12.25), float(1.25)];
    run.until("polls", |run| run.cells(0).len() >= 5).await;
    assert!(
        run.cells(0).iter().all(|cells| *cells == right),
        "{:?}",
        run.cells(0)
    );
    meter.abort();
    run.end().await;
}

#[tokio::test]
async fn a_kind_of_line_that_does_not_come_is_told_and_the_others_are_kept() {
    let mut line = Line::new();
    let meter = answers(line.plug(), |request, _| match request {
        "W" => b"G  12.25 kg\n".to_vec(),
        _ => b"1\n".to_vec(),
    });
    let mut run = Run::start(&line.file(METER));
    let right = [
        float(1.0),
        float(1.0),
        float(12.25),
        missing(Cause::NoAnswer),
    ];
    run.until("polls", |run| {
        run.cells(0).len() >= 3 && !run.reports.is_empty()
    })
    .await;
    assert!(
        run.cells(0).iter().all(|cells| *cells == right),
        "{:?}",
        run.cells(0)
    );
    let told = run.told("meter", DeviceState::Error);
    assert!(
        told[0].starts_with("No frame that begins with \"T\" came in answer to \"W\\r\\n\""),
        "{told:?}"
    );
    meter.abort();
    run.end().await;
}

/// Two scales on one line; the second one is dead or late.
const TWO: &str = r#"
[[device]]
name = "a"
port = "p"
request = "A\r\n"
poll = "30ms"
timeout = "2s"
[[device.sensor]]
name = "weight"
[[device]]
name = "b"
port = "p"
request = "B\r\n"
poll = "30ms"
timeout = "300ms"
[[device.sensor]]
name = "weight"
"#;

#[tokio::test]
async fn a_dead_device_is_told_and_leaves_its_neighbour_the_line() {
    let mut line = Line::new();
    let scales = answers(line.plug(), |request, _| match request {
        "A" => b"1\r\n".to_vec(),
        _ => Vec::new(),
    });
    let mut run = Run::start(&line.file(TWO));
    run.until("many of a, and that b is dead", |run| {
        run.count(0, float(1.0)) >= 60 && run.last_state("b") == Some(DeviceState::Silent)
    })
    .await;
    let told = run.told("b", DeviceState::Silent);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("(9600 8N1) within 300 ms; check that the instrument is on"),
        "{told:?}"
    );
    assert_eq!(
        run.count(0, float(1.0)),
        run.cells(0).len(),
        "a is never missing"
    );
    assert!(
        run.cells(1)
            .iter()
            .all(|cells| cells[0] == missing(Cause::NoAnswer))
    );
    let counts = run.handles.reports()["p"].units[&2];
    assert!(
        counts.requests <= 8,
        "a breaker keeps it from the line: {counts:?}"
    );
    scales.abort();
    run.end().await;
}

#[tokio::test]
async fn a_late_answer_is_never_taken_for_that_of_another_device() {
    let mut line = Line::new();
    let mut far = line.plug();
    let log = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&log);
    // b answers late, and what a says meanwhile waits behind it, as in a real serial server.
    let scales = tokio::spawn(async move {
        let mut buffer = [0; 3];
        while far.read_exact(&mut buffer).await.is_ok() {
            seen.lock().unwrap().push(buffer[0]);
            let answer = if buffer[0] == b'A' {
                &b"1\r\n"[..]
            } else {
                b"2\r\n"
            };
            if buffer[0] == b'B' {
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            if far.write_all(answer).await.is_err() {
                return;
            }
        }
    });
    let mut run = Run::start(&line.file(TWO));
    run.until("late answers and good ones", |run| {
        let log = log.lock().unwrap();
        let late = log
            .iter()
            .map(|asked| usize::from(*asked == b'B'))
            .sum::<usize>();
        late >= 3 && run.count(0, float(1.0)) >= 20
    })
    .await;
    assert!(
        run.cells(0).iter().all(|cells| cells[0] != float(2.0)),
        "{:?}",
        run.cells(0)
    );
    assert!(
        run.cells(1).iter().all(|cells| cells[0] != float(1.0)),
        "{:?}",
        run.cells(1)
    );
    scales.abort();
    run.end().await;
}

#[tokio::test]
async fn an_answer_without_end_or_with_another_beginning_says_what_came() {
    for (answer, words) in [
        (
            &b"S S 12.34 g"[..],
            "has no end: \"S S 12.34 g\"; check terminator or length",
        ),
        (
            b"E01\r\n",
            "begins with none of the prefixes: \"E01\"; check prefix",
        ),
    ] {
        let mut line = Line::new();
        let scale = answers(line.plug(), move |_, _| answer.to_vec());
        let mut run = Run::start(&line.file(SCALE));
        run.until("its error", |run| {
            run.last_state("scale") == Some(DeviceState::Error)
        })
        .await;
        let told = run.told("scale", DeviceState::Error);
        assert!(
            told[0].contains(words) && told[0].contains("baud rate"),
            "{told:?}"
        );
        assert!(run.count(0, missing(Cause::BadAnswer)) >= 1);
        scale.abort();
        run.end().await;
    }
}

#[tokio::test]
async fn an_adapter_that_is_pulled_out_is_told_and_healed_and_nothing_is_written() {
    let mut line = Line::new();
    let far = line.plug();
    let play = |_: &str, _| b"S S     12.34 g\r\n".to_vec();
    let scale = answers(far, play);
    let mut run = Run::start(&line.file(SCALE));
    run.until("weights", |run| run.count(0, float(12.34)) >= 3)
        .await;
    let request = WriteRequest {
        device: "scale".into(),
        place: WritePlace::Sensor("weight".into()),
        value: "1".into(),
    };
    let told = run.handles.write(request).await.unwrap_err().to_string();
    assert!(
        told.contains("nothing was written") && told.contains("only read"),
        "{told}"
    );
    scale.abort();
    // Its end of the line is closed when it has ended.
    drop(scale.await);
    std::fs::remove_file(line.path()).unwrap();
    line.near = None;
    run.until("that it is gone", |run| {
        run.last_state("scale") == Some(DeviceState::Silent)
    })
    .await;
    let before = run.count(0, float(12.34));
    let scale = answers(line.plug(), play);
    run.until("weights again", |run| {
        run.count(0, float(12.34)) > before && run.last_state("scale") == Some(DeviceState::Ok)
    })
    .await;
    scale.abort();
    run.end().await;
}
