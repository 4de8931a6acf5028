//! Instruments that speak by themselves: barcode readers, NMEA devices, scales that stream.

use super::*;
use tokio::net::TcpListener;

async fn say(far: &mut SerialStream, bytes: &[u8]) {
    far.write_all(bytes).await.unwrap();
}

/// Waits until the driver has opened the line. The instrument then rests as one does that is switched on later:
/// what comes at once could be the rest of something.
async fn heard(run: &mut Run, device: &str) {
    run.until("the open line", |run| {
        run.last_state(device) == Some(DeviceState::Ok)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(60)).await;
}

const READER: &str = r#"
[[device]]
name = "reader"
port = "p"
terminator = "\r"
[[device.sensor]]
name = "code"
type = "str"
"#;

#[tokio::test]
async fn every_scan_of_a_barcode_reader_is_a_poll_at_its_moment() {
    let mut line = Line::new();
    let mut far = line.plug();
    let mut run = Run::start(&line.file(READER));
    heard(&mut run, "reader").await;
    for (count, part) in [(0, &b"40063"[..]), (1, b"81333931\r")] {
        say(&mut far, part).await;
        run.until("scans", |run| run.cells(0).len() == count).await;
    }
    // Soon after each other, but not as soon as no hand can.
    for code in ["LOT-17", "LOT-17", "LOT-18"] {
        let before = run.cells(0).len();
        tokio::time::sleep(Duration::from_millis(12)).await;
        say(&mut far, format!("{code}\r").as_bytes()).await;
        run.until("the scan", |run| run.cells(0).len() == before + 1)
            .await;
    }
    let codes = ["4006381333931", "LOT-17", "LOT-17", "LOT-18"].map(text);
    assert_eq!(run.cells(0).concat(), codes);
    assert_eq!(run.reports.len(), 1, "{:?}", run.reports);
    assert!(run.reports[0].words.ends_with("(9600 8N1) is listened to."));
    run.end().await;
}

#[tokio::test]
async fn the_rest_of_a_frame_whose_beginning_was_missed_is_not_a_frame() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let text_of = format!(
        "[[port]]\nname = \"p\"\nprotocol = \"instrument\"\nkind = \"tcp\"\naddress = \"{address}\"\n\
         [[device]]\nname = \"scale\"\nport = \"p\"\n[[device.sensor]]\nname = \"weight\"\n"
    );
    let mut run = Run::start(&text_of);
    let (mut far, _) = listener.accept().await.unwrap();
    far.write_all(b"34.5 kg\r\n").await.unwrap();
    run.until("the connection", |run| !run.reports.is_empty())
        .await;
    let mut next = 0;
    while run.cells(0).is_empty() {
        next += 1;
        tokio::time::sleep(Duration::from_millis(15)).await;
        far.write_all(b"1234.5 kg\r\n").await.unwrap();
        while let Ok(told) = run.queue.try_recv() {
            if let FromDriver::Poll(poll) = told {
                run.polls.push((Instant::now(), poll));
            }
        }
        assert!(next < 1_000);
    }
    assert!(
        run.cells(0).iter().all(|cells| *cells == [float(1234.5)]),
        "{:?}",
        run.cells(0)
    );
    run.end().await;
}

const WEATHER: &str = r#"
[[device]]
name = "mast"
port = "p"
checksum = "xor"
checksum_from = 1
checksum_mark = "*"
timeout = "300ms"
[[device.sensor]]
name = "wind_angle"
prefix = "$WIMWV"
field = 1
match = { field = 5, text = "A" }
[[device.sensor]]
name = "wind_speed"
prefix = "$WIMWV"
field = 3
match = { field = 5, text = "A" }
[[device.sensor]]
name = "air_temp"
prefix = "$WIXDR"
field = 2
"#;

fn sentence(words: &str) -> Vec<u8> {
    let sum = words.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${words}*{sum:02X}\r\n").into_bytes()
}

#[tokio::test]
async fn sentences_are_told_apart_and_those_that_nobody_wants_are_passed_over() {
    let mut line = Line::new();
    let mut far = line.plug();
    let mut run = Run::start(&line.file(WEATHER));
    heard(&mut run, "mast").await;
    for round in 1..=3 {
        // Damaged, unknown, good, and one that says itself that it does not count.
        let mut damaged = sentence("WIMWV,99.9,R,9.9,M,A");
        damaged[8] = b'8';
        let all = [
            if round == 2 {
                damaged
            } else {
                sentence("GPGGA,1,2")
            },
            sentence("WIMWV,214.8,R,0.1,M,A"),
            sentence("WIXDR,C,22.5,C,TEMP"),
        ];
        say(&mut far, &all.concat()).await;
        run.until("its polls", |run| {
            run.cells(0).len() == round && run.cells(1).len() == round
        })
        .await;
        tokio::time::sleep(Duration::from_millis(12)).await;
    }
    say(&mut far, &sentence("WIMWV,,R,,M,V")).await;
    run.until("the one that does not count", |run| run.cells(0).len() == 4)
        .await;
    let wind = run.cells(0);
    assert!(
        wind[..3]
            .iter()
            .all(|cells| *cells == [float(214.8), float(0.1)]),
        "{wind:?}"
    );
    assert_eq!(
        wind[3],
        [missing(Cause::NotAvailable), missing(Cause::NotAvailable)]
    );
    assert!(run.cells(1).iter().all(|cells| *cells == [float(22.5)]));
    run.until("that it is well again", |run| {
        run.last_state("mast") == Some(DeviceState::Ok)
    })
    .await;
    let told = run.told("mast", DeviceState::Error);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("the checksum of \"$WIMWV,98.9,R,9.9,M,A*"),
        "{told:?}"
    );
    let counts = run.handles.reports()["p"].units[&1];
    assert_eq!((counts.requests, counts.garbled), (10, 1));

    // One kind stops, then all.
    run.until("that one kind is missing", |run| {
        let told = run.told("mast", DeviceState::Silent);
        told.last()
            .is_some_and(|words| words.starts_with("nothing came from"))
    })
    .await;
    assert!(run.cells(0).last().unwrap()[0] == missing(Cause::NoAnswer));
    say(&mut far, &sentence("WIXDR,C,22.5,C,TEMP")).await;
    run.until("that one kind is still missing", |run| {
        let told = run.told("mast", DeviceState::Error);
        told.last()
            .is_some_and(|words| words.contains("begins with \"$WIMWV\" came for 300 ms"))
    })
    .await;
    run.end().await;
}

#[tokio::test]
async fn a_scale_that_streams_is_polled_as_often_as_is_wanted() {
    let mut line = Line::new();
    let mut far = line.plug();
    let device = "[[device]]\nname = \"scale\"\nport = \"p\"\nprefix = 'ST,'\npoll = \"100ms\"\n\
                  [[device.sensor]]\nname = \"weight\"\nfield = 2\n";
    let mut run = Run::start(&line.file(device));
    heard(&mut run, "scale").await;
    let talk = tokio::spawn(async move {
        loop {
            say(&mut far, b"ST,GS,+  12.34 kg\r\n").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    run.until("polls", |run| run.cells(0).len() >= 5).await;
    let times: Vec<Instant> = run.polls.iter().map(|(at, _)| *at).collect();
    assert!(
        times[4] - times[0] >= Duration::from_millis(350),
        "{times:?}"
    );
    assert!(run.cells(0).iter().all(|cells| *cells == [float(12.34)]));
    talk.abort();
    run.end().await;
}

#[tokio::test]
async fn an_adapter_that_is_pulled_out_and_a_reader_that_comes_back() {
    let mut line = Line::new();
    let far = line.plug();
    let mut run = Run::start(&line.file(READER));
    heard(&mut run, "reader").await;
    line.unplug(far);
    run.until("that it is gone", |run| {
        run.last_state("reader") == Some(DeviceState::Silent)
    })
    .await;
    run.until("its value being bad", |run| {
        run.count(0, missing(Cause::NoConnection)) == 1
    })
    .await;
    let mut far = line.plug();
    heard(&mut run, "reader").await;
    say(&mut far, b"LOT-19\r").await;
    run.until("a scan", |run| run.count(0, text("LOT-19")) == 1)
        .await;
    assert_eq!(run.count(0, missing(Cause::NoConnection)), 1, "told once");
    run.end().await;
}

#[tokio::test]
async fn binary_frames_are_found_between_noise() {
    let mut line = Line::new();
    let mut far = line.plug();
    let device = r#"
[[device]]
name = "meter"
port = "p"
length = 8
prefix = '\xAA\x55'
checksum = "sum8"
checksum_form = "high_first"
[[device.sensor]]
name = "flow"
at = 2
type = "f32"
order = "DCBA"
[[device.sensor]]
name = "status"
at = 6
type = "u8"
"#;
    let mut run = Run::start(&line.file(device));
    heard(&mut run, "meter").await;
    let mut frame = vec![0xAA, 0x55];
    frame.extend(1.5_f32.to_le_bytes());
    frame.push(3);
    frame.push(frame.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
    for round in 1..=5 {
        say(
            &mut far,
            &[&[0xAA, 0xAA, 0x00, 0x55, 0xAA][..], &frame].concat(),
        )
        .await;
        run.until("a poll", |run| run.cells(0).len() == round).await;
        tokio::time::sleep(Duration::from_millis(12)).await;
    }
    let right = [float(1.5), RawCell::Value(Raw::Int(3))];
    assert!(
        run.cells(0).iter().all(|cells| *cells == right),
        "{:?}",
        run.cells(0)
    );
    assert_eq!(run.last_state("meter"), Some(DeviceState::Ok));
    run.end().await;
}
