//! `probe`: how fast and in how large pieces a unit can be asked, and the lines of the configuration
//! that follow. Never writes to a device.

use super::progress::Progress;
use super::read::{TARGET_HELP, duration};
use super::{Output, block_on};
use crate::drivers::modbus::address::Address;
use crate::drivers::modbus::field::probe::{BlockEnd, Probed, probe};
use crate::drivers::modbus::link::Target;
use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(
    after_help = "Asks about 60 times, one request after the other. Run it while nothing else asks that port.\n\n\
    Example:\n  edge-agent probe tcp://10.0.0.5 --unit 3 --from 40001\n  \
    edge-agent probe 'serial:///dev/ttyUSB0?baud=9600&parity=N' --unit 7 --from 30001"
)]
pub(super) struct Probe {
    #[arg(value_name = "TARGET", help = TARGET_HELP)]
    target: String,
    /// Number of the unit.
    #[arg(long, value_name = "N", default_value_t = 1)]
    unit: u8,
    /// A register that there is; blocks begin there.
    #[arg(long, value_name = "ADDRESS", default_value = "hr:0")]
    from: String,
    /// Longest wait for an answer while probing.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    timeout: Duration,
}

impl Probe {
    pub(super) fn run(self, output: Output) -> anyhow::Result<()> {
        let address = Address::parse(&self.from, None).context("reading --from")?;
        let settings = Target::parse(&self.target)?.link.with_timeout(self.timeout);
        let place = settings.place().to_string();
        let probed = block_on(async {
            let mut progress = Progress::new();
            let mut show = |doing: &str| progress.show(doing);
            Ok(probe(&settings, self.unit, address, &mut show).await?)
        })?;
        let mut json = serde_json::to_value(&probed).context("writing the answer as JSON")?;
        if let Some(fields) = json.as_object_mut() {
            fields.insert("endpoint".to_owned(), json!(place));
        }
        output.answer(&json, &words(&place, &probed, address.table.is_bits()))
    }
}

fn words(place: &str, probed: &Probed, bits: bool) -> String {
    let mut text = vec![format!(
        "{place} unit {}, from {}",
        probed.unit, probed.from
    )];
    text.push(String::new());
    let turnaround = match &probed.turnaround {
        Some(times) => format!(
            "{:.1} ms (shortest {:.1}, longest {:.1}; {} questions, {} failed)",
            times.median_ms,
            times.min_ms,
            times.max_ms,
            times.samples + usize::try_from(probed.failed).unwrap_or(0),
            probed.failed
        ),
        None => "not once".to_owned(),
    };
    let cells = if bits { "bits" } else { "registers" };
    let why = match probed.block_ended {
        BlockEnd::Protocol => "all that Modbus allows",
        BlockEnd::Device => "the device gives no more at once",
        BlockEnd::Registers => "its registers end there, so it may give more elsewhere",
    };
    let gap = match probed.gap_ms {
        Some(0) => "none needed".to_owned(),
        Some(gap) => format!("{gap} ms"),
        None => "not even 200 ms were enough".to_owned(),
    };
    let lines = [
        ("Answers after", turnaround),
        ("Largest block", format!("{} {cells}: {why}", probed.block)),
        ("Pause between requests", gap),
    ];
    for (name, value) in lines {
        text.push(format!("{name:24}{value}"));
    }
    for (place, lines) in [
        ("[[port]]", &probed.advice.port),
        ("[[device]]", &probed.advice.device),
    ] {
        if !lines.is_empty() {
            text.push(format!("\nFor its {place}:\n{}", lines.join("\n")));
        }
    }
    text.join("\n")
}
