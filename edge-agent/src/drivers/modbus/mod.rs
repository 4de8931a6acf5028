//! Modbus: reads registers and bits of devices, over TCP. Never writes to a device.
//! `README.md` in this folder is for the person who configures it.

pub mod address;
pub mod decode;
pub mod plan;
