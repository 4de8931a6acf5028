//! The log of messages to people, and what the ladders remember: both in one transaction, so that
//! what was delivered is never taken for still to be done. Never sends anything.

use super::Storage;
use super::error::{Doing as _, StorageError};
use super::source::limit;
use protocol::event::Severity;
use protocol::id::AlertId;
use protocol::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

/// Deliveries that are kept; the oldest make room.
pub const DELIVERIES_MAX: i64 = 10_000;
/// Longest state of the ladders.
pub const TELLING_BYTES_MAX: usize = 4 << 20;

const DOING: &str = "writing down who was told";
const READING: &str = "reading who was told";

/// One try of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message; the same for each try.
    pub message: Uuid,
    /// The alert that it tells of first.
    pub alert: Option<AlertId>,
    /// Name of the channel.
    pub channel: String,
    /// Whom; empty: whoever hears or sees the channel.
    pub person: String,
    /// How urgent.
    pub severity: Severity,
    /// What it tells, in one line.
    pub title: String,
    /// How often it was told before because nobody acknowledged it.
    pub round: u16,
    /// Number of this try, from 1.
    pub attempt: u8,
    /// How it ended.
    pub ended: DeliveryEnd,
    /// In words.
    pub words: String,
    /// When it ended.
    pub time: Timestamp,
    /// From what is told to here, in microseconds.
    pub latency_us: i64,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// The receiver took it.
    Delivered,
    /// It failed and is tried again.
    Failed,
    /// It failed and is not tried again.
    GivenUp,
    /// Somebody acknowledged before.
    Withdrawn,
}

impl DeliveryEnd {
    const ALL: [Self; 4] = [
        Self::Delivered,
        Self::Failed,
        Self::GivenUp,
        Self::Withdrawn,
    ];

    const fn code(self) -> u8 {
        match self {
            Self::Delivered => 0,
            Self::Failed => 1,
            Self::GivenUp => 2,
            Self::Withdrawn => 3,
        }
    }

    /// The word of the JSON interface.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
            Self::Withdrawn => "withdrawn",
        }
    }
}

const SEVERITIES: [Severity; 4] = [
    Severity::Low,
    Severity::Medium,
    Severity::High,
    Severity::Critical,
];

impl Storage {
    /// Writes down how messages ended and what the ladders remember after that. On disk when it
    /// returns.
    pub async fn note_deliveries(
        &self,
        deliveries: Vec<Delivery>,
        state: Vec<u8>,
    ) -> Result<(), StorageError> {
        limit("the state of the ladders", state.len(), TELLING_BYTES_MAX)?;
        self.job(move |writer| {
            let tx = writer.core.db.transaction().doing(DOING)?;
            for delivery in &deliveries {
                insert(&tx, delivery)?;
            }
            tx.prepare_cached("INSERT OR REPLACE INTO telling (id, state) VALUES (1, ?1)")
                .and_then(|mut insert| insert.execute([state]))
                .doing(DOING)?;
            if !deliveries.is_empty() {
                tx.execute(
                    "DELETE FROM delivery WHERE pos <= (
                        SELECT pos FROM delivery ORDER BY pos DESC LIMIT 1 OFFSET ?1)",
                    [DELIVERIES_MAX],
                )
                .doing(DOING)?;
            }
            tx.commit().doing(DOING)
        })
        .await
    }

    /// What the ladders remember, as it was written last.
    pub async fn telling(&self) -> Result<Option<Vec<u8>>, StorageError> {
        self.core
            .read(|db| {
                db.query_row("SELECT state FROM telling WHERE id = 1", [], |row| {
                    row.get(0)
                })
                .optional()
                .doing(READING)
            })
            .await
    }

    /// Deliveries, newest first, those before a place in the log; at most `limit`. Each with its
    /// place.
    pub async fn deliveries(
        &self,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<(i64, Delivery)>, StorageError> {
        let before = before.unwrap_or(i64::MAX);
        self.core
            .read(move |db| {
                db.prepare_cached(
                    "SELECT pos, message, alert, channel, person, severity, title, round, attempt,
                        outcome, words, time_us, latency_us
                    FROM delivery WHERE pos < ?1 ORDER BY pos DESC LIMIT ?2",
                )
                .and_then(|mut query| query.query_map((before, limit), delivery)?.collect())
                .doing(READING)
            })
            .await
    }
}

fn insert(db: &Connection, delivery: &Delivery) -> Result<(), StorageError> {
    let severity = SEVERITIES
        .iter()
        .position(|known| *known == delivery.severity);
    db.prepare_cached(
        "INSERT INTO delivery (message, alert, channel, person, severity, title, round, attempt,
            outcome, words, time_us, latency_us)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )
    .and_then(|mut insert| {
        insert.execute(params![
            delivery.message.into_bytes(),
            delivery.alert.map(|alert| alert.0.into_bytes()),
            delivery.channel,
            delivery.person,
            severity.unwrap_or(0),
            delivery.title,
            delivery.round,
            delivery.attempt,
            delivery.ended.code(),
            delivery.words,
            delivery.time.0,
            delivery.latency_us,
        ])
    })
    .map(|_| ())
    .doing(DOING)
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<(i64, Delivery)> {
    let alert: Option<[u8; 16]> = row.get(2)?;
    let severity: usize = row.get(5)?;
    let code: u8 = row.get(9)?;
    let ended = DeliveryEnd::ALL
        .into_iter()
        .find(|ended| ended.code() == code);
    let delivery = Delivery {
        message: Uuid::from_bytes(row.get(1)?),
        alert: alert.map(|alert| AlertId(Uuid::from_bytes(alert))),
        channel: row.get(3)?,
        person: row.get(4)?,
        severity: SEVERITIES.get(severity).copied().unwrap_or_default(),
        title: row.get(6)?,
        round: row.get(7)?,
        attempt: row.get(8)?,
        ended: ended.unwrap_or(DeliveryEnd::GivenUp),
        words: row.get(10)?,
        time: Timestamp(row.get(11)?),
        latency_us: row.get(12)?,
    };
    Ok((row.get(0)?, delivery))
}
