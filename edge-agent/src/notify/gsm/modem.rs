//! A GSM or LTE modem as a value: bytes and `now` in, bytes and events out. It unlocks the SIM, waits
//! for the network, sends a message, lets a telephone ring, reads what comes in, and says when the
//! modem does not answer any more. Never opens a line, never reads a clock.
//!
//! Commands of ITU-T V.250, 3GPP TS 27.007 (calls, network, SIM) and TS 27.005 (messages). One command
//! at a time: the next one goes out when the modem has answered the one before.

mod answers;
mod call;

use super::alphabet::{self, Coded};
use super::at::{Lines, Said};
use super::pdu::{self, Delivered};
use std::collections::VecDeque;

/// Longest wait for the answer to a usual command, in microseconds.
const ANSWER_US: i64 = 5_000_000;
/// Longest wait where the network takes part (TS 27.005 gives none; networks answer within 40 s).
const NETWORK_US: i64 = 60_000_000;
/// Time between two looks at network, signal and messages that wait.
const LOOK_US: i64 = 30_000_000;
/// The same while there is no network.
const SEARCH_US: i64 = 3_000_000;
/// Time between two looks at a call.
const CALL_LOOK_US: i64 = 1_000_000;
/// A call that was taken is ended after this.
const TAKEN_US: i64 = 4_000_000;
/// Most commands that wait; further ones are not noted, the next look finds what they were for.
const COMMANDS_MAX: usize = 64;
/// Most lines of one answer; further ones are left out.
const ANSWER_LINES_MAX: usize = 256;
/// Ends the text of a message (TS 27.005 section 3.5.1).
const END_OF_TEXT: u8 = 0x1A;

/// How a modem is spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModemSettings {
    /// PIN of the SIM; none: it has none.
    pub pin: Option<String>,
    /// Messages as text instead of their bytes.
    pub text_mode: bool,
    /// How long a telephone rings, in microseconds.
    pub ring_us: i64,
}

/// What it is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Send a message.
    Message {
        /// Number.
        to: String,
        /// What it says; cut when it is too long.
        text: String,
        /// The end, which is never cut.
        tail: String,
    },
    /// Let a telephone ring.
    Call {
        /// Number.
        to: String,
    },
}

/// What it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It can send, or again; `dbm` is the strength of the signal where it is known.
    Ready {
        /// In dBm.
        dbm: Option<i16>,
    },
    /// It cannot send, in words with what to do.
    NotReady(String),
    /// The task is done, or why not.
    Ended(Result<String, String>),
    /// A message came in.
    Came(Delivered),
    /// It does not answer: the line is to be opened anew.
    Lost(String),
}

/// What a command is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum For {
    Setting,
    Sim,
    Pin,
    Network,
    Signal,
    List,
    Read(u16),
    Delete,
    Charset,
    Message,
    Dial,
    CallState,
    HangUp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Command {
    line: String,
    purpose: For,
    /// Sent after the prompt.
    text: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    until: i64,
    look: i64,
    rang: bool,
    taken: bool,
    /// The modem cannot say how the call is.
    blind: bool,
}

/// The modem.
#[derive(Debug)]
pub(super) struct Modem {
    settings: ModemSettings,
    lines: Lines,
    waiting: VecDeque<Command>,
    running: Option<(Command, i64)>,
    answer: Vec<String>,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
    task: Option<Task>,
    call: Option<Call>,
    /// The PIN is tried once: three wrong ones lock the card.
    pin_tried: bool,
    is_ready: bool,
    dbm: Option<i16>,
    look: i64,
    told: Option<String>,
}

impl Modem {
    /// On a line that was just opened.
    pub(super) fn new(settings: ModemSettings, now: i64) -> Self {
        let mut modem = Self {
            settings,
            lines: Lines::default(),
            waiting: VecDeque::new(),
            running: None,
            answer: Vec::new(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            task: None,
            call: None,
            pin_tried: false,
            is_ready: false,
            dbm: None,
            look: i64::MAX,
            told: None,
        };
        modem.begin(now);
        modem
    }

    /// On the same line opened anew: the modem may have been plugged in again. A PIN that was tried
    /// is not tried again.
    pub(super) fn reopened(&mut self, now: i64) {
        self.lines.clear();
        self.waiting.clear();
        self.running = None;
        self.out.clear();
        self.call = None;
        self.is_ready = false;
        self.look = i64::MAX;
        self.told = None;
        if self.task.take().is_some() {
            self.events
                .push_back(Event::Ended(Err("the modem was lost meanwhile".to_owned())));
        }
        self.begin(now);
    }

    fn begin(&mut self, now: i64) {
        // An escape ends a text that an earlier program left half written.
        self.out.push_back(vec![0x1B]);
        for line in ["AT", "ATE0", "AT+CMEE=1"] {
            self.add(line, For::Setting);
        }
        self.add("AT+CPIN?", For::Sim);
        self.next(now);
    }

    /// Whether it can take a task.
    pub(super) const fn is_free(&self) -> bool {
        self.is_ready && self.task.is_none()
    }

    /// Whether it is in the network.
    pub(super) const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether there are bytes for it, or events of it.
    pub(super) fn has_something(&self) -> bool {
        !self.out.is_empty() || !self.events.is_empty()
    }

    /// Takes a task on; `Event::Ended` says what came of it. Only when it is free.
    pub(super) fn task(&mut self, task: Task, now: i64) {
        match &task {
            Task::Message { to, text, tail } => self.message(to, text, tail),
            Task::Call { to } => self.add(&format!("ATD{to};"), For::Dial),
        }
        self.task = Some(task);
        self.next(now);
    }

    fn message(&mut self, to: &str, text: &str, tail: &str) {
        let coded = alphabet::one_message(text, tail);
        if !self.settings.text_mode {
            let (length, hex) = pdu::submit(to, &coded);
            let text = [hex.as_bytes(), &[END_OF_TEXT]].concat();
            return self.add_with(&format!("AT+CMGS={length}"), For::Message, Some(text));
        }
        let plain = match &coded {
            Coded::Septets(codes) => Some(alphabet::text_of(codes)).filter(|text| is_plain(text)),
            Coded::Ucs2(_) => None,
        };
        if let Some(plain) = plain {
            let body = [plain.as_bytes(), &[END_OF_TEXT]].concat();
            return self.add_with(&format!("AT+CMGS=\"{to}\""), For::Message, Some(body));
        }
        // Numbers are written in the letters of the text too (TS 27.005 section 3.1).
        let hex = |units: Vec<u16>| -> String {
            units.iter().map(|unit| format!("{unit:04X}")).collect()
        };
        let body = [hex(alphabet::ucs2(text, tail)).as_bytes(), &[END_OF_TEXT]].concat();
        let number = hex(to.encode_utf16().collect());
        self.add("AT+CSMP=17,168,0,8", For::Charset);
        self.add("AT+CSCS=\"UCS2\"", For::Charset);
        self.add_with(&format!("AT+CMGS=\"{number}\""), For::Message, Some(body));
        self.add("AT+CSCS=\"IRA\"", For::Setting);
        self.add("AT+CSMP=17,168,0,0", For::Setting);
    }

    /// Bytes that came from the modem.
    pub(super) fn received(&mut self, bytes: &[u8], now: i64) {
        for said in self.lines.feed(bytes) {
            match said {
                Said::Ok => self.done(Ok(()), now),
                Said::Error(words) => self.done(Err(words), now),
                Said::CallEnded(word) => self.call_ended(&word, now),
                Said::Prompt => self.prompted(),
                Said::Line(line) => self.line(line),
            }
        }
        self.next(now);
    }

    /// Bytes for the modem.
    pub(super) fn transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// What happened.
    pub(super) fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When `tick` is wanted.
    pub(super) fn wake(&self) -> i64 {
        let running = self.running.as_ref().map_or(i64::MAX, |(_, until)| *until);
        let call = self.call.map_or(i64::MAX, |call| call.look.min(call.until));
        running.min(call).min(self.look)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: i64) {
        if let Some((command, until)) = &self.running
            && now >= *until
        {
            let words = format!("the modem does not answer to {}", shown(&command.line));
            self.running = None;
            self.is_ready = false;
            self.events.push_back(Event::Lost(words));
            return;
        }
        if let Some(call) = &mut self.call
            && self.running.is_none()
        {
            if now >= call.until {
                self.hang_up();
            } else if now >= call.look {
                call.look = now + CALL_LOOK_US;
                if !call.blind {
                    self.add("AT+CLCC", For::CallState);
                }
            }
        }
        if now >= self.look {
            self.look_around(now);
        }
        self.next(now);
    }

    fn look_around(&mut self, now: i64) {
        self.look = now + if self.is_ready { LOOK_US } else { SEARCH_US };
        self.add("AT+CREG?", For::Network);
        self.add("AT+CSQ", For::Signal);
        if self.is_ready {
            // What came while nobody listened.
            let list = if self.settings.text_mode {
                "AT+CMGL=\"ALL\""
            } else {
                "AT+CMGL=4"
            };
            self.add(list, For::List);
        }
    }

    fn add(&mut self, line: &str, purpose: For) {
        self.add_with(line, purpose, None);
    }

    fn add_with(&mut self, line: &str, purpose: For, text: Option<Vec<u8>>) {
        if self.waiting.len() < COMMANDS_MAX {
            self.waiting.push_back(Command {
                line: line.to_owned(),
                purpose,
                text,
            });
        }
    }

    /// Sends the next command when none runs.
    fn next(&mut self, now: i64) {
        if self.running.is_some() {
            return;
        }
        if let Some(command) = self.waiting.pop_front() {
            self.answer.clear();
            self.out
                .push_back(format!("{}\r", command.line).into_bytes());
            let wait = match command.purpose {
                For::Message | For::Dial | For::Pin | For::List => NETWORK_US,
                _ => ANSWER_US,
            };
            self.running = Some((command, now + wait));
        }
    }

    fn prompted(&mut self) {
        if let Some((command, _)) = &mut self.running
            && let Some(text) = command.text.take()
        {
            self.out.push_back(text);
        }
    }

    /// A line of an answer, or something that the modem says by itself.
    fn line(&mut self, line: String) {
        if let Some(place) = line.strip_prefix("+CMTI:") {
            let index = place
                .rsplit(',')
                .next()
                .and_then(|text| text.trim().parse().ok());
            if let Some(index) = index {
                self.read(index);
            }
            return;
        }
        if self.running.is_some() && self.answer.len() < ANSWER_LINES_MAX {
            self.answer.push(line);
        }
    }

    fn read(&mut self, index: u16) {
        self.add(&format!("AT+CMGR={index}"), For::Read(index));
    }

    /// The running command ended.
    fn done(&mut self, result: Result<(), String>, now: i64) {
        let Some((command, _)) = self.running.take() else {
            return;
        };
        let answer = std::mem::take(&mut self.answer);
        match command.purpose {
            For::Sim => self.sim(&answer, result),
            For::Pin => match result {
                // The card needs a moment: it is asked again.
                Ok(()) => self.add("AT+CPIN?", For::Sim),
                Err(words) => self.not_ready(&format!("{words}; the PIN is not tried again until the agent starts anew or its channel is changed, for three wrong ones lock the card")),
            },
            For::Network => self.network(&answer, now),
            For::Signal => self.signal(&answer),
            For::List => self.listed(&answer),
            For::Read(index) => {
                self.came(&answer);
                self.add(&format!("AT+CMGD={index}"), For::Delete);
            }
            For::Charset => {
                if let Err(words) = result {
                    self.waiting.retain(|command| command.purpose != For::Message);
                    self.ended(Err(format!("{words}; this modem cannot send these letters as text: write mode = \"pdu\"")));
                }
            }
            For::Message => self.ended(result.map(|()| {
                let reference = answer.iter().find_map(|line| line.strip_prefix("+CMGS:"));
                format!("taken by the network as number {}", reference.unwrap_or("?").trim())
            })),
            For::Dial => self.dialled(result, now),
            For::CallState => self.call_state(&answer, result, now),
            For::HangUp => {
                if let Some(call) = self.call.take() {
                    self.ended(Ok(call.words()));
                }
            }
            For::Setting | For::Delete => {}
        }
    }

    fn ended(&mut self, result: Result<String, String>) {
        if self.task.take().is_some() {
            self.events.push_back(Event::Ended(result));
        }
    }

    /// Tells why nothing can be sent, once until it changes.
    fn not_ready(&mut self, words: &str) {
        self.is_ready = false;
        if self.told.as_deref() != Some(words) {
            self.told = Some(words.to_owned());
            self.events.push_back(Event::NotReady(words.to_owned()));
        }
    }
}

/// A PIN is never shown.
fn shown(line: &str) -> &str {
    if line.starts_with("AT+CPIN=") {
        "AT+CPIN=…"
    } else {
        line
    }
}

/// Letters that are the same in ASCII and in the modem's own alphabet, and end nothing.
fn is_plain(text: &str) -> bool {
    let other = |c: char| {
        matches!(
            c,
            '@' | '$' | '_' | '`' | '[' | ']' | '{' | '}' | '\\' | '^' | '~' | '|'
        )
    };
    text.chars()
        .all(|c| (c == '\n' || c == ' ' || c.is_ascii_graphic()) && !other(c))
}
