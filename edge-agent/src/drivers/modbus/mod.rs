//! Modbus: reads registers and bits of devices, over TCP. Never writes to a device.
//! `README.md` in this folder is for the person who configures it.

pub mod address;
mod breaker;
pub mod config;
pub mod data_type;
pub mod decode;
pub mod driver;
pub mod encode;
mod group;
pub mod link;
pub mod plan;
pub mod read;
mod schedule;
mod tap;

#[cfg(test)]
mod tests;
