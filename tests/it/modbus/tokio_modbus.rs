//! The field tools and the simulator against tokio-modbus, whose client and server we did not write:
//! TCP and RTU over TCP, both directions. Never our codec on both ends of the wire.

use anyhow::{Context as _, Result, ensure};
use harness::{Program, Scratch, in_scratch, places, ports, run_command};
use serde_json::Value;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::process::Command;
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::client::{Client as _, Context, Reader as _, Writer as _, rtu, tcp};
use tokio_modbus::server::{Service, rtu_over_tcp, tcp as tcp_server};
use tokio_modbus::{ExceptionCode, Request, Response, Slave, SlaveRequest};

/// The only unit of their server.
const UNIT: u8 = 9;
/// Registers and bits that it has.
const COUNT: u16 = 300;
/// A setpoint of the simulator: 40201.
const SETPOINT: u16 = 200;

#[test]
fn their_server_is_read() -> Result<()> {
    in_scratch("tokio-modbus-server", |scratch| {
        runtime()?.block_on(their_server(scratch))
    })
}

#[test]
fn their_client_reads_and_writes_the_simulator() -> Result<()> {
    in_scratch("tokio-modbus-client", |scratch| {
        runtime()?.block_on(their_client(scratch))
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?)
}

async fn their_server(scratch: &Scratch) -> Result<()> {
    let (plain, framed) = (listener().await?, listener().await?);
    let (plain_at, framed_at) = (plain.local_addr()?, framed.local_addr()?);
    tokio::spawn(async move {
        let accept = |stream, from| async move {
            tcp_server::accept_tcp_connection(stream, from, |_| Ok(Some(Formula)))
        };
        tcp_server::Server::new(plain).serve(&accept, drop).await
    });
    tokio::spawn(async move {
        let accept = |stream, from| async move {
            rtu_over_tcp::accept_tcp_connection(stream, from, |_| Ok(Some(Formula)))
        };
        rtu_over_tcp::Server::new(framed).serve(&accept, drop).await
    });
    for target in [
        format!("tcp://{plain_at}"),
        format!("rtu+tcp://{framed_at}"),
    ] {
        let folder = scratch.path().to_path_buf();
        let read = tokio::task::spawn_blocking(move || read(&target, &folder)).await??;
        let values: Vec<&Value> = read["points"]
            .as_array()
            .context("no points")?
            .iter()
            .map(|point| &point["value"])
            .collect();
        let right = [31, (37_i64 << 16) + 34, 7 * 299, 1, 0];
        ensure!(values == right, "{values:?}, not {right:?}");
    }
    measured("tokio-modbus' server read right to the bit over TCP and RTU over TCP");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
fn measured(words: &str) {
    println!("measured: {words}");
}

async fn listener() -> Result<TcpListener> {
    Ok(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?)
}

/// What `edge-agent read` says of five points.
fn read(target: &str, folder: &std::path::Path) -> Result<Value> {
    let mut command = Command::new(places::program("edge-agent")?);
    command.args(["read", target, "--unit", &UNIT.to_string(), "--json"]);
    command.args(["hr:10", "hr:2000:u16", "ir:299", "co:6", "di:7"]);
    // A register that is not there is refused; it is asked for below, by itself.
    let refused = run_command(command, folder, super::DEADLINE)?;
    ensure!(
        refused.code == Some(1),
        "{}{}",
        refused.stdout,
        refused.stderr
    );
    ensure!(refused.stderr.contains("exception 2"), "{}", refused.stderr);
    let mut command = Command::new(places::program("edge-agent")?);
    command.args(["read", target, "--unit", &UNIT.to_string(), "--json"]);
    command.args(["hr:10", "hr:11:u32:CDAB", "ir:299", "co:6", "di:7"]);
    let result = run_command(command, folder, super::DEADLINE)?;
    ensure!(result.code == Some(0), "{}{}", result.stdout, result.stderr);
    serde_json::from_str(&result.stdout).context("reading the answer")
}

async fn their_client(scratch: &Scratch) -> Result<()> {
    let (plain, framed) = (ports::free()?, ports::free()?);
    let mut command = Command::new(places::program("edge-agent")?);
    command.args(["simulate", "--listen", &plain.to_string()]);
    command.args(["--rtu-over-tcp", &framed.to_string()]);
    let mut simulator = Program::start("simulator", command, scratch.path())?;
    simulator.wait_until("the simulator", super::DEADLINE, || {
        let there = [plain, framed].map(|at| std::net::TcpStream::connect(at).is_ok());
        Ok((there == [true, true]).then_some(()))
    })?;
    let mut over_tcp = tcp::connect_slave(plain, Slave(1)).await?;
    exercise(&mut over_tcp, 1_234).await?;
    let stream = TcpStream::connect(framed).await?;
    exercise(&mut rtu::attach_slave(stream, Slave(1)), 4_321).await?;
    measured("tokio-modbus' client read, wrote and was refused over TCP and RTU over TCP");
    Ok(())
}

/// Reads the simulated pump, writes a setpoint and a coil, and sees refusals.
async fn exercise(client: &mut Context, setpoint: u16) -> Result<()> {
    // 40001 as f32 and 40101 a hundred times as much, a moment later: the pump has moved a little.
    let registers = client.read_holding_registers(0, 2).await??;
    let bits = match registers.as_slice() {
        [high, low] => (u32::from(*high) << 16) | u32::from(*low),
        _ => 0,
    };
    let registers = client.read_holding_registers(100, 1).await??;
    let hundredfold = registers.first().context("one register was asked for")?;
    let (float, integer) = (f32::from_bits(bits), f32::from(*hundredfold) / 100.0);
    ensure!(
        (float - integer).abs() < 2.0,
        "{float} and {integer} differ"
    );
    ensure!(float > 10.0, "a bearing at {float} degC");
    client.write_single_register(SETPOINT, setpoint).await??;
    client
        .write_multiple_coils(16, &[true, false, true])
        .await??;
    ensure!(client.read_holding_registers(SETPOINT, 1).await?? == [setpoint]);
    ensure!(client.read_coils(16, 3).await?? == [true, false, true]);
    let refused = client.read_input_registers(9_000, 1).await?;
    ensure!(
        refused == Err(ExceptionCode::IllegalDataAddress),
        "{refused:?}"
    );
    let call = Request::Custom(0x63, std::borrow::Cow::Borrowed(&[]));
    let refused = client.call(call).await?;
    ensure!(
        matches!(refused, Err(ExceptionCode::IllegalFunction)),
        "{refused:?}"
    );
    Ok(())
}

/// What their server serves: holding register i is i * 3 + 1, input register i * 7; of coils and
/// discrete inputs the even ones are set.
struct Formula;

impl Service for Formula {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Option<Response>, ExceptionCode>>;

    fn call(&self, asked: SlaveRequest<'static>) -> Self::Future {
        if asked.slave != UNIT {
            return ready(Ok(None));
        }
        let range = |start: u16, count: u16| {
            let end = start.checked_add(count).filter(|end| *end <= COUNT);
            end.map(|end| start..end)
                .ok_or(ExceptionCode::IllegalDataAddress)
        };
        let bits = |start, count| range(start, count).map(|at| at.map(|i| i % 2 == 0).collect());
        ready(
            match asked.request {
                Request::ReadHoldingRegisters(start, count) => range(start, count)
                    .map(|at| Response::ReadHoldingRegisters(at.map(|i| i * 3 + 1).collect())),
                Request::ReadInputRegisters(start, count) => range(start, count)
                    .map(|at| Response::ReadInputRegisters(at.map(|i| i * 7).collect())),
                Request::ReadCoils(start, count) => bits(start, count).map(Response::ReadCoils),
                Request::ReadDiscreteInputs(start, count) => {
                    bits(start, count).map(Response::ReadDiscreteInputs)
                }
                _ => Err(ExceptionCode::IllegalFunction),
            }
            .map(Some),
        )
    }
}
