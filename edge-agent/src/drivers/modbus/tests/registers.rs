//! Which registers are asked for, and what a refusal of one means for the others.

use super::*;
use crate::drivers::Hole;

#[tokio::test]
async fn a_device_that_answers_is_read_in_one_request_per_period() {
    let server = Server::start(|asked| Play::Send(asked.right())).await;
    let mut run = Run::start(&server.endpoint, &[("pump", 1, &[0, 1, 9])]);
    run.until("five polls", |run| run.of(0).count() >= 5).await;
    let before = clock::now();
    for poll in run.of(0) {
        assert_eq!(poll.cells, [value(1_000), value(1_001), value(1_009)]);
        assert!(poll.time <= before && before.micros_since(poll.time) < 20_000_000);
    }
    let log = server.log();
    assert!(
        log.iter()
            .all(|asked| (asked.start, asked.count, asked.connection) == (0, 10, 0))
    );
    assert!(log.len() <= run.of(0).count() + 1);
    let report = run.told("pump", DeviceState::Ok).unwrap();
    assert_eq!(run.reports.len(), 1, "a state is told once: {report:?}");
    run.end().await;
}

/// A port with one device whose sensors are `sensors`, their keys with semicolons between.
fn plant(endpoint: &str, device: &str, sensors: &[&str]) -> String {
    let head = format!(
        "[[port]]\nname = \"line\"\nprotocol = \"modbus\"\naddress = \"{endpoint}\"\n\
         timeout = \"150ms\"\n\
         [[device]]\nname = \"pump\"\nport = \"line\"\npoll = \"20ms\"\n{device}\n"
    );
    let sensor = |(at, keys): (usize, &&str)| {
        let keys = keys.replace("; ", "\n");
        format!("[[device.sensor]]\nname = \"s{at}\"\n{keys}\n")
    };
    head + &sensors.iter().enumerate().map(sensor).collect::<String>()
}

#[tokio::test]
async fn texts_and_digits_are_read_and_what_is_no_digit_is_told() {
    // Registers 0 to 2: "AB", "C" and 0; 3: four digits; 4: no digits.
    let registers = [0x4142_u16, 0x4300, 0, 0x1234, 0x12F4];
    let server = Server::start(move |asked| {
        let mut pdu = vec![asked.function, u8::try_from(asked.count * 2).unwrap()];
        for at in asked.start..asked.start + asked.count {
            pdu.extend(registers[usize::from(at)].to_be_bytes());
        }
        Play::Send(frame(asked.id, asked.unit, &pdu))
    })
    .await;
    let sensors = [
        "address = \"hr:0\"; type = \"str:6\"",
        "address = 4; table = \"holding\"; type = \"BCD\"",
        "address = \"hr:4\"; type = \"bcd16\"",
    ];
    let config = plant(&server.endpoint, "address_base = 1", &sensors);
    let mut run = Run::configured(&config, 1);
    run.until("three polls", |run| run.of(0).count() >= 3).await;
    for poll in run.of(0) {
        let text = RawCell::Text("ABC".into());
        assert_eq!(poll.cells, [text, value(1_234), missing(Cause::BadAnswer)]);
    }
    let words = &run.told("pump", DeviceState::Error).unwrap().words;
    assert_eq!(
        words.as_str(),
        "Sensor \"s2\" at 40005 (hr:4): 0x12F4 is not bcd16: a digit above 9; try u16 or u32, or \
         another order."
    );
    assert_eq!(run.reports.len(), 1, "told once: {:?}", run.reports);
    run.end().await;
}

#[tokio::test]
async fn a_device_that_allows_one_value_is_asked_for_one() {
    let server = Server::start(|asked| {
        let one = asked.count == 1 || asked.start == 2 && asked.count == 2;
        Play::Send(if one { asked.right() } else { asked.refused(3) })
    })
    .await;
    let sensors = [
        "address = \"hr:0\"",
        "address = \"hr:1\"",
        "address = \"hr:2\"; type = \"u32\"",
    ];
    let config = plant(&server.endpoint, "one_per_request = true", &sensors);
    let mut run = Run::configured(&config, 1);
    run.until("three polls", |run| run.of(0).count() >= 3).await;
    for poll in run.of(0) {
        let double = value(1_002 * 65_536 + 1_003);
        assert_eq!(poll.cells, [value(1_000), value(1_001), double]);
    }
    let log = server.log();
    let asked: Vec<_> = log.iter().map(|asked| (asked.start, asked.count)).collect();
    assert_eq!(asked[..3], [(0, 1), (1, 1), (2, 2)], "never joined first");
    run.end().await;
}

#[tokio::test]
async fn a_register_that_the_unit_does_not_have_is_found_and_named_and_the_others_are_read() {
    let server = Server::start(|asked| {
        let bad = asked.holds(13) || asked.holds(21);
        Play::Send(if bad { asked.refused(2) } else { asked.right() })
    })
    .await;
    // 21 is in no sensor: it lies in the hole between 20 and 22.
    let offsets = [10, 11, 12, 13, 14, 20, 22];
    let mut run = Run::start(&server.endpoint, &[("pump", 1, &offsets)]);
    run.until("three polls", |run| run.of(0).count() >= 3).await;
    let expected: Vec<RawCell> = offsets
        .iter()
        .map(|at| {
            if *at == 13 {
                missing(Cause::NoSuchAddress)
            } else {
                value(1_000 + i64::from(*at))
            }
        })
        .collect();
    for poll in run.of(0) {
        assert_eq!(poll.cells, expected);
    }
    let words = &run.told("pump", DeviceState::Error).unwrap().words;
    assert!(words.contains("\"r13\" at 40014 (hr:13)"), "{words}");
    assert!(
        words.contains("Modbus exception 2") && words.contains("still read"),
        "{words}"
    );
    assert_eq!(run.reports.len(), 1, "{:?}", run.reports);
    // What was learnt is remembered: the bad registers are asked for in the first poll only.
    let log = server.log();
    let first = log
        .iter()
        .rposition(|asked| asked.holds(13) || asked.holds(21))
        .unwrap();
    assert!(first < 14, "still asked for in request {first}");
    assert!(
        log.iter().all(|asked| asked.connection == 0),
        "a refusal breaks no connection"
    );
    run.end().await;
}

#[tokio::test]
async fn a_hole_is_remembered_over_a_restart_and_forgotten_when_its_time_has_come() {
    let has_it = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&has_it);
    let server = Server::start(move |asked| {
        let bad = asked.holds(13) && !switch.load(Ordering::Relaxed);
        Play::Send(if bad { asked.refused(2) } else { asked.right() })
    })
    .await;
    let devices: &[(&str, u8, &[u16])] = &[("pump", 1, &[10, 13, 16])];
    let holes = Holes::default();
    let port = format!("address = \"{}\"", server.endpoint);
    let mut run = Run::with_holes(&port, devices, &holes);
    run.until("polls", |run| run.of(0).count() >= 3).await;
    run.end().await;
    let [hole] = holes.all().try_into().unwrap();
    assert_eq!(
        (hole.device.as_str(), hole.place.as_str()),
        ("pump", "1/hr:13+1")
    );
    let day = 86_400_000_000;
    let left = hole.again.micros_since(clock::now());
    assert!(left > day - 60_000_000 && left <= day, "{left}");
    // Begun anew: not one request touches it, and it is told all the same.
    let before = server.log().len();
    let mut run = Run::with_holes(&port, devices, &holes);
    run.until("told", |run| run.told("pump", DeviceState::Error).is_some())
        .await;
    run.until("polls", |run| run.of(0).count() >= 3).await;
    assert!(server.log()[before..].iter().all(|asked| !asked.holds(13)));
    let expected = [value(1_010), missing(Cause::NoSuchAddress), value(1_016)];
    assert!(run.of(0).all(|poll| poll.cells == expected));
    let words = &run.told("pump", DeviceState::Error).unwrap().words;
    assert!(
        words.contains("\"r13\" at 40014") && words.contains("once a day"),
        "{words}"
    );
    run.end().await;
    // A day later the device has it.
    has_it.store(true, Ordering::Relaxed);
    holes.note(Hole {
        again: clock::now(),
        ..hole
    });
    let mut run = Run::with_holes(&port, devices, &holes);
    run.until("values", |run| {
        run.of(0)
            .any(|poll| poll.cells == [value(1_010), value(1_013), value(1_016)])
    })
    .await;
    run.end().await;
}

#[tokio::test]
async fn a_device_that_refuses_everything_is_not_full_of_holes() {
    let server = Server::start(|asked| Play::Send(asked.refused(2))).await;
    let holes = Holes::default();
    let port = format!("address = \"{}\"", server.endpoint);
    let mut run = Run::with_holes(&port, &[("pump", 1, &[10, 13])], &holes);
    run.until("told", |run| run.told("pump", DeviceState::Error).is_some())
        .await;
    run.until("polls", |run| run.of(0).count() >= 3).await;
    assert_eq!(holes.all(), []);
    run.end().await;
}

#[tokio::test]
async fn the_bus_itself_is_measured() {
    let server = Server::start(|asked| match asked.unit {
        2 => Play::Nothing,
        _ => Play::Send(asked.right()),
    })
    .await;
    let bus = "[[device]]\nname = \"bus\"\nport = \"p\"\nkind = \"bus\"\npoll = \"400ms\"\n";
    let sensors = [
        "utilisation",
        "errors:1",
        "errors:2",
        "timeouts",
        "turnaround:1",
    ];
    let sensor =
        |name: &str| format!("[[device.sensor]]\nname = \"{name}\"\naddress = \"{name}\"\n");
    let unit = |name: &str, unit: u8| {
        format!(
            "[[device]]\nname = \"{name}\"\nport = \"p\"\nunit = {unit}\npoll = \"50ms\"\n\
             [[device.sensor]]\nname = \"r\"\naddress = \"hr:0\"\n"
        )
    };
    let text = format!(
        "[[port]]\nname = \"p\"\nprotocol = \"modbus\"\naddress = \"{}\"\ntimeout = \"150ms\"\n{}{}{bus}{}",
        server.endpoint,
        unit("good", 1),
        unit("dead", 2),
        sensors.map(sensor).concat()
    );
    let mut run = Run::configured(&text, 3);
    run.until("figures", |run| run.of(2).count() >= 2).await;
    let polls: Vec<&RawPoll> = run.of(2).collect();
    let float = |cell: &RawCell| match cell {
        RawCell::Value(Raw::Float(value)) => *value,
        other => panic!("{other:?}"),
    };
    let figures: Vec<f64> = polls[1].cells.iter().take(2).map(float).collect();
    assert!(figures[0] > 0.0 && figures[0] <= 100.0, "{figures:?}");
    assert!(figures[1] < 50.0, "{figures:?}");
    assert!(
        polls
            .iter()
            .any(|poll| poll.cells[2] == RawCell::Value(Raw::Float(100.0)))
    );
    assert!(polls.iter().any(|poll| float(&poll.cells[3]) >= 1.0));
    assert!(float(&polls[1].cells[4]) < 150.0);
    assert_eq!(run.last_state("bus"), Some(DeviceState::Ok));
    run.end().await;
}

#[tokio::test]
async fn any_other_refusal_is_told_with_its_number() {
    let server = Server::start(|asked| Play::Send(asked.refused(4))).await;
    let mut run = Run::start(&server.endpoint, &[("pump", 1, &[0, 5])]);
    run.until("told", |run| run.told("pump", DeviceState::Error).is_some())
        .await;
    assert!(
        run.of(0)
            .all(|poll| poll.cells == vec![missing(Cause::DeviceError); 2])
    );
    let words = &run.told("pump", DeviceState::Error).unwrap().words;
    assert!(
        words.contains("\"r0\"") && words.contains("Modbus exception 4"),
        "{words}"
    );
    run.end().await;
}

#[tokio::test]
async fn registers_on_which_a_live_unit_stays_silent_do_not_slow_the_rest() {
    // Some devices do not refuse what they do not have, they say nothing.
    let server = Server::start(|asked| {
        if asked.holds(500) {
            Play::Nothing
        } else {
            Play::Send(asked.right())
        }
    })
    .await;
    let mut run = Run::start(&server.endpoint, &[("odd", 1, &[500, 0, 900])]);
    run.until("told", |run| run.told("odd", DeviceState::Error).is_some())
        .await;
    let words = &run.told("odd", DeviceState::Error).unwrap().words;
    assert!(words.contains("\"r500\" at 40501 (hr:500)"), "{words}");
    let from = run.of(0).count();
    run.until("polls", |run| run.of(0).count() >= from + 15)
        .await;
    let expected = [missing(Cause::NoAnswer), value(1_000), value(1_900)];
    let whole = run
        .of(0)
        .skip(from)
        .filter(|poll| poll.cells == expected)
        .count();
    assert!(
        whole >= 13,
        "{whole} of the polls after the report are whole"
    );
    run.end().await;
}

#[tokio::test]
async fn the_gap_between_requests_is_kept() {
    let server = Server::start(|asked| Play::Send(asked.right())).await;
    let devices: &[(&str, u8, &[u16])] = &[("a", 1, &[0, 900]), ("b", 2, &[0, 900])];
    let mut run = Run::start_with(&server.endpoint, "request_gap = \"20ms\"", devices);
    run.until("polls", |run| run.of(1).count() >= 4).await;
    let log = server.log();
    for pair in log.windows(2) {
        assert!(
            pair[1].at - pair[0].at >= Duration::from_millis(19),
            "{pair:?}"
        );
    }
    run.end().await;
}

mod read_by_hand {
    use super::super::super::read::{ReadError, ReadValue, read_once};
    use super::*;

    #[tokio::test]
    async fn a_value_is_shown_in_all_orders_and_a_refused_point_does_not_stop_the_others() {
        let server = Server::start(|asked| {
            let pdu = [asked.function, 4, 0x00, 0x00, 0x3F, 0x80];
            Play::Send(if asked.holds(50) {
                asked.refused(2)
            } else {
                frame(asked.id, 3, &pdu)
            })
        })
        .await;
        let target = format!("tcp://{}", server.endpoint);
        let points = ["hr:50", "40001:f32:CDAB"].map(str::to_owned);
        let answer = read_once(&target, 3, &points, TIMEOUT).await.unwrap();
        assert!(
            answer.points[0]
                .error
                .as_ref()
                .unwrap()
                .contains("Modbus exception 2")
        );
        assert_eq!(answer.points[0].value, None);
        let point = &answer.points[1];
        assert_eq!(point.value, Some(ReadValue::Float(1.0)));
        let orders: Vec<String> = point
            .orders
            .iter()
            .map(|o| format!("{} {}", o.order, o.value))
            .collect();
        assert_eq!(orders.len(), 4);
        assert_eq!(orders[1], "CDAB 1");
        assert_eq!(
            (point.words[1].u16, point.words[1].hex.as_str()),
            (0x3F80, "0x3F80")
        );
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["points"][1]["type"], "f32");
        assert_eq!(json["points"][1]["value"], 1.0);
        assert_eq!(json["points"][1]["orders"][1]["order"], "CDAB");
    }

    #[tokio::test]
    async fn silence_and_nonsense_are_told() {
        let server = Server::start(|_| Play::Nothing).await;
        let points = ["40001".to_owned()];
        let error = read_once(&server.endpoint, 3, &points, TIMEOUT)
            .await
            .unwrap_err();
        assert!(matches!(error, ReadError::Request { .. }), "{error:?}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            cause.contains("unit 3") && cause.contains("150 ms"),
            "{cause}"
        );
        let error = read_once("http://x/y", 3, &points, TIMEOUT)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("tcp://HOST:PORT"), "{error}");
        let error = read_once("x", 3, &["7".to_owned()], TIMEOUT)
            .await
            .unwrap_err();
        assert!(matches!(error, ReadError::Point { .. }), "{error:?}");
    }
}
