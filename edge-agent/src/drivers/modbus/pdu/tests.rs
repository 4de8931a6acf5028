//! Known messages of the specification by hand, and round trips of whatever can be said.

use super::*;
use proptest::prelude::*;

fn span() -> impl Strategy<Value = Span> {
    (any::<u16>(), 1_u16..=125).prop_map(|(start, count)| Span { start, count })
}

fn request() -> impl Strategy<Value = Request> {
    let words = |most| prop::collection::vec(any::<u16>(), 1..=most);
    prop_oneof![
        span().prop_map(Request::ReadCoils),
        span().prop_map(Request::ReadDiscreteInputs),
        span().prop_map(Request::ReadHoldingRegisters),
        span().prop_map(Request::ReadInputRegisters),
        any::<(u16, bool)>().prop_map(|(at, on)| Request::WriteCoil(at, on)),
        any::<(u16, u16)>().prop_map(|(at, value)| Request::WriteRegister(at, value)),
        (
            any::<u16>(),
            prop::collection::vec(any::<bool>(), 1..=1_968)
        )
            .prop_map(|(at, bits)| Request::WriteCoils(at, bits)),
        (any::<u16>(), words(123)).prop_map(|(at, words)| Request::WriteRegisters(at, words)),
        any::<(u16, u16, u16)>().prop_map(|(address, and_mask, or_mask)| {
            Request::MaskWriteRegister {
                address,
                and_mask,
                or_mask,
            }
        }),
        (span(), any::<u16>(), words(121)).prop_map(|(read, write_start, values)| {
            Request::ReadWriteRegisters {
                read,
                write_start,
                values,
            }
        }),
        Just(Request::ReportServerId),
        (1_u8..=4, any::<u8>())
            .prop_map(|(level, object)| Request::ReadDeviceIdentification { level, object }),
    ]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

fn response() -> impl Strategy<Value = Response> {
    let byte = any::<bool>().prop_map(|bit| [bit; 8]);
    prop_oneof![
        (1_u8..=2, prop::collection::vec(byte, 1..=250)).prop_map(|(function, bytes)| {
            Response::Bits {
                function,
                bits: bytes.concat(),
            }
        }),
        (
            prop::sample::select(vec![3_u8, 4, 23]),
            prop::collection::vec(any::<u16>(), 1..=125)
        )
            .prop_map(|(function, words)| Response::Registers { function, words }),
        (5_u8..=6, any::<u16>(), any::<u16>()).prop_map(|(function, address, value)| {
            Response::WroteOne {
                function,
                address,
                value,
            }
        }),
        (15_u8..=16, span()).prop_map(|(function, span)| Response::WroteMany { function, span }),
        any::<(u16, u16, u16)>().prop_map(|(address, and_mask, or_mask)| Response::MaskWrote {
            address,
            and_mask,
            or_mask,
        }),
        text().prop_map(Response::ServerId),
        (
            any::<(u8, u8, Option<u8>)>(),
            prop::collection::vec((any::<u8>(), text()), 0..8)
        )
            .prop_map(|((level, conformity, more), objects)| {
                Response::DeviceIdentification(Identification {
                    level,
                    conformity,
                    more,
                    objects,
                })
            }),
        (1_u8..0x80, any::<u8>()).prop_map(|(function, code)| Response::Refused {
            function,
            code: code.into(),
        }),
    ]
}

proptest! {
    #[test]
    fn every_request_comes_back_as_it_was(request in request()) {
        let bytes = request.encode();
        prop_assert!(bytes.len() <= PDU_BYTES_MAX);
        prop_assert_eq!(Request::decode(&bytes), Ok(request));
    }

    #[test]
    fn every_answer_comes_back_as_it_was(response in response()) {
        let bytes = response.encode();
        prop_assert!(bytes.len() <= PDU_BYTES_MAX);
        prop_assert_eq!(Response::decode(&bytes), Ok(response));
    }

    /// Cut off, lengthened, or with bytes changed: an error or another message, never a panic, and
    /// what is taken for a message is that message whole.
    #[test]
    fn damaged_messages_are_refused_or_are_others(
        request in request(),
        response in response(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        more in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        for mut bytes in [request.encode(), response.encode()] {
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            bytes.extend(&more);
            if let Ok(read) = Request::decode(&bytes) {
                // The padding of the last byte of coils is not kept.
                prop_assert_eq!(Request::decode(&read.encode()), Ok(read));
            }
            if let Ok(read) = Response::decode(&bytes) {
                prop_assert_eq!(read.encode().len(), bytes.len());
            }
        }
    }
}

#[test]
fn the_examples_of_the_specification() {
    for (bytes, request) in [
        (
            &[0x01_u8, 0x00, 0x13, 0x00, 0x13][..],
            Request::ReadCoils(Span {
                start: 0x13,
                count: 0x13,
            }),
        ),
        (
            &[0x05, 0x00, 0xAC, 0xFF, 0x00],
            Request::WriteCoil(0xAC, true),
        ),
        (
            &[0x0F, 0x00, 0x13, 0x00, 0x0A, 0x02, 0xCD, 0x01],
            Request::WriteCoils(
                0x13,
                vec![
                    true, false, true, true, false, false, true, true, true, false,
                ],
            ),
        ),
        (
            &[0x16, 0x00, 0x04, 0x00, 0xF2, 0x00, 0x25],
            Request::MaskWriteRegister {
                address: 4,
                and_mask: 0xF2,
                or_mask: 0x25,
            },
        ),
        (
            &[0x2B, 0x0E, 0x01, 0x00],
            Request::ReadDeviceIdentification {
                level: 1,
                object: 0,
            },
        ),
    ] {
        assert_eq!(request.encode(), bytes);
        assert_eq!(Request::decode(bytes), Ok(request));
    }
    let request = Request::ReadCoils(Span {
        start: 0x13,
        count: 0x13,
    });
    let answer = Response::decode(&[0x01, 0x03, 0xCD, 0x6B, 0x05]).unwrap();
    let Ok(Response::Bits { bits, .. }) = answer.matching(&request) else {
        panic!("bits")
    };
    let ones: Vec<usize> = (0..19).filter(|at| bits[*at]).collect();
    assert_eq!(
        (bits.len(), ones),
        (19, vec![0, 2, 3, 6, 7, 8, 9, 11, 13, 14, 16, 18])
    );
}

#[test]
fn an_answer_to_something_else_does_not_fit() {
    let read = |count| Request::ReadHoldingRegisters(Span { start: 7, count });
    let three = Response::Registers {
        function: 3,
        words: vec![1, 2, 3],
    };
    assert_eq!(three.clone().matching(&read(3)), Ok(three.clone()));
    let expected = Mismatch::Count { wanted: 2, got: 3 };
    assert_eq!(three.clone().matching(&read(2)), Err(expected));
    let coils = Request::ReadCoils(Span { start: 7, count: 3 });
    assert!(matches!(three.matching(&coils), Err(Mismatch::Other(_))));
    let wrote = |value| Response::WroteOne {
        function: 6,
        address: 7,
        value,
    };
    let write = Request::WriteRegister(7, 5);
    assert_eq!(wrote(5).matching(&write), Ok(wrote(5)));
    assert!(wrote(6).matching(&write).is_err());
    let refused = Response::Refused {
        function: 6,
        code: ExceptionCode::IllegalDataValue,
    };
    assert_eq!(refused.clone().matching(&write), Ok(refused));
    let many = |start, count| Response::WroteMany {
        function: 16,
        span: Span { start, count },
    };
    let write = Request::WriteRegisters(7, vec![5, 6]);
    assert!(many(7, 2).matching(&write).is_ok());
    assert!(many(7, 3).matching(&write).is_err() && many(8, 2).matching(&write).is_err());
}

#[test]
fn a_count_that_no_request_may_ask_for_is_refused() {
    for bytes in [
        &[3_u8, 0, 0, 0, 0][..],
        &[3, 0, 0, 0, 126],
        &[1, 0, 0, 0x07, 0xD1],
        &[16, 0, 0, 0, 2, 2, 0, 1],
        &[5, 0, 0, 0x12, 0x34],
        &[0x2B, 0x0D, 1, 0],
        &[0x2B, 0x0E, 5, 0],
    ] {
        assert!(
            matches!(Request::decode(bytes), Err(PduError::Value { .. })),
            "{bytes:?}"
        );
    }
    assert_eq!(Request::decode(&[99, 1]), Err(PduError::Function(99)));
    assert_eq!(Request::decode(&[]), Err(PduError::Size(0)));
}
