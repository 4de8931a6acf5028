//! libmodbus, the C library, as a server of its own: Modbus TCP and RTU. What it serves stands in
//! `peers/libmodbus_server.c`. Never our own code on both ends of the wire.

use crate::{Program, Scratch, places, ports};
use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The running server.
#[derive(Debug)]
pub struct Libmodbus {
    program: Program,
    address: SocketAddr,
}

impl Libmodbus {
    /// Over TCP on a free port, as any unit, with that many registers and bits that never change.
    pub fn tcp(scratch: &Scratch, registers: u16) -> Result<Self> {
        let address = ports::free()?;
        let arguments = [address.port().to_string(), registers.to_string()];
        Self::start(scratch, ("tcp", address), &arguments)
    }

    /// The same with holding registers that move like a plant.
    pub fn moving(scratch: &Scratch, registers: u16) -> Result<Self> {
        let address = ports::free()?;
        let arguments = [
            address.port().to_string(),
            registers.to_string(),
            "moving".into(),
        ];
        Self::start(scratch, ("tcp", address), &arguments)
    }

    /// RTU on the serial line `path` (8 data bits, 1 stop bit), as `unit`.
    pub fn rtu(
        scratch: &Scratch,
        path: &Path,
        (baud, parity): (u32, char),
        unit: u8,
        registers: u16,
    ) -> Result<Self> {
        let arguments = [
            path.display().to_string(),
            baud.to_string(),
            parity.to_string(),
            unit.to_string(),
            registers.to_string(),
        ];
        // The port is only a number that no other server of this test has.
        Self::start(scratch, ("rtu", ports::free()?), &arguments)
    }

    fn start(
        scratch: &Scratch,
        (form, address): (&str, SocketAddr),
        arguments: &[String],
    ) -> Result<Self> {
        let mut command = Command::new(places::peer("libmodbus_server")?);
        command.arg(form).args(arguments);
        let name = format!("libmodbus-{form}-{}", address.port());
        let mut program = Program::start(&name, command, scratch.path())?;
        let output = scratch.file(&format!("{name}.out"));
        program.wait_until("libmodbus to listen", Duration::from_secs(10), || {
            let text = std::fs::read_to_string(&output)?;
            Ok(text.contains("ready").then_some(()))
        })?;
        Ok(Self { program, address })
    }

    /// Where it listens, when it serves TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it: connections are closed, new ones refused.
    pub fn kill9(&mut self) -> Result<()> {
        self.program.kill9()
    }
}
