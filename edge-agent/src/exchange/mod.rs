//! A box without any network: what its hub lacks goes into a file on a stick, and the hub's
//! answer comes back in another (PROTOCOL §8). Never believes a word of an answer whose signature
//! is not that of the pinned authority; never holds an export in memory.

mod acknowledge;
mod export;

pub use acknowledge::{Acknowledged, acknowledge};
pub use export::{Wanted, export};

use crate::identity::IdentityError;
use crate::storage::StorageError;
use protocol::exchange::ExchangeError as FileError;
use protocol::wire::WireError;
use thiserror::Error;

/// Where the store keeps how many files were written, and the hash of the last.
const MADE: &str = "export";
/// Where it keeps the number of the newest file that was answered.
const ANSWERED: &str = "export answered";

/// Why a file was not written or not taken.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The store failed.
    #[error("reading or writing the store of this box")]
    Storage(#[from] StorageError),
    /// The key or the certificate cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A message cannot be written.
    #[error("writing the file")]
    Wire(#[from] WireError),
    /// The box is not enrolled.
    #[error(
        "this box is not enrolled, so its hub would not believe the file: enrol it once where it \
         reaches its hub (`edge-agent enrol`), then it may stay without a network"
    )]
    NotEnrolled,
    /// The file's limit leaves no room.
    #[error("{bytes_max} bytes are too few for a file: allow at least {least} (--bytes-max)")]
    TooSmall {
        /// What was allowed.
        bytes_max: u64,
        /// What is needed.
        least: u64,
    },
    /// Whoever was to take the bytes is gone.
    #[error("the reader of the file went away in the middle")]
    Gone,
    /// The answer cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the other way was given.
    #[error(
        "this is what a box wrote for its hub, not the hub's answer: give the file that \
         `cloud-hub import … --ack FILE` wrote"
    )]
    Export,
    /// Another authority signed, or the bytes are others than it signed.
    #[error(
        "the answer was altered, or another hub wrote it: its signature is not that of the \
         authority that this box trusts. Nothing was taken; copy it again from where it was made. When \
         the hub's authority was replaced while this box was away, enrol this box with a new claim"
    )]
    Signature,
    /// The answer is for another box.
    #[error(
        "this is the answer for another box ({other}), and this box is {own}. Nothing was taken; \
         bring it to its own box"
    )]
    OtherBox {
        /// Whose it is.
        other: String,
        /// This one.
        own: String,
    },
    /// The number was used twice.
    #[error(
        "the answer is for a file {number} that this box did not write: its store was put back \
         from a copy since then. Nothing was taken; write a new file with `edge-agent export`"
    )]
    OtherExport {
        /// Its number.
        number: u64,
    },
}
