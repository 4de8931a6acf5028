//! The modem as a value against a hand-played one: what it says, in which order, and what comes of it.

use super::modem::{Event, Modem, ModemSettings, Task};
use super::pdu;

const SECOND: i64 = 1_000_000;

fn settings() -> ModemSettings {
    ModemSettings {
        pin: Some("1234".to_owned()),
        text_mode: false,
        ring_us: 20 * SECOND,
    }
}

/// Commands that go out, without the line end.
fn commands(modem: &mut Modem) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(bytes) = modem.transmit() {
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        if text != "\u{1b}" {
            all.push(text);
        }
    }
    all
}

fn events(modem: &mut Modem) -> Vec<Event> {
    std::iter::from_fn(|| modem.event()).collect()
}

/// Answers every command that goes out, until none does.
fn play(modem: &mut Modem, now: i64, answer: &mut dyn FnMut(&str) -> String) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..200 {
        let out = commands(modem);
        if out.is_empty() {
            return said;
        }
        for command in out {
            let answer = answer(&command);
            said.push(command);
            modem.received(answer.as_bytes(), now);
        }
    }
    panic!("it never ends: {said:?}");
}

fn usual(command: &str) -> String {
    match command {
        "AT+CPIN?" => "\r\n+CPIN: READY\r\n\r\nOK\r\n".to_owned(),
        "AT+CREG?" => "\r\n+CREG: 0,1\r\n\r\nOK\r\n".to_owned(),
        "AT+CSQ" => "\r\n+CSQ: 20,0\r\n\r\nOK\r\n".to_owned(),
        command if command.starts_with("AT+CMGS=") => "\r\n> ".to_owned(),
        command if command.starts_with("AT") => "\r\nOK\r\n".to_owned(),
        // The text of a message.
        _ => "\r\n+CMGS: 17\r\n\r\nOK\r\n".to_owned(),
    }
}

fn ready() -> Modem {
    let mut modem = Modem::new(settings(), 0);
    play(&mut modem, 0, &mut usual);
    modem.tick(1);
    play(&mut modem, 1, &mut usual);
    assert!(modem.is_free());
    events(&mut modem);
    modem
}

#[test]
fn it_is_set_up_and_sends_a_message() {
    let mut modem = Modem::new(settings(), 0);
    let said = play(&mut modem, 0, &mut usual);
    assert_eq!(
        said,
        [
            "AT",
            "ATE0",
            "AT+CMEE=1",
            "AT+CPIN?",
            "AT+CMGF=0",
            "AT+CNMI=2,1,0,0,0"
        ]
    );
    modem.tick(1);
    play(&mut modem, 1, &mut usual);
    assert_eq!(events(&mut modem), [Event::Ready { dbm: Some(-73) }]);
    let task = Task::Message {
        to: "+4915112345678".to_owned(),
        text: "High: P-7".to_owned(),
        tail: " Answer OK 1".to_owned(),
    };
    modem.task(task, 2);
    let said = play(&mut modem, 2, &mut usual);
    assert!(said[0].starts_with("AT+CMGS="), "{said:?}");
    assert!(said[1].starts_with("0011000D91945111325476F8"), "{said:?}");
    assert!(said[1].ends_with('\u{1a}'), "{said:?}");
    let words = "taken by the network as number 17".to_owned();
    assert_eq!(events(&mut modem), [Event::Ended(Ok(words))]);
}

#[test]
fn the_pin_is_tried_once() {
    let mut modem = Modem::new(settings(), 0);
    let mut locked = |command: &str| match command {
        "AT+CPIN?" => "\r\n+CPIN: SIM PIN\r\n\r\nOK\r\n".to_owned(),
        "AT+CPIN=\"1234\"" => "\r\n+CME ERROR: 16\r\n".to_owned(),
        other => usual(other),
    };
    let said = play(&mut modem, 0, &mut locked);
    assert_eq!(
        said.iter()
            .filter(|line| line.starts_with("AT+CPIN="))
            .count(),
        1
    );
    let told = events(&mut modem);
    assert!(
        matches!(&told[0], Event::NotReady(words) if words.contains("the PIN is wrong")),
        "{told:?}"
    );
    modem.reopened(1);
    let said = play(&mut modem, 1, &mut locked);
    assert!(
        said.iter().all(|line| !line.starts_with("AT+CPIN=")),
        "{said:?}"
    );
    // The right one.
    let mut modem = Modem::new(settings(), 0);
    let mut asked = 0;
    let mut opens = |command: &str| match command {
        "AT+CPIN?" => {
            asked += 1;
            let state = if asked == 1 { "SIM PIN" } else { "READY" };
            format!("\r\n+CPIN: {state}\r\n\r\nOK\r\n")
        }
        other => usual(other),
    };
    play(&mut modem, 0, &mut opens);
    modem.tick(1);
    play(&mut modem, 1, &mut usual);
    assert!(modem.is_free());
}

#[test]
fn no_network_and_a_refused_message_are_told_in_words() {
    let mut modem = Modem::new(settings(), 0);
    let mut searching = |command: &str| match command {
        "AT+CREG?" => "\r\n+CREG: 0,2\r\n\r\nOK\r\n".to_owned(),
        other => usual(other),
    };
    play(&mut modem, 0, &mut searching);
    modem.tick(1);
    play(&mut modem, 1, &mut searching);
    assert!(!modem.is_ready());
    let told = events(&mut modem);
    assert!(
        matches!(&told[0], Event::NotReady(words) if words.contains("antenna")),
        "{told:?}"
    );
    // It is looked again soon.
    assert!(modem.wake() <= 4 * SECOND);
    let mut modem = ready();
    let task = Task::Message {
        to: "123".to_owned(),
        text: "x".to_owned(),
        tail: String::new(),
    };
    modem.task(task, 2);
    let mut refuses = |command: &str| match command {
        command if command.starts_with("AT+CMGS=") => "\r\n+CMS ERROR: 21\r\n".to_owned(),
        other => usual(other),
    };
    play(&mut modem, 2, &mut refuses);
    let told = events(&mut modem);
    assert!(
        matches!(&told[0], Event::Ended(Err(words)) if words.contains("credit")),
        "{told:?}"
    );
}

#[test]
fn a_message_that_comes_in_is_read_and_removed() {
    let mut modem = ready();
    modem.received(b"\r\n+CMTI: \"SM\",3\r\n", 2);
    let mut answers = |command: &str| {
        match command {
        "AT+CMGR=3" => "\r\n+CMGR: 0,,26\r\n07917283010010F5040BC87238880900F1000093092516195800AE8329BFD4697D9EC37\r\n\r\nOK\r\n".replace("93092516195800", "993092516195800"),
        other => usual(other),
    }
    };
    let said = play(&mut modem, 2, &mut answers);
    assert_eq!(said, ["AT+CMGR=3", "AT+CMGD=3"]);
    let told = events(&mut modem);
    assert!(
        matches!(&told[0], Event::Came(message) if message.text == "hellohello"),
        "{told:?}"
    );
}

#[test]
fn a_telephone_rings_and_is_hung_up() {
    let mut modem = ready();
    modem.task(
        Task::Call {
            to: "+4915112345678".to_owned(),
        },
        10,
    );
    assert_eq!(play(&mut modem, 10, &mut usual), ["ATD+4915112345678;"]);
    let mut rings = |command: &str| match command {
        "AT+CLCC" => "\r\n+CLCC: 1,0,3,0,0\r\n\r\nOK\r\n".to_owned(),
        other => usual(other),
    };
    let mut now = 10;
    let (mut said, mut told) = (Vec::new(), Vec::new());
    while told.is_empty() && now < 60 * SECOND {
        now += SECOND / 2;
        modem.tick(now);
        said.extend(play(&mut modem, now, &mut rings));
        let of_calls = |event: &Event| matches!(event, Event::Ended(_));
        told.extend(events(&mut modem).into_iter().filter(of_calls));
    }
    assert!(now <= 22 * SECOND, "{now}");
    assert!(said.contains(&"ATH".to_owned()), "{said:?}");
    assert_eq!(told, [Event::Ended(Ok("the telephone rang".to_owned()))]);
    // Declined: the other side saw it.
    modem.task(
        Task::Call {
            to: "1".to_owned() + "23",
        },
        now,
    );
    play(&mut modem, now, &mut usual);
    modem.received(b"\r\nBUSY\r\n", now);
    let told = events(&mut modem);
    assert!(
        matches!(&told[0], Event::Ended(Err(words)) if words.contains("busy")),
        "{told:?}"
    );
    assert!(modem.is_free());
}

#[test]
fn a_modem_that_does_not_answer_is_lost_and_works_again_after() {
    let mut modem = ready();
    let task = Task::Message {
        to: "123".to_owned(),
        text: "x".to_owned(),
        tail: String::new(),
    };
    modem.task(task, 0);
    commands(&mut modem);
    modem.tick(61 * SECOND);
    assert!(matches!(&events(&mut modem)[0], Event::Lost(words) if words.contains("AT+CMGS")));
    modem.reopened(62 * SECOND);
    assert!(matches!(&events(&mut modem)[0], Event::Ended(Err(_))));
    play(&mut modem, 62 * SECOND, &mut usual);
    modem.tick(63 * SECOND);
    play(&mut modem, 63 * SECOND, &mut usual);
    assert!(modem.is_free());
}

#[test]
fn letters_that_a_modem_has_not_go_as_ucs2_in_text_mode_too() {
    let mut modem = Modem::new(
        ModemSettings {
            text_mode: true,
            ..settings()
        },
        0,
    );
    play(&mut modem, 0, &mut usual);
    modem.tick(1);
    play(&mut modem, 1, &mut usual);
    let task = |text: &str| Task::Message {
        to: "+49123".to_owned(),
        text: text.to_owned(),
        tail: String::new(),
    };
    modem.task(task("hot"), 2);
    let said = play(&mut modem, 2, &mut usual);
    assert_eq!(said, ["AT+CMGS=\"+49123\"", "hot\u{1a}"]);
    modem.task(task("жар"), 3);
    let said = play(&mut modem, 3, &mut usual);
    assert_eq!(said[2], "AT+CMGS=\"002B00340039003100320033\"");
    assert_eq!(said[3], "043604300440\u{1a}");
    assert!(pdu::delivered("00").is_none());
}
