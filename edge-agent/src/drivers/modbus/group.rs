//! One poll of one group: its blocks one after the other, split where a unit refuses. Never
//! touches another group, never decides whether a unit is dead.

use super::address::{Address, Table};
use super::breaker::{FAILURES_MAX, backoff};
use super::config::{DeviceConfig, GroupConfig};
use super::decode;
use super::link::{Link, RequestError};
use super::pdu::ExceptionCode;
use super::plan::{Block, Item, plan};
use super::write::Writes;
use crate::drivers::{Hole, Holes, Sink};
use crate::pipeline::RawCell;
use protocol::reading::Cause;
use protocol::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// After this time a register that was refused is tried once more.
const REFUSED_AGAIN: Duration = Duration::from_secs(86_400);
/// The same where nothing of the group was answered: a controller that is being loaded refuses
/// everything for a while, and that is nothing to remember.
const REFUSED_ALL_AGAIN: Duration = Duration::from_secs(3_600);
/// Sensors named in one report; of more, only the number is said.
const NAMED_MAX: usize = 3;

/// A group with what was learnt about its registers in this run.
#[derive(Debug)]
pub(super) struct Group {
    config: GroupConfig,
    items: Vec<Item>,
    /// 0 for a group that is none of a unit: it has no blocks.
    unit: u8,
    blocks: VecDeque<BlockState>,
}

#[derive(Debug)]
struct BlockState {
    block: Block,
    failures: u32,
    pause: Option<(Instant, Cause)>,
    /// Whether it is written down as a hole.
    remembered: bool,
    trouble: Option<String>,
}

/// What one poll brought.
#[derive(Debug)]
pub(super) struct Outcome {
    /// One per sensor.
    pub(super) cells: Vec<RawCell>,
    /// Whether the unit answered anything, a refusal included.
    pub(super) heard: bool,
    /// What ended the poll early.
    pub(super) failure: Option<RequestError>,
}

/// With whom and how patiently a poll is made.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) link: &'a mut Link,
    /// What is to be written, between two blocks.
    pub(super) writes: &'a mut Writes,
    /// What is known of registers that are not there.
    pub(super) known: Known<'a>,
    pub(super) retries: u32,
    /// Whether the unit has answered since its last failure.
    pub(super) unit_alive: bool,
}

/// Registers that are known not to be there, and the time by which that is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) holes: &'a Holes,
    pub(super) time: Timestamp,
}

impl<'a> Known<'a> {
    pub(super) fn of(sink: &'a Sink) -> Self {
        Self {
            holes: sink.holes(),
            time: sink.stamp().0,
        }
    }

    /// For how long a place is not to be tried; `None` when it may be. Never for longer than usual,
    /// whatever the clock was when that was written down.
    fn pause(self, device: &str, place: &str) -> Option<Duration> {
        let left = self.holes.again(device, place)?.micros_since(self.time);
        let left = Duration::from_micros(u64::try_from(left).ok()?);
        Some(left.min(REFUSED_AGAIN))
    }

    fn note(self, device: &str, place: String) {
        let micros = i64::try_from(REFUSED_AGAIN.as_micros()).unwrap_or(i64::MAX);
        self.holes.note(Hole {
            device: device.to_owned(),
            place,
            again: self.time.plus_micros(micros),
        });
    }
}

impl Group {
    pub(super) fn new(device: &DeviceConfig, config: &GroupConfig, known: Known<'_>) -> Self {
        let items: Vec<Item> = config
            .points
            .iter()
            .map(super::config::Point::item)
            .collect();
        let unit = device.unit().unwrap_or_default();
        let mut group = Self {
            config: config.clone(),
            items,
            unit,
            blocks: VecDeque::new(),
        };
        group.blocks = group.first_blocks(device, known);
        group
    }

    /// What is asked for in the first poll: registers that were refused before the last restart are
    /// left out until their time comes.
    fn first_blocks(&self, device: &DeviceConfig, known: Known<'_>) -> VecDeque<BlockState> {
        let mut blocks = VecDeque::new();
        let mut good: BTreeMap<Table, Vec<usize>> = BTreeMap::new();
        let mut bad: BTreeMap<Table, BTreeSet<u16>> = BTreeMap::new();
        for (at, item) in self.items.iter().enumerate() {
            let Address { table, offset } = item.address;
            match known.pause(&device.name, &self.place(*item)) {
                None => good.entry(table).or_default().push(at),
                Some(pause) => {
                    bad.entry(table).or_default().insert(offset);
                    blocks.extend(Block::alone(at, *item).map(|b| self.hole(b, pause)));
                }
            }
        }
        for (table, members) in good {
            let holes = bad.remove(&table).unwrap_or_default();
            // What lies between two holes is planned for itself: no request reads over one.
            let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for at in members {
                let offset = self.items.get(at).map_or(0, |item| item.address.offset);
                let before = holes.range(..offset).count();
                parts.entry(before).or_default().push(at);
            }
            blocks.extend(
                parts
                    .into_values()
                    .flat_map(|part| self.planned(&part, device)),
            );
        }
        blocks
    }

    fn planned(&self, members: &[usize], device: &DeviceConfig) -> Vec<BlockState> {
        let items = members.iter().filter_map(|at| self.items.get(*at));
        let items: Vec<Item> = items.copied().collect();
        let own = |mut block: Block| {
            let numbers = block.items.iter().filter_map(|at| members.get(*at));
            block.items = numbers.copied().collect();
            BlockState::new(block)
        };
        plan(&items, device.limits).into_iter().map(own).collect()
    }

    /// A value that was refused before.
    fn hole(&self, block: Block, pause: Duration) -> BlockState {
        let mut state = BlockState::new(block);
        state.remembered = true;
        state.pause = Some((Instant::now() + pause, Cause::NoSuchAddress));
        state.trouble = Some(format!(
            "{}: the device refused it before; it is tried again once a day. The other sensors are \
             still read.",
            self.names(&state.block)
        ));
        state
    }

    /// What a value's registers are called among the holes of its device.
    fn place(&self, item: Item) -> String {
        let (table, offset) = (item.address.table.prefix(), item.address.offset);
        format!("{}/{table}:{offset}+{}", self.unit, item.count)
    }

    /// The same for a block of one value; `None` for several.
    fn place_of(&self, block: &Block) -> Option<String> {
        match block.items.as_slice() {
            [at] => self.items.get(*at).map(|item| self.place(*item)),
            _ => None,
        }
    }

    /// The unit it is read from.
    pub(super) const fn unit(&self) -> u8 {
        self.unit
    }

    /// A poll in which nothing was asked.
    pub(super) fn missing(&self, cause: Cause) -> Vec<RawCell> {
        vec![RawCell::Missing(cause); self.items.len()]
    }

    /// Asks for every block that is not paused. The first failure of the line or the unit ends
    /// the poll, so that it costs one time-out and not one per block; the blocks not asked come
    /// first the next time.
    pub(super) async fn poll(&mut self, mut asking: Asking<'_>) -> Outcome {
        let mut out = Outcome {
            cells: self.missing(Cause::NoAnswer),
            heard: false,
            failure: None,
        };
        let mut waiting = std::mem::take(&mut self.blocks);
        let mut done = VecDeque::new();
        let mut refused = false;
        let mut answered = false;
        while let Some(mut state) = waiting.pop_front() {
            if let Some(cause) = state.paused(Instant::now()) {
                fill(&mut out.cells, &state.block, cause);
                done.push_back(state);
                continue;
            }
            asking.writes.serve(asking.link).await;
            match asking
                .link
                .read(self.unit, &state.block, asking.retries)
                .await
            {
                Ok(words) => {
                    out.heard = true;
                    answered = true;
                    self.healed(&mut state, asking.known);
                    state.trouble = self.decode(&state.block, &words, &mut out.cells);
                }
                Err(error) if error.is_refusal() => {
                    out.heard = true;
                    if let Some((low, high)) = self.split(&state.block, &error) {
                        waiting.push_front(high);
                        waiting.push_front(low);
                        continue;
                    }
                    self.refused(&mut state, &error);
                    refused |= state.pause.is_some();
                    fill(&mut out.cells, &state.block, error.cause());
                }
                Err(error) => {
                    asking.unit_alive |= out.heard;
                    self.failed(&mut state, &error, asking.unit_alive);
                    for state in std::iter::once(&state).chain(&waiting) {
                        fill(&mut out.cells, &state.block, error.cause());
                    }
                    out.failure = Some(error);
                    done.push_back(state);
                    break;
                }
            }
            done.push_back(state);
        }
        waiting.append(&mut done);
        self.blocks = waiting;
        if refused && answered {
            self.remember(asking.known);
        }
        out
    }

    /// Writes down what was refused in a poll in which other registers were answered.
    fn remember(&mut self, known: Known<'_>) {
        let mut blocks = std::mem::take(&mut self.blocks);
        for state in &mut blocks {
            if let Some((until, Cause::NoSuchAddress)) = &mut state.pause
                && !state.remembered
                && let Some(place) = self.place_of(&state.block)
            {
                *until = Instant::now() + REFUSED_AGAIN;
                state.remembered = true;
                known.note(&self.config.spec.device, place);
            }
        }
        self.blocks = blocks;
    }

    fn healed(&self, state: &mut BlockState, known: Known<'_>) {
        if std::mem::take(&mut state.remembered)
            && let Some(place) = self.place_of(&state.block)
        {
            known.holes.forget(&self.config.spec.device, &place);
        }
        state.healed();
    }

    /// What is wrong with single registers, in words; `None` when nothing is.
    pub(super) fn trouble(&self) -> Option<String> {
        let troubles = self.blocks.iter().filter_map(|state| state.trouble.clone());
        let mut words: Vec<String> = troubles.collect();
        // The order of the blocks changes from poll to poll; the words must not.
        words.sort_unstable();
        let more = words.len().saturating_sub(NAMED_MAX);
        words.truncate(NAMED_MAX);
        if more > 0 {
            words.push(format!("The same kind of trouble in {more} more places."));
        }
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Fills the cells of a block; answers the first value that its registers do not hold.
    fn decode(&self, block: &Block, words: &[u16], cells: &mut [RawCell]) -> Option<String> {
        let mut trouble = None;
        for at in &block.items {
            let (Some(point), Some(item)) = (self.config.points.get(*at), self.items.get(*at))
            else {
                continue;
            };
            let from = usize::from(item.address.offset.saturating_sub(block.start));
            let part = words.get(from..).unwrap_or_default();
            let Some(cell) = cells.get_mut(*at) else {
                continue;
            };
            *cell = decode::cell(part, point.kind, point.order, &point.nan);
            if *cell == RawCell::Missing(Cause::BadAnswer)
                && let Err(error) = decode::decode(part, point.kind, point.order)
                && let Some(sensor) = self.config.spec.sensors.get(*at)
            {
                let words = format!("Sensor \"{}\" at {}: {error}.", sensor.name, point.address);
                trouble.get_or_insert(words);
            }
        }
        trouble
    }

    /// The halves of a block that was refused for its address or its length.
    fn split(&self, block: &Block, error: &RequestError) -> Option<(BlockState, BlockState)> {
        let RequestError::Exception {
            code: ExceptionCode::IllegalDataAddress | ExceptionCode::IllegalDataValue,
            ..
        } = error
        else {
            return None;
        };
        let (low, high) = block.halves(&self.items)?;
        Some((BlockState::new(low), BlockState::new(high)))
    }

    fn refused(&self, state: &mut BlockState, error: &RequestError) {
        state.trouble = Some(format!(
            "{}: {error}; {}. The other sensors are still read.",
            self.names(&state.block),
            error.remedy()
        ));
        if error.cause() == Cause::NoSuchAddress {
            state.remembered = false;
            state.pause = Some((Instant::now() + REFUSED_ALL_AGAIN, Cause::NoSuchAddress));
        }
    }

    /// A block that fails while the rest of the unit answers is tried less and less often.
    fn failed(&self, state: &mut BlockState, error: &RequestError, unit_alive: bool) {
        if matches!(error, RequestError::NoConnection { .. }) {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if let Some(attempt) = state.failures.checked_sub(FAILURES_MAX)
            && unit_alive
        {
            let until = Instant::now() + backoff(attempt, self.unit);
            state.pause = Some((until, error.cause()));
            state.trouble = Some(format!(
                "{}: {error}, though unit {} answers otherwise; check the address in the \
                 device's manual. The other sensors are still read.",
                self.names(&state.block),
                self.unit
            ));
        }
    }

    /// The sensors of a block with their addresses.
    fn names(&self, block: &Block) -> String {
        let name = |at: &usize| {
            let sensor = self.config.spec.sensors.get(*at)?;
            let point = self.config.points.get(*at)?;
            Some(format!("\"{}\" at {}", sensor.name, point.address))
        };
        let mut names: Vec<String> = block
            .items
            .iter()
            .filter_map(name)
            .take(NAMED_MAX)
            .collect();
        let more = block.items.len().saturating_sub(names.len());
        if more > 0 {
            names.push(format!("{more} more"));
        }
        format!("Sensor {}", names.join(", "))
    }
}

impl BlockState {
    const fn new(block: Block) -> Self {
        Self {
            block,
            failures: 0,
            pause: None,
            remembered: false,
            trouble: None,
        }
    }

    fn healed(&mut self) {
        self.failures = 0;
        self.pause = None;
        self.trouble = None;
    }

    fn paused(&self, now: Instant) -> Option<Cause> {
        self.pause
            .filter(|(until, _)| now < *until)
            .map(|(_, cause)| cause)
    }
}

fn fill(cells: &mut [RawCell], block: &Block, cause: Cause) {
    for at in &block.items {
        if let Some(cell) = cells.get_mut(*at) {
            *cell = RawCell::Missing(cause);
        }
    }
}
