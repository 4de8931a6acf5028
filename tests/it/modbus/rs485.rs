//! Who switches a two-wire line between sending and receiving, on serial port drivers of a real kernel in
//! virtual machines: the kernel's driver of a PL011 (`TIOCSRS485`), RTS of a PL011 and of a 16550 by
//! hand, and the 16550 whose driver refuses. What happens at the ports' registers is watched, with libmodbus at
//! the other end of a line with real character times. Only `make test-rs485` runs it: it needs two
//! kernels and a box for arm64.

use anyhow::{Context as _, Result, ensure};
use harness::guest::{OWN, PAGE_PORT};
use harness::paced_pty::Pace;
use harness::serial_guest::{Event, Happened, SerialGuest, Uart};
use harness::{Api, Libmodbus, PacedPty, Scratch, in_scratch, wait_for};
use std::time::Duration;

/// Set by `make test-rs485`.
const WANTED: &str = "RS485";
/// Longest start of a guest: an emulated processor on a loaded machine.
const BOOT: Duration = Duration::from_secs(120);
const DEADLINE: Duration = Duration::from_secs(60);
const CODE: &str = "rs485-guest";
const UNIT: u8 = 9;
/// Slow: an emulated processor is some milliseconds late, and the pause before an answer has 29.
const PACE: Pace = Pace {
    baud: 1_200,
    bits: 10,
};
/// A request for registers: unit, function, address, count, checksum.
const REQUEST_BYTES: usize = 8;
/// Requests that are watched in each way.
const REQUESTS: usize = 10;

#[test]
fn the_kernel_switches_the_direction() -> Result<()> {
    watched("kernel", Uart::Pl011, "kernel", true)
}

#[test]
fn the_kernel_switches_the_other_way_round() -> Result<()> {
    watched("kernel-low", Uart::Pl011, "kernel", false)
}

#[test]
fn auto_takes_the_kernel_where_it_can() -> Result<()> {
    watched("auto", Uart::Pl011, "auto", true)
}

#[test]
fn rts_switches_the_direction_of_a_pl011() -> Result<()> {
    watched("rts-pl011", Uart::Pl011, "rts", true)
}

#[test]
fn rts_switches_the_direction_of_a_16550() -> Result<()> {
    watched("rts-16550", Uart::Ns16550, "rts", true)
}

#[test]
fn rts_switches_the_other_way_round() -> Result<()> {
    watched("rts-low", Uart::Ns16550, "rts", false)
}

#[test]
fn a_driver_that_cannot_switch_is_told_with_what_to_do() -> Result<()> {
    in_own_scratch("refused", |scratch| {
        let mut scene = Scene::start(scratch, Uart::Ns16550, "kernel", true)?;
        let words = scene.guest.qemu().wait_until("the refusal", BOOT, || {
            let Ok(page) = scene.page.enter_code(CODE) else {
                return Ok(None);
            };
            let status = page.get("/status")?.to_string();
            Ok(status.contains("cannot switch RS-485").then_some(status))
        })?;
        for part in [
            "/dev/ttyS0",
            "mode = \\\"rts\\\"",
            "the adapter does it itself",
        ] {
            ensure!(words.contains(part), "{part} is not in {words}");
        }
        say("measured: the driver of a 16550 refuses, which is told with its path and the remedy");
        Ok(())
    })
}

/// Reads registers through the guest and judges each change of RTS.
fn watched(name: &str, uart: Uart, mode: &str, rts_on_send: bool) -> Result<()> {
    in_own_scratch(name, |scratch| {
        let mut scene = Scene::start(scratch, uart, mode, rts_on_send)?;
        let page = scene
            .guest
            .qemu()
            .wait_until("the agent in the guest", BOOT, || {
                Ok(scene.page.enter_code(CODE).ok())
            })?;
        wait_for("right values", DEADLINE, || {
            let sensors = page.list("/sensors")?;
            let right = |path: &str, value: f64| {
                let sensor = sensors.iter().find(|sensor| sensor["path"] == path);
                sensor.is_some_and(|sensor| sensor["quality"] == "good" && sensor["value"] == value)
            };
            ensure!(
                right("meter/last", 1_396.0) && right("meter/abcd", 1_234.5),
                "{sensors:?}; {:?}",
                page.get("/status")
            );
            Ok(Some(()))
        })?;
        let events = wait_for("requests", DEADLINE, || {
            let events = scene.guest.events()?;
            let sent = events
                .iter()
                .filter(|event| matches!(event.what, Happened::Sent(_)));
            Ok((sent.count() >= REQUESTS * REQUEST_BYTES).then_some(events))
        })?;
        // The kernel's driver of a PL011 means the level of the pin, which is low while RTS is set;
        // by hand RTS itself is meant.
        let by_hand = mode == "rts";
        let judged = judge(&events, rts_on_send == by_hand, by_hand)?;
        say(&format!(
            "measured: {uart:?}, mode {mode}, rts_on_send {rts_on_send}: {} requests and {} bytes of answers, \
             each byte in its direction; RTS stood for {:.1} ms around a request of {:.1} ms",
            judged.requests,
            judged.received,
            judged.held.as_secs_f64() * 1e3,
            PACE.time(REQUEST_BYTES).as_secs_f64() * 1e3
        ));
        Ok(())
    })
}

struct Judged {
    requests: usize,
    received: usize,
    /// Shortest time for which RTS said that the box sends.
    held: Duration,
}

/// Each byte out while RTS is `sending`, each byte in while it is not.
fn judge(events: &[Event], sending: bool, by_hand: bool) -> Result<Judged> {
    let first = events
        .iter()
        .position(|event| matches!(event.what, Happened::Sent(_)));
    let (before, after) = events.split_at(first.context("nothing was sent")?);
    let mut level = before.iter().rev().find_map(|event| match event.what {
        Happened::Rts(level) => Some(level),
        _ => None,
    });
    ensure!(
        level == Some(sending),
        "RTS was {level:?} at the first byte: {before:?}"
    );
    let ahead = before.iter().rev().map(|event| event.what);
    let ahead = ahead
        .take_while(|what| *what == Happened::Rts(sending))
        .count();
    // Opening a port raises RTS: it must be back, before anybody sends, or the box holds the line.
    ensure!(
        !by_hand || ahead == 1,
        "the box held the line before its first request: {before:?}"
    );
    let (mut requests, mut received) = (0, 0);
    let mut since = before.last().map(|event| event.at).unwrap_or_default();
    let mut held = Duration::MAX;
    for event in after {
        match event.what {
            Happened::Rts(now) => {
                if level == Some(sending) && now != sending {
                    requests += 1;
                    held = held.min(event.at.saturating_sub(since));
                } else if now == sending && level != Some(now) {
                    since = event.at;
                }
                level = Some(now);
            }
            Happened::Sent(byte) => {
                ensure!(
                    level == Some(sending),
                    "{byte:02x} was sent at {:?} while RTS said receive",
                    event.at
                );
            }
            Happened::Received => {
                received += 1;
                ensure!(
                    level == Some(!sending),
                    "a byte came at {:?} while RTS said send",
                    event.at
                );
            }
        }
    }
    ensure!(
        requests + 1 >= REQUESTS,
        "only {requests} changes of direction"
    );
    ensure!(received >= requests * 5, "only {received} bytes came in");
    // An emulated port has sent a byte at once: only by hand is it known how long it would take.
    let least = if by_hand {
        PACE.time(REQUEST_BYTES)
    } else {
        Duration::ZERO
    };
    ensure!(
        held >= least,
        "RTS stood for {held:?} only, the request takes {least:?}"
    );
    Ok(Judged {
        requests,
        received,
        held,
    })
}

/// The guest, the line, and libmodbus at its end.
struct Scene {
    guest: SerialGuest,
    page: Api,
    _line: PacedPty,
    _server: Libmodbus,
}

impl Scene {
    fn start(scratch: &Scratch, uart: Uart, mode: &str, rts_on_send: bool) -> Result<Self> {
        let line = PacedPty::start(PACE)?;
        let server = Libmodbus::rtu(scratch, line.far(), (PACE.baud, 'N'), UNIT, 200)?;
        let config = config(uart.path(), mode, rts_on_send);
        let guest = SerialGuest::start(&scratch.file("guest"), uart, (&config, CODE), line.near())?;
        Ok(Self {
            page: Api::new(guest.page()),
            guest,
            _line: line,
            _server: server,
        })
    }
}

fn config(path: &str, mode: &str, rts_on_send: bool) -> String {
    format!(
        r#"[gateway]
data_dir = "data"
name = "Box"
clock_trusted = true

[web]
listen = "{OWN}:{PAGE_PORT}"
access_code_file = "access-code"

[[port]]
name = "line"
protocol = "modbus"
kind = "serial"
path = "{path}"
baud = {baud}
parity = "N"
timeout = "2s"
rs485 = {{ mode = "{mode}", rts_on_send = {rts_on_send}, delay_after = "1ms" }}

[[device]]
name = "meter"
port = "line"
unit = {UNIT}
poll = "300ms"
[[device.sensor]]
name = "last"
address = "hr:199"
type = "u16"
[[device.sensor]]
name = "abcd"
address = "ir:100"
type = "f32"
order = "ABCD"
"#,
        baud = PACE.baud
    )
}

fn in_own_scratch(name: &str, test: impl FnOnce(&Scratch) -> Result<()>) -> Result<()> {
    if std::env::var_os(WANTED).is_none() {
        say("skipped: `make test-rs485` switches the direction of serial ports");
        return Ok(());
    }
    in_scratch(&format!("rs485-{name}"), test)
}

#[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
fn say(words: &str) {
    println!("{words}");
}
