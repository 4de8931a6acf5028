//! What a modem says, line by line (ITU-T V.250 section 5.7, 3GPP TS 27.007 and 27.005): final
//! results, the prompt for a text, everything else. Pure.

/// Longest line that is kept; of a longer one the rest is left out.
const LINE_BYTES_MAX: usize = 1_024;

/// One thing that a modem said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A command is done.
    Ok,
    /// A command failed; in the words of the standard where it gives a number.
    Error(String),
    /// A call ended or did not come about, in the modem's own word.
    CallEnded(String),
    /// It waits for the text of a message.
    Prompt,
    /// A line of an answer, or something that it says by itself.
    Line(String),
}

/// Bytes that are not a whole line yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    /// Takes bytes and gives what they complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => {
                    let line = std::mem::take(&mut self.bytes);
                    let line = String::from_utf8_lossy(&line).trim().to_owned();
                    if !line.is_empty() {
                        said.push(meaning(line));
                    }
                }
                // A prompt has no end of line.
                b' ' if self.bytes == b">" => {
                    self.bytes.clear();
                    said.push(Said::Prompt);
                }
                0 => {}
                _ if self.bytes.len() < LINE_BYTES_MAX => self.bytes.push(*byte),
                _ => {}
            }
        }
        said
    }

    /// Forgets what is not whole: the line was opened anew.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }
}

fn meaning(line: String) -> Said {
    let number = |prefix: &str| line.strip_prefix(prefix).map(|rest| rest.trim().to_owned());
    match line.as_str() {
        "OK" => return Said::Ok,
        "ERROR" => return Said::Error("the modem refused the command".to_owned()),
        "NO CARRIER" | "BUSY" | "NO ANSWER" | "NO DIALTONE" | "NO DIAL TONE" => {
            return Said::CallEnded(line);
        }
        _ => {}
    }
    if let Some(code) = number("+CME ERROR:") {
        return Said::Error(named(&code, CME, "modem error"));
    }
    if let Some(code) = number("+CMS ERROR:") {
        return Said::Error(named(&code, CMS, "message error"));
    }
    Said::Line(line)
}

fn named(code: &str, words: &[(u16, &str)], sort: &str) -> String {
    let number = code.parse::<u16>().ok();
    match words.iter().find(|(known, _)| Some(*known) == number) {
        Some((_, words)) => format!("{words} ({sort} {code})"),
        None => format!("{sort} {code}"),
    }
}

/// Of 3GPP TS 27.007 section 9.2, those that a person can do something about.
const CME: &[(u16, &str)] = &[
    (3, "the modem does not allow this"),
    (4, "the modem does not know this"),
    (10, "there is no SIM card in it"),
    (11, "the SIM wants its PIN"),
    (
        12,
        "the SIM wants its PUK: put it into a telephone and unlock it",
    ),
    (13, "the SIM card failed"),
    (14, "the SIM card is busy"),
    (15, "this is no SIM card"),
    (16, "the PIN is wrong"),
    (17, "the SIM wants PIN 2"),
    (18, "the SIM wants PUK 2"),
    (30, "there is no network"),
    (31, "the network did not answer"),
    (32, "only emergency calls are allowed here"),
    (100, "the modem does not say why"),
];

/// Of 3GPP TS 27.005 section 3.2.5 and TS 24.011 annex E-2.
const CMS: &[(u16, &str)] = &[
    (1, "this number does not exist"),
    (8, "the operator barred messages"),
    (10, "the SIM card may not send messages"),
    (
        21,
        "the network rejected the message; is there credit on the card?",
    ),
    (27, "the receiver cannot be reached"),
    (28, "the network does not know this SIM card"),
    (38, "the network is out of order"),
    (41, "the network failed for now"),
    (42, "the network is full"),
    (47, "the network has no room"),
    (50, "this service is not booked for the card"),
    (69, "the network does not offer this"),
    (96, "the network misses something in the message"),
    (98, "the network did not expect this now"),
    (302, "the modem does not allow this"),
    (304, "the modem cannot read this message"),
    (305, "the modem cannot read this text"),
    (310, "there is no SIM card in it"),
    (311, "the SIM wants its PIN"),
    (313, "the SIM card failed"),
    (314, "the SIM card is busy"),
    (315, "this is no SIM card"),
    (
        316,
        "the SIM wants its PUK: put it into a telephone and unlock it",
    ),
    (321, "there is no message in this place"),
    (322, "the card has no room for messages"),
    (
        330,
        "the number of the message centre is not known; set it on the SIM card",
    ),
    (331, "there is no network"),
    (332, "the network did not answer"),
    (500, "the modem does not say why"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_together_from_pieces() {
        let mut lines = Lines::default();
        assert_eq!(lines.feed(b"\r\nO"), []);
        assert_eq!(lines.feed(b"K\r\n> "), [Said::Ok, Said::Prompt]);
        let said = lines.feed(b"\r\n+CMS ERROR: 331\r\n\r\n+CMTI: \"SM\",3\r\nBUSY\r\n");
        assert_eq!(
            said,
            [
                Said::Error("there is no network (message error 331)".to_owned()),
                Said::Line("+CMTI: \"SM\",3".to_owned()),
                Said::CallEnded("BUSY".to_owned()),
            ]
        );
        let said = lines.feed(b"+CME ERROR: 777\n");
        assert_eq!(said, [Said::Error("modem error 777".to_owned())]);
        // A line without an end does not grow without an end.
        lines.feed(&vec![b'x'; 100_000]);
        assert!(lines.bytes.len() <= LINE_BYTES_MAX);
    }
}
