//! What is asked and what is answered, without what a line puts round it: both directions, for the
//! client here and for the simulator. Pure. Never takes a length on trust: what is not whole and
//! right is refused with words.

mod bytes;
mod exception;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use exception::ExceptionCode;

/// Most bytes of a request or an answer (specification, 4.1).
pub const PDU_BYTES_MAX: usize = 253;
/// Function code of an answer that refuses: that of the request and this bit.
const REFUSED: u8 = 0x80;
/// Sub-function of function 0x2B that identifies a device.
const DEVICE_IDENTIFICATION: u8 = 0x0E;
/// Value of a coil that is on, in a request to write one.
const COIL_ON: u16 = 0xFF00;

/// What is asked of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Function 1.
    ReadCoils(Span),
    /// Function 2.
    ReadDiscreteInputs(Span),
    /// Function 3.
    ReadHoldingRegisters(Span),
    /// Function 4.
    ReadInputRegisters(Span),
    /// Function 5: address, on or off.
    WriteCoil(u16, bool),
    /// Function 6: address, value.
    WriteRegister(u16, u16),
    /// Function 15: first address, values.
    WriteCoils(u16, Vec<bool>),
    /// Function 16: first address, values.
    WriteRegisters(u16, Vec<u16>),
    /// Function 22: register = (register and `and_mask`) or (`or_mask` and not `and_mask`).
    MaskWriteRegister {
        /// Which register.
        address: u16,
        /// See above.
        and_mask: u16,
        /// See above.
        or_mask: u16,
    },
    /// Function 23: writes first, then reads.
    ReadWriteRegisters {
        /// What is read.
        read: Span,
        /// First register written.
        write_start: u16,
        /// Values written.
        values: Vec<u16>,
    },
    /// Function 0x11: what the maker says the device is, in no fixed form.
    ReportServerId,
    /// Function 0x2B, 0x0E: texts that identify the device.
    ReadDeviceIdentification {
        /// 1 basic, 2 regular, 3 extended, 4 one object.
        level: u8,
        /// First object wanted.
        object: u8,
    },
}

/// A run of registers or bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First, counted from 0.
    pub start: u16,
    /// How many.
    pub count: u16,
}

/// What a unit answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Functions 1 and 2. From the wire they come in whole bytes; `matching` cuts off the padding.
    Bits {
        /// 1 or 2.
        function: u8,
        /// Their values.
        bits: Vec<bool>,
    },
    /// Functions 3, 4 and 23.
    Registers {
        /// 3, 4 or 23.
        function: u8,
        /// Their values.
        words: Vec<u16>,
    },
    /// Functions 5, 6: what was written where, as in the request.
    WroteOne {
        /// 5 or 6.
        function: u8,
        /// Where.
        address: u16,
        /// What; a coil that is on is 0xFF00.
        value: u16,
    },
    /// Functions 15, 16.
    WroteMany {
        /// 15 or 16.
        function: u8,
        /// Where and how many.
        span: Span,
    },
    /// Function 22, as in the request.
    MaskWrote {
        /// Which register.
        address: u16,
        /// See the request.
        and_mask: u16,
        /// See the request.
        or_mask: u16,
    },
    /// Function 0x11, in the maker's own form.
    ServerId(Vec<u8>),
    /// Function 0x2B, 0x0E.
    DeviceIdentification(Identification),
    /// The unit refuses.
    Refused {
        /// The function that was asked.
        function: u8,
        /// Why.
        code: ExceptionCode,
    },
}

/// What a device says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identification {
    /// As in the request.
    pub level: u8,
    /// What the device can do of this at all.
    pub conformity: u8,
    /// The next object to ask for, when not all came at once.
    pub more: Option<u8>,
    /// Number and text of each object: 0 maker, 1 product, 2 version, 3 web address, 4 product name,
    /// 5 model, 6 application.
    pub objects: Vec<(u8, Vec<u8>)>,
}

/// What is wrong with a request or an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    /// Nothing, or too much.
    #[error("{0} bytes are no message of Modbus (1 to {PDU_BYTES_MAX})")]
    Size(usize),
    /// A function that this build does not speak.
    #[error("function {0} is not known here")]
    Function(u8),
    /// The bytes are fewer or more than the message says.
    #[error("function {function} with {got} bytes instead of {wanted}")]
    Length {
        /// The function.
        function: u8,
        /// By what it says of itself.
        wanted: usize,
        /// There are.
        got: usize,
    },
    /// A number that the specification does not allow.
    #[error("function {function} with {words}")]
    Value {
        /// The function.
        function: u8,
        /// What is wrong.
        words: &'static str,
    },
}

/// How an answer does not fit its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is one of another function, or repeats another address or value.
    Other(String),
    /// More or fewer registers or bits than asked for.
    Count {
        /// Asked for.
        wanted: u16,
        /// Came.
        got: usize,
    },
}

impl Request {
    /// Its function code.
    pub const fn function(&self) -> u8 {
        match self {
            Self::ReadCoils(_) => 1,
            Self::ReadDiscreteInputs(_) => 2,
            Self::ReadHoldingRegisters(_) => 3,
            Self::ReadInputRegisters(_) => 4,
            Self::WriteCoil(..) => 5,
            Self::WriteRegister(..) => 6,
            Self::WriteCoils(..) => 15,
            Self::WriteRegisters(..) => 16,
            Self::ReportServerId => 0x11,
            Self::MaskWriteRegister { .. } => 22,
            Self::ReadWriteRegisters { .. } => 23,
            Self::ReadDeviceIdentification { .. } => 0x2B,
        }
    }

    /// Whether the right answer is the request once more, byte for byte.
    pub const fn is_mirrored(&self) -> bool {
        matches!(
            self,
            Self::WriteCoil(..) | Self::WriteRegister(..) | Self::MaskWriteRegister { .. }
        )
    }

    /// Whether it changes something in the device.
    pub const fn writes(&self) -> bool {
        matches!(
            self,
            Self::WriteCoil(..)
                | Self::WriteRegister(..)
                | Self::WriteCoils(..)
                | Self::WriteRegisters(..)
                | Self::MaskWriteRegister { .. }
                | Self::ReadWriteRegisters { .. }
        )
    }

    /// Bytes of the answer when the unit does not refuse, where that can be known beforehand.
    pub fn answer_len(&self) -> Option<usize> {
        match self {
            Self::ReadCoils(span) | Self::ReadDiscreteInputs(span) => {
                Some(2 + usize::from(span.count).div_ceil(8))
            }
            Self::ReadHoldingRegisters(span)
            | Self::ReadInputRegisters(span)
            | Self::ReadWriteRegisters { read: span, .. } => Some(2 + 2 * usize::from(span.count)),
            Self::WriteCoil(..)
            | Self::WriteRegister(..)
            | Self::WriteCoils(..)
            | Self::WriteRegisters(..) => Some(5),
            Self::MaskWriteRegister { .. } => Some(7),
            Self::ReportServerId | Self::ReadDeviceIdentification { .. } => None,
        }
    }
}

impl Response {
    /// The function that was asked.
    pub const fn function(&self) -> u8 {
        match self {
            Self::Bits { function, .. }
            | Self::Registers { function, .. }
            | Self::WroteOne { function, .. }
            | Self::WroteMany { function, .. }
            | Self::Refused { function, .. } => *function,
            Self::MaskWrote { .. } => 22,
            Self::ServerId(_) => 0x11,
            Self::DeviceIdentification(_) => 0x2B,
        }
    }
}
