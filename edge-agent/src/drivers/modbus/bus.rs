//! A running Modbus port as others see it: the monitor's counts with the names of devices, and its
//! tap with frames in words. Never asks the line for anything.

use super::field::frames::Listener;
use super::frame::Framing;
use super::stats::{Direction, Monitor};
use crate::drivers::bus::{Bus, BusFigures, BusPiece, UnitFigures};
use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use tokio::sync::broadcast::error::RecvError;

/// The monitor of one port, and who is on it.
#[derive(Debug)]
pub(super) struct ModbusBus {
    pub monitor: Monitor,
    pub framing: Framing,
    /// Unit and name of each device.
    pub devices: Vec<(u8, String)>,
}

impl Bus for ModbusBus {
    fn report(&self) -> BusFigures {
        let report = self.monitor.report();
        let units = report.units.iter().map(|(unit, counts)| {
            let devices = self.devices.iter().filter(|(of, _)| of == unit);
            UnitFigures {
                unit: *unit,
                devices: devices.map(|(_, name)| name.clone()).collect(),
                utilisation: counts.utilisation,
                requests_per_second: counts.requests_per_second,
                requests: counts.requests,
                answers: counts.answers.saturating_add(counts.exceptions),
                refusals: counts.exceptions,
                timeouts: counts.timeouts,
                garbled: counts.garbled,
                lost: counts.lost,
                checksum_errors: counts.checksum_errors,
                late: counts.late,
                turnaround_ms: (
                    counts.turnaround_min_ms,
                    counts.turnaround_mean_ms,
                    counts.turnaround_max_ms,
                ),
            }
        });
        BusFigures {
            seconds: report.seconds,
            utilisation: report.utilisation,
            requests_per_second: report.requests_per_second,
            connections: report.connections,
            units: units.collect(),
        }
    }

    fn listen(&self) -> BoxStream<'static, BusPiece> {
        let start = (self.monitor.listen(), Listener::new(self.framing));
        unfold(start, |(mut tap, mut listener)| async move {
            let piece = match tap.recv().await {
                Ok(piece) => {
                    let sent = piece.direction == Direction::Sent;
                    let told = if sent {
                        listener.sent(&piece.bytes)
                    } else {
                        listener.received(&piece.bytes)
                    };
                    let frames = told
                        .into_iter()
                        .map(|frame| frame.map(|frame| (frame.unit, frame.words)));
                    BusPiece::Bytes {
                        at: piece.at,
                        sent,
                        bytes: piece.bytes,
                        frames: frames.collect(),
                    }
                }
                Err(RecvError::Lagged(missed)) => BusPiece::Missed(missed),
                Err(RecvError::Closed) => return None,
            };
            Some((piece, (tap, listener)))
        })
        .boxed()
    }
}
