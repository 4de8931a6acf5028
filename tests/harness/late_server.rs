//! A Modbus server that answers now and then after the client has given up, over TCP or RTU, one
//! request after the other as a real device does. Each value says which register it is of and which
//! answer it came with, so that a value that was taken from another answer is seen. Never wrong in
//! any other way: that is the part of `bad_server`.

use crate::pty::Pty;
use anyhow::{Context as _, Result};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Registers of one value: its address, and the number of the answer that it came with.
pub const REGISTERS: u16 = 2;
/// Longest time after which a thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// How it is late.
#[derive(Clone, Copy, Debug)]
pub struct Lateness {
    /// One request in so many.
    pub every: u32,
    /// The shortest time from such a request to its answer.
    pub after: Duration,
    /// By so much more at the most, another time each time.
    pub spread: Duration,
}

/// One answer that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// First register.
    pub address: u16,
    /// Its number, from 1; stands in each of its values.
    pub number: u16,
    /// Whether it was given late.
    pub late: bool,
    /// When it was asked for, in microseconds since 1970 by the clock of this machine.
    pub asked_us: i64,
}

#[derive(Debug)]
struct Device {
    lateness: Lateness,
    given: Mutex<Vec<Given>>,
    stop: AtomicBool,
}

/// The running server.
#[derive(Debug)]
pub struct LateServer {
    device: Arc<Device>,
    place: Place,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Place {
    Tcp(SocketAddr),
    Rtu(Arc<Pty>),
}

impl LateServer {
    /// Over TCP, on a free port.
    pub fn tcp(lateness: Lateness) -> Result<Self> {
        let address = crate::ports::free()?;
        let listener = TcpListener::bind(address).context("binding the late server")?;
        listener.set_nonblocking(true)?;
        let device = Device::new(lateness);
        let thread = started(&device, move |device| serve_tcp(&listener, device))?;
        Ok(Self {
            device,
            place: Place::Tcp(address),
            thread,
        })
    }

    /// RTU, on a serial line without a speed of its own.
    pub fn rtu(lateness: Lateness) -> Result<Self> {
        let line = Arc::new(Pty::open()?);
        let device = Device::new(lateness);
        let served = Arc::clone(&line);
        let thread = started(&device, move |device| serve_rtu(&served, device))?;
        Ok(Self {
            device,
            place: Place::Rtu(line),
            thread,
        })
    }

    /// Where it listens; `None` on a serial line.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Tcp(address) => Some(*address),
            Place::Rtu(_) => None,
        }
    }

    /// Its serial line; `None` over TCP.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Tcp(_) => None,
            Place::Rtu(line) => Some(line.path()),
        }
    }

    /// All answers so far, oldest first.
    pub fn given(&self) -> Vec<Given> {
        locked(&self.device.given).clone()
    }
}

impl Drop for LateServer {
    fn drop(&mut self) {
        self.device.stop.store(true, Ordering::SeqCst);
        // A thread that panicked has been printed.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

impl Device {
    fn new(lateness: Lateness) -> Arc<Self> {
        Arc::new(Self {
            lateness,
            given: Mutex::default(),
            stop: AtomicBool::new(false),
        })
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// The answer to a read of holding registers, without frame, when it is time for it.
    fn answer(&self, pdu: &[u8]) -> Vec<u8> {
        let &[3, high, low, count_high, count_low] = pdu else {
            // "Illegal function".
            return vec![pdu.first().unwrap_or(&0) | 0x80, 1];
        };
        let address = u16::from_be_bytes([high, low]);
        let count = u16::from_be_bytes([count_high, count_low]).min(124);
        let (number, late) = self.note(address);
        if let Some(delay) = late {
            crate::wait::pause(delay);
        }
        let mut answer = vec![3, u8::try_from(2 * count).unwrap_or(0)];
        for register in 0..count {
            let own = address + register - register % REGISTERS;
            let word = if register % REGISTERS == 0 {
                own
            } else {
                number
            };
            answer.extend(word.to_be_bytes());
        }
        answer
    }

    fn note(&self, address: u16) -> (u16, Option<Duration>) {
        let mut given = locked(&self.given);
        let number = u16::try_from(given.len() + 1).unwrap_or(u16::MAX);
        let late = u32::from(number).is_multiple_of(self.lateness.every);
        let asked = SystemTime::now().duration_since(UNIX_EPOCH);
        let asked_us = asked.map_or(0, |asked| asked.as_micros().try_into().unwrap_or(i64::MAX));
        given.push(Given {
            address,
            number,
            late,
            asked_us,
        });
        let Lateness { after, spread, .. } = self.lateness;
        // Spread over the whole time, in no order that a client could follow.
        let share = u32::from(number).wrapping_mul(0x9E37_79B9) >> 24;
        (number, late.then(|| after + spread * share / 255))
    }
}

fn started(
    device: &Arc<Device>,
    serve: impl FnOnce(&Device) -> Result<()> + Send + 'static,
) -> Result<Option<JoinHandle<()>>> {
    let device = Arc::clone(device);
    // What ends it is the end of the test or of its client; the test sees what is missing.
    let run = move || drop(serve(&device));
    let thread = std::thread::Builder::new().name("late-server".into());
    Ok(Some(thread.spawn(run).context("starting the late server")?))
}

/// One client at a time; a client that comes back is served when the one before is gone.
fn serve_tcp(listener: &TcpListener, device: &Device) -> Result<()> {
    while !device.stopped() {
        let Ok((mut client, _)) = listener.accept() else {
            crate::wait::pause(Duration::from_millis(1));
            continue;
        };
        client.set_nonblocking(false)?;
        client.set_nodelay(true)?;
        client.set_read_timeout(Some(LOOK))?;
        let mut waiting = Vec::new();
        while !device.stopped() {
            let mut buffer = [0; 260];
            match client.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => waiting.extend(buffer.get(..length).unwrap_or_default()),
                Err(error) if is_timeout(&error) => continue,
                Err(_) => break,
            }
            while waiting.len() >= 12 {
                let request: Vec<u8> = waiting.drain(..12).collect();
                let pdu = device.answer(request.get(7..).unwrap_or_default());
                let length = u16::try_from(pdu.len() + 1)?.to_be_bytes();
                let head = request.get(..4).unwrap_or_default();
                let unit = request.get(6..7).unwrap_or_default();
                if client
                    .write_all(&[head, &length, unit, &pdu].concat())
                    .is_err()
                {
                    waiting.clear();
                }
            }
        }
    }
    Ok(())
}

fn serve_rtu(line: &Pty, device: &Device) -> Result<()> {
    let mut waiting = Vec::new();
    while !device.stopped() {
        let came = line.read(LOOK)?;
        if came.is_empty() {
            // Silence: what is not whole by now is no request.
            waiting.clear();
        }
        waiting.extend(came);
        while waiting.len() >= 8 {
            let request: Vec<u8> = waiting.drain(..8).collect();
            let Some((body, check)) = request.split_last_chunk::<2>() else {
                continue;
            };
            if crc(body) != *check {
                waiting.clear();
                continue;
            }
            let pdu = device.answer(body.get(1..).unwrap_or_default());
            let mut frame = body.get(..1).unwrap_or_default().to_vec();
            frame.extend(pdu);
            frame.extend(crc(&frame));
            line.write(&frame)?;
        }
    }
    Ok(())
}

/// CRC of a serial frame, as it is sent (Modbus over Serial Line V1.02, 6.2.2).
fn crc(bytes: &[u8]) -> [u8; 2] {
    let mut crc = 0xFFFF_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1 == 1;
            crc >>= 1;
            if carry {
                crc ^= 0xA001;
            }
        }
    }
    crc.to_le_bytes()
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
    )
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::time::Instant;

    const LATE: Lateness = Lateness {
        every: 2,
        after: Duration::from_millis(60),
        spread: Duration::from_millis(30),
    };

    #[test]
    fn every_second_answer_over_tcp_is_late_and_says_what_it_is() {
        let server = LateServer::tcp(LATE).unwrap();
        let mut client = TcpStream::connect(server.address().unwrap()).unwrap();
        let started = Instant::now();
        let request = [0, 9, 0, 0, 0, 6, 7, 3, 1, 2, 0, 4];
        client.write_all(&[request, request].concat()).unwrap();
        let mut answer = [0; 17];
        client.read_exact(&mut answer).unwrap();
        let right = [0, 9, 0, 0, 0, 11, 7, 3, 8, 1, 2, 0, 1, 1, 4, 0, 1];
        assert_eq!(answer, right);
        client.read_exact(&mut answer).unwrap();
        assert!(started.elapsed() >= Duration::from_millis(60));
        assert_eq!(answer[11..13], [0, 2]);
        let given = server.given();
        assert_eq!(given.len(), 2);
        assert!(!given[0].late && given[1].late && given[1].address == 0x102);
    }

    #[test]
    fn over_rtu_frames_carry_the_published_check() {
        // The example of the specification, 6.2.2: 02 07 has the check 41 12.
        assert_eq!(crc(&[2, 7]), [0x41, 0x12]);
        let server = LateServer::rtu(LATE).unwrap();
        let mut options = std::fs::File::options();
        let path = server.path().unwrap();
        let mut line = options.read(true).write(true).open(path).unwrap();
        let mut request = vec![7, 3, 0, 10, 0, 2];
        request.extend(crc(&request));
        line.write_all(&request).unwrap();
        let mut answer = [0; 9];
        line.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..7], [7, 3, 4, 0, 10, 0, 1]);
        assert_eq!(answer[7..], crc(&answer[..7]));
    }
}
