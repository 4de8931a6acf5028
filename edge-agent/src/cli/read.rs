//! `read`: a few values of a device by hand, to find out its addresses and byte order before
//! anything is configured. Never writes to a device.

use super::table::{many, table};
use super::{Output, block_on};
use crate::config::parse_duration;
use crate::drivers::modbus::config::TIMEOUT_DEFAULT;
use crate::drivers::modbus::data_type::Order;
use crate::drivers::modbus::read::{ReadAnswer, ReadPoint, ReadValue, ReadWord, read_once};
use anyhow::{Context as _, bail};
use clap::Args;
use std::time::Duration;

/// What a target can be.
pub(super) const TARGET_HELP: &str = "Where the device is: tcp://HOST:PORT, rtu+tcp://HOST:PORT, \
    ascii+tcp://HOST:PORT, tls://HOST?ca_file=FILE, /dev/ttyUSB0, \
    serial:///dev/ttyUSB0?baud=9600&parity=N, ascii:///dev/ttyUSB0?baud=9600";

#[derive(Debug, Args)]
#[command(
    after_help = "Shows each value in all four byte orders, and its registers as numbers: the right order is the one \
    that makes sense.\n\n\
    Example:\n  edge-agent read tcp://10.0.0.5 --unit 3 40001:f32 hr:10 10001\n  \
    edge-agent read 'serial:///dev/ttyUSB0?baud=9600&parity=N' --unit 7 30001:f32:CDAB"
)]
pub(super) struct Read {
    #[arg(value_name = "TARGET", help = TARGET_HELP)]
    target: String,
    /// What to read: ADDRESS[:TYPE[:ORDER]], for example 40001:f32:CDAB, hr:0, 10001.
    #[arg(value_name = "POINT", required = true)]
    points: Vec<String>,
    /// Number of the unit.
    #[arg(long, value_name = "N", default_value_t = 1)]
    unit: u8,
    /// Longest wait for an answer, for example 500ms.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write for example 500ms or 2s".to_owned())
}

impl Read {
    pub(super) fn run(self, output: Output) -> anyhow::Result<()> {
        let timeout = self.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let read = async { Ok(read_once(&self.target, self.unit, &self.points, timeout).await?) };
        let answer = block_on(read)?;
        let json = serde_json::to_value(&answer).context("writing the answer as JSON")?;
        output.answer(&json, &words(&answer))?;
        let refused: Vec<String> = answer
            .points
            .iter()
            .filter_map(|point| Some(format!("\n{}: {}", point.point, point.error.as_ref()?)))
            .collect();
        if !refused.is_empty() {
            bail!(
                "unit {} refused {}:{}",
                answer.unit,
                many(refused.len(), "point"),
                refused.concat()
            );
        }
        Ok(())
    }
}

fn words(answer: &ReadAnswer) -> String {
    let mut head = vec!["POINT", "ADDRESS", "TYPE"];
    head.extend(["ABCD", "CDAB", "BADC", "DCBA"]);
    head.extend(["HEX", "UINT16", "INT16", "MS"]);
    let rows: Vec<_> = answer.points.iter().map(row).collect();
    format!(
        "{} unit {}; * is the byte order asked for\n{}",
        answer.endpoint,
        answer.unit,
        table(&head, &rows)
    )
}

fn row(point: &ReadPoint) -> Vec<String> {
    let mut cells = vec![
        point.point.clone(),
        point.address.clone(),
        point.kind.clone(),
    ];
    for order in Order::ALL {
        let found = point.orders.iter().find(|value| value.order == order);
        let mark = if order == point.order { "*" } else { "" };
        let value = found.map(|found| format!("{}{mark}", shown(found.value.clone(), &point.kind)));
        cells.push(value.unwrap_or_else(|| "-".to_owned()));
    }
    let joined = |shown: &dyn Fn(&ReadWord) -> String| {
        let words: Vec<String> = point.words.iter().map(shown).collect();
        words.join(" ")
    };
    cells.push(joined(&|word| word.hex.clone()));
    cells.push(joined(&|word| word.u16.to_string()));
    cells.push(joined(&|word| word.i16.to_string()));
    cells.push(format!("{:.1}", point.milliseconds));
    cells
}

/// An f32 with the digits that it has, not with those of the f64 that carries it.
fn shown(value: ReadValue, kind: &str) -> ReadValue {
    match value {
        ReadValue::Float(float) if kind == "f32" || kind == "f16" => {
            ReadValue::Float(format!("{float:.6e}").parse().unwrap_or(float))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_f32_has_seven_digits_and_no_more() {
        let show = |value, kind| shown(ReadValue::Float(value), kind).to_string();
        assert_eq!(show(f64::from(60.62_f32), "f32"), "60.62");
        assert_eq!(show(60.618_965_148_925_78, "f64"), "60.61896514892578");
        assert_eq!(show(1.364_662_514_171_085_2e35, "f32"), "1.364663e35");
        assert_eq!(show(f64::NAN, "f32"), "NaN");
    }
}
