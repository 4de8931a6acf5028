//! A serial line with real character times between two pseudo terminals: a pump that hands every
//! byte on when its last bit would have come over a wire of that speed, in both directions, by
//! absolute times, so that it never drifts. One frame is on the line at a time, as on two-wire
//! RS-485: the other direction begins at the earliest after the silence that RTU asks for. Can add
//! noise, lose and damage bytes, and echo. Never knows what the bytes mean.

use crate::pty::Pty;
use anyhow::{Context as _, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest time after which a thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// Frames that are kept; later ones are only counted by their time on the line.
const FRAMES_MAX: usize = 100_000;
/// What noise looks like.
const NOISE: [u8; 3] = [0x00, 0xFF, 0x5A];

/// How fast characters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bits per second.
    pub baud: u32,
    /// Bits of one character: 10 for 8N1, 11 with parity or two stop bits.
    pub bits: u32,
}

impl Pace {
    /// Time of `characters` on the wire.
    pub fn time(self, characters: usize) -> Duration {
        let bits = u64::from(self.bits) * u64::try_from(characters).unwrap_or(u64::MAX);
        Duration::from_nanos(bits.saturating_mul(1_000_000_000) / u64::from(self.baud.max(1)))
    }

    /// Silence between two frames: 3.5 characters, above 19,200 baud a fixed 1.75 ms (Modbus over
    /// Serial Line V1.02, 2.5.1.1).
    pub fn silence(self) -> Duration {
        if self.baud > 19_200 {
            Duration::from_micros(1_750)
        } else {
            self.time(7) / 2
        }
    }
}

/// What goes wrong on the line; 0 and `false` for nothing. Counted over frames from far to near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// What the near side sends comes back to it, as on an RS-485 adapter that hears itself.
    pub echo: bool,
    /// Three bytes of noise stand before each frame of that number.
    pub noise_every: u32,
    /// One byte of each frame of that number is lost.
    pub lost_every: u32,
    /// One bit of each frame of that number is turned.
    pub damaged_every: u32,
}

/// One frame as it was on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// From the near side (the client) to the far side.
    pub request: bool,
    /// When its first bit was on the line.
    pub start: Instant,
    /// When its last bit was.
    pub end: Instant,
    /// What the receiver got.
    pub bytes: Vec<u8>,
}

/// The running line.
#[derive(Debug)]
pub struct PacedPty {
    near: Arc<Pty>,
    far: Arc<Pty>,
    pace: Pace,
    line: Arc<Mutex<Line>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Line {
    faults: Faults,
    frames: Vec<Transmission>,
    answers: u32,
    /// When the last bit of either direction is over, and whose it is.
    busy_until: Option<(bool, Instant)>,
}

impl PacedPty {
    /// Starts the pump.
    pub fn start(pace: Pace) -> Result<Self> {
        let (near, far) = (Arc::new(Pty::open()?), Arc::new(Pty::open()?));
        let line = Arc::new(Mutex::new(Line::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut paced = Self {
            near,
            far,
            pace,
            line,
            stop,
            threads: Vec::new(),
        };
        for request in [true, false] {
            let pump = paced.pump(request);
            let thread = std::thread::Builder::new().name("paced-pty".into());
            let thread = thread.spawn(move || pump.run());
            paced
                .threads
                .push(thread.context("starting a thread of the paced line")?);
        }
        Ok(paced)
    }

    /// What the client opens.
    pub fn near(&self) -> &Path {
        self.near.path()
    }

    /// What the server opens.
    pub fn far(&self) -> &Path {
        self.far.path()
    }

    /// Its speed.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        locked(&self.line).faults = faults;
    }

    /// The frames so far, oldest first.
    pub fn frames(&self) -> Vec<Transmission> {
        locked(&self.line).frames.clone()
    }

    fn pump(&self, request: bool) -> Pump {
        let (from, to) = if request {
            (&self.near, &self.far)
        } else {
            (&self.far, &self.near)
        };
        Pump {
            request,
            from: Arc::clone(from),
            to: Arc::clone(to),
            pace: self.pace,
            line: Arc::clone(&self.line),
            stop: Arc::clone(&self.stop),
        }
    }
}

impl Drop for PacedPty {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // A pump that panicked has been printed; there is nothing left to do about it here.
            drop(thread.join());
        }
    }
}

/// One direction.
struct Pump {
    request: bool,
    from: Arc<Pty>,
    to: Arc<Pty>,
    pace: Pace,
    line: Arc<Mutex<Line>>,
    stop: Arc<AtomicBool>,
}

impl Pump {
    fn run(self) {
        while !self.stop.load(Ordering::SeqCst) {
            let Ok(bytes) = self.from.read(LOOK) else {
                return;
            };
            if !bytes.is_empty() && self.carry(bytes).is_err() {
                return;
            }
        }
    }

    /// Hands bytes that came together on, each at its time.
    fn carry(&self, bytes: Vec<u8>) -> Result<()> {
        let came = Instant::now();
        let (start, bytes, echo) = {
            let mut line = locked(&self.line);
            let start = line.start(self.request, came, self.pace);
            let follows = line.follows(self.request, start, self.pace);
            let bytes = line.spoilt(self.request, follows, bytes);
            let end = start + self.pace.time(bytes.len());
            line.busy_until = Some((self.request, end));
            line.note(self.request, (start, end), &bytes, follows);
            (start, bytes, self.request && line.faults.echo)
        };
        let mut done = 0;
        while done < bytes.len() {
            pause_until(start + self.pace.time(done + 1));
            // More than one byte is due when this thread was late.
            let passed = Instant::now().saturating_duration_since(start);
            let due = (done + 1..=bytes.len())
                .rev()
                .find(|count| self.pace.time(*count) <= passed)
                .unwrap_or(done + 1);
            let part = bytes.get(done..due).unwrap_or_default();
            self.to.write(part)?;
            if echo {
                self.from.write(part)?;
            }
            done = due;
        }
        Ok(())
    }
}

impl Line {
    /// When the first bit of bytes that came at `came` is on the line.
    fn start(&self, request: bool, came: Instant, pace: Pace) -> Instant {
        match self.busy_until {
            None => came,
            Some((whose, until)) if whose == request => came.max(until),
            Some((_, until)) => came.max(until + pace.silence()),
        }
    }

    /// Whether bytes that begin at `start` belong to the frame before them.
    fn follows(&self, request: bool, start: Instant, pace: Pace) -> bool {
        self.busy_until.is_some_and(|(whose, until)| {
            whose == request && start.saturating_duration_since(until) < pace.time(3) / 2
        })
    }

    fn spoilt(&mut self, request: bool, follows: bool, mut bytes: Vec<u8>) -> Vec<u8> {
        if request || follows {
            return bytes;
        }
        self.answers = self.answers.wrapping_add(1);
        let hit = |every: u32| every > 0 && self.answers.is_multiple_of(every);
        let middle = bytes.len() / 2;
        if hit(self.faults.damaged_every)
            && let Some(byte) = bytes.get_mut(middle)
        {
            *byte ^= 0x10;
        }
        if hit(self.faults.lost_every) && middle < bytes.len() {
            bytes.remove(middle);
        }
        if hit(self.faults.noise_every) {
            bytes.splice(0..0, NOISE);
        }
        bytes
    }

    fn note(&mut self, request: bool, time: (Instant, Instant), bytes: &[u8], follows: bool) {
        let (start, end) = time;
        let last = self.frames.last_mut().filter(|_| follows);
        if let Some(last) = last {
            last.end = end;
            last.bytes.extend(bytes);
        } else if self.frames.len() < FRAMES_MAX {
            let bytes = bytes.to_vec();
            self.frames.push(Transmission {
                request,
                start,
                end,
                bytes,
            });
        }
    }
}

fn pause_until(at: Instant) {
    crate::wait::pause(at.saturating_duration_since(Instant::now()));
}

fn locked(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    const PACE: Pace = Pace {
        baud: 9_600,
        bits: 10,
    };

    fn open(path: &Path) -> File {
        let mut options = File::options();
        options.read(true).write(true).open(path).unwrap()
    }

    /// Asks and answers once; gives what the client got back, and how long all took.
    fn turn(
        line: &PacedPty,
        request: &[u8],
        answer: &[u8],
        expected: usize,
    ) -> (Vec<u8>, Duration) {
        let (mut client, mut server) = (open(line.near()), open(line.far()));
        let started = Instant::now();
        client.write_all(request).unwrap();
        let mut asked = vec![0; request.len()];
        server.read_exact(&mut asked).unwrap();
        assert_eq!(asked, request);
        server.write_all(answer).unwrap();
        let mut got = vec![0; expected];
        client.read_exact(&mut got).unwrap();
        (got, started.elapsed())
    }

    #[test]
    fn a_turn_takes_what_it_takes_on_a_wire_and_never_less() {
        let line = PacedPty::start(PACE).unwrap();
        let (request, answer) = ([7; 8], [9; 45]);
        let theory = PACE.time(8 + 45) + PACE.silence();
        let fastest = (0..5)
            .map(|_| turn(&line, &request, &answer, 45).1)
            .min()
            .unwrap();
        assert!(fastest >= theory, "{fastest:?} of {theory:?}");
        assert!(fastest < theory * 11 / 10, "{fastest:?} of {theory:?}");
        let frames = line.frames();
        assert_eq!(frames.len(), 10);
        assert!(frames[0].request && !frames[1].request);
        assert_eq!(frames[1].end - frames[1].start, PACE.time(45));
        assert!(frames[1].start >= frames[0].end + PACE.silence());
        let fast = Pace {
            baud: 115_200,
            bits: 11,
        };
        assert_eq!(fast.silence(), Duration::from_micros(1_750));
        assert_eq!(fast.time(1_152), Duration::from_millis(110));
    }

    #[test]
    fn each_fault_is_what_it_says() {
        let fast = Pace {
            baud: 115_200,
            bits: 10,
        };
        let line = PacedPty::start(fast).unwrap();
        let answer = [1, 2, 3, 4];
        line.set_faults(Faults {
            echo: true,
            ..Faults::default()
        });
        assert_eq!(turn(&line, &[8, 9], &answer, 6).0, [8, 9, 1, 2, 3, 4]);
        line.set_faults(Faults {
            noise_every: 1,
            ..Faults::default()
        });
        assert_eq!(turn(&line, &[8], &answer, 7).0[..3], NOISE);
        line.set_faults(Faults {
            lost_every: 1,
            ..Faults::default()
        });
        assert_eq!(turn(&line, &[8], &answer, 3).0, [1, 2, 4]);
        line.set_faults(Faults {
            damaged_every: 2,
            ..Faults::default()
        });
        let turns = [0, 1].map(|_| turn(&line, &[8], &answer, 4).0);
        assert_eq!(turns.iter().filter(|got| got[..] == answer).count(), 1);
    }
}
