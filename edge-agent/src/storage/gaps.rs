//! Holes in the box's own readings, as its gateway events tell them. Never guesses one from the
//! readings themselves: what was not measured has its event.

use super::error::{Doing as _, StorageError};
use super::{Storage, folds};
use protocol::event::{Body, GapCause, GatewayEvent, RecordKind};
use protocol::time::Timestamp;
use protocol::wire;

/// Most gateway events that are looked through, the latest.
const EVENTS_MAX: usize = 2_000;

/// A hole and its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub to: Timestamp,
    /// Why.
    pub cause: GapCause,
}

impl Storage {
    /// The holes that touch `from..to`, in the order in which they were written down.
    pub async fn gaps(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Gap>, StorageError> {
        const DOING: &str = "reading the gaps of this box";
        self.core
            .read(move |db| {
                let mut query = db
                    .prepare_cached(
                        "SELECT body FROM (SELECT hlc, id, body FROM event WHERE kind = ?1
                            ORDER BY hlc DESC, id DESC LIMIT ?2) ORDER BY hlc, id",
                    )
                    .doing(DOING)?;
                let kind = folds::kind_code(RecordKind::Gateway);
                let mut rows = query.query((kind, EVENTS_MAX)).doing(DOING)?;
                let mut gaps = Vec::new();
                while let Some(row) = rows.next().doing(DOING)? {
                    let body = row.get_ref(0).doing(DOING)?.as_blob().unwrap_or_default();
                    let Body::Gateway(GatewayEvent::Gap {
                        from: begin,
                        to: end,
                        cause,
                        ..
                    }) = wire::decode_event(body).doing(DOING)?.body
                    else {
                        continue;
                    };
                    if begin < to && end > from {
                        gaps.push(Gap {
                            from: begin,
                            to: end,
                            cause,
                        });
                    }
                }
                Ok(gaps)
            })
            .await
    }
}
