//! A third-party instrument that speaks by itself: the GNSS simulator nmeasim on a serial line. Never our
//! own code on both ends of the wire.

use crate::{Program, Scratch, places};
use anyhow::Result;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The running device.
#[derive(Debug)]
pub struct NmeaDevice {
    program: Program,
}

impl NmeaDevice {
    /// Starts it on the serial line `path`; see `peers/nmea_device.py` for what it sends.
    pub fn start(scratch: &Scratch, path: &Path, baud: u32) -> Result<Self> {
        let mut command = Command::new(places::python()?);
        command
            .arg(places::repository().join("tests/harness/peers/nmea_device.py"))
            .arg("--path")
            .arg(path)
            .args(["--baud", &baud.to_string()]);
        let mut program = Program::start("nmeasim", command, scratch.path())?;
        let output = scratch.file("nmeasim.out");
        program.wait_until("nmeasim to send", Duration::from_secs(30), || {
            let text = std::fs::read_to_string(&output)?;
            Ok(text.contains("ready").then_some(()))
        })?;
        Ok(Self { program })
    }

    /// Ends it: nothing more is sent.
    pub fn kill9(&mut self) -> Result<()> {
        self.program.kill9()
    }
}
