//! What both stores hold of readings, read from their files while no program runs, and compared
//! poll by poll: with each other, and with what pymodbus says it served. Never asks a program.

use crate::plant::{Plant, UNITS};
use anyhow::{Context as _, Result, bail, ensure};
use harness::modbus_peer::Served;
use protocol::block;
use protocol::id::{GatewayId, SensorId};
use protocol::ranges::RangeSet;
use protocol::reading::{Cell, GroupSchema, Poll, Quality, Raw};
use protocol::time::Timestamp;
use protocol::wire;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::Path;

/// Longest time between an answer of pymodbus and the time stamp that the box gave it.
pub(crate) const ANSWER_US_MAX: i64 = 10_000_000;

/// One poll group with all its polls, by sequence number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) schema: GroupSchema,
    pub(crate) polls: BTreeMap<u64, Poll>,
}

/// Groups by incarnation and stream.
pub(crate) type Groups = BTreeMap<(u32, u32), Group>;

/// One poll of a machine, whose columns are known by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) time: Timestamp,
    pub(crate) temperature: f64,
    pub(crate) tenths: i64,
    pub(crate) row: i64,
    pub(crate) swapped: f64,
}

/// What was found alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared {
    pub(crate) groups: usize,
    pub(crate) polls: usize,
    pub(crate) readings: usize,
}

/// Every committed poll of the box is at the hub once and only once, the same to the bit, and is
/// an answer that pymodbus gave. Gives the box's groups too.
pub(crate) fn compare(plant: &Plant, values: &[f64]) -> Result<(Compared, Groups)> {
    compare_about(plant, values, 0)
}

/// The same where the box's clock may be behind that of pymodbus by `behind_us`.
pub(crate) fn compare_about(
    plant: &Plant,
    values: &[f64],
    behind_us: i64,
) -> Result<(Compared, Groups)> {
    let here = of_box(&plant.box_store())?;
    let there = of_hub(&plant.hub_store(), plant.gateway)?;
    same(&here, &there)?;
    let mut answers = plant.peer.served()?;
    for answer in &mut answers {
        answer.time_us -= behind_us;
    }
    for unit in UNITS {
        let measured = measured(plant.gateway, unit, &here)?;
        served(unit, &measured, &answers, values)?;
    }
    Ok((counted(&here)?, here))
}

/// Like `compare` where the box had to give up its oldest polls: what it still has is at the hub,
/// the same to the bit, and all that is at the hub is an answer that pymodbus gave. Gives the
/// hub's groups.
pub(crate) fn compare_rest(plant: &Plant, values: &[f64]) -> Result<(Compared, Groups)> {
    let here = of_box(&plant.box_store())?;
    let there = of_hub(&plant.hub_store(), plant.gateway)?;
    for (name, group) in &here {
        let other = there
            .get(name)
            .with_context(|| format!("the hub has no group {name:?}"))?;
        equal(*name, group, other)?;
    }
    all_served(plant, &there, values)?;
    Ok((counted(&there)?, there))
}

fn counted(groups: &Groups) -> Result<Compared> {
    let polls = || groups.values().flat_map(|group| group.polls.values());
    let compared = Compared {
        groups: groups.len(),
        polls: polls().count(),
        readings: polls().map(|poll| poll.cells.len()).sum(),
    };
    ensure!(compared.polls > 0, "nothing is stored");
    Ok(compared)
}

/// Every poll in `groups` is an answer that pymodbus gave. Gives how many there are.
pub(crate) fn all_served(plant: &Plant, groups: &Groups, values: &[f64]) -> Result<usize> {
    let mut polls = 0;
    for unit in UNITS {
        let measured = measured(plant.gateway, unit, groups)?;
        served(unit, &measured, &plant.peer.served()?, values)?;
        polls += measured.len();
    }
    Ok(polls)
}

fn same(here: &Groups, there: &Groups) -> Result<()> {
    let names = |groups: &Groups| groups.keys().copied().collect::<Vec<_>>();
    ensure!(
        names(here) == names(there),
        "the box has the groups (incarnation, stream) {:?}, the hub {:?}",
        names(here),
        names(there)
    );
    for ((name, here), there) in here.iter().zip(there.values()) {
        let (ours, theirs) = (numbers(here), numbers(there));
        let last = ours.last().unwrap_or(0);
        ensure!(
            ours.pairs() == [(1, last)],
            "group {name:?} of the box has holes: {ours:?}"
        );
        ensure!(
            ours == theirs,
            "group {name:?}: the box has the polls {ours:?}, the hub {theirs:?}"
        );
        equal(*name, here, there)?;
    }
    Ok(())
}

/// All polls of the box's group are in the hub's.
fn equal(name: (u32, u32), here: &Group, there: &Group) -> Result<()> {
    ensure!(
        here.schema == there.schema,
        "group {name:?} means other sensors at the hub"
    );
    for (seq, poll) in &here.polls {
        let other = there.polls.get(seq);
        ensure!(
            other == Some(poll),
            "poll {seq} of group {name:?} is {poll:?} on the box and {other:?} at the hub"
        );
    }
    Ok(())
}

fn numbers(group: &Group) -> RangeSet {
    RangeSet::from_pairs(group.polls.keys().map(|seq| (*seq, *seq)))
}

/// All polls in the box's buffer: sealed blocks and journal.
pub(crate) fn of_box(folder: &Path) -> Result<Groups> {
    let db = Connection::open(folder.join("buffer.db")).context("opening the box's buffer")?;
    let mut groups = Groups::new();
    let mut sealed = BTreeMap::new();
    let mut incarnations = BTreeMap::new();
    let mut query = db.prepare("SELECT id, incarnation, schema, sealed_seq FROM stream")?;
    let rows = query.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    for row in rows {
        let (stream, incarnation, schema, sealed_seq): (u32, u32, Vec<u8>, u64) = row?;
        incarnations.insert(stream, incarnation);
        let schema = wire::decode_schema(&schema)?;
        let polls = BTreeMap::new();
        groups.insert((incarnation, stream), Group { schema, polls });
        sealed.insert(stream, sealed_seq);
    }
    for body in blobs(&db, "SELECT body FROM block ORDER BY id")? {
        let incarnation = incarnation_of(&incarnations, &body)?;
        add(&mut groups, incarnation, &body).context("reading a block of the box")?;
    }
    for row in blobs(&db, "SELECT body FROM journal ORDER BY id")? {
        for piece in pieces(&row)? {
            let header = block::header(piece).context("reading the box's journal")?;
            // A row is written again when all in it is sealed; what is sealed counts once.
            if header.last_seq() > sealed.get(&header.stream.0).copied().unwrap_or(0) {
                let incarnation = incarnation_of(&incarnations, piece)?;
                add(&mut groups, incarnation, piece).context("reading the box's journal")?;
            }
        }
    }
    groups.retain(|_, group| !group.polls.is_empty());
    Ok(groups)
}

/// The opening of the box's store that wrote a block's stream.
fn incarnation_of(incarnations: &BTreeMap<u32, u32>, body: &[u8]) -> Result<u32> {
    let stream = block::header(body)?.stream.0;
    let known = incarnations.get(&stream).copied();
    known.with_context(|| format!("a block of an unknown stream {stream}"))
}

/// The blocks in a row of the journal: behind an order number of eight bytes each stands behind
/// its length, up to a length of 0 or the end of the row.
fn pieces(row: &[u8]) -> Result<Vec<&[u8]>> {
    let (_, mut rest) = row
        .split_first_chunk::<8>()
        .context("a short journal row")?;
    let mut pieces = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length))?;
        if length == 0 {
            break;
        }
        let (piece, after) = after
            .split_at_checked(length)
            .context("a cut journal row")?;
        pieces.push(piece);
        rest = after;
    }
    Ok(pieces)
}

/// All polls of a gateway at the hub. What the hub says it received must be what it holds.
pub(crate) fn of_hub(file: &Path, gateway: GatewayId) -> Result<Groups> {
    let db = Connection::open(file).context("opening the hub's store")?;
    let mut groups = Groups::new();
    let mut query = db.prepare(
        "SELECT stream_key, incarnation, stream, schema FROM stream WHERE gateway_id = ?1",
    )?;
    let rows = query.query_map([gateway.0.into_bytes()], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    for row in rows {
        let (key, incarnation, stream, schema): (i64, u32, u32, Vec<u8>) = row?;
        let schema = wire::decode_schema(&schema)?;
        let polls = BTreeMap::new();
        groups.insert((incarnation, stream), Group { schema, polls });
        for body in blobs(
            &db,
            &format!("SELECT body FROM block WHERE stream_key = {key}"),
        )? {
            add(&mut groups, incarnation, &body).context("reading a block of the hub")?;
        }
        let mut query =
            db.prepare("SELECT first_seq, last_seq FROM received WHERE stream_key = ?1")?;
        let ranges = query.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let received = RangeSet::from_pairs(ranges.collect::<Result<Vec<(u64, u64)>, _>>()?);
        let held = groups.get(&(incarnation, stream)).map(numbers);
        ensure!(
            held.as_ref() == Some(&received),
            "stream {stream}: the hub says it received {received:?} and holds {held:?}"
        );
    }
    groups.retain(|_, group| !group.polls.is_empty());
    Ok(groups)
}

fn blobs(db: &Connection, query: &str) -> Result<Vec<Vec<u8>>> {
    let mut query = db.prepare(query)?;
    let rows = query.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds the polls of a block; a poll that is there already is an error.
fn add(groups: &mut Groups, incarnation: u32, body: &[u8]) -> Result<()> {
    let block = block::decode(body)?;
    let stream = block.header.stream.0;
    let group = groups.get_mut(&(incarnation, stream));
    let group = group.with_context(|| format!("a block of an unknown stream {stream}"))?;
    for (seq, poll) in (block.header.first_seq..).zip(block.polls) {
        if group.polls.insert(seq, poll).is_some() {
            bail!("poll {seq} of stream {stream} stands twice");
        }
    }
    Ok(())
}

/// The polls of a machine in the order in which they were made.
pub(crate) fn measured(
    gateway: GatewayId,
    machine: impl std::fmt::Display,
    groups: &Groups,
) -> Result<Vec<Measured>> {
    let sensor = |name: &str| SensorId::derive(gateway, &format!("machine-{machine}/{name}"));
    let names = ["temperature", "tenths", "row", "swapped"].map(sensor);
    let mut found = Vec::new();
    for group in groups.values() {
        let columns: Vec<SensorId> = group.schema.columns.iter().map(|c| c.sensor).collect();
        let places = names.map(|name| columns.iter().position(|column| *column == name));
        let [Some(temperature), Some(tenths), Some(row), Some(swapped)] = places else {
            continue;
        };
        for poll in group.polls.values() {
            found.push(Measured {
                time: poll.time,
                temperature: float(poll, temperature)?,
                tenths: integer(poll, tenths)?,
                row: integer(poll, row)?,
                swapped: float(poll, swapped)?,
            });
        }
    }
    found.sort_by_key(|measured| measured.time);
    Ok(found)
}

fn float(poll: &Poll, column: usize) -> Result<f64> {
    match poll.cells.get(column) {
        Some(Cell::Value(Raw::Float(value), Quality::Good)) => Ok(*value),
        other => bail!("no good float in column {column}, but {other:?}"),
    }
}

fn integer(poll: &Poll, column: usize) -> Result<i64> {
    match poll.cells.get(column) {
        Some(Cell::Value(Raw::Int(value), Quality::Good)) => Ok(*value),
        other => bail!("no good integer in column {column}, but {other:?}"),
    }
}

/// Each poll is an answer of its own that pymodbus gave just before, with the recorded value.
pub(crate) fn served(
    unit: u8,
    measured: &[Measured],
    served: &[Served],
    values: &[f64],
) -> Result<()> {
    let mut answers = served.iter().filter(|answer| answer.unit == unit);
    for poll in measured {
        let answer = answers.find(|answer| {
            let age_us = poll.time.0 - answer.time_us;
            i64::try_from(answer.row) == Ok(poll.row) && (0..ANSWER_US_MAX).contains(&age_us)
        });
        let answer =
            answer.with_context(|| format!("pymodbus did not serve {poll:?} to unit {unit}"))?;
        ensure!(
            values.get(answer.row) == Some(&answer.value),
            "pymodbus served something else than row {}",
            answer.row
        );
        let single = f64::from(single(answer.value));
        let alike = poll.temperature.to_bits() == single.to_bits()
            && poll.swapped.to_bits() == single.to_bits()
            && poll.tenths == tenths(answer.value);
        ensure!(alike, "pymodbus served {answer:?}, the box stored {poll:?}");
    }
    Ok(())
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the register holds the value with single precision"
)]
fn single(value: f64) -> f32 {
    value as f32
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a temperature is far from the ends of i64"
)]
fn tenths(value: f64) -> i64 {
    (value * 10.0).round_ties_even() as i64
}

/// The oracle itself must be able to fail.
#[cfg(test)]
mod tests {
    use super::*;
    use protocol::id::StreamId;
    use protocol::reading::{Column, RawKind};
    use protocol::time::ClockState;
    use uuid::Uuid;

    fn poll(value: i64) -> Poll {
        Poll {
            time: Timestamp(value * 1_000),
            clock: ClockState::Synchronised,
            cells: vec![Cell::Value(Raw::Int(value), Quality::Good)],
        }
    }

    fn groups(blocks: &[(u64, &[i64])]) -> Result<Groups> {
        let column = Column {
            sensor: SensorId(Uuid::from_u128(1)),
            raw: RawKind::Int,
            scale: 1.0,
            offset: 0.0,
        };
        let schema = GroupSchema {
            name: "machine @ 1 s".into(),
            period_us: 1_000_000,
            columns: vec![column],
        };
        let polls = BTreeMap::new();
        let mut groups = Groups::from([((1, 1), Group { schema, polls })]);
        for (first_seq, values) in blocks {
            let polls: Vec<Poll> = values.iter().map(|value| poll(*value)).collect();
            add(
                &mut groups,
                1,
                &block::encode(StreamId(1), *first_seq, &polls)?,
            )?;
        }
        Ok(groups)
    }

    #[test]
    fn the_comparison_sees_a_lost_a_changed_and_a_doubled_poll() {
        let here = groups(&[(1, &[1, 2]), (3, &[3])]).unwrap();
        assert!(same(&here, &groups(&[(1, &[1, 2, 3])]).unwrap()).is_ok());
        for other in [&[(1, [1, 2].as_slice())], &[(1, [1, 2, 4].as_slice())]] {
            assert!(same(&here, &groups(other).unwrap()).is_err(), "{other:?}");
        }
        let hole = groups(&[(1, &[1]), (3, &[3])]).unwrap();
        assert!(
            same(&hole, &hole).is_err(),
            "a hole on both sides is a hole"
        );
        assert!(same(&here, &Groups::new()).is_err());
        let twice = groups(&[(1, &[1, 2]), (2, &[2])]).unwrap_err();
        assert!(twice.to_string().contains("twice"), "{twice}");
    }

    #[test]
    fn a_poll_that_was_not_served_or_not_so_is_seen() {
        let answer = |time_us, row, value| Served {
            time_us,
            unit: 1,
            address: 0,
            count: 7,
            row,
            value,
        };
        let poll = Measured {
            time: Timestamp(1_000),
            temperature: 20.5,
            tenths: 205,
            row: 1,
            swapped: 20.5,
        };
        let values = [0.0, 20.5];
        let was =
            |answers: &[Served], polls: &[Measured]| served(1, polls, answers, &values).is_ok();
        assert!(was(&[answer(900, 1, 20.5)], &[poll]));
        assert!(
            !was(&[answer(900, 1, 20.5)], &[poll, poll]),
            "one answer is one poll"
        );
        assert!(
            !was(&[answer(1_100, 1, 20.5)], &[poll]),
            "served after it was read"
        );
        assert!(!was(&[answer(900, 0, 0.0)], &[poll]));
        let mixed = Measured {
            tenths: 206,
            ..poll
        };
        assert!(!was(&[answer(900, 1, 20.5)], &[mixed]));
    }
}
