//! Devices that are wrong, dead, silent or mad: their person reads which and what to do, and the
//! healthy ones are read on.

use super::{HEALTHY, Plan, VALUE, case, device_says, goes_on, is_bad, peer, prepare, refuses};
use anyhow::{Result, ensure};
use harness::{Agent, BadServer, Fault, ModbusPeer, PeerOptions, ports, wait_for};
use std::time::{Duration, Instant};

#[test]
fn a_wrong_register_address_costs_only_its_own_sensor() -> Result<()> {
    case("wrong-address", |scratch| {
        let peer = peer(scratch)?;
        let web = ports::free()?;
        let sensors = [
            VALUE,
            ("tenths", "hr:2", "i16"),
            ("wrong", "hr:9", "u16"),
            ("row", "hr:3", "u32"),
        ];
        let plan = Plan::new(web)
            .port("line", peer.address())
            .device("pump", "line", 1, &sensors);
        let mut agent = Agent::prepare(scratch, "box", web, |_| plan.text)?;
        let check = agent.cli(&["check"])?;
        let requests = check["ports"][0]["requests"].as_array().map(Vec::len);
        ensure!(requests == Some(1), "they are not read together: {check}");
        agent.start()?;
        let endpoint = peer.address().to_string();
        let parts = [
            "Sensor \"wrong\" at 40010",
            &endpoint,
            "Modbus exception 2",
            "check the address and the table in the device's manual",
            "The other sensors are still read.",
        ];
        let words = device_says(&agent.api(), "pump", "error", &parts)?;
        for healthy in ["\"value\"", "\"tenths\"", "\"row\""] {
            ensure!(!words.contains(healthy), "a healthy one is blamed: {words}");
        }
        is_bad(
            &agent.api(),
            "pump/wrong",
            "the device does not have this register",
        )?;
        for healthy in ["pump/value", "pump/tenths", "pump/row"] {
            goes_on(&agent.api(), healthy)?;
        }
        agent.stop()
    })
}

#[test]
fn a_dead_unit_does_not_take_its_neighbours_time() -> Result<()> {
    case("dead-unit", |scratch| {
        let peer = ModbusPeer::start(
            scratch,
            PeerOptions {
                silent_units: vec![2],
                start_again: true,
                ..PeerOptions::default()
            },
        )?;
        let mut agent = prepare(scratch, "box", &peer, |plan| {
            plan.device("dead", "line", 2, &[VALUE])
                .device("absent", "line", 3, &[VALUE])
        })?;
        agent.start()?;
        let api = agent.api();
        let endpoint = peer.address().to_string();
        let silent = format!("unit 2 at {endpoint} does not answer within 300 ms");
        let parts = [silent.as_str(), "check its address switch and wiring"];
        device_says(&api, "dead", "silent", &parts)?;
        let absent = format!("unit 3 at {endpoint} refuses");
        let parts = [absent.as_str(), "the unit behind it does not answer"];
        device_says(&api, "absent", "silent", &parts)?;
        device_says(&api, "healthy", "ok", &["It answers."])?;
        is_bad(&api, "dead/value", "the device does not answer")?;
        goes_on(&api, HEALTHY)?;
        keeps_its_rhythm(&peer)?;
        agent.stop()
    })
}

/// Unit 1 is asked five times a second; when every silent neighbour were asked in between, it
/// would be less than three times.
fn keeps_its_rhythm(peer: &ModbusPeer) -> Result<()> {
    const POLLS: usize = 40;
    let polls = || Ok::<_, anyhow::Error>(peer.served()?.iter().filter(|at| at.unit == 1).count());
    let (before, started) = (polls()?, Instant::now());
    wait_for("forty polls of the neighbour", super::DEADLINE, || {
        Ok((polls()? >= before + POLLS).then_some(()))
    })?;
    let took = started.elapsed();
    ensure!(took < Duration::from_secs(12), "forty polls took {took:?}");
    Ok(())
}

#[test]
fn a_server_that_never_answers_is_named() -> Result<()> {
    case("silent-server", |scratch| {
        let (peer, silent) = (peer(scratch)?, BadServer::start(Fault::Silent)?);
        let mut agent = prepare(scratch, "box", &peer, |plan| {
            plan.port("other", silent.address())
                .device("mute", "other", 1, &[VALUE])
        })?;
        agent.start()?;
        let api = agent.api();
        let words = format!(
            "unit 1 at {} does not answer within 300 ms",
            silent.address()
        );
        let parts = [words.as_str(), "check its address switch and wiring"];
        device_says(&api, "mute", "silent", &parts)?;
        goes_on(&api, HEALTHY)?;
        is_bad(&api, "mute/value", "the device does not answer")?;
        // The same words by hand.
        let target = format!("tcp://{}", silent.address());
        let args = ["read", &target, "40001", "--timeout", "300ms"];
        refuses(&agent, &args, &parts)?;
        agent.stop()
    })
}

#[test]
fn a_server_that_sends_something_else_is_named() -> Result<()> {
    case("garbage", |scratch| {
        let peer = peer(scratch)?;
        let garbage = BadServer::start(Fault::Garbage)?;
        let foreign = BadServer::start(Fault::WrongTransaction)?;
        let half = BadServer::start(Fault::HalfFrame)?;
        let closes = BadServer::start(Fault::Closes)?;
        let nobody = ports::free()?;
        let others = [
            ("garbage", garbage.address()),
            ("foreign", foreign.address()),
            ("half", half.address()),
            ("closes", closes.address()),
            ("nobody", nobody),
        ];
        let mut agent = prepare(scratch, "box", &peer, |mut plan| {
            for (name, address) in others {
                plan = plan.port(name, address).device(name, name, 1, &[VALUE]);
            }
            plan
        })?;
        agent.start()?;
        let api = agent.api();
        let says = |name: &str, state: &str, words: &str| {
            let address = others.iter().find(|(other, _)| *other == name);
            let address = address.map(|(_, address)| address.to_string());
            device_says(&api, name, state, &[words, &address.unwrap_or_default()])
        };
        let modbus = "check that the port speaks Modbus TCP";
        for name in ["garbage", "foreign", "half"] {
            says(name, "error", "sent something that is not the answer")?;
            says(name, "error", modbus)?;
        }
        says(
            "closes",
            "silent",
            "closed the connection when unit 1 was asked",
        )?;
        says("nobody", "silent", "no connection to")?;
        says(
            "nobody",
            "silent",
            "check that the device is on, the network cable",
        )?;
        for name in ["garbage", "foreign", "half"] {
            let path = format!("{name}/value");
            is_bad(&api, &path, "the answer could not be understood")?;
        }
        for name in ["closes", "nobody"] {
            is_bad(
                &api,
                &format!("{name}/value"),
                "no connection to the device",
            )?;
        }
        goes_on(&api, HEALTHY)?;
        ensure!(
            garbage.requests() > 0 && half.requests() > 0,
            "nobody asked"
        );
        agent.stop()
    })
}
