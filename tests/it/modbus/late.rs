//! Servers that answer one request in twenty after the client has given up: no value is ever stored
//! for another register than its own, nor from the answer to an earlier request.

use super::{Plan, Scene, timed_column};
use anyhow::{Context as _, Result, ensure};
use harness::late_server::{Given, LateServer, Lateness, REGISTERS};
use harness::{Scratch, in_scratch, wait_for};
use protocol::reading::Raw;
use protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Requests over each of the two forms, over all servers of that form.
const REQUESTS: usize = 10_000;
/// Servers of each form, so that the time-outs pass side by side.
const SERVERS: usize = 4;
/// Blocks of one device: all of the same length, far enough from each other to be read alone.
const BLOCKS: u16 = 7;
const SPACING: u16 = 500;
const TIMEOUT: Duration = Duration::from_millis(50);
const LATENESS: Lateness = Lateness {
    every: 20,
    after: Duration::from_millis(55),
    spread: Duration::from_millis(50),
};
/// Longest time for all requests.
const DEADLINE: Duration = Duration::from_secs(200);

#[test]
fn late() -> Result<()> {
    in_scratch("modbus-late", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let mut plan = Plan::new();
    let mut servers = Vec::new();
    for number in 0..SERVERS {
        for form in ["tcp", "serial"] {
            let server = if form == "tcp" {
                LateServer::tcp(LATENESS)?
            } else {
                LateServer::rtu(LATENESS)?
            };
            let name = format!("{form}-{number}");
            let place = match (server.address(), server.path()) {
                (Some(address), _) => format!("address = \"{address}\""),
                (None, Some(path)) => {
                    format!("path = \"{}\"\nbaud = 115200", path.display())
                }
                (None, None) => String::new(),
            };
            let port = format!(
                "kind = \"{form}\"\n{place}\ntimeout = \"{}ms\"",
                TIMEOUT.as_millis()
            );
            plan = plan.port(&name, &port);
            plan = plan.device(
                (&name, &name, 5),
                "poll = \"10ms\"\nmax_gap = 0",
                &sensors(),
            );
            servers.push((name, form, server));
        }
    }
    let scene = Scene::start(scratch, "box", &plan)?;
    for form in ["tcp", "serial"] {
        wait_for("all requests", DEADLINE, || {
            let of_form = servers.iter().filter(|(_, other, _)| *other == form);
            let asked: usize = of_form.map(|(_, _, server)| server.given().len()).sum();
            Ok((asked >= REQUESTS).then_some(()))
        })?;
    }
    let gateway = scene.gateway;
    let groups = scene.stored()?;
    let mut said = Vec::new();
    for form in ["tcp", "serial"] {
        let mut sum = Judged::default();
        for (name, _, server) in servers.iter().filter(|(_, other, _)| *other == form) {
            let given = server.given();
            for (sensor, address, ..) in sensors() {
                let path = format!("{name}/{sensor}");
                let stored = timed_column(&groups, gateway, &path)?;
                let address = address.trim_start_matches("hr:").parse()?;
                sum.add(address, &stored, &given)
                    .with_context(|| format!("what is stored of {path}"))?;
            }
            sum.requests += given.len();
            sum.late += given.iter().filter(|given| given.late).count();
        }
        said.push(sum.words(form)?);
    }
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!("measured: {}", said.join("; "));
    }
    Ok(())
}

fn sensors() -> Vec<(String, String, &'static str, &'static str)> {
    let sensor = |block: u16| {
        let address = format!("hr:{}", block * SPACING);
        (format!("block_{block}"), address, "u32", "ABCD")
    };
    (0..BLOCKS).map(sensor).collect()
}

#[derive(Debug, Default)]
struct Judged {
    requests: usize,
    late: usize,
    stored: usize,
}

impl Judged {
    /// Every stored value is of its own register and of the last request for it before the poll
    /// ended, each once and in their order. (An answer that the server meant to be late may be in
    /// time where the machine is busy; then it is the right one.)
    fn add(
        &mut self,
        address: u16,
        stored: &[(Timestamp, Option<Raw>)],
        given: &[Given],
    ) -> Result<()> {
        let own = given.iter().filter(|given| given.address == address);
        let asked: BTreeMap<u16, i64> = own.map(|given| (given.number, given.asked_us)).collect();
        let mut last = 0;
        for (time, raw) in stored {
            let Some(raw) = raw else { continue };
            let &Raw::Int(value) = raw else {
                anyhow::bail!("{raw:?} is no integer");
            };
            let (high, number) = (value >> 16, u16::try_from(value & 0xFFFF)?);
            ensure!(
                high == i64::from(address),
                "register {address} has the value of register {high} (answer {number})"
            );
            ensure!(
                asked.contains_key(&number),
                "register {address} has a value of answer {number}, which was never given"
            );
            let mut later = asked.range(number + 1..);
            ensure!(
                later.next().is_none_or(|(_, asked_us)| *asked_us > time.0),
                "register {address} has a value of answer {number}, though it was asked for again"
            );
            ensure!(
                number > last,
                "answer {number} is stored behind answer {last}"
            );
            last = number;
            self.stored += 1;
        }
        Ok(())
    }

    fn words(&self, form: &str) -> Result<String> {
        let share =
            f64::from(u32::try_from(self.stored)?) / f64::from(u32::try_from(self.requests)?);
        ensure!(
            self.late * 25 >= self.requests,
            "{form}: only {} late",
            self.late
        );
        // Of those in time, some are lost with the connection or the line that is drained.
        ensure!(
            share >= 0.5,
            "{form}: only {} values of {}",
            self.stored,
            self.requests
        );
        Ok(format!(
            "{form} {} requests, {} answered late, {} values stored, 0 wrong",
            self.requests, self.late, self.stored
        ))
    }
}

/// The judge itself must be able to fail.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_register_of_an_earlier_request_or_twice_is_seen() {
        assert_eq!(REGISTERS, 2, "one value of 32 bits");
        let given = |number, asked_us| Given {
            address: 500,
            number,
            late: false,
            asked_us,
        };
        let answers = [given(1, 100), given(2, 200), given(3, 300)];
        let value = |time, address: i64, number: i64| {
            (Timestamp(time), Some(Raw::Int(address << 16 | number)))
        };
        let judged = |stored: &[(Timestamp, Option<Raw>)]| {
            Judged::default().add(500, stored, &answers).is_ok()
        };
        let missing = (Timestamp(210), None);
        assert!(judged(&[value(110, 500, 1), missing, value(310, 500, 3)]));
        assert!(!judged(&[value(110, 1_000, 1)]), "another register");
        assert!(
            !judged(&[value(210, 500, 1)]),
            "an answer to the request before"
        );
        assert!(!judged(&[value(310, 500, 3), value(310, 500, 3)]), "twice");
        assert!(!judged(&[value(410, 500, 4)]), "never given");
    }
}
