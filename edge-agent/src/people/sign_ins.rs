//! Sessions of people and their wrong PINs, as one value that the store keeps over a restart.
//! Never holds a PIN or a session's secret: only the SHA-256 of the latter.

use protocol::bundle::PinHash;
use protocol::id::UserId;
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::net::IpAddr;

/// How long a session lasts: a long shift.
pub const SESSION_US: i64 = 12 * 3_600 * 1_000_000;
/// Sessions at the same time; at the limit the oldest ends.
const SESSIONS_MAX: usize = 256;
/// How long a wrong PIN counts.
pub const TRIES_US: i64 = 15 * 60 * 1_000_000;
/// Wrong PINs of one person from one address before that address has to wait for that person.
const TRIES_OF_ONE_FROM_ONE: usize = 5;
/// Wrong PINs from one address, whoever is meant. A hall may share a tablet.
const TRIES_FROM_ONE: usize = 30;
/// Wrong PINs of one person from anywhere: then nobody signs in as them for a while. All names that
/// nobody has count as one person.
const TRIES_OF_ONE: usize = 20;
/// Wrong PINs that are remembered: as many as the limits let pass of very many people. At the limit
/// nobody who is not signed in gets a try before the oldest is old enough.
const TRIES_MAX: usize = 2_000;

/// Who is signed in, and who tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIns {
    sessions: VecDeque<Session>,
    tries: VecDeque<Try>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    secret_sha256: [u8; 32],
    person: UserId,
    /// Of the PIN that was right: with another PIN the session has ended.
    salt: [u8; 16],
    since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Try {
    person: Option<UserId>,
    address: IpAddr,
    at: Timestamp,
}

/// What a session's secret says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub person: UserId,
    /// Since when.
    pub since: Timestamp,
    salt: [u8; 16],
}

impl Held {
    /// Whether the person's PIN is still the one that was entered.
    pub fn is_of(&self, pin: Option<&PinHash>) -> bool {
        pin.is_some_and(|pin| pin.salt == self.salt)
    }
}

impl SignIns {
    /// As the store keeps it. What cannot be read is forgotten: people sign in again.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        postcard::from_bytes(bytes).unwrap_or_default()
    }

    /// For the store.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// Counts a try before its PIN is looked at, so that tries at the same time all count. Too
    /// many: nothing is counted, and how long to wait, in seconds.
    pub fn begin(
        &mut self,
        person: Option<UserId>,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), u64> {
        let address = network(address);
        // A clock that was set forgets no try of a moment ago, and keeps none for ever.
        self.tries
            .retain(|tried| now.micros_since(tried.at).abs() < TRIES_US);
        let of_one = |tried: &&Try| tried.person == person;
        let from_one = |tried: &&Try| tried.address == address;
        let both = |tried: &&Try| of_one(tried) && from_one(tried);
        let waits = [
            self.oldest(TRIES_OF_ONE_FROM_ONE, both),
            self.oldest(TRIES_FROM_ONE, from_one),
            self.oldest(TRIES_OF_ONE, of_one),
            self.oldest(TRIES_MAX, |_| true),
        ];
        if let Some(last) = waits.into_iter().flatten().max() {
            let left_us = TRIES_US - now.micros_since(last);
            return Err(left_us.max(1_000_000).unsigned_abs().div_ceil(1_000_000));
        }
        self.tries.push_back(Try {
            person,
            address,
            at: now,
        });
        Ok(())
    }

    /// Whether the next try of this person from this address has to wait.
    pub fn is_locked(&self, person: Option<UserId>, address: IpAddr) -> bool {
        let address = network(address);
        let both = |tried: &&Try| tried.person == person && tried.address == address;
        self.oldest(TRIES_OF_ONE_FROM_ONE, both).is_some()
    }

    /// The oldest of the last `most` tries that count here, when there are as many.
    fn oldest(&self, most: usize, counts: impl Fn(&&Try) -> bool) -> Option<Timestamp> {
        let mut newest_first = self.tries.iter().rev().filter(|tried| counts(tried));
        newest_first.nth(most - 1).map(|tried| tried.at)
    }

    /// The PIN was right: a session begins, and the tries of this person from there are forgotten.
    pub fn open(
        &mut self,
        secret_sha256: [u8; 32],
        (person, pin): (UserId, &PinHash),
        address: IpAddr,
        now: Timestamp,
    ) {
        self.confirmed(person, address);
        self.sessions
            .retain(|session| now.micros_since(session.since) < SESSION_US);
        self.sessions.push_back(Session {
            secret_sha256,
            person,
            salt: pin.salt,
            since: now,
        });
        let excess = self.sessions.len().saturating_sub(SESSIONS_MAX);
        self.sessions.drain(..excess);
    }

    /// The PIN was right; the tries of this person from there are forgotten.
    pub fn confirmed(&mut self, person: UserId, address: IpAddr) {
        let address = network(address);
        self.tries
            .retain(|tried| tried.person != Some(person) || tried.address != address);
    }

    /// The session with this secret, unless it has ended.
    pub fn find(&self, secret_sha256: [u8; 32], now: Timestamp) -> Option<Held> {
        let mut sessions = self.sessions.iter();
        let session = sessions.find(|session| session.secret_sha256 == secret_sha256)?;
        (now.micros_since(session.since) < SESSION_US).then_some(Held {
            person: session.person,
            since: session.since,
            salt: session.salt,
        })
    }

    /// Ends a session; whether there was one.
    pub fn close(&mut self, secret_sha256: [u8; 32]) -> bool {
        let before = self.sessions.len();
        self.sessions
            .retain(|session| session.secret_sha256 != secret_sha256);
        self.sessions.len() < before
    }
}

/// An IPv6 host may have as many addresses as it likes: its network counts.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mut parts = v6.segments();
            for part in parts.iter_mut().skip(4) {
                *part = 0;
            }
            IpAddr::V6(parts.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const MINUTE_US: i64 = 60_000_000;

    fn person(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn from(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn pin(salt: u8) -> PinHash {
        PinHash {
            memory_kib: 8,
            passes: 1,
            salt: [salt; 16],
            hash: [0; 32],
        }
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp(1_000_000_000_000_000 + minutes * MINUTE_US)
    }

    #[test]
    fn five_wrong_pins_lock_one_person_at_one_address_and_nobody_else() {
        let mut book = SignIns::default();
        for _ in 0..5 {
            book.begin(Some(person(1)), from(1), at(0)).unwrap();
        }
        assert!(book.is_locked(Some(person(1)), from(1)));
        assert_eq!(book.begin(Some(person(1)), from(1), at(1)), Err(14 * 60));
        // Neither the colleague beside them nor they themselves at their own phone.
        book.begin(Some(person(2)), from(1), at(1)).unwrap();
        book.begin(Some(person(1)), from(2), at(1)).unwrap();
        // A try that was refused does not count, so the wait does not grow.
        book.begin(Some(person(1)), from(1), at(15)).unwrap();
    }

    #[test]
    fn a_guesser_with_many_addresses_is_stopped_and_so_is_one_with_many_names() {
        let mut book = SignIns::default();
        let mut taken = 0;
        for last in 1..=200 {
            taken += usize::from(book.begin(Some(person(1)), from(last), at(0)).is_ok());
        }
        assert_eq!(taken, 20);
        let mut book = SignIns::default();
        taken = 0;
        for number in 1..=200 {
            taken += usize::from(book.begin(Some(person(number)), from(1), at(0)).is_ok());
        }
        assert_eq!(taken, 30);
        let mut book = SignIns::default();
        taken = 0;
        for last in 0..200_u16 {
            let v6 = [0x2001, 0xdb8, 0, 0, 1, 2, 3, last];
            taken += usize::from(book.begin(Some(person(1)), v6.into(), at(0)).is_ok());
        }
        assert_eq!(taken, 5);
    }

    #[test]
    fn a_right_pin_forgets_the_wrong_ones_of_that_person_there_only() {
        let mut book = SignIns::default();
        for _ in 0..4 {
            book.begin(Some(person(1)), from(1), at(0)).unwrap();
            book.begin(Some(person(2)), from(1), at(0)).unwrap();
        }
        book.open([1; 32], (person(1), &pin(1)), from(1), at(0));
        for _ in 0..5 {
            book.begin(Some(person(1)), from(1), at(0)).unwrap();
        }
        book.begin(Some(person(2)), from(1), at(0)).unwrap();
        book.begin(Some(person(2)), from(1), at(0)).unwrap_err();
    }

    #[test]
    fn sessions_and_tries_survive_a_restart() {
        let mut book = SignIns::default();
        for _ in 0..5 {
            book.begin(Some(person(2)), from(1), at(0)).unwrap();
        }
        book.open([1; 32], (person(1), &pin(1)), from(1), at(0));
        let mut again = SignIns::from_bytes(&book.to_bytes());
        assert_eq!(again, book);
        assert_eq!(again.find([1; 32], at(1)).unwrap().person, person(1));
        again.begin(Some(person(2)), from(1), at(1)).unwrap_err();
        assert_eq!(SignIns::from_bytes(&[9; 5]), SignIns::default());
    }

    #[test]
    fn a_session_ends_by_time_by_hand_by_a_new_pin_and_when_there_are_too_many() {
        let mut book = SignIns::default();
        book.open([1; 32], (person(1), &pin(1)), from(1), at(0));
        let held = book.find([1; 32], at(719)).unwrap();
        assert!(held.is_of(Some(&pin(1))));
        assert!(!held.is_of(Some(&pin(2))) && !held.is_of(None));
        assert_eq!(book.find([1; 32], at(720)), None);
        assert_eq!(book.find([2; 32], at(0)), None);
        assert!(book.close([1; 32]) && !book.close([1; 32]));
        assert_eq!(book.find([1; 32], at(0)), None);
        for number in 0..=SESSIONS_MAX {
            let secret = [u8::try_from(number % 251).unwrap(); 32];
            book.open(secret, (person(1), &pin(1)), from(1), at(1));
        }
        assert_eq!(book.sessions.len(), SESSIONS_MAX);
    }

    #[test]
    fn a_clock_that_is_set_back_or_forward_locks_nobody_for_ever() {
        let mut book = SignIns::default();
        for _ in 0..5 {
            book.begin(Some(person(1)), from(1), at(100_000)).unwrap();
        }
        book.begin(Some(person(1)), from(1), at(0)).unwrap();
    }
}
