//! `map`: which registers of a unit there are, and what they hold. Never writes to a device.

use super::progress::Progress;
use super::read::{TARGET_HELP, duration};
use super::{Output, block_on};
use crate::drivers::modbus::address::{Address, Table};
use crate::drivers::modbus::config::TIMEOUT_DEFAULT;
use crate::drivers::modbus::field::map::{Mapper, Range, State};
use crate::drivers::modbus::field::read;
use crate::drivers::modbus::link::{Link, Target};
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use std::time::Duration;

/// Values on one line.
const VALUES_PER_LINE: usize = 8;

#[derive(Debug, Args)]
#[command(
    after_help = "Blocks that the unit refuses are halved until each register is known; every register is asked \
    for only a few times.\n\n\
    Example:\n  edge-agent map tcp://10.0.0.5 --unit 3 0-500\n  \
    edge-agent map 'serial:///dev/ttyUSB0?baud=9600&parity=N' --unit 7 30001-30100"
)]
pub(super) struct Map {
    #[arg(value_name = "TARGET", help = TARGET_HELP)]
    target: String,
    /// First and last register: 0-500 (counted from 0), 40001-40100, ir:0-99.
    #[arg(value_name = "RANGE")]
    range: String,
    /// Number of the unit.
    #[arg(long, value_name = "N", default_value_t = 1)]
    unit: u8,
    /// Table of a range that names none: holding, input, coil, discrete.
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// Longest wait for an answer.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Only the ranges, without the values.
    #[arg(long)]
    ranges: bool,
}

/// The ends of a range and their table.
fn ends(range: &str, table: Option<Table>) -> anyhow::Result<(Table, u16, u16)> {
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    let place = |text: &str, table: Option<Table>| {
        Address::parse(text, table).or_else(|error| match table {
            None => Address::parse(text, Some(Table::Holding)),
            Some(_) => Err(error),
        })
    };
    let from = place(from, table).with_context(|| format!("reading the range {range}"))?;
    let to = place(to, Some(from.table)).with_context(|| format!("reading the range {range}"))?;
    if to.offset < from.offset {
        bail!("the range {range} ends before it begins; write the smaller address first");
    }
    Ok((from.table, from.offset, to.offset))
}

impl Map {
    pub(super) fn run(self, output: Output) -> anyhow::Result<()> {
        let table = self.table.as_deref().map(str::parse).transpose()?;
        let (table, from, to) = ends(&self.range, table)?;
        let timeout = self.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let settings = Target::parse(&self.target)?.link.with_timeout(timeout);
        let place = settings.place().to_string();
        let mapper = block_on(async {
            let mut link = Link::new(settings);
            let mut mapper = Mapper::new(table, from, to);
            let mut progress = Progress::new();
            while let Some(span) = mapper.next_span() {
                let (asked, known, total) = mapper.progress();
                progress.show(&format!("{known} of {total} known, {asked} requests"));
                let said = read(&mut link, self.unit, (table, span), 1)
                    .await
                    .map_err(|error| {
                        let remedy = error.remedy();
                        anyhow::Error::new(error).context(format!("nothing was read; {remedy}"))
                    })?;
                mapper.took(span, said);
            }
            Ok(mapper)
        })?;
        let ranges = mapper.ranges();
        let (asked, ..) = mapper.progress();
        let json = json!({
            "endpoint": place,
            "unit": self.unit,
            "table": table,
            "requests": asked,
            "ended": mapper.ended(),
            "block_limit": mapper.block_limit(),
            "ranges": ranges,
        });
        let head = format!("{place} unit {}: {table}s, {asked} requests", self.unit);
        let shown: String = ranges
            .iter()
            .map(|range| self.shown(table, range))
            .collect();
        let limit = mapper.block_limit().map_or_else(String::new, |limit| {
            format!("\nThe device gives at most {limit} at once; for its [[device]]: max_regs = {limit}\n")
        });
        output.answer(&json, &format!("{head}\n\n{shown}{limit}"))?;
        match mapper.ended() {
            Some(why) => bail!("{why}; what is above was found before"),
            None => Ok(()),
        }
    }

    fn shown(&self, table: Table, range: &Range) -> String {
        let address = |offset| Address { table, offset };
        let count = u32::from(range.to) - u32::from(range.from) + 1;
        let place = if count == 1 {
            address(range.from).to_string()
        } else {
            format!("{} to {}", address(range.from), address(range.to))
        };
        match &range.state {
            State::Invalid { words, exception } => {
                format!("invalid  {place}: {count}, {words} ({exception})\n")
            }
            State::Unanswered { words } => format!("no answer {place}: {count}, {words}\n"),
            State::Valid { values } => {
                let mut text = format!("valid    {place}: {count}\n");
                if !self.ranges {
                    let lines = values.chunks(VALUES_PER_LINE);
                    for (line, at) in lines.zip((range.from..=u16::MAX).step_by(VALUES_PER_LINE)) {
                        text.push_str(&line_of(table, at, line));
                    }
                }
                text
            }
        }
    }
}

/// `  hr:8    500  17  0`
fn line_of(table: Table, from: u16, values: &[u16]) -> String {
    let width = if table.is_bits() { 2 } else { 6 };
    let cells: Vec<String> = values
        .iter()
        .map(|value| format!("{value:>width$}"))
        .collect();
    let from = format!("{}:{from}", table.prefix());
    format!("  {from:9}{}\n", cells.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_people_write_them() {
        let ends = |text: &str| ends(text, None).ok();
        assert_eq!(ends("0-500"), Some((Table::Holding, 0, 500)));
        assert_eq!(ends("40001-40100"), Some((Table::Holding, 0, 99)));
        assert_eq!(ends("30001-30010"), Some((Table::Input, 0, 9)));
        assert_eq!(ends("ir:5-9"), Some((Table::Input, 5, 9)));
        assert_eq!(ends("hr:7"), Some((Table::Holding, 7, 7)));
        for text in ["9-5", "a-b", "40001-30001", ""] {
            assert_eq!(ends(text), None, "{text}");
        }
        let table = super::ends("0-9", Some(Table::Coil)).unwrap();
        assert_eq!(table, (Table::Coil, 0, 9));
    }

    #[test]
    fn values_stand_in_columns_under_their_address() {
        assert_eq!(
            line_of(Table::Holding, 8, &[500, 17, 65_535]),
            "  hr:8        500    17 65535\n"
        );
        assert_eq!(line_of(Table::Coil, 0, &[1, 0]), "  co:0      1 0\n");
    }
}
