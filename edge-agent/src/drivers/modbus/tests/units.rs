//! Units on a line that are played by hand: registers in memory, answers late, damaged or not at all, on
//! whatever stream. They answer in order, as units do: while one is late, what follows waits.

use super::super::frame::{Frame, Framing, Reader, Side, encode};
use super::super::pdu::{Request, Response, Span};
use super::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_serial::{SerialPort as _, SerialStream};

/// What the units hold and were asked.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    registers: BTreeMap<(u8, u16), u16>,
    coils: BTreeMap<(u8, u16), bool>,
    log: Vec<(u8, Request)>,
}

impl Memory {
    /// The register at offset n of unit u holds 1000 u + n until it is written.
    pub(super) fn register(&self, unit: u8, offset: u16) -> u16 {
        let held = self.0.lock().unwrap();
        let usual = u16::from(unit).wrapping_mul(1_000).wrapping_add(offset);
        held.registers
            .get(&(unit, offset))
            .copied()
            .unwrap_or(usual)
    }

    pub(super) fn set(&self, unit: u8, offset: u16, value: u16) {
        let mut held = self.0.lock().unwrap();
        held.registers.insert((unit, offset), value);
    }

    pub(super) fn coil(&self, unit: u8, offset: u16) -> bool {
        let held = self.0.lock().unwrap();
        held.coils.get(&(unit, offset)).copied().unwrap_or_default()
    }

    fn set_coil(&self, unit: u8, offset: u16, on: bool) {
        self.0.lock().unwrap().coils.insert((unit, offset), on);
    }

    pub(super) fn log(&self) -> Vec<(u8, Request)> {
        self.0.lock().unwrap().log.clone()
    }

    fn registers(&self, unit: u8, span: Span) -> Vec<u16> {
        let offsets = span.start..span.start + span.count;
        offsets.map(|at| self.register(unit, at)).collect()
    }

    /// What a unit that has everything answers, and does.
    pub(super) fn right(&self, unit: u8, request: &Request) -> Response {
        let function = request.function();
        match request {
            Request::ReadHoldingRegisters(span) | Request::ReadInputRegisters(span) => {
                Response::Registers {
                    function,
                    words: self.registers(unit, *span),
                }
            }
            Request::ReadCoils(span) | Request::ReadDiscreteInputs(span) => Response::Bits {
                function,
                bits: (span.start..span.start + span.count)
                    .map(|at| self.coil(unit, at))
                    .collect(),
            },
            Request::WriteCoil(at, on) => {
                self.set_coil(unit, *at, *on);
                let value = if *on { 0xFF00 } else { 0 };
                Response::WroteOne {
                    function,
                    address: *at,
                    value,
                }
            }
            Request::WriteRegister(at, value) => {
                self.set(unit, *at, *value);
                Response::WroteOne {
                    function,
                    address: *at,
                    value: *value,
                }
            }
            Request::WriteRegisters(start, words) => {
                for (at, word) in (*start..).zip(words) {
                    self.set(unit, at, *word);
                }
                let count = u16::try_from(words.len()).unwrap();
                Response::WroteMany {
                    function,
                    span: Span {
                        start: *start,
                        count,
                    },
                }
            }
            Request::MaskWriteRegister {
                address,
                and_mask,
                or_mask,
            } => {
                let old = self.register(unit, *address);
                self.set(unit, *address, (old & and_mask) | (or_mask & !and_mask));
                Response::MaskWrote {
                    address: *address,
                    and_mask: *and_mask,
                    or_mask: *or_mask,
                }
            }
            other => refused(other, 1),
        }
    }
}

pub(super) fn refused(request: &Request, code: u8) -> Response {
    Response::Refused {
        function: request.function(),
        code: code.into(),
    }
}

/// What a unit does with a request.
pub(super) enum Reply {
    Right,
    Late(Duration),
    Other(Response),
    /// The right answer with its last byte changed.
    Damaged,
    /// These bytes and then the right answer.
    Behind(Vec<u8>),
    Nothing,
}

/// Unit, request and how many came before it, of all units.
pub(super) trait Play: Fn(u8, &Request, usize) -> Reply + Send + 'static {}
impl<T: Fn(u8, &Request, usize) -> Reply + Send + 'static> Play for T {}

/// Serves a stream until it ends.
pub(super) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    framing: Framing,
    memory: Memory,
    play: impl Play,
) {
    let mut reader = Reader::new(framing, Side::Requests);
    let mut buffer = [0; 300];
    let mut count = 0;
    loop {
        while let Some(found) = reader.next_frame() {
            let frame = found.expect("the driver's frames are right");
            let request = Request::decode(&frame.pdu).unwrap();
            memory
                .0
                .lock()
                .unwrap()
                .log
                .push((frame.unit, request.clone()));
            let answer = answer(&frame, framing, &memory, play(frame.unit, &request, count)).await;
            count += 1;
            if let Some(bytes) = answer
                && stream.write_all(&bytes).await.is_err()
            {
                return;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => reader.push(&buffer[..read]),
        }
    }
}

async fn answer(frame: &Frame, framing: Framing, memory: &Memory, reply: Reply) -> Option<Vec<u8>> {
    let request = Request::decode(&frame.pdu).unwrap();
    let response = match &reply {
        Reply::Nothing => return None,
        Reply::Other(response) => response.clone(),
        Reply::Late(by) => {
            tokio::time::sleep(*by).await;
            memory.right(frame.unit, &request)
        }
        _ => memory.right(frame.unit, &request),
    };
    let pdu = response.encode();
    let mut bytes = encode(framing, &Frame { pdu, ..*frame });
    match reply {
        Reply::Damaged => *bytes.last_mut().unwrap() ^= 1,
        Reply::Behind(mut before) => {
            before.append(&mut bytes);
            bytes = before;
        }
        _ => {}
    }
    Some(bytes)
}

/// A serial line that is a pair of pseudo terminals; it has no rate.
pub(super) struct SerialLine {
    folder: tempfile::TempDir,
    /// Held open, so that the other end is not told of an end that is none.
    near: Option<SerialStream>,
    far: Option<JoinHandle<()>>,
}

impl SerialLine {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            near: None,
            far: None,
        }
    }

    /// The device file by a name that stays while the terminal behind it changes.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("ttyUSB0")
    }

    /// The keys of a port on this line.
    pub(super) fn port(&self, more: &str) -> String {
        let path = self.path().display().to_string();
        format!("kind = \"serial\"\npath = \"{path}\"\nbaud = 115200\n{more}")
    }

    /// Plugs an adapter in, with units behind it.
    pub(super) fn plug(&mut self, framing: Framing, memory: &Memory, play: impl Play) {
        let (far, near) = SerialStream::pair().unwrap();
        std::os::unix::fs::symlink(near.name().unwrap(), self.path()).unwrap();
        self.near = Some(near);
        self.far = Some(tokio::spawn(serve(far, framing, memory.clone(), play)));
    }

    /// Pulls it out.
    pub(super) async fn unplug(&mut self) {
        std::fs::remove_file(self.path()).unwrap();
        self.near = None;
        let far = self.far.take().unwrap();
        far.abort();
        // Its end of the line is closed when it has ended.
        drop(far.await);
    }
}
