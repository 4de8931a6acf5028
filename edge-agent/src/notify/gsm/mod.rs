//! A GSM or LTE modem on a serial port: messages, telephones that ring, answers that acknowledge. This
//! file moves bytes between the line and the modem as a value (`modem`). A modem that is unplugged or
//! hangs is looked for again; what it was to send fails and is tried again by the ladder.

mod alphabet;
mod at;
mod modem;
mod pdu;
#[cfg(test)]
mod tests;

use super::matter::{Message, Outcome, Sort};
use super::seat::{Channel, News, Order, Seat, Task};
use super::secret;
use super::words::Language;
use crate::clock;
use crate::config::Section;
use crate::transport::rs485::{Mode, Rs485};
use crate::transport::{Address, Parity, SerialPlace, SerialSettings, Wire, config};
use modem::{Event, Modem, ModemSettings, Task as Doing};
use protocol::event::Severity;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;

/// Wait before a modem that is not there, or was lost, is looked for again.
const REOPEN: Duration = Duration::from_secs(2);

/// `kind = "gsm"`
#[derive(Clone, Debug)]
pub(super) struct Gsm {
    line: SerialSettings,
    pin_file: Option<PathBuf>,
    text_mode: bool,
    ring: Duration,
    /// From this urgency on the telephone also rings.
    call_from: Option<Severity>,
}

/// Reads its keys.
pub(super) fn read(section: &mut Section) -> Option<Gsm> {
    let usual = SerialSettings {
        baud: 115_200,
        parity: Parity::None,
        // A modem is no bus: nobody switches a direction, and an echo is the modem's own.
        rs485: Rs485 {
            mode: Mode::Off,
            echo: crate::transport::rs485::Echo::Off,
            ..Rs485::default()
        },
        ..SerialSettings::new(SerialPlace::Path(PathBuf::new()))
    };
    let line = config::serial_or(section, &usual);
    let pin_file = config::file(section, "pin_file");
    let text_mode = section.choice("mode", &[("pdu", false), ("text", true)]);
    let second = Duration::from_secs(1);
    let ring = section.duration("ring", second * 5..=second * 120);
    let choices = [
        ("low", Some(Severity::Low)),
        ("medium", Some(Severity::Medium)),
        ("high", Some(Severity::High)),
        ("critical", Some(Severity::Critical)),
        ("never", None),
    ];
    let call_from = section.choice("call_from", &choices).flatten();
    Some(Gsm {
        line: SerialSettings {
            rs485: usual.rs485,
            ..line?
        },
        pin_file,
        text_mode: text_mode.unwrap_or(false),
        ring: ring.unwrap_or(second * 20),
        call_from,
    })
}

/// What is being done for one message.
struct Work {
    message: Message,
    waits: Option<oneshot::Sender<Outcome>>,
    /// Still to be done after the message: let the telephone ring.
    then_call: bool,
    /// The message went out.
    sent: Option<String>,
}

impl Channel for Gsm {
    fn run(self: Box<Self>, seat: Seat) -> Task<'static> {
        Box::pin(serve(*self, seat))
    }
}

async fn serve(gsm: Gsm, mut seat: Seat) {
    let mut modem: Option<Modem> = None;
    loop {
        match open(&gsm).await {
            Ok((wire, pin)) => {
                let now = clock::monotonic().0;
                let modem = match &mut modem {
                    Some(known) => {
                        known.reopened(now);
                        known
                    }
                    none => none.insert(Modem::new(gsm.settings(pin), now)),
                };
                if !attend(&gsm, wire, modem, &mut seat).await {
                    return;
                }
            }
            Err(words) => seat.set_words(&words, true),
        }
        if !fail_meanwhile(&mut seat).await {
            return;
        }
    }
}

async fn open(gsm: &Gsm) -> Result<(Wire, Option<String>), String> {
    let pin = match &gsm.pin_file {
        Some(file) => Some(secret::read(file).map_err(|error| error.to_string())?),
        None => None,
    };
    let wire = Address::Serial(gsm.line.clone()).open().await;
    let wire = wire.map_err(|error| format!("the modem at {}: {error}", gsm.line.place))?;
    Ok((wire, pin))
}

/// While there is no modem: what is asked for fails at once, so that other ways are taken. `false`:
/// the channel is to end.
async fn fail_meanwhile(seat: &mut Seat) -> bool {
    let wait = tokio::time::sleep(REOPEN);
    tokio::pin!(wait);
    loop {
        tokio::select! {
            () = &mut wait => return true,
            order = seat.next() => match order {
                None => return false,
                Some(Order::Send(message, waits)) => {
                    let words = seat.queue.status().words;
                    seat.ended(message, Outcome::Failed(words), waits).await;
                }
                Some(Order::Lamp(_)) => {}
            },
        }
    }
}

/// Serves the queue while the modem answers. `false`: the channel is to end.
async fn attend(gsm: &Gsm, mut wire: Wire, modem: &mut Modem, seat: &mut Seat) -> bool {
    let mut work: Option<Work> = None;
    let mut bytes = Vec::new();
    loop {
        while let Some(out) = modem.transmit() {
            if let Err(error) = wire.send(&out, false).await {
                return lost(&format!("the modem is gone: {error}"), work, seat).await;
            }
        }
        while let Some(event) = modem.event() {
            if let Some(words) = gsm.happened(event, modem, (&mut work, seat)).await {
                return lost(&words, work, seat).await;
            }
        }
        // What the events led to is sent first.
        let Some(wait) = Gsm::wait(modem) else {
            continue;
        };
        tokio::select! {
            received = wire.receive(&mut bytes) => match received {
                Ok(()) => {
                    modem.received(&bytes, clock::monotonic().0);
                    bytes.clear();
                }
                Err(error) => return lost(&format!("the modem is gone: {error}"), work, seat).await,
            },
            order = seat.next(), if work.is_none() && (modem.is_free() || !modem.is_ready()) => match order {
                None => return false,
                Some(Order::Send(message, waits)) if modem.is_ready() => {
                    work = gsm.begin((message, waits), modem, seat).await;
                }
                Some(Order::Send(message, waits)) => refuse((message, waits), seat).await,
                Some(Order::Lamp(_)) => {}
            },
            () = tokio::time::sleep(wait) => modem.tick(clock::monotonic().0),
        }
    }
}

/// A modem that cannot send now: the message fails with the reason, so that other ways are taken.
async fn refuse((message, waits): (Message, Option<oneshot::Sender<Outcome>>), seat: &Seat) {
    let status = seat.queue.status();
    let words = if status.is_down {
        status.words
    } else {
        "the modem is not ready yet".to_owned()
    };
    seat.ended(message, Outcome::Failed(words), waits).await;
}

async fn lost(words: &str, work: Option<Work>, seat: &mut Seat) -> bool {
    seat.set_words(words, true);
    if let Some(work) = work {
        work.end(Err(words.to_owned()), seat).await;
    }
    true
}

impl Gsm {
    fn settings(&self, pin: Option<String>) -> ModemSettings {
        ModemSettings {
            pin,
            text_mode: self.text_mode,
            ring_us: i64::try_from(self.ring.as_micros()).unwrap_or(i64::MAX),
        }
    }

    /// How long until the modem wants to be asked; `None`: it has something to send now.
    fn wait(modem: &Modem) -> Option<Duration> {
        if modem.has_something() {
            return None;
        }
        let left = modem.wake().saturating_sub(clock::monotonic().0);
        let left = u64::try_from(left).unwrap_or(0);
        Some(Duration::from_micros(left).min(Duration::from_secs(60)))
    }

    async fn begin(
        &self,
        (message, waits): (Message, Option<oneshot::Sender<Outcome>>),
        modem: &mut Modem,
        seat: &Seat,
    ) -> Option<Work> {
        let Some(to) = message.to.clone() else {
            let words = "nobody is named to send it to".to_owned();
            seat.ended(message, Outcome::Refused(words), waits).await;
            return None;
        };
        let (text, tail) = text_of(&message, seat.language);
        let then_call = message.call
            || self
                .call_from
                .is_some_and(|from| message.severity() >= from);
        modem.task(
            Doing::Message {
                to: to.address,
                text,
                tail,
            },
            clock::monotonic().0,
        );
        Some(Work {
            message,
            waits,
            then_call,
            sent: None,
        })
    }

    /// What the modem told; words when the line is to be opened anew.
    async fn happened(
        &self,
        event: Event,
        modem: &mut Modem,
        (work, seat): (&mut Option<Work>, &mut Seat),
    ) -> Option<String> {
        match event {
            Event::Ready { dbm } => {
                let signal = dbm.map_or_else(String::new, |dbm| format!(", signal {dbm} dBm"));
                seat.set_words(&format!("in the network{signal}"), false);
            }
            Event::NotReady(words) => seat.set_words(&words, true),
            Event::Came(message) => {
                seat.tell(News::Answered {
                    from: message.from,
                    text: message.text,
                })
                .await;
            }
            Event::Lost(words) => return Some(words),
            Event::Ended(result) => {
                let mut done = work.take()?;
                let call_to = done.message.to.as_ref().map(|to| to.address.clone());
                // The telephone rings also when the message could not be sent.
                if done.then_call
                    && modem.is_free()
                    && let Some(to) = call_to
                {
                    done.then_call = false;
                    done.sent = Some(match result {
                        Ok(words) => words,
                        Err(words) => format!("no message: {words}"),
                    });
                    modem.task(Doing::Call { to }, clock::monotonic().0);
                    *work = Some(done);
                } else {
                    done.end(result, seat).await;
                }
            }
        }
        None
    }
}

impl Work {
    async fn end(self, result: Result<String, String>, seat: &Seat) {
        let outcome = match (self.sent, result) {
            (None, Ok(words)) => Outcome::Delivered(words),
            (None, Err(words)) => Outcome::Failed(words),
            (Some(sent), Ok(words)) => Outcome::Delivered(format!("{sent}; {words}")),
            (Some(sent), Err(words)) if sent.starts_with("no message") => {
                Outcome::Failed(format!("{sent}; {words}"))
            }
            (Some(sent), Err(words)) => Outcome::Delivered(format!("{sent}; no call: {words}")),
        };
        seat.ended(self.message, outcome, self.waits).await;
    }
}

/// The text of a message, and its end that is never cut: how it is answered.
fn text_of(message: &Message, language: Language) -> (String, String) {
    let head = message.head();
    if head.is_some_and(|head| head.sort == Sort::Test) {
        return (language.test().to_owned(), String::new());
    }
    let words = head.map_or("", |head| head.words.as_str());
    let subject = message.subject(language);
    let text = if words.is_empty() {
        subject
    } else {
        format!("{subject}. {words}")
    };
    let code = message.parts.first().map_or(0, |part| part.code);
    let tail = match (code, message.parts.len()) {
        (0, _) => String::new(),
        (code, 0 | 1) => format!(" {}", language.answer(code)),
        (_, _) => format!(" {}", language.answer_all()),
    };
    (text, tail)
}
