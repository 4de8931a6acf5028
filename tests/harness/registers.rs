//! A Modbus TCP server in the test's own process whose registers the test sets: for the moment at
//! which a value changes. Never judges our Modbus client: third-party servers do that.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Values by unit and register; all others walk slowly by themselves.
type Set = Arc<Mutex<BTreeMap<(u8, u16), u16>>>;

/// The running server; lives as long as the process (its threads end with their connections).
#[derive(Debug)]
pub struct Registers {
    address: SocketAddr,
    set: Set,
}

impl Registers {
    /// Starts it on a free port.
    pub fn start() -> Result<Self> {
        let address = crate::ports::free()?;
        let listener = TcpListener::bind(address).context("binding the registers")?;
        let set = Set::default();
        let served = Arc::clone(&set);
        std::thread::Builder::new()
            .name("registers".into())
            .spawn(move || {
                for client in listener.incoming().flatten() {
                    let served = Arc::clone(&served);
                    // A client that goes away ends its connection.
                    std::thread::spawn(move || drop(serve(client, &served)));
                }
            })
            .context("starting the registers' thread")?;
        Ok(Self { address, set })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A register has this value from now on.
    pub fn set(&self, unit: u8, register: u16, value: u16) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.insert((unit, register), value);
    }
}

/// The value that a register has by itself in this second: a slow walk with a little noise.
pub fn by_itself(unit: u8, register: u16, second: u64) -> u16 {
    let phase = u64::from(unit) * 97 + u64::from(register) * 31;
    let slow = (second / 20 + phase) % 200;
    let slow = slow.min(200 - slow);
    let mut noise = second.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ phase.wrapping_mul(0xBF58_476D);
    noise ^= noise >> 29;
    noise = noise.wrapping_mul(0x94D0_49BB_1331_11EB) >> 61;
    u16::try_from(2_000 + slow + noise).unwrap_or(0)
}

/// Answers requests of function 3 (read holding registers) until the client goes.
fn serve(mut client: TcpStream, set: &Set) -> Result<()> {
    client.set_nodelay(true)?;
    let mut request = [0; 12];
    loop {
        client.read_exact(&mut request)?;
        let [t0, t1, _, _, _, _, unit, function, a0, a1, c0, c1] = request;
        let (address, count) = (u16::from_be_bytes([a0, a1]), u16::from_be_bytes([c0, c1]));
        let bytes = u8::try_from(u32::from(count) * 2).unwrap_or(0);
        if function != 3 || bytes == 0 {
            // "Illegal function".
            client.write_all(&[t0, t1, 0, 0, 0, 3, unit, function | 0x80, 1])?;
            continue;
        }
        let second = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let length = u16::from(bytes) + 3;
        let [l0, l1] = length.to_be_bytes();
        let mut answer = vec![t0, t1, 0, 0, l0, l1, unit, function, bytes];
        let values = set.lock().unwrap_or_else(PoisonError::into_inner);
        for register in (address..).take(usize::from(count)) {
            let fixed = values.get(&(unit, register)).copied();
            let value = fixed.unwrap_or_else(|| by_itself(unit, register, second));
            answer.extend(value.to_be_bytes());
        }
        drop(values);
        client.write_all(&answer)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_what_was_set_and_refuses_other_functions() {
        let registers = Registers::start().unwrap();
        registers.set(7, 1, 258);
        let mut client = TcpStream::connect(registers.address()).unwrap();
        client
            .write_all(&[0, 9, 0, 0, 0, 6, 7, 3, 0, 0, 0, 2])
            .unwrap();
        let mut answer = [0; 13];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..9], [0, 9, 0, 0, 0, 7, 7, 3, 4]);
        assert_eq!(answer[11..], [1, 2]);
        assert!((2_000..2_200).contains(&u16::from_be_bytes([answer[9], answer[10]])));
        client
            .write_all(&[0, 9, 0, 0, 0, 6, 7, 6, 0, 0, 0, 2])
            .unwrap();
        let mut answer = [0; 9];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer[6..], [7, 0x86, 1]);
    }
}
