//! The hub, as rooms.

pub mod ca;
