//! The numbers by which a unit refuses. Never carries words of a device.

use std::fmt;

/// Why a unit refuses (specification, 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceptionCode {
    /// 1.
    IllegalFunction,
    /// 2.
    IllegalDataAddress,
    /// 3.
    IllegalDataValue,
    /// 4.
    ServerDeviceFailure,
    /// 5.
    Acknowledge,
    /// 6.
    ServerDeviceBusy,
    /// 8.
    MemoryParityError,
    /// 10.
    GatewayPathUnavailable,
    /// 11.
    GatewayTargetDevice,
    /// Any other number.
    Other(u8),
}

impl From<u8> for ExceptionCode {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::IllegalFunction,
            2 => Self::IllegalDataAddress,
            3 => Self::IllegalDataValue,
            4 => Self::ServerDeviceFailure,
            5 => Self::Acknowledge,
            6 => Self::ServerDeviceBusy,
            8 => Self::MemoryParityError,
            10 => Self::GatewayPathUnavailable,
            11 => Self::GatewayTargetDevice,
            other => Self::Other(other),
        }
    }
}

impl From<ExceptionCode> for u8 {
    fn from(code: ExceptionCode) -> Self {
        match code {
            ExceptionCode::IllegalFunction => 1,
            ExceptionCode::IllegalDataAddress => 2,
            ExceptionCode::IllegalDataValue => 3,
            ExceptionCode::ServerDeviceFailure => 4,
            ExceptionCode::Acknowledge => 5,
            ExceptionCode::ServerDeviceBusy => 6,
            ExceptionCode::MemoryParityError => 8,
            ExceptionCode::GatewayPathUnavailable => 10,
            ExceptionCode::GatewayTargetDevice => 11,
            ExceptionCode::Other(other) => other,
        }
    }
}

impl fmt::Display for ExceptionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IllegalFunction => "Illegal function",
            Self::IllegalDataAddress => "Illegal data address",
            Self::IllegalDataValue => "Illegal data value",
            Self::ServerDeviceFailure => "Server device failure",
            Self::Acknowledge => "Acknowledge",
            Self::ServerDeviceBusy => "Server device busy",
            Self::MemoryParityError => "Memory parity error",
            Self::GatewayPathUnavailable => "Gateway path unavailable",
            Self::GatewayTargetDevice => "Gateway target device failed to respond",
            Self::Other(_) => "a reason of its own",
        })
    }
}
