//! `scan serial` on a line where what comes is damaged: it says that somebody is there and cannot be read,
//! which is another finding than nobody. libmodbus answers, behind a line that turns bits.

use anyhow::{Context as _, Result, ensure};
use harness::paced_pty::{Faults, Pace};
use harness::{Libmodbus, PacedPty, in_scratch, places, run_command};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const UNIT: &str = "9";
const PACE: Pace = Pace {
    baud: 19_200,
    bits: 10,
};

#[test]
fn a_scan_tells_a_damaged_line_from_a_silent_one() -> Result<()> {
    in_scratch("modbus-noisy-scan", |scratch| {
        let line = PacedPty::start(PACE)?;
        let _server = Libmodbus::rtu(scratch, line.far(), (PACE.baud, 'N'), 9, 200)?;
        let scan = |unit: &str| -> Result<(Option<i32>, Value)> {
            let mut command = Command::new(places::program("edge-agent")?);
            command
                .args([
                    "scan", "serial", "--baud", "19200", "--parity", "N", "--json",
                ])
                .args(["--units", unit, "--timeout", "500ms"])
                .arg(line.near());
            let result = run_command(command, scratch.path(), DEADLINE)?;
            let json = serde_json::from_str(&result.stdout).context(result.stderr)?;
            Ok((result.code, json))
        };
        line.set_faults(Faults {
            damaged_every: 1,
            ..Faults::default()
        });
        let (code, said) = scan(UNIT)?;
        let hint = said["hints"][0].as_str().unwrap_or_default();
        ensure!(code == Some(1) && said["rubbish"][0]["unit"] == 9, "{said}");
        ensure!(
            hint.contains("Unit 9: something came with 19200 8N1") && hint.contains("parity"),
            "{said}"
        );
        let (code, said) = scan("8")?;
        let hint = said["hints"][0].as_str().unwrap_or_default();
        ensure!(
            code == Some(1) && hint.contains("Nobody answered"),
            "{said}"
        );
        // Noise before an answer is no reason not to read it.
        line.set_faults(Faults {
            noise_every: 1,
            ..Faults::default()
        });
        let (code, said) = scan(UNIT)?;
        ensure!(code == Some(0) && said["found"][0]["unit"] == 9, "{said}");
        Ok(())
    })
}
