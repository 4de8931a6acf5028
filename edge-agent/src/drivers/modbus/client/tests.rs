//! A unit that is played by hand, on a line where answers come late, damaged, twice or not at all.

use super::super::pdu::{ExceptionCode, Span};
use super::*;
use proptest::prelude::*;

const TIMING: Timing = Timing {
    timeout: Duration::from_millis(100),
    late_window: Duration::from_millis(100),
    character_time: Duration::ZERO,
};

fn read(start: u16, count: u16) -> Request {
    Request::ReadHoldingRegisters(Span { start, count })
}

fn frame(framing: Framing, id: u16, unit: u8, response: &Response) -> Vec<u8> {
    let pdu = response.encode();
    encode(framing, &Frame { id, unit, pdu })
}

fn words(words: &[u16]) -> Response {
    Response::Registers {
        function: 3,
        words: words.to_vec(),
    }
}

const REFUSAL: Response = Response::Refused {
    function: 3,
    code: ExceptionCode::IllegalDataAddress,
};

/// A client and the time.
struct Line {
    client: Client,
    framing: Framing,
    now: Instant,
}

impl Line {
    fn new(framing: Framing) -> Self {
        let client = Client::new(framing, TIMING);
        let now = Instant::now();
        Self {
            client,
            framing,
            now,
        }
    }

    fn begin(&mut self, unit: u8, request: &Request) {
        self.client.begin(request, unit, self.now);
    }

    fn hear(&mut self, unit: u8, response: &Response) -> Option<Outcome> {
        let bytes = frame(self.framing, 0, unit, response);
        self.client.receive(&bytes, self.now)
    }

    /// Until the request has ended by itself.
    fn end(&mut self) -> Outcome {
        loop {
            self.now = self.client.wake_at().unwrap();
            if let Some(outcome) = self.client.expire(self.now) {
                return outcome;
            }
        }
    }
}

#[test]
fn modbus_tcp_drops_an_older_number_and_waits_on() {
    let mut line = Line::new(Framing::Mbap);
    line.begin(1, &read(0, 2));
    assert_eq!(line.end(), Outcome::Timeout);
    line.begin(1, &read(10, 2));
    let late = frame(Framing::Mbap, 0, 1, &words(&[9, 9]));
    assert_eq!(line.client.receive(&late, line.now), None);
    let right = frame(Framing::Mbap, 1, 1, &words(&[1, 2]));
    let outcome = line.client.receive(&right, line.now);
    assert_eq!(outcome, Some(Outcome::Answer(words(&[1, 2]))));
    assert_eq!(line.client.take_noticed().late, [1]);
    // A number that was never given out is no late answer.
    line.begin(1, &read(10, 2));
    let odd = frame(Framing::Mbap, 7, 1, &words(&[9, 9]));
    let outcome = line.client.receive(&odd, line.now);
    assert!(matches!(outcome, Some(Outcome::Garbled(_))), "{outcome:?}");
}

#[test]
fn an_answer_of_another_unit_function_or_length_is_dropped_and_the_right_one_is_taken() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        let mut line = Line::new(framing);
        line.begin(1, &read(0, 2));
        assert_eq!(line.end(), Outcome::Timeout);
        line.begin(2, &read(0, 2));
        assert_eq!(line.hear(1, &words(&[9, 9])), None);
        assert_eq!(line.client.take_noticed().late, [1]);
        assert_eq!(line.hear(3, &words(&[9, 9])), None);
        let bits = Response::Bits {
            function: 1,
            bits: vec![true; 8],
        };
        assert_eq!(line.hear(2, &bits), None);
        assert_eq!(line.client.take_noticed().foreign, 2);
        let right = words(&[1, 2]);
        assert_eq!(line.hear(2, &right), Some(Outcome::Answer(right)));
    }
}

#[test]
fn what_could_be_confused_is_preceded_by_something_of_another_shape() {
    let mut line = Line::new(Framing::Rtu);
    assert_eq!(line.client.doubts().sync_request(1, &read(10, 2)), None);
    line.begin(1, &read(0, 2));
    line.end();
    let doubts = line.client.doubts();
    assert_eq!(doubts.sync_request(1, &read(10, 2)), Some(read(10, 1)));
    assert_eq!(doubts.rest_until(1, &read(10, 2)), None);
    assert_eq!(doubts.sync_request(2, &read(10, 2)), None, "another unit");
    let span = Span {
        start: 10,
        count: 2,
    };
    let input = Request::ReadInputRegisters(span);
    assert_eq!(doubts.sync_request(1, &input), None, "another function");
    // The late answer comes while the question waits: dropped, and the question's own is taken.
    line.begin(1, &read(10, 1));
    assert_eq!(line.hear(1, &words(&[9, 9])), None);
    let one = words(&[5]);
    assert_eq!(line.hear(1, &one), Some(Outcome::Answer(one)));
    assert_eq!(line.client.doubts().sync_request(1, &read(10, 2)), None);
    // One register has no shorter reading of its own: the sister table.
    line.begin(1, &read(3, 1));
    line.end();
    let span = Span { start: 3, count: 1 };
    let question = line.client.doubts().sync_request(1, &read(3, 1));
    assert_eq!(question, Some(Request::ReadInputRegisters(span)));
}

#[test]
fn a_late_refusal_is_not_taken_for_that_of_the_next_request() {
    let mut line = Line::new(Framing::Rtu);
    line.begin(1, &read(0, 2));
    line.end();
    let question = line.client.doubts().sync_request(1, &read(10, 2)).unwrap();
    line.begin(1, &question);
    // The late refusal, taken for one of the question …
    assert_eq!(line.hear(1, &REFUSAL), Some(Outcome::Answer(REFUSAL)));
    // … whose own answer then comes while the request waits.
    line.begin(1, &read(10, 2));
    assert_eq!(line.hear(1, &words(&[5])), None);
    let right = words(&[1, 2]);
    assert_eq!(line.hear(1, &right), Some(Outcome::Answer(right)));
    assert_eq!(line.client.take_noticed().late, [1]);
}

#[test]
fn a_unit_that_does_not_answer_the_question_is_left_alone_for_the_window_and_then_asked() {
    let mut line = Line::new(Framing::Rtu);
    line.begin(1, &read(0, 2));
    line.end();
    line.begin(1, &read(0, 1));
    line.end();
    line.client.doubts_at(line.now).not_synced(1);
    let doubts = line.client.doubts_at(line.now);
    assert_eq!(doubts.sync_request(1, &read(0, 2)), None);
    let until = line.now + TIMING.late_window;
    assert_eq!(doubts.rest_until(1, &read(0, 2)), Some(until));
    assert_eq!(doubts.resting(1), Some(until));
    let doubts = line.client.doubts_at(until);
    assert_eq!(
        (doubts.resting(1), doubts.rest_until(1, &read(0, 2))),
        (None, None)
    );
}

#[test]
fn a_damaged_answer_is_told_at_once_and_a_damaged_frame_of_another_is_not() {
    let mut line = Line::new(Framing::Rtu);
    line.begin(1, &read(0, 2));
    let mut bytes = frame(Framing::Rtu, 0, 1, &words(&[1, 2]));
    bytes[4] ^= 0x10;
    let outcome = line.client.receive(&bytes, line.now);
    assert_eq!(
        outcome,
        Some(Outcome::Garbled("the checksum is wrong".to_owned()))
    );
    assert_eq!(line.client.take_noticed().checksum, 1);
    line.begin(2, &read(0, 2));
    assert_eq!(line.client.receive(&bytes, line.now), None);
    // What is left of it may look like a beginning, until the line is silent.
    let (begun, right) = (line.now, words(&[1, 2]));
    let outcome = line.hear(2, &right).unwrap_or_else(|| line.end());
    assert_eq!(outcome, Outcome::Answer(right));
    assert!(line.now - begun < TIMING.timeout);
}

#[test]
fn noise_alone_is_silence_and_a_cut_answer_is_not() {
    let mut line = Line::new(Framing::Rtu);
    line.begin(1, &read(0, 2));
    assert_eq!(line.client.receive(&[0], line.now), None);
    assert_eq!(line.end(), Outcome::Timeout);
    line.begin(2, &read(0, 2));
    let bytes = frame(Framing::Rtu, 0, 2, &words(&[1, 2]));
    assert_eq!(line.client.receive(&bytes[..6], line.now), None);
    assert!(matches!(line.end(), Outcome::Garbled(_)));
    // Noise that looks like a beginning holds the answer up only until the line is silent.
    line.begin(3, &read(0, 2));
    assert_eq!(line.client.receive(&[3, 3, 200], line.now), None);
    let right = words(&[1, 2]);
    assert_eq!(line.hear(3, &right), None);
    let begun = line.now;
    assert_eq!(line.end(), Outcome::Answer(right));
    assert!(line.now - begun < TIMING.timeout);
}

#[test]
fn a_long_answer_on_a_slow_line_has_its_time() {
    let timing = Timing {
        character_time: Duration::from_millis(8),
        ..TIMING
    };
    let mut client = Client::new(Framing::Rtu, timing);
    let start = Instant::now();
    client.begin(&read(0, 100), 1, start);
    // Eight characters of the request and the time-out.
    let deadline = client.wake_at().unwrap();
    assert_eq!(deadline, start + Duration::from_millis(164));
    let bytes = frame(Framing::Rtu, 0, 1, &words(&[7; 100]));
    let mut now = start + Duration::from_millis(150);
    let mut outcome = None;
    for byte in bytes {
        assert_eq!(outcome, None);
        now += Duration::from_millis(8);
        assert_eq!(client.expire(now), None);
        outcome = client.receive(&[byte], now);
    }
    assert_eq!(outcome, Some(Outcome::Answer(words(&[7; 100]))));
}

/// What the unit does with one request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answers,
    /// So many requests later.
    Late(usize),
    Never,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        4 => Just(Fate::Answers),
        2 => (1_usize..6).prop_map(Fate::Late),
        1 => Just(Fate::Never),
    ];
    prop::collection::vec(fate, 1..60)
}

/// An answer on its way.
struct Coming {
    /// How many requests later it comes.
    wait: usize,
    /// When it will not come any more: a unit that does not answer the question that would clear up
    /// what is late is believed to be late by no more than the window.
    until: Option<Instant>,
    response: Response,
}

/// Sends one request and answers how it ended. The unit answers in order: nobody overtakes.
fn step(
    line: &mut Line,
    coming: &mut Vec<Coming>,
    request: &Request,
    fate: (Fate, u16),
) -> Outcome {
    line.client.doubts_at(line.now);
    coming.retain(|coming| coming.until.is_none_or(|until| line.now < until));
    line.begin(1, request);
    let wait = match fate.0 {
        Fate::Answers => Some(0),
        Fate::Late(by) => Some(by),
        Fate::Never => None,
    };
    let least = coming.last().map_or(0, |last| last.wait);
    coming.extend(wait.map(|wait| Coming {
        wait: wait.max(least),
        until: None,
        response: right(request, fate.1),
    }));
    let mut outcome = None;
    while outcome.is_none() && coming.first().is_some_and(|first| first.wait == 0) {
        outcome = line.hear(1, &coming.remove(0).response);
    }
    for coming in coming {
        coming.wait = coming.wait.saturating_sub(1);
    }
    outcome.unwrap_or_else(|| line.end())
}

proptest! {
    /// Registers that hold their own number, blocks of equal and of other lengths, a unit that answers
    /// in order but now and then late by whole requests: whatever is taken for an answer is right.
    #[test]
    fn no_wrong_value_however_late_answers_come(
        fates in fates(),
        blocks in prop::collection::vec((0_u16..4, prop::sample::select(vec![1_u16, 2, 2, 2, 5])), 1..5),
        bad in 0_u16..500,
    ) {
        let mut line = Line::new(Framing::Rtu);
        let mut fates = fates.into_iter();
        let mut coming: Vec<Coming> = Vec::new();
        for (block, count) in blocks.iter().cycle() {
            let Some(fate) = fates.next() else { break };
            let request = read(block * 100, *count);
            if let Some(question) = line.client.doubts_at(line.now).sync_request(1, &request) {
                let fate = fates.next().unwrap_or(Fate::Answers);
                match step(&mut line, &mut coming, &question, (fate, bad)) {
                    // It may be answered by a late refusal: that is why it was asked.
                    Outcome::Answer(Response::Refused { .. }) => {}
                    Outcome::Answer(answer) => prop_assert_eq!(answer, right(&question, bad)),
                    _ => {
                        line.client.doubts_at(line.now).not_synced(1);
                        let until = line.client.doubts().resting(1);
                        for coming in &mut coming {
                            coming.until = until;
                        }
                        continue;
                    }
                }
            }
            if let Some(until) = line.client.doubts().rest_until(1, &request) {
                line.now = line.now.max(until);
            }
            if let Outcome::Answer(answer) = step(&mut line, &mut coming, &request, (fate, bad)) {
                prop_assert_eq!(answer, right(&request, bad));
            }
        }
    }
}

/// What the unit would answer: each register holds its number, one is not there.
fn right(request: &Request, bad: u16) -> Response {
    let (function, span) = match request {
        Request::ReadHoldingRegisters(span) => (3, *span),
        Request::ReadInputRegisters(span) => (4, *span),
        _ => panic!("{request:?}"),
    };
    let registers = span.start..span.start + span.count;
    if registers.contains(&bad) {
        return Response::Refused {
            function,
            code: ExceptionCode::IllegalDataAddress,
        };
    }
    Response::Registers {
        function,
        words: registers.collect(),
    }
}
