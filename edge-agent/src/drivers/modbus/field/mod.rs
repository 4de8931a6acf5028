//! The tools for whoever stands before a cabinet: who is there (`scan`), what it is (`identify`), which
//! registers there are (`map`), how fast it can be asked (`probe`), what goes over the line
//! (`frames`). What is asked next is decided by values without a line, so that tests need none.
//! Never writes to a device, never asks without a limit.

pub mod frames;
pub mod hosts;
pub mod identify;
pub mod map;
pub mod probe;
pub mod scan;
pub mod sweep;

#[cfg(test)]
mod tests;

use super::address::Table;
use super::link::{Link, RequestError};
use super::pdu::{ExceptionCode, Request, Response, Span};

/// What came of one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The values; a bit as 0 or 1.
    Words(Vec<u16>),
    /// The unit is there and refuses.
    Refused(ExceptionCode),
    /// Nothing came.
    Silent,
    /// Something came that is no answer; in words what.
    Garbled(String),
}

impl Said {
    /// Whether a unit was heard, whatever it said.
    pub const fn is_heard(&self) -> bool {
        match self {
            Self::Words(_) => true,
            Self::Refused(code) => !matches!(
                code,
                ExceptionCode::GatewayTargetDevice | ExceptionCode::GatewayPathUnavailable
            ),
            Self::Silent | Self::Garbled(_) => false,
        }
    }
}

/// Reads a span of one table once; again, up to `retries` times, when nothing or rubbish comes.
///
/// # Errors
/// When the port itself cannot be used: then nobody else can be asked either.
pub async fn read(
    link: &mut Link,
    unit: u8,
    (table, span): (Table, Span),
    retries: u32,
) -> Result<Said, RequestError> {
    let request = match table {
        Table::Coil => Request::ReadCoils(span),
        Table::DiscreteInput => Request::ReadDiscreteInputs(span),
        Table::Input => Request::ReadInputRegisters(span),
        Table::Holding => Request::ReadHoldingRegisters(span),
    };
    let mut left = retries;
    // A server may close a connection whenever it likes; that is forgiven once.
    let mut closed_forgiven = false;
    loop {
        let said = match link.ask(unit, &request).await {
            Ok(Response::Registers { words, .. }) => return Ok(Said::Words(words)),
            Ok(Response::Bits { bits, .. }) => {
                return Ok(Said::Words(bits.into_iter().map(u16::from).collect()));
            }
            Ok(_) => Said::Garbled("an answer of another kind".to_owned()),
            Err(RequestError::Exception { code, .. }) => return Ok(Said::Refused(code)),
            Err(RequestError::Closed { .. }) if !closed_forgiven => {
                closed_forgiven = true;
                continue;
            }
            Err(RequestError::Timeout { .. } | RequestError::Closed { .. }) => Said::Silent,
            Err(RequestError::Garbled { reason, .. }) => Said::Garbled(reason),
            Err(RequestError::WrongLength { wanted, got, .. }) => {
                Said::Garbled(format!("{got} registers or bits instead of {wanted}"))
            }
            Err(error @ RequestError::NoConnection { .. }) => return Err(error),
        };
        match left.checked_sub(1) {
            Some(fewer) => left = fewer,
            None => return Ok(said),
        }
    }
}
