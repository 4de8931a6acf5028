//! What whole-process tests, promises, benches and the demo are written with: scratch folders,
//! real programs that can be killed, a UDP relay that misbehaves on request, third-party peers.
//! Never judges: it starts, stops, counts and asks; what is right stands in the tests.

pub mod agent;
pub mod api;
pub mod bad_server;
pub mod certificates;
pub mod guest;
pub mod hub;
pub mod late_server;
pub mod libmodbus;
pub mod link;
pub mod modbus_peer;
pub mod nmea_device;
pub mod paced_pty;
pub mod places;
pub mod ports;
pub mod process;
pub mod promises;
pub mod pty;
pub mod receiver;
pub mod registers;
pub mod relay;
mod relay_tcp;
pub mod scratch;
pub mod serial_guest;
pub mod small_disk;
pub mod tcp_relay;
pub mod volatile_disk;
pub mod wait;

pub use agent::Agent;
pub use api::{Answer, Api};
pub use bad_server::{BadServer, Fault};
pub use certificates::Certificates;
pub use hub::Hub;
pub use libmodbus::Libmodbus;
pub use link::Shape;
pub use modbus_peer::{Form, ModbusPeer, PeerOptions};
pub use nmea_device::NmeaDevice;
pub use paced_pty::PacedPty;
pub use process::{CommandResult, Program, run_command};
pub use receiver::{Mosquitto, Receiver};
pub use registers::Registers;
pub use relay::Relay;
pub use scratch::{Scratch, in_scratch};
pub use small_disk::SmallDisk;
pub use volatile_disk::VolatileDisk;
pub use wait::wait_for;
