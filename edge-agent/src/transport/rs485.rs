//! Who switches a two-wire line between sending and receiving: the kernel's driver, the RTS line by
//! hand, or the adapter itself. Never believes that a setting was taken because it could be read.

pub use super::echo::Echo;

use serial2::rs4xx::{Rs485Config, TransceiverMode};
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::sleep;
use tokio_serial::{SerialPort as _, SerialStream};

/// How a line changes direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rs485 {
    /// Who does it.
    pub mode: Mode,
    /// Level of RTS while sending; the other one while receiving.
    pub rts_on_send: bool,
    /// From the change of RTS to the first bit.
    pub delay_before: Duration,
    /// From the last bit to the change of RTS.
    pub delay_after: Duration,
    /// Whether the line hears itself.
    pub echo: Echo,
}

/// Who switches the direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The kernel's driver (`TIOCSRS485`); it is an error when it cannot.
    Kernel,
    /// This program, with the RTS line.
    Rts,
    /// The kernel's driver where it can, else the adapter itself.
    Auto,
    /// Nobody: RS-232, or an adapter that does it itself.
    #[default]
    Off,
}

impl Rs485 {
    /// Tells the kernel's driver, where it is to do it. `file` is the serial device.
    pub(super) fn prepare(&self, file: std::fs::File) -> io::Result<()> {
        let needed = match self.mode {
            Mode::Kernel => true,
            Mode::Auto => false,
            Mode::Rts | Mode::Off => return Ok(()),
        };
        let port = serial2::SerialPort::from(std::os::fd::OwnedFd::from(file));
        match self.set(&port) {
            Err(error) if needed => Err(io::Error::new(
                error.kind(),
                format!(
                    "the driver of this port cannot switch RS-485 ({error}); write mode = \"rts\", \
                     or \"off\" when the adapter does it itself"
                ),
            )),
            Err(error) => {
                tracing::debug!(%error, "the kernel does not switch RS-485 here: the adapter must");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn set(&self, port: &serial2::SerialPort) -> io::Result<()> {
        let mut wanted = Rs485Config::new();
        wanted.set_invert_rts(!self.rts_on_send);
        wanted.set_delay_before_send(self.delay_before);
        wanted.set_delay_after_send(self.delay_after);
        port.set_rs4xx_mode(wanted)?;
        // Some drivers take any setting and do nothing: what they say afterwards counts.
        match port.get_rs4xx_mode()? {
            TransceiverMode::Rs485(got) if got.get_invert_rts() != self.rts_on_send => Ok(()),
            got => Err(io::Error::other(format!("it was told, and is in {got:?}"))),
        }
    }

    /// Opening a port sets RTS, and with it a transmitter: back to receiving before anybody else's words are
    /// destroyed.
    pub(super) fn release(&self, line: &mut SerialStream) -> io::Result<()> {
        let Some(direction) = self.direction() else {
            return Ok(());
        };
        direction.receive(line).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "this port has no RTS line that could be switched ({error}); write mode = \"off\" when the \
                     adapter does it itself"
                ),
            )
        })
    }

    /// What has to be done at each sending.
    pub(super) fn direction(&self) -> Option<Direction> {
        (self.mode == Mode::Rts).then_some(Direction {
            rts_on_send: self.rts_on_send,
            delay_before: self.delay_before,
            delay_after: self.delay_after,
        })
    }
}

/// Switching by hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Direction {
    rts_on_send: bool,
    delay_before: Duration,
    delay_after: Duration,
}

impl Direction {
    /// Sends, and is back in receiving when it returns, whether it could send or not.
    pub(super) async fn send(
        self,
        line: &mut SerialStream,
        bytes: &[u8],
        character_time: Duration,
    ) -> io::Result<()> {
        line.write_request_to_send(self.rts_on_send)?;
        let sent = self.drive(line, bytes, character_time).await;
        sent.and(self.receive(line))
    }

    fn receive(self, line: &mut SerialStream) -> io::Result<()> {
        let set = line.write_request_to_send(!self.rts_on_send);
        set.map_err(Into::into)
    }

    async fn drive(
        self,
        line: &mut SerialStream,
        bytes: &[u8],
        character_time: Duration,
    ) -> io::Result<()> {
        pause(self.delay_before).await;
        line.write_all(bytes).await?;
        // Waiting here leaves the thread to others; the flush then waits for the last bits only.
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        pause(character_time.saturating_mul(count)).await;
        line.flush().await?;
        pause(self.delay_after).await;
        Ok(())
    }
}

/// The timer's tick is a millisecond: no wait at all must not cost one.
async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
