//! Modbus: reads registers and bits of devices, over TCP, TLS and serial lines. Never writes to a
//! device. `README.md` in this folder is for the person who configures it.

pub mod address;
mod breaker;
mod bus;
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
mod request_error;
mod schedule;
pub mod stats;
mod target;

#[cfg(test)]
mod tests;
