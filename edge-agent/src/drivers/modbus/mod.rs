//! Modbus: reads registers and bits of devices, over TCP, TLS and serial lines. Never writes what
//! the configuration does not release for it. `README.md` in this folder is for the person who configures it.

pub mod address;
mod breaker;
pub mod bus_device;
pub mod client;
pub mod config;
pub mod data_type;
pub mod decode;
pub mod driver;
pub mod encode;
pub mod field;
pub mod frame;
mod group;
pub mod link;
pub mod pdu;
pub mod plan;
pub mod read;
pub mod release;
mod request_error;
mod schedule;
mod target;
pub mod write;

pub use super::bus as stats;

#[cfg(test)]
mod tests;
