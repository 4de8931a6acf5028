//! The hub, as rooms.

pub mod ca;
pub mod clock;
pub mod ingest;
pub mod store;
pub mod tenants;
