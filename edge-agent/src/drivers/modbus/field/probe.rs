//! How fast and in how large pieces a unit can be asked, and what to write into the configuration for
//! it. What is measured and what follows from it are values; only `probe` itself asks. Never writes
//! to a device, never asks faster than one request after the other.

use super::{Said, read};
use crate::drivers::bus::{Captured, Direction};
use crate::drivers::modbus::address::{Address, Table};
use crate::drivers::modbus::link::{Link, LinkSettings, RequestError};
use crate::drivers::modbus::pdu::Span;
use serde::Serialize;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;

/// Questions that the turnaround is taken from.
const SAMPLES: u32 = 30;
/// Questions that a gap has to stand.
const GAP_SAMPLES: u32 = 10;
/// Gaps that are tried, in milliseconds.
const GAPS_MS: [u64; 8] = [0, 2, 5, 10, 20, 50, 100, 200];
/// A suggested time-out is never shorter.
const TIMEOUT_MIN_MS: f64 = 100.0;
/// A suggested time-out is so many times the longest turnaround.
const TIMEOUT_FACTOR: f64 = 3.0;
/// Blocks that the planner makes when nothing limits it; a device that gives them needs no limit.
const USUAL_REGISTERS: u16 = 120;

/// Times from the end of a request to the first byte of its answer, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Turnaround {
    /// Shortest.
    pub min_ms: f64,
    /// Half of them are shorter.
    pub median_ms: f64,
    /// Longest.
    pub max_ms: f64,
    /// How many.
    pub samples: usize,
}

impl Turnaround {
    /// `None` without any.
    pub fn of(times: &[Duration]) -> Option<Self> {
        let mut ms: Vec<f64> = times
            .iter()
            .map(|time| time.as_secs_f64() * 1_000.0)
            .collect();
        ms.sort_by(f64::total_cmp);
        Some(Self {
            min_ms: *ms.first()?,
            median_ms: *ms.get(ms.len() / 2)?,
            max_ms: *ms.last()?,
            samples: ms.len(),
        })
    }
}

/// What a unit stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Probed {
    /// The unit.
    pub unit: u8,
    /// The first register that was read.
    pub from: String,
    /// How fast it answers.
    pub turnaround: Option<Turnaround>,
    /// Requests without a good answer while the turnaround was taken.
    pub failed: u32,
    /// Most registers or bits that it gave at once.
    pub block: u16,
    /// What ended the block.
    pub block_ended: BlockEnd,
    /// Shortest pause between two requests that it stood; `None`: none of those tried.
    pub gap_ms: Option<u64>,
    /// What to write into the configuration.
    pub advice: Advice,
}

/// Why a block could not be longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockEnd {
    /// Modbus allows no more.
    Protocol,
    /// The next register can be read, but not together with those.
    Device,
    /// There is no next register.
    Registers,
}

/// Lines for the configuration; those that the usual values already cover are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// For the `[[port]]`.
    pub port: Vec<String>,
    /// For the `[[device]]`.
    pub device: Vec<String>,
}

/// Finds the largest block by halving. Pure.
#[derive(Clone, Copy, Debug)]
pub struct BlockSearch {
    /// Known to work.
    good: u16,
    /// Known not to work; one more than the most that Modbus allows to begin with.
    bad: u16,
    first: bool,
}

impl BlockSearch {
    /// From a register that can be read, at `offset`.
    pub fn new(table: Table, offset: u16) -> Self {
        let most = if table.is_bits() { 2_000 } else { 125 };
        let left = u32::from(u16::MAX - offset) + 1;
        let most = u16::try_from(left).map_or(most, |left| left.min(most));
        Self {
            good: 1,
            bad: most + 1,
            first: true,
        }
    }

    /// What length to try; `None` when it is known.
    pub const fn next_length(&self) -> Option<u16> {
        if self.bad - self.good <= 1 {
            return None;
        }
        // Most devices give all: that one question settles it.
        Some(if self.first {
            self.bad - 1
        } else {
            self.good + (self.bad - self.good) / 2
        })
    }

    /// Whether that length was given.
    pub const fn took(&mut self, length: u16, given: bool) {
        self.first = false;
        if given {
            self.good = length;
        } else {
            self.bad = length;
        }
    }

    /// The largest that was given.
    pub const fn largest(&self) -> u16 {
        self.good
    }
}

/// Asks a unit from `address` on. `progress` is told what is being done.
///
/// # Errors
/// When the port cannot be used; when `address` cannot be read the words say so.
pub async fn probe(
    settings: &LinkSettings,
    unit: u8,
    address: Address,
    progress: &mut dyn FnMut(&str),
) -> Result<Probed, ProbeError> {
    let mut link = Link::new(settings.clone());
    let table = address.table;
    let one = Span {
        start: address.offset,
        count: 1,
    };
    progress("looking for the register");
    match read(&mut link, unit, (table, one), 1).await? {
        Said::Words(_) => {}
        other => return Err(ProbeError::first(address, &other)),
    }
    progress("measuring how fast it answers");
    let (times, failed) = turnaround(&mut link, settings, unit, (table, one)).await?;
    progress("looking for the largest block");
    let mut search = BlockSearch::new(table, one.start);
    let most = search.bad - 1;
    while let Some(count) = search.next_length() {
        let span = Span { count, ..one };
        let given = matches!(
            read(&mut link, unit, (table, span), 1).await?,
            Said::Words(_)
        );
        search.took(count, given);
    }
    let block = search.largest();
    let block_ended = if block == most {
        BlockEnd::Protocol
    } else {
        let next = Span {
            start: one.start.saturating_add(block),
            count: 1,
        };
        match read(&mut link, unit, (table, next), 1).await? {
            Said::Words(_) => BlockEnd::Device,
            _ => BlockEnd::Registers,
        }
    };
    drop(link);
    progress("looking for the shortest pause");
    let gap_ms = shortest_gap(settings, unit, (table, one)).await?;
    let turnaround = Turnaround::of(&times);
    let limit = (block_ended == BlockEnd::Device && !table.is_bits()).then_some(block);
    Ok(Probed {
        unit,
        from: address.to_string(),
        turnaround,
        failed,
        block,
        block_ended,
        gap_ms,
        advice: advise(turnaround, limit, gap_ms),
    })
}

/// Why a unit could not be probed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The port.
    #[error("{remedy}")]
    Port {
        /// What to do.
        remedy: &'static str,
        /// What happened.
        #[source]
        source: RequestError,
    },
    /// The register to begin with.
    #[error("{address} cannot be read: {said}; {remedy}")]
    First {
        /// Where.
        address: String,
        /// What came.
        said: String,
        /// What to do.
        remedy: &'static str,
    },
}

impl ProbeError {
    fn first(address: Address, said: &Said) -> Self {
        let refused = "name one that there is with --from (`edge-agent map` finds them)";
        let silent =
            "check the unit number, the wiring and the settings (`edge-agent scan` tries them)";
        let (said, remedy) = match said {
            Said::Words(_) => ("it can".to_owned(), refused),
            Said::Refused(code) => (format!("the unit refuses ({code})"), refused),
            Said::Silent => ("nobody answers".to_owned(), silent),
            Said::Garbled(words) => (format!("something else came ({words})"), silent),
        };
        Self::First {
            address: address.to_string(),
            said,
            remedy,
        }
    }
}

impl From<RequestError> for ProbeError {
    fn from(source: RequestError) -> Self {
        Self::Port {
            remedy: source.remedy(),
            source,
        }
    }
}

type Place = (Table, Span);

async fn turnaround(
    link: &mut Link,
    settings: &LinkSettings,
    unit: u8,
    place: Place,
) -> Result<(Vec<Duration>, u32), RequestError> {
    let mut listener = link.monitor().listen();
    let (mut times, mut failed) = (Vec::new(), 0);
    for _ in 0..SAMPLES {
        let said = read(link, unit, place, 0).await?;
        let time = answer_time(&mut listener, settings.address.character_time());
        match (said, time) {
            (Said::Words(_), Some(time)) => times.push(time),
            _ => failed += 1,
        }
    }
    Ok((times, failed))
}

/// From the end of the last request to the first byte that came after it.
fn answer_time(listener: &mut Receiver<Captured>, character_time: Duration) -> Option<Duration> {
    let (mut sent, mut heard) = (None, None);
    while let Ok(piece) = listener.try_recv() {
        match piece.direction {
            Direction::Sent => {
                let length = u32::try_from(piece.bytes.len()).unwrap_or(0);
                sent = Some(piece.at + character_time * length);
                heard = None;
            }
            Direction::Received if heard.is_none() => heard = Some(piece.at),
            Direction::Received => {}
        }
    }
    Some(heard?.saturating_duration_since(sent?))
}

/// Tries pauses from none on until the unit stands one.
async fn shortest_gap(
    settings: &LinkSettings,
    unit: u8,
    place: Place,
) -> Result<Option<u64>, RequestError> {
    for gap_ms in GAPS_MS {
        let mut link = Link::new(LinkSettings {
            request_gap: Duration::from_millis(gap_ms),
            ..settings.clone()
        });
        let mut stood = true;
        for _ in 0..GAP_SAMPLES {
            stood &= matches!(read(&mut link, unit, place, 0).await?, Said::Words(_));
            if !stood {
                break;
            }
        }
        if stood {
            return Ok(Some(gap_ms));
        }
    }
    Ok(None)
}

/// What to write for what was measured.
pub fn advise(turnaround: Option<Turnaround>, limit: Option<u16>, gap_ms: Option<u64>) -> Advice {
    let mut advice = Advice {
        port: Vec::new(),
        device: Vec::new(),
    };
    if let Some(turnaround) = turnaround {
        let wanted = (turnaround.max_ms * TIMEOUT_FACTOR).max(TIMEOUT_MIN_MS);
        advice
            .port
            .push(format!("timeout = \"{}ms\"", rounded_up(wanted)));
    }
    if let Some(gap_ms) = gap_ms.filter(|gap_ms| *gap_ms > 0) {
        // What just worked has no reserve.
        advice
            .port
            .push(format!("request_gap = \"{}ms\"", gap_ms * 2));
    }
    if let Some(limit) = limit.filter(|limit| *limit < USUAL_REGISTERS) {
        advice.device.push(format!("max_regs = {limit}"));
    }
    advice
}

/// The next of 100, 150, 200 … 1000, 1500, 2000 …, up to a minute.
fn rounded_up(ms: f64) -> u64 {
    let steps = (2..=20_u64)
        .map(|step| step * 50)
        .chain((3..=120).map(|step| step * 500));
    let fits = |step: &u64| u32::try_from(*step).is_ok_and(|step| f64::from(step) >= ms);
    steps.into_iter().find(fits).unwrap_or(60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(most: u16, table: Table, offset: u16) -> (u16, u32) {
        let mut search = BlockSearch::new(table, offset);
        let mut asked = 0;
        while let Some(length) = search.next_length() {
            asked += 1;
            search.took(length, length <= most);
        }
        (search.largest(), asked)
    }

    #[test]
    fn the_largest_block_is_found_with_few_questions() {
        assert_eq!(found(125, Table::Holding, 0), (125, 1));
        for most in 1..125 {
            let (largest, asked) = found(most, Table::Holding, 0);
            assert_eq!(largest, most);
            assert!(asked <= 8, "{most}: {asked}");
        }
        assert_eq!(found(2_000, Table::Coil, 0).0, 2_000);
        assert_eq!(found(125, Table::Holding, u16::MAX).0, 1);
        assert_eq!(found(125, Table::Holding, u16::MAX - 9).0, 10);
    }

    #[test]
    fn the_advice_leaves_out_what_holds_anyway() {
        let times = [12, 15, 90, 14, 13].map(Duration::from_millis);
        let turnaround = Turnaround::of(&times).unwrap();
        assert_eq!(
            (turnaround.min_ms, turnaround.median_ms, turnaround.max_ms),
            (12.0, 14.0, 90.0)
        );
        let advice = advise(Some(turnaround), Some(50), Some(10));
        assert_eq!(
            advice.port,
            ["timeout = \"300ms\"", "request_gap = \"20ms\""]
        );
        assert_eq!(advice.device, ["max_regs = 50"]);
        let fast = Turnaround::of(&[Duration::from_micros(300)]);
        let advice = advise(fast, Some(120), Some(0));
        assert_eq!(
            (advice.port, advice.device),
            (vec!["timeout = \"100ms\"".to_owned()], vec![])
        );
        assert_eq!(advise(None, None, None).port, Vec::<String>::new());
        assert_eq!(
            [0.0, 100.1, 1_000.0, 1_001.0, 9e9].map(rounded_up),
            [100, 150, 1_000, 1_500, 60_000]
        );
    }
}
