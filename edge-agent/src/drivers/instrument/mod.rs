//! Instruments with a serial line protocol of their own (scales, barcode readers, meters), by a
//! description of their frames. Never writes a value to one: it sends only the configured requests.
//! `README.md` in this folder is for the person who configures it.

mod ask_error;
pub mod checksum;
pub mod config;
pub mod driver;
pub mod escape;
pub mod frame;
mod link;
mod listener;
mod sensor;
mod shape;
mod teller;
pub mod value;

#[cfg(test)]
mod tests;
