//! The agent on the box, as rooms. `ARCHITECTURE.md` has the table of which room may use which.

pub mod agent;
pub mod alerts;
pub mod analysis;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dial;
pub mod documents;
pub mod drivers;
pub mod exchange;
pub mod health;
pub mod identity;
pub mod notify;
pub mod people;
pub mod pipeline;
#[cfg(feature = "driver-modbus")]
pub mod simulate;
pub mod storage;
pub mod transport;
pub mod trust;
pub mod uplink;
pub mod web;
pub mod work_orders;
