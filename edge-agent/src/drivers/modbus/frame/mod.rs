//! What a line puts round a message: the header of Modbus TCP, the checksum of RTU, the text form of
//! ASCII. Pure. Never keeps more than a few frames, never gives out a frame whose checksum is wrong.

mod ascii;
mod mbap;
mod rtu;
#[cfg(test)]
mod tests;

use ascii::AsciiReader;
use mbap::MbapReader;
use rtu::RtuReader;

/// The three forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Modbus TCP: a header with a number by which an answer finds its request.
    Mbap,
    /// RTU: unit, message, checksum; ends when its length says so.
    Rtu,
    /// ASCII: `:`, hexadecimal digits, checksum, end of line.
    Ascii,
}

/// Who sends what is read: requests and answers of one function have other lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Answers of units, as a client reads them.
    Answers,
    /// Requests of a client, as a unit reads them.
    Requests,
}

/// One message and for whom it is, or of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Number of the request; always 0 but for Modbus TCP.
    pub id: u16,
    /// The unit.
    pub unit: u8,
    /// Function code and what follows.
    pub pdu: Vec<u8>,
}

/// What is wrong with bytes that came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A whole frame with a wrong checksum.
    #[error("the checksum is wrong")]
    Checksum {
        /// Unit, function and bytes of the frame, for what they are worth.
        unit: u8,
        /// See `unit`.
        function: u8,
        /// Bytes of the frame.
        len: usize,
    },
    /// No header of Modbus TCP: where the next frame begins cannot be known.
    #[error("{0}")]
    Header(&'static str),
    /// A line of text that is none of Modbus ASCII.
    #[error("{0}")]
    Text(&'static str),
}

impl FrameError {
    /// Whether nothing that follows on this connection can be understood.
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Header(_))
    }
}

/// A message as bytes for the line.
pub fn encode(framing: Framing, frame: &Frame) -> Vec<u8> {
    match framing {
        Framing::Mbap => mbap::encode(frame),
        Framing::Rtu => rtu::encode(frame),
        Framing::Ascii => ascii::encode(frame),
    }
}

/// Bytes on the line for a message of `pdu` bytes.
pub const fn bytes_on_the_line(framing: Framing, pdu: usize) -> usize {
    match framing {
        Framing::Mbap => pdu + 7,
        Framing::Rtu => pdu + 3,
        Framing::Ascii => 2 * pdu + 7,
    }
}

/// Finds frames in bytes as they come.
#[derive(Debug)]
pub struct Reader(Form);

#[derive(Debug)]
enum Form {
    Mbap(MbapReader),
    Rtu(RtuReader),
    Ascii(AsciiReader),
}

impl Reader {
    /// For frames of one form from one side.
    pub fn new(framing: Framing, side: Side) -> Self {
        Self(match framing {
            Framing::Mbap => Form::Mbap(MbapReader::default()),
            Framing::Rtu => Form::Rtu(RtuReader::new(side)),
            Framing::Ascii => Form::Ascii(AsciiReader::default()),
        })
    }

    /// Takes what came. Take all frames out before the next: of what does not fit, the oldest goes.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Form::Mbap(reader) => reader.push(bytes),
            Form::Rtu(reader) => reader.push(bytes),
            Form::Ascii(reader) => reader.push(bytes),
        }
    }

    /// The next whole frame, or what is wrong; `None` when more has to come.
    pub fn next_frame(&mut self) -> Option<Result<Frame, FrameError>> {
        match &mut self.0 {
            Form::Mbap(reader) => reader.next_frame(),
            Form::Rtu(reader) => reader.next_frame(),
            Form::Ascii(reader) => reader.next_frame(),
        }
    }

    /// The line has been silent for longer than between two bytes of a frame: what has begun will
    /// not go on, and `next_frame` looks behind it. Only RTU has this rule.
    pub fn silence(&mut self) {
        if let Form::Rtu(reader) = &mut self.0 {
            reader.silence();
        }
    }

    /// Bytes of a frame that is not whole.
    pub fn waiting(&self) -> usize {
        match &self.0 {
            Form::Mbap(reader) => reader.waiting(),
            Form::Rtu(reader) => reader.waiting(),
            Form::Ascii(reader) => reader.waiting(),
        }
    }

    /// Forgets what came.
    pub fn clear(&mut self) {
        match &mut self.0 {
            Form::Mbap(reader) => reader.clear(),
            Form::Rtu(reader) => reader.clear(),
            Form::Ascii(reader) => reader.clear(),
        }
    }
}

/// Adds to a buffer that never holds more than `most`: the oldest goes.
fn push_bounded(buffer: &mut Vec<u8>, bytes: &[u8], most: usize) {
    buffer.extend_from_slice(bytes);
    let over = buffer.len().saturating_sub(most);
    buffer.drain(..over);
}
