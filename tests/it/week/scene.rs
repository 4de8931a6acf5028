//! The plant of the week and its clock: a recorded machine (pymodbus) and a cell whose registers the test sets;
//! the box runs ahead of time, and its power can be cut. Never tells a program that time is not what it seems.

use super::people::{ANNA, BERT, CARLA, Pins, hired};
use crate::plant::{LOW, NORMAL, PAULA, POLL, Plant, now, recorded, text, time};
use crate::{clock, readings, records};
use anyhow::{Context as _, Result, bail, ensure};
use harness::{ModbusPeer, PeerOptions, Registers, Scratch, wait_for};
use protocol::id::SensorId;
use protocol::reading::{Cell, Quality, Raw};
use protocol::time::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// What `make test` runs, and how many times faster than time.
const HOURS: f64 = 20.0;
const SPEED: u32 = 600;
/// Rows of a week, one every five minutes; a shorter span is gone through faster.
const ROWS: f64 = 7.0 * 24.0 * 12.0;
/// The recorded failure is from 0.69 to 0.88 of the replay.
const FIRST_ROW: usize = 18_000;
/// The cell is asked this often.
const CELL_POLL_S: i64 = 60;
/// Seconds of real time for which a loaded machine may keep the box from working.
const LOADED_S: i64 = 5;
/// A fan that says nothing for so long is told; longer than the power is away.
const STALE_S: i64 = 1_800;
/// What the box does not see of a power cut.
const DARK: Duration = Duration::from_secs(900);
/// Longest wait for something of a moment, in real time.
const SOON: Duration = Duration::from_secs(90);

/// Only the wall clock is ahead: waits by absolute times that the library does not see would be too long.
const REAL_TIMERS: &str = "FAKETIME_DONT_FAKE_MONOTONIC";

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Press,
    Pump,
    Oven,
    /// A device of its own that answers no more.
    Fan,
    /// Not planted: the machine of the recording.
    Recorded,
}

pub(super) struct Week {
    pub(super) plant: Plant,
    pub(super) span: Duration,
    pub(super) speed: u32,
    /// Faults with the moment at which they were planted.
    pub(super) planted: Vec<(Fault, Timestamp)>,
    pub(super) pins: Pins,
    cell: Registers,
    fan: ModbusPeer,
    begin: Timestamp,
}

/// What both stores hold at the end.
pub(super) struct Compared {
    pub(super) polls: usize,
    pub(super) readings: usize,
    pub(super) events: usize,
    /// When the recorded machine failed, by the stored readings.
    pub(super) recorded: Vec<Timestamp>,
}

impl Fault {
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::Press => "press pressure",
            Self::Pump => "pump vibration",
            Self::Oven => "oven temperature",
            Self::Fan => "fan is silent",
            Self::Recorded => "M-1 temperature",
        }
    }

    /// Who has completed its order, and how.
    pub(super) fn done(self) -> (&'static str, &'static str) {
        match self {
            Self::Press => (ANNA, "seal replaced"),
            Self::Pump => (CARLA, "bearing greased"),
            Self::Oven => (CARLA, "burner cleaned"),
            Self::Fan => (ANNA, "no order"),
            Self::Recorded => (BERT, "coupling replaced"),
        }
    }

    /// Its unit, and what the register says when all is well and when it is not.
    fn register(self) -> (u8, u16, u16) {
        match self {
            Self::Press => (11, 1_500, 1_950),
            Self::Pump => (12, 32, 91),
            Self::Oven | Self::Fan | Self::Recorded => (13, 2_200, 1_400),
        }
    }
}

impl Week {
    /// Everything runs and is in sync in real time; then the hub is gone and time runs faster.
    pub(super) fn start(scratch: &Scratch) -> Result<Self> {
        let hours: f64 = from_environment("WEEK_HOURS", HOURS)?;
        let speed: u32 = from_environment("WEEK_SPEED", SPEED)?;
        let span = Duration::from_secs_f64(hours * 3_600.0);
        let row = span.div_f64(ROWS);
        let options = PeerOptions {
            samples_per_s: f64::from(speed) / row.as_secs_f64(),
            first_row: FIRST_ROW,
            hold_row: Some(FIRST_ROW + 1),
            ..PeerOptions::default()
        };
        let plant = Plant::start(scratch, options)?;
        let pins = hired(scratch, &plant)?;
        plant.wait_until_in_sync()?;
        let mut week = Self {
            plant,
            span,
            speed,
            planted: Vec::new(),
            pins,
            cell: Registers::start()?,
            fan: ModbusPeer::start(scratch, PeerOptions::default())?,
            begin: Timestamp(0),
        };
        for fault in [Fault::Press, Fault::Pump, Fault::Oven] {
            week.set(fault, false);
        }
        week.plant.relay.cut();
        week.plant.agent.stop()?;
        week.plant.hub.stop()?;
        let file = week.plant.agent.config();
        let config = std::fs::read_to_string(&file).context("reading the configuration")?;
        std::fs::write(&file, week.config(&config, row)?).context("writing the configuration")?;
        week.run_ahead(now()?)?;
        week.plant.peer.go_on()?;
        week.begin = week.now()?;
        Ok(week)
    }

    fn config(&self, plain: &str, row: Duration) -> Result<String> {
        let replaced = [
            (
                format!("poll = \"{POLL}\""),
                format!("poll = \"{}ms\"", row.as_millis()),
            ),
            ("keep_alive = \"1s\"".into(), "keep_alive = \"60s\"".into()),
            (
                "reconnect_max = \"1s\"".into(),
                "reconnect_max = \"30m\"".into(),
            ),
            (
                "commit_tick = \"200ms\"".into(),
                "commit_tick = \"10s\"".into(),
            ),
            ("seal_after = \"10s\"".into(), "seal_after = \"1h\"".into()),
            (
                "name = \"line\"\n".into(),
                "name = \"line\"\ntimeout = \"60s\"\nconnect_timeout = \"60s\"\nretries = 3\n"
                    .into(),
            ),
        ];
        let mut text = plain.to_owned();
        for (from, to) in replaced {
            ensure!(text.contains(&from), "{from} is not in the configuration");
            text = text.replace(&from, &to);
        }
        let cell = format!(
            "\n[[port]]\nname = \"cell\"\nprotocol = \"modbus\"\naddress = \"{}\"\ntimeout = \"60s\"\n\
             connect_timeout = \"60s\"\nretries = 3\n",
            self.cell.address()
        );
        let machines = machines();
        let fan = format!(
            "\n[[port]]\nname = \"fan\"\nprotocol = \"modbus\"\naddress = \"{}\"\ntimeout = \"60s\"\n\
             connect_timeout = \"60s\"\n\n[[device]]\nname = \"fan\"\nport = \"fan\"\nasset = \"fan\"\nunit = 1\n\
             poll = \"{CELL_POLL_S}s\"\n[[device.sensor]]\nname = \"row\"\naddress = \"hr:3\"\ntype = \"u32\"\n\n\
             [[rule]]\nname = \"{}\"\nsensor = \"fan/row\"\nstale_after = \"{STALE_S}s\"\ntitle = \"The fan is silent\"\n",
            self.fan.address(),
            Fault::Fan.rule(),
        );
        Ok(text + &cell + &machines + &fan)
    }

    /// Starts the box at this moment of its clock, and from there on faster.
    fn run_ahead(&mut self, from: Timestamp) -> Result<()> {
        let rate = format!("x{}", self.speed);
        self.clock_of_the_box(from, &rate)?;
        self.plant.agent.start()
    }

    fn clock_of_the_box(&mut self, from: Timestamp, rate: &str) -> Result<()> {
        let library = clock::library()?;
        let value = format!("{} {rate}", ahead(from)?);
        let agent = &mut self.plant.agent;
        agent.set_environment("LD_PRELOAD", &library.to_string_lossy());
        agent.set_environment("FAKETIME", value.trim());
        agent.set_environment("NO_FAKE_STAT", "1");
        Ok(())
    }

    /// The clock of the box.
    pub(super) fn now(&self) -> Result<Timestamp> {
        wait_for("the clock of the box", SOON, || {
            Ok(Some(time(&self.plant.here.get("/status")?, "/now")?))
        })
    }

    fn moment(&self, share: f64) -> Timestamp {
        let after = self.span.mul_f64(share);
        Timestamp(self.begin.0 + i64::try_from(after.as_micros()).unwrap_or(i64::MAX))
    }

    /// Waits for this share of the span to be over.
    pub(super) fn until(&self, share: f64) -> Result<()> {
        let (moment, deadline) = (self.moment(share), self.span / self.speed + SOON);
        wait_for("a moment of the week", deadline, || {
            Ok((self.now()? >= moment).then_some(()))
        })
    }

    fn set(&self, fault: Fault, broken: bool) {
        let (unit, good, bad) = fault.register();
        self.cell.set(unit, 0, if broken { bad } else { good });
    }

    pub(super) fn plant_fault(&mut self, fault: Fault, share: f64) -> Result<()> {
        self.until(share)?;
        let at = self.now()?;
        match fault {
            Fault::Fan => self.fan.kill9()?,
            _ => self.set(fault, true),
        }
        self.planted.push((fault, at));
        Ok(())
    }

    pub(super) fn repair(&mut self, fault: Fault, share: f64) -> Result<()> {
        self.until(share)?;
        if fault == Fault::Fan {
            return self.fan.start_again();
        }
        self.set(fault, false);
        Ok(())
    }

    /// The first alert of a fault for which no order is opened.
    pub(super) fn lone_alert_of(&self, fault: Fault) -> Result<String> {
        wait_for(&format!("the alert of {fault:?}"), SOON, || {
            let alerts = self.plant.here.list("/alerts?state=all")?;
            let alert = alerts.iter().find(|alert| alert["rule"] == fault.rule());
            let Some(alert) = alert else { return Ok(None) };
            ensure!(alert["work_order"].is_null(), "{alert}");
            Ok(Some(text(alert, "/id")?.to_owned()))
        })
    }

    /// The alert of a fault, the how-manieth of it, and its order.
    pub(super) fn alert_of(&self, fault: Fault, number: usize) -> Result<(String, String)> {
        wait_for(&format!("alert {number} of {fault:?}"), SOON, || {
            let mut alerts = self.plant.here.list("/alerts?state=all")?;
            alerts.retain(|alert| alert["rule"] == fault.rule());
            alerts.sort_by_key(|alert| alert["raised_at"].as_str().map(str::to_owned));
            let Some(alert) = alerts.get(number) else {
                return Ok(None);
            };
            let order = text(alert, "/work_order/id")?.to_owned();
            Ok(Some((text(alert, "/id")?.to_owned(), order)))
        })
    }

    /// Waits until the machine is well again, as the box sees it.
    pub(super) fn cleared(&self, alert: &str) -> Result<()> {
        wait_for("an alert to be over", SOON, || {
            let alert = self.plant.here.get(&format!("/alerts/{alert}"))?;
            Ok(alert["cleared_at"].is_string().then_some(()))
        })
    }

    /// From one moment to the next nothing runs; a quarter of an hour later there is power again.
    pub(super) fn cut_power(&mut self) -> Result<()> {
        let at = self.now()?;
        self.plant.agent.kill9()?;
        let dark = i64::try_from(DARK.as_micros())?;
        self.run_ahead(Timestamp(at.0 + dark))
    }

    /// The hub was away all the time.
    pub(super) fn nothing_at_the_hub(&self) -> Result<()> {
        ensure!(self.plant.relay.is_cut());
        let status = self.plant.here.get("/status")?;
        ensure!(status["link"]["state"] == "offline", "{}", status["link"]);
        Ok(())
    }

    /// How late an alert may be: three polls, what a loaded machine takes, and the silence that is borne.
    pub(super) fn late_us_max(&self, fault: Fault) -> i64 {
        let borne = if fault == Fault::Fan { STALE_S } else { 0 };
        (3 * CELL_POLL_S + LOADED_S * i64::from(self.speed) + borne) * 1_000_000
    }

    /// From now on time runs as usual, for both.
    pub(super) fn hub_comes_back(&mut self) -> Result<()> {
        let at = self.now()?;
        self.plant.agent.stop()?;
        let library = clock::library()?;
        let hub = &mut self.plant.hub;
        hub.set_environment("LD_PRELOAD", &library.to_string_lossy());
        hub.set_environment("FAKETIME", &ahead(at)?);
        hub.set_environment("NO_FAKE_STAT", "1");
        hub.set_environment(REAL_TIMERS, "1");
        hub.start_again()?;
        self.plant.there = hub.api().sign_in(PAULA, "correct horse battery staple")?;
        self.clock_of_the_box(at, "")?;
        self.plant.agent.set_environment(REAL_TIMERS, "1");
        self.plant.relay.restore();
        self.ask_once_more()?;
        let started = time(&self.plant.here.get("/status")?, "/started_at")?;
        wait_for("the last poll of each sensor", SOON, || {
            let sensors = self.plant.here.list("/sensors")?;
            for sensor in &sensors {
                ensure!(time(sensor, "/time")? >= started, "nothing new of {sensor}");
            }
            Ok((!sensors.is_empty()).then_some(()))
        })?;
        self.plant.wait_until_in_sync()
    }

    /// Starts the box with one poll of each device and then none for a day: all can be at the hub.
    fn ask_once_more(&mut self) -> Result<()> {
        let file = self.plant.agent.config();
        let text = std::fs::read_to_string(&file).context("reading the configuration")?;
        let lines = text.lines().map(|line| match line.split_once(" = ") {
            Some(("poll", _)) => "poll = \"1d\"",
            Some(("commit_tick", _)) => "commit_tick = \"200ms\"",
            // Who is asked once a day may be silent longer.
            Some(("stale_after", _)) => "stale_after = \"2d\"",
            _ => line,
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        std::fs::write(&file, text).context("writing the configuration")?;
        self.plant.agent.start()
    }

    /// Stops both and looks into their files.
    pub(super) fn rest_and_compare(&mut self, keys: &[Uuid]) -> Result<Compared> {
        self.plant.agent.stop()?;
        self.plant.hub.stop()?;
        let here = readings::of_box(&self.plant.box_store())?;
        let there = readings::of_hub(&self.plant.hub_store(), self.plant.gateway)?;
        let mut compared = Compared {
            polls: 0,
            readings: 0,
            events: records::compare_events(&self.plant)?,
            recorded: Vec::new(),
        };
        for (name, group) in &here {
            let other = there.get(name).map(|group| &group.polls);
            let last = group.polls.keys().next_back().copied().unwrap_or(0);
            ensure!(
                u64::try_from(group.polls.len())? == last,
                "group {name:?} has holes"
            );
            for (number, poll) in &group.polls {
                let theirs = other.and_then(|polls| polls.get(number));
                ensure!(
                    theirs == Some(poll),
                    "poll {number} of {name:?}: {poll:?} here, {theirs:?} at the hub"
                );
                compared.polls += 1;
                compared.readings += poll.cells.len();
            }
        }
        let events = records::events(&self.plant.hub_store(), records::HUB_EVENTS)?;
        let events: BTreeSet<Uuid> = events.keys().map(|id| id.0).collect();
        for key in keys {
            ensure!(
                events.contains(key),
                "what was answered to a phone is gone: {key}"
            );
        }
        compared.recorded = self.failures(&here)?;
        Ok(compared)
    }

    /// When the recorded machine failed, found again in what was stored; and each stored value is one of
    /// the recording.
    fn failures(&self, groups: &readings::Groups) -> Result<Vec<Timestamp>> {
        let values = recorded()?;
        let sensor =
            |name: &str| SensorId::derive(self.plant.gateway, &format!("machine-1/{name}"));
        let names = [sensor("temperature"), sensor("row")];
        let mut polls: Vec<(Timestamp, f64, i64)> = Vec::new();
        for group in groups.values() {
            let columns: Vec<SensorId> = group.schema.columns.iter().map(|c| c.sensor).collect();
            let place = |name: &SensorId| columns.iter().position(|sensor| sensor == name);
            let [Some(value), Some(row)] = names.each_ref().map(place) else {
                continue;
            };
            // A poll that the machine was too slow for has no value and says so.
            polls.extend(group.polls.values().filter_map(|poll| {
                match (poll.cells.get(value), poll.cells.get(row)) {
                    (
                        Some(Cell::Value(Raw::Float(value), Quality::Good)),
                        Some(Cell::Value(Raw::Int(row), Quality::Good)),
                    ) => Some((poll.time, *value, *row)),
                    _ => None,
                }
            }));
        }
        polls.sort_by_key(|(at, ..)| *at);
        ensure!(
            polls.len() > 100,
            "only {} polls of the recorded machine",
            polls.len()
        );
        let (mut failures, mut active) = (Vec::new(), false);
        for (at, value, row) in polls {
            let recorded = values.get(usize::try_from(row)?).context("no such row")?;
            if (value - recorded).abs() > 1e-4 * recorded.abs() {
                bail!("row {row} is {value}, the recording has {recorded}");
            }
            if !active && value < LOW {
                failures.push(at);
            }
            active = value < LOW || active && value < NORMAL;
        }
        Ok(failures)
    }
}

/// How far this moment is ahead of the clock of this machine, as libfaketime reads it.
fn ahead(moment: Timestamp) -> Result<String> {
    Ok(format!("{:+}", (moment.0 - now()?.0) / 1_000_000))
}

fn from_environment<T: std::str::FromStr>(name: &str, usual: T) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(usual),
    }
}

/// The machines of the cell, each with its limit.
fn machines() -> String {
    let machines = [
        (
            Fault::Press,
            "press",
            "pressure",
            "high = 180.0\nseverity = \"critical\"",
            "leak",
        ),
        (
            Fault::Pump,
            "pump",
            "vibration",
            "high = 7.1\nseverity = \"high\"",
            "bearing",
        ),
        (
            Fault::Oven,
            "oven",
            "temperature",
            "low = 180.0\nseverity = \"medium\"",
            "burner",
        ),
    ];
    let machines = machines.map(|(fault, name, sensor, limit, mode)| {
            let (unit, ..) = fault.register();
            format!(
                "\n[[device]]\nname = \"{name}\"\nport = \"cell\"\nasset = \"{name}\"\nunit = {unit}\n\
                 poll = \"{CELL_POLL_S}s\"\n[[device.sensor]]\nname = \"{sensor}\"\naddress = \"hr:0\"\n\
                 type = \"u16\"\nscale = 0.1\n\n[[rule]]\nname = \"{rule}\"\nsensor = \"{name}/{sensor}\"\n{limit}\n\
                 deadband = 0.5\ntitle = \"{rule}\"\n[rule.work_order]\nfailure_mode = \"{mode}\"\nafter = \"5m\"\n",
                rule = fault.rule()
            )
        });
    machines.concat()
}
