//! `capture` on a line where others talk: it tells what is said, and says nothing itself. The
//! conversation is written down byte by byte here, not made by our own codec.

use anyhow::{Context as _, Result, ensure};
use harness::pty::Pty;
use harness::{Program, in_scratch, places, wait_for};
use std::process::Command;
use std::time::Duration;

/// Longest wait for anything that should come soon; generous, for loaded machines.
const DEADLINE: Duration = Duration::from_secs(60);
/// Unit 17 is asked for registers 107 to 109 (the example of the Modbus specification, 6.3, as RTU).
const REQUEST: [u8; 8] = [0x11, 0x03, 0x00, 0x6B, 0x00, 0x03, 0x76, 0x87];
/// Its answer: 555, 0, 100.
const ANSWER: [u8; 11] = [
    0x11, 0x03, 0x06, 0x02, 0x2B, 0x00, 0x00, 0x00, 0x64, 0xC8, 0xBA,
];

#[test]
fn a_line_is_listened_to_without_a_byte_being_sent() -> Result<()> {
    in_scratch("overheard", |scratch| {
        let line = Pty::open()?;
        let mut command = Command::new(places::program("edge-agent")?);
        command
            .args(["capture", "--for", "10m", "--json"])
            .arg(line.path());
        let program = Program::start("capture", command, scratch.path())?;
        let mut sent = Vec::new();
        // Spoken again until it is heard: nobody tells when the program has opened the line.
        for (frame, words) in [
            (&REQUEST[..], "read 3 holding registers from 40108 (hr:107)"),
            (&ANSWER, "555 0 100"),
        ] {
            wait_for("a frame to be told", DEADLINE, || {
                line.write(frame)?;
                sent.extend(line.read(Duration::from_millis(300))?);
                let told = lines(&program)?;
                let heard = told.iter().any(|line| line["frames"][0]["words"] == words);
                ensure!(heard, "{words} is not in {told:?}");
                Ok(Some(()))
            })?;
        }
        ensure!(sent.is_empty(), "it sent {sent:02x?}");
        Ok(())
    })
}

fn lines(program: &Program) -> Result<Vec<serde_json::Value>> {
    let output = program.output()?;
    let lines = output.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .context("a line that is no JSON")
}
