//! A bundle comes back as it was, and whatever is over a limit is refused.

use super::*;
use crate::limits::{BUNDLE_BYTES_MAX, PIN_MEMORY_KIB_MAX};
use crate::wire::{WireError, decode_bundle, encode_bundle};
use uuid::Uuid;

const DAY_US: i64 = 86_400_000_000;

pub(crate) fn bundle() -> Bundle {
    Bundle {
        number: 7,
        site: SiteId(Uuid::from_u128(1)),
        made: Timestamp(0),
        valid_until: Timestamp(90 * DAY_US),
        grace_days: 30,
        people: vec![Person {
            id: UserId(Uuid::from_u128(2)),
            name: "Mara".to_owned(),
            role: Role::Engineer,
            pin: Some(PinHash {
                memory_kib: 4_096,
                passes: 3,
                salt: [1; 16],
                hash: [2; 32],
            }),
            phone: Some("+4915112345".to_owned()),
            email: None,
            language: Some("de".to_owned()),
            on_call: true,
        }],
        assets: vec![Asset {
            tag: "P-101".to_owned(),
            name: "Feed pump".to_owned(),
            parent: None,
            criticality: Some(Criticality::A),
            class: Some("pump".to_owned()),
            location: None,
        }],
        parts: vec![Part {
            number: "SEAL-35".to_owned(),
            name: "Seal 35 mm".to_owned(),
            stock: 4.0,
            unit: "piece".to_owned(),
            place: Some("A-12".to_owned()),
            minimum: Some(2.0),
        }],
        checklists: vec![Checklist {
            id: "pump-monthly".to_owned(),
            version: 2,
            title: "Pump, monthly".to_owned(),
            class: Some("pump".to_owned()),
            steps: vec![Step {
                title: "Oil level".to_owned(),
                required: true,
                answer: Answer::Number {
                    unit: "mm".to_owned(),
                    low: Some(10.0),
                    high: None,
                },
            }],
        }],
        failure_codes: vec![FailureCode {
            code: "LEAK".to_owned(),
            kind: FailureKind::Problem,
            title: "Leaks".to_owned(),
            class: None,
            under: None,
        }],
    }
}

#[test]
fn a_bundle_comes_back_and_a_cut_one_is_refused() {
    let bytes = encode_bundle(&bundle()).unwrap();
    assert_eq!(decode_bundle(&bytes).unwrap(), bundle());
    for end in 0..bytes.len() {
        assert!(decode_bundle(&bytes[..end]).is_err(), "{end}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(decode_bundle(&longer).is_err());
}

#[test]
fn what_is_over_a_limit_is_neither_made_nor_read() {
    let over = |error| matches!(error, WireError::OverLimit { .. });
    let mut long = bundle();
    long.assets[0].name = "x".repeat(BUNDLE_BYTES_MAX);
    assert!(over(encode_bundle(&long).unwrap_err()));
    assert!(over(
        decode_bundle(&vec![1; BUNDLE_BYTES_MAX + 1]).unwrap_err()
    ));
    let mut slow = bundle();
    slow.people[0].pin.as_mut().unwrap().memory_kib = PIN_MEMORY_KIB_MAX + 1;
    let bytes = encode_bundle(&slow).unwrap();
    assert!(over(decode_bundle(&bytes).unwrap_err()));
    let mut many = bundle();
    many.people = vec![many.people[0].clone(); limits::PEOPLE_MAX + 1];
    let bytes = encode_bundle(&many).unwrap();
    assert!(decode_bundle(&bytes).is_err());
}

#[test]
fn after_its_grace_a_bundle_lowers_roles_and_locks_nobody_out() {
    let bundle = bundle();
    let at = |days: i64| bundle.validity(Timestamp(days * DAY_US));
    assert_eq!(
        [at(0), at(90), at(91), at(120), at(121)],
        [
            Validity::Valid,
            Validity::Valid,
            Validity::Grace,
            Validity::Grace,
            Validity::Ended
        ]
    );
    assert_eq!(at(120).lowered(Role::Engineer), Role::Engineer);
    assert_eq!(at(121).lowered(Role::Engineer), Role::Technician);
    assert_eq!(at(121).lowered(Role::Viewer), Role::Viewer);
}

#[test]
fn words_come_back() {
    for role in Role::ALL {
        assert_eq!(Role::from_word(role.word()), Some(role));
    }
    for letter in ["A", "B", "C", "D"] {
        assert_eq!(Criticality::from_letter(letter).unwrap().letter(), letter);
    }
    for word in ["problem", "cause", "remedy"] {
        assert_eq!(FailureKind::from_word(word).unwrap().word(), word);
    }
    assert_eq!(Role::from_word("admin"), None);
}
