//! The hub, as rooms.

pub mod api;
pub mod auth;
pub mod ca;
pub mod cli;
pub mod clock;
pub mod config;
pub mod ingest;
pub mod notify;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod tenants;
pub mod web;
