//! The hub, as rooms.

pub mod auth;
pub mod ca;
pub mod clock;
pub mod config;
pub mod ingest;
pub mod store;
pub mod telemetry;
pub mod tenants;
