//! The hub, as rooms.

pub mod ca;
pub mod clock;
pub mod store;
pub mod tenants;
