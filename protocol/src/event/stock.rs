//! The stock of a part as a list of moves. Never a balance: that follows from the moves.

use crate::id::WorkOrderId;
use serde::{Deserialize, Serialize};

/// What can happen to a part of the stock. Frozen once released (PROTOCOL §5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StockEvent {
    /// Some were taken out or put in.
    Moved(StockMove),
    /// Somebody counted what is there.
    Counted {
        /// The part's number.
        part: String,
        /// Its name then.
        name: String,
        /// How many are there.
        quantity: f64,
        /// What they said.
        note: Option<String>,
    },
}

/// Some of a part were taken out or put in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StockMove {
    /// The part's number.
    pub part: String,
    /// Its name then.
    pub name: String,
    /// How many came in; taken out: below zero.
    pub quantity: f64,
    /// The order that they were taken for or given back from.
    pub order: Option<WorkOrderId>,
    /// The place where they lay.
    pub place: Option<String>,
    /// What they said.
    pub note: Option<String>,
}
