//! What was lost with a damaged buffer, as far as the damaged file still tells.
//! Never fails and never changes the file: a part that cannot be read is left out.

use super::blocks::Loss;
use super::journal;
use protocol::event::GapCause;
use protocol::ranges::RangeSet;
use protocol::time::Timestamp;
use rusqlite::{Connection, OpenFlags};
use std::collections::HashMap;
use std::path::Path;

/// Counts what the hub did not have yet. When nothing can be read, the loss is of unknown size:
/// no polls, at `now`.
pub(super) fn extent(aside: &Path, now: Timestamp) -> Loss {
    let mut loss = Loss {
        from: now,
        to: now,
        polls: 0,
        cause: GapCause::StoreDamaged,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(db) = Connection::open_with_flags(aside, flags) else {
        return loss;
    };
    let mut spans = Vec::new();
    // Each part adds what it reads before it fails.
    let parts = [blocks(&db, &mut spans), journal(&db, &mut spans)];
    let mut acked = HashMap::new();
    if parts.iter().any(Result::is_ok) {
        drop(acknowledged(&db, &mut acked));
    }
    let none = RangeSet::new();
    let mut first = None;
    for span in spans {
        let had = acked.get(&span.stream).unwrap_or(&none);
        let missing = had.missing(span.first_seq, span.last_seq);
        if missing.is_empty() {
            continue;
        }
        loss.polls += missing
            .iter()
            .map(|(low, high)| high - low + 1)
            .sum::<u64>();
        first = Some(first.map_or(span.from, |at: Timestamp| at.min(span.from)));
        loss.from = first.unwrap_or(now);
    }
    loss
}

/// Polls of one stream.
struct Span {
    stream: u32,
    first_seq: u64,
    last_seq: u64,
    from: Timestamp,
}

fn blocks(db: &Connection, spans: &mut Vec<Span>) -> rusqlite::Result<()> {
    let mut query = db.prepare("SELECT stream, first_seq, last_seq, time_min FROM block")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        spans.push(Span {
            stream: row.get(0)?,
            first_seq: row.get(1)?,
            last_seq: row.get(2)?,
            from: Timestamp(row.get(3)?),
        });
    }
    Ok(())
}

fn journal(db: &Connection, spans: &mut Vec<Span>) -> rusqlite::Result<()> {
    let mut sealed = HashMap::new();
    let mut query = db.prepare("SELECT id, sealed_seq FROM stream")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        sealed.insert(row.get::<_, u32>(0)?, row.get::<_, u64>(1)?);
    }
    let mut query = db.prepare("SELECT body FROM journal")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(0)?.as_blob().unwrap_or_default();
        for (header, _) in journal::pieces(body).1 {
            if header.first_seq > sealed.get(&header.stream.0).copied().unwrap_or(0) {
                spans.push(Span {
                    stream: header.stream.0,
                    first_seq: header.first_seq,
                    last_seq: header.last_seq(),
                    from: header.first_time,
                });
            }
        }
    }
    Ok(())
}

fn acknowledged(db: &Connection, acked: &mut HashMap<u32, RangeSet>) -> rusqlite::Result<()> {
    let mut query = db.prepare("SELECT stream, ranges FROM acked")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(1)?;
        if let Ok(ranges) = postcard::from_bytes(&bytes) {
            acked.insert(row.get(0)?, ranges);
        }
    }
    Ok(())
}
