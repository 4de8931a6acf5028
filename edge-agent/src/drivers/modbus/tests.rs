//! The whole driver against servers that are played by hand over a real socket, most of them
//! hostile. Nothing here waits for a fixed time: every wait is for a condition, with a deadline.

use crate::config::Config;
use crate::drivers::{self, DeviceReport, DeviceState, FromDriver, Sink};
use crate::pipeline::{RawCell, RawPoll};
use protocol::reading::{Cause, Raw};
use protocol::time::Timestamp;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_millis(150);

/// One request as the server saw it.
#[derive(Clone, Copy, Debug)]
struct Asked {
    connection: usize,
    id: u16,
    unit: u8,
    function: u8,
    start: u16,
    count: u16,
    at: Instant,
}

impl Asked {
    /// The register at offset n of unit u holds 1000 u + n.
    fn right(&self) -> Vec<u8> {
        let mut pdu = vec![self.function, u8::try_from(self.count * 2).unwrap()];
        for at in self.start..self.start + self.count {
            pdu.extend((u16::from(self.unit) * 1_000 + at).to_be_bytes());
        }
        frame(self.id, self.unit, &pdu)
    }

    fn refused(&self, code: u8) -> Vec<u8> {
        frame(self.id, self.unit, &[self.function | 0x80, code])
    }

    fn holds(&self, offset: u16) -> bool {
        (self.start..self.start + self.count).contains(&offset)
    }
}

fn frame(id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(u16::try_from(pdu.len() + 1).unwrap().to_be_bytes());
    bytes.push(unit);
    bytes.extend(pdu);
    bytes
}

/// What the server does with a request.
enum Play {
    Send(Vec<u8>),
    SendLate(Duration, Vec<u8>),
    SendThenClose(Vec<u8>),
    Nothing,
}

#[derive(Clone)]
struct Server {
    endpoint: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    async fn start(play: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), play)
    }

    fn on(listener: TcpListener, play: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Self {
        let endpoint = listener.local_addr().unwrap().to_string();
        let log: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (server, play) = (
            Self {
                endpoint,
                log: Arc::clone(&log),
            },
            Arc::new(play),
        );
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let (log, play) = (Arc::clone(&log), Arc::clone(&play));
                tokio::spawn(async move { talk(stream, connection, &log, &*play).await });
            }
        });
        server
    }

    fn log(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }
}

async fn talk(
    mut stream: TcpStream,
    connection: usize,
    log: &Mutex<Vec<Asked>>,
    play: &(dyn Fn(&Asked) -> Play + Send + Sync),
) -> Option<()> {
    loop {
        let mut b = [0; 12];
        stream.read_exact(&mut b).await.ok()?;
        let word = |at: usize| u16::from_be_bytes([b[at], b[at + 1]]);
        let asked = Asked {
            connection,
            id: word(0),
            unit: b[6],
            function: b[7],
            start: word(8),
            count: word(10),
            at: Instant::now(),
        };
        log.lock().unwrap().push(asked);
        match play(&asked) {
            Play::Send(bytes) => stream.write_all(&bytes).await.ok()?,
            Play::SendLate(wait, bytes) => {
                tokio::time::sleep(wait).await;
                stream.write_all(&bytes).await.ok()?;
            }
            Play::SendThenClose(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                return None;
            }
            Play::Nothing => {}
        }
    }
}

/// A running driver and everything it told.
struct Run {
    queue: mpsc::Receiver<FromDriver>,
    polls: Vec<(Instant, RawPoll)>,
    reports: Vec<DeviceReport>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn clock() -> Timestamp {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Timestamp(i64::try_from(now.as_micros()).unwrap())
}

impl Run {
    /// `devices`: name, unit, sensors as offsets of holding registers.
    fn start(endpoint: &str, devices: &[(&str, u8, &[u16])]) -> Self {
        Self::start_with(endpoint, "", devices)
    }

    fn start_with(endpoint: &str, port: &str, devices: &[(&str, u8, &[u16])]) -> Self {
        let mut text = format!(
            "[[port]]\nname = \"p\"\nprotocol = \"modbus\"\naddress = \"{endpoint}\"\n\
             timeout = \"{}ms\"\n{port}\n",
            TIMEOUT.as_millis()
        );
        for (name, unit, offsets) in devices {
            write!(
                text,
                "[[device]]\nname = \"{name}\"\nport = \"p\"\nunit = {unit}\npoll = \"50ms\"\n"
            )
            .unwrap();
            for offset in *offsets {
                writeln!(
                    text,
                    "[[device.sensor]]\nname = \"r{offset}\"\naddress = \"hr:{offset}\""
                )
                .unwrap();
            }
        }
        let config = Config::parse(Path::new("edge.toml"), &text).unwrap();
        let driver = drivers::build(&config.ports[0], &config.devices);
        config.problems.check().unwrap();
        let driver = driver.unwrap();
        assert_eq!(driver.groups().len(), devices.len());
        let (sender, queue) = mpsc::channel(10_000);
        let (stop, stopped) = watch::channel(false);
        let sink = Sink::new(sender, Arc::new(AtomicU64::new(0)), 0, clock);
        let task = tokio::spawn(driver.run(sink, stopped));
        Self {
            queue,
            polls: Vec::new(),
            reports: Vec::new(),
            stop,
            task,
        }
    }

    /// Takes what comes until `enough`.
    async fn until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = tokio::time::timeout(left, self.queue.recv()).await;
            match told.ok() {
                Some(Some(FromDriver::Poll(poll))) => self.polls.push((Instant::now(), poll)),
                Some(Some(FromDriver::Device(report))) => self.reports.push(report),
                Some(None) => panic!("the driver ended while waiting for: {what}"),
                None => panic!(
                    "not seen in time: {what}\nlast polls {:?}\nreports {:?}",
                    self.polls.iter().rev().take(5).collect::<Vec<_>>(),
                    self.reports
                ),
            }
        }
    }

    fn of(&self, group: usize) -> impl Iterator<Item = &RawPoll> {
        self.polls
            .iter()
            .map(|(_, poll)| poll)
            .filter(move |poll| poll.group == group)
    }

    fn count(&self, group: usize, cell: RawCell) -> usize {
        self.of(group).filter(|poll| poll.cells[0] == cell).count()
    }

    fn told(&self, device: &str, state: DeviceState) -> Option<&DeviceReport> {
        self.reports
            .iter()
            .find(|report| report.device == device && report.state == state)
    }

    fn last_state(&self, device: &str) -> Option<DeviceState> {
        self.reports
            .iter()
            .rev()
            .find(|report| report.device == device)
            .map(|report| report.state)
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .expect("ends when told")
            .unwrap();
    }
}

const fn value(value: i64) -> RawCell {
    RawCell::Value(Raw::Int(value))
}

const fn missing(cause: Cause) -> RawCell {
    RawCell::Missing(cause)
}

#[tokio::test]
async fn a_device_that_answers_is_read_in_one_request_per_period() {
    let server = Server::start(|asked| Play::Send(asked.right())).await;
    let mut run = Run::start(&server.endpoint, &[("pump", 1, &[0, 1, 9])]);
    run.until("five polls", |run| run.of(0).count() >= 5).await;
    let before = clock();
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

#[tokio::test]
async fn a_silent_unit_is_told_costs_its_neighbour_little_and_is_read_again_when_it_is_back() {
    let alive = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&alive);
    let server = Server::start(move |asked| match asked.unit {
        7 if !switch.load(Ordering::Relaxed) => Play::Nothing,
        _ => Play::Send(asked.right()),
    })
    .await;
    let mut run = Run::start(&server.endpoint, &[("dead", 7, &[0]), ("pump", 1, &[0])]);
    run.until("silent", |run| {
        run.told("dead", DeviceState::Silent).is_some()
    })
    .await;
    let words = run.told("dead", DeviceState::Silent).unwrap().words.clone();
    assert_eq!(
        words,
        format!(
            "unit 7 at {} does not answer within 150 ms; check its address switch and wiring. \
             Neighbours on the same port are still polled.",
            server.endpoint
        )
    );
    // In back-off it costs nothing, and each of its periods still brings a poll that says why.
    let from = run.polls.len();
    let no_answer = missing(Cause::NoAnswer);
    run.until("polls in back-off", |run| run.polls.len() >= from + 30)
        .await;
    let later: Vec<_> = run.polls[from..]
        .iter()
        .filter(|(_, poll)| poll.group == 0)
        .collect();
    assert!(later.len() >= 10 && later.iter().all(|(_, poll)| poll.cells == [no_answer]));
    let asked = server.log().iter().filter(|asked| asked.unit == 7).count();
    assert!(asked <= 4, "asked {asked} times");
    // The neighbour: never longer without a reading than its period and one time-out.
    let times: Vec<Instant> = run
        .polls
        .iter()
        .filter(|(_, poll)| poll.group == 1)
        .map(|(at, _)| *at)
        .collect();
    assert!(run.of(1).all(|poll| poll.cells == [value(1_000)]));
    let longest = times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    let slack = Duration::from_millis(150);
    assert!(
        longest <= Duration::from_millis(50) + TIMEOUT + slack,
        "{longest:?}"
    );
    alive.store(true, Ordering::Relaxed);
    run.until("back", |run| {
        run.last_state("dead") == Some(DeviceState::Ok)
    })
    .await;
    run.until("values", |run| run.count(0, value(7_000)) >= 2)
        .await;
    assert_eq!(run.last_state("pump"), Some(DeviceState::Ok));
    run.end().await;
}

#[tokio::test]
async fn a_late_answer_is_never_taken_for_the_next_ones() {
    // Unit 1 answers too late, with the number that the next request on this connection would
    // have, as a serial gateway does that pairs answers by order: only a fresh connection helps.
    // Both requests have the same length.
    let server = Server::start(|asked| {
        if asked.unit == 1 {
            let late = Asked {
                id: asked.id.wrapping_add(1),
                unit: 2,
                ..*asked
            };
            let mut stale = late.right();
            *stale.last_mut().unwrap() = 99;
            Play::SendLate(TIMEOUT + Duration::from_millis(20), stale)
        } else {
            Play::SendLate(Duration::from_millis(60), asked.right())
        }
    })
    .await;
    let devices: &[(&str, u8, &[u16])] = &[("late", 1, &[0]), ("good", 2, &[0])];
    let mut run = Run::start_with(&server.endpoint, "retries = 1", devices);
    run.until("polls of both", |run| {
        run.count(1, value(2_000)) >= 8 && run.count(0, missing(Cause::NoAnswer)) >= 8
    })
    .await;
    assert!(run.of(1).all(|poll| poll.cells == [value(2_000)]));
    assert!(
        run.of(0)
            .all(|poll| poll.cells == [missing(Cause::NoAnswer)])
    );
    // No connection was used again after a request that was given up.
    let log = server.log();
    for pair in log.windows(2).filter(|pair| pair[0].unit == 1) {
        assert!(pair[1].connection > pair[0].connection, "{pair:?}");
        assert!(pair[1].at - pair[0].at >= TIMEOUT);
    }
    run.end().await;
}

#[tokio::test]
async fn what_is_not_an_answer_is_told_and_the_neighbour_goes_on() {
    type Wrong = fn(&Asked) -> Vec<u8>;
    let wrong: [(&str, Wrong); 6] = [
        ("another unit", |asked| {
            frame(asked.id, 9, &asked.right()[7..])
        }),
        ("another number", |asked| {
            frame(asked.id.wrapping_add(5), 7, &asked.right()[7..])
        }),
        ("another protocol", |_| {
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()
        }),
        ("another function", |asked| {
            frame(asked.id, 7, &[4, 2, 0, 1])
        }),
        ("too short inside", |asked| frame(asked.id, 7, &[3, 4, 0])),
        ("fewer registers", |asked| frame(asked.id, 7, &[3, 2, 0, 1])),
    ];
    for (name, wrong) in wrong {
        let server = Server::start(move |asked| match asked.unit {
            7 => Play::Send(wrong(asked)),
            _ => Play::Send(asked.right()),
        })
        .await;
        let mut run = Run::start(&server.endpoint, &[("odd", 7, &[0, 1]), ("pump", 1, &[0])]);
        run.until(name, |run| {
            run.told("odd", DeviceState::Error).is_some() && run.count(1, value(1_000)) >= 5
        })
        .await;
        assert!(
            run.of(0)
                .all(|poll| poll.cells == [missing(Cause::BadAnswer); 2]),
            "{name}"
        );
        assert!(run.of(1).all(|poll| poll.cells == [value(1_000)]), "{name}");
        let words = &run.told("odd", DeviceState::Error).unwrap().words;
        assert!(
            words.contains("unit 7") && words.len() < 400,
            "{name}: {words}"
        );
        let log = server.log();
        for pair in log.windows(2).filter(|pair| pair[0].unit == 7) {
            assert!(pair[1].connection > pair[0].connection, "{name}: {pair:?}");
        }
        run.end().await;
    }
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
async fn any_other_refusal_is_told_with_its_number() {
    let server = Server::start(|asked| Play::Send(asked.refused(4))).await;
    let mut run = Run::start(&server.endpoint, &[("pump", 1, &[0, 5])]);
    run.until("told", |run| run.told("pump", DeviceState::Error).is_some())
        .await;
    assert!(
        run.of(0)
            .all(|poll| poll.cells == [missing(Cause::DeviceError); 2])
    );
    let words = &run.told("pump", DeviceState::Error).unwrap().words;
    assert!(
        words.contains("\"r0\"") && words.contains("Modbus exception 4"),
        "{words}"
    );
    run.end().await;
}

#[tokio::test]
async fn a_gateway_that_says_its_unit_is_silent_is_believed_without_a_new_connection() {
    let server = Server::start(|asked| match asked.unit {
        7 => Play::Send(asked.refused(11)),
        _ => Play::Send(asked.right()),
    })
    .await;
    let mut run = Run::start(&server.endpoint, &[("dead", 7, &[0]), ("pump", 1, &[0])]);
    run.until("silent", |run| {
        run.told("dead", DeviceState::Silent).is_some() && run.count(1, value(1_000)) >= 5
    })
    .await;
    assert!(
        run.of(0)
            .all(|poll| poll.cells == [missing(Cause::NoAnswer)])
    );
    assert!(server.log().iter().all(|asked| asked.connection == 0));
    run.end().await;
}

#[tokio::test]
async fn a_connection_closed_in_the_middle_of_an_answer_is_made_anew() {
    let server = Server::start(|asked| {
        // The third, eighth … answer ends after its header.
        if asked.id == 2 {
            Play::SendThenClose(asked.right()[..8].to_vec())
        } else {
            Play::Send(asked.right())
        }
    })
    .await;
    let mut run = Run::start(&server.endpoint, &[("pump", 1, &[0])]);
    run.until("polls over several connections", |run| {
        run.of(0).count() >= 10
            && server
                .log()
                .last()
                .is_some_and(|asked| asked.connection >= 3)
    })
    .await;
    // It had answered on this connection, so the request goes out once more on a fresh one.
    assert!(run.of(0).all(|poll| poll.cells == [value(1_000)]));
    assert_eq!(run.reports.len(), 1);
    run.end().await;
}

#[tokio::test]
async fn a_server_that_closes_whatever_is_asked_is_told_and_not_hammered() {
    let server = Server::start(|_| Play::SendThenClose(Vec::new())).await;
    let mut run = Run::start(&server.endpoint, &[("pump", 1, &[0])]);
    run.until("silent", |run| {
        run.told("pump", DeviceState::Silent).is_some()
    })
    .await;
    let words = &run.told("pump", DeviceState::Silent).unwrap().words;
    assert!(words.contains("closed the connection"), "{words}");
    let from = run.of(0).count();
    run.until("polls in back-off", |run| run.of(0).count() >= from + 10)
        .await;
    assert!(
        run.of(0)
            .all(|poll| poll.cells == [missing(Cause::NoConnection)])
    );
    assert!(server.log().len() <= 6, "{} requests", server.log().len());
    run.end().await;
}

#[tokio::test]
async fn without_a_server_it_says_so_and_reads_as_soon_as_there_is_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap();
    drop(listener);
    let mut run = Run::start(
        &endpoint.to_string(),
        &[("pump", 1, &[0]), ("fan", 2, &[0])],
    );
    run.until("told", |run| {
        run.told("pump", DeviceState::Silent).is_some()
            && run.told("fan", DeviceState::Silent).is_some()
            && run.count(1, missing(Cause::NoConnection)) >= 3
    })
    .await;
    let words = &run.told("pump", DeviceState::Silent).unwrap().words;
    assert!(
        words.starts_with(&format!("no connection to {endpoint} (")),
        "{words}"
    );
    assert!(words.contains("check that the device is on"), "{words}");
    let server = Server::on(TcpListener::bind(endpoint).await.unwrap(), |asked| {
        Play::Send(asked.right())
    });
    run.until("values of both", |run| {
        run.count(0, value(1_000)) >= 1 && run.count(1, value(2_000)) >= 1
    })
    .await;
    assert_eq!(server.endpoint, endpoint.to_string());
    run.until("ok", |run| run.last_state("fan") == Some(DeviceState::Ok))
        .await;
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
async fn retries_are_made_on_fresh_connections_and_help() {
    let server = Server::start(|asked| {
        if asked.connection == 0 {
            Play::Nothing
        } else {
            Play::Send(asked.right())
        }
    })
    .await;
    let mut run = Run::start_with(&server.endpoint, "retries = 1", &[("pump", 1, &[0])]);
    run.until("polls", |run| run.of(0).count() >= 3).await;
    assert!(run.of(0).all(|poll| poll.cells == [value(1_000)]));
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
    use super::super::read::{ReadError, ReadValue, read_once};
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
