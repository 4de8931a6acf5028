//! A conversation with a mail server as a value (RFC 5321): replies in, commands out; and the mail
//! itself (RFC 5322). With STARTTLS (RFC 3207) and a password (RFC 4954, PLAIN) where they are wanted.
//! Both programs send mail. Never opens a connection; whoever does must not send a password over one
//! that is not safe.

use data_encoding::BASE64;

/// Most lines of one reply; a longer one is none.
pub const REPLY_LINES_MAX: usize = 128;

/// What a server said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Its code.
    pub code: u16,
    /// Its lines, without code.
    pub lines: Vec<String>,
}

impl Reply {
    /// Takes one line in; whether it was the last. `None`: this is no reply of SMTP.
    pub fn line(&mut self, text: &str) -> Option<bool> {
        let text = text.trim_end();
        self.code = text.get(..3)?.parse().ok()?;
        self.lines
            .push(text.get(4..).unwrap_or_default().to_owned());
        let is_last = text.get(3..4) != Some("-");
        (self.lines.len() <= REPLY_LINES_MAX).then_some(is_last)
    }
}

/// Why a mail was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// For good.
    Refused(String),
    /// For now.
    Failed(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Say this.
    Say(String),
    /// Make the connection safe, then say what `after_tls` gives.
    Secure,
    /// The mail is taken; what the server said.
    Done(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Greeting,
    Hello,
    StartTls,
    Login,
    From,
    To,
    Data,
    Text,
}

/// What a conversation is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Errand {
    /// What this side calls itself.
    pub host: String,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Sender.
    pub from: String,
    /// Receiver.
    pub to: String,
    /// The mail, as `Mail::text` gives it.
    pub mail: String,
    /// Nothing is sent before TLS is agreed.
    pub wants_tls: bool,
}

/// Never shows the password, nor the mail.
impl std::fmt::Debug for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Errand")
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// One conversation.
#[derive(Debug)]
pub struct Talk {
    errand: Errand,
    at: At,
}

impl Talk {
    /// Before the server has said anything.
    pub const fn new(errand: Errand) -> Self {
        Self {
            errand,
            at: At::Greeting,
        }
    }

    /// Greets again: what the server said before TLS does not count.
    pub fn after_tls(&mut self) -> String {
        self.errand.wants_tls = false;
        self.at = At::Hello;
        self.hello()
    }

    fn hello(&self) -> String {
        format!("EHLO {}\r\n", self.errand.host)
    }

    /// The server said this.
    ///
    /// # Errors
    /// When the mail is not taken, with what the server said.
    pub fn heard(&mut self, reply: &Reply) -> Result<Next, Failure> {
        let words = reply.lines.join(" ");
        let wanted = match self.at {
            At::Greeting | At::StartTls => 220,
            At::Hello | At::From | At::To | At::Text => 250,
            At::Login => 235,
            At::Data => 354,
        };
        // A mailbox of somebody else that the server forwards to (section 3.4).
        let forwards = self.at == At::To && reply.code == 251;
        if reply.code != wanted && !forwards {
            let words = format!("the server said {} {words}", reply.code);
            let is_final = reply.code >= 500;
            return Err(if is_final {
                Failure::Refused(words)
            } else {
                Failure::Failed(words)
            });
        }
        let (at, next) = match self.at {
            At::Greeting => (At::Hello, self.hello()),
            At::Hello if self.errand.wants_tls => {
                let mut lines = reply.lines.iter();
                if !lines.any(|line| line.eq_ignore_ascii_case("STARTTLS")) {
                    let words = "the server does not offer STARTTLS; nothing was sent";
                    return Err(Failure::Refused(words.to_owned()));
                }
                (At::StartTls, "STARTTLS\r\n".to_owned())
            }
            At::StartTls => return Ok(Next::Secure),
            At::Hello => match &self.errand.login {
                Some((user, password)) => {
                    let login = BASE64.encode(format!("\0{user}\0{password}").as_bytes());
                    (At::Login, format!("AUTH PLAIN {login}\r\n"))
                }
                None => self.sender(),
            },
            At::Login => self.sender(),
            At::From => (At::To, format!("RCPT TO:<{}>\r\n", self.errand.to)),
            At::To => (At::Data, "DATA\r\n".to_owned()),
            At::Data => (At::Text, dotted(&self.errand.mail)),
            At::Text => return Ok(Next::Done(words)),
        };
        self.at = at;
        Ok(Next::Say(next))
    }

    fn sender(&self) -> (At, String) {
        (At::From, format!("MAIL FROM:<{}>\r\n", self.errand.from))
    }
}

/// A text as it is sent: a dot in front of a line gets another one, a lone one ends it (section 4.5.2).
fn dotted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.lines() {
        if line.starts_with('.') {
            out.push('.');
        }
        out.push_str(line);
        out.push_str("\r\n");
    }
    out.push_str(".\r\n");
    out
}

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail<'a> {
    /// Sender.
    pub from: &'a str,
    /// Receiver.
    pub to: &'a str,
    /// One line of any letters.
    pub subject: &'a str,
    /// Of any letters and length.
    pub body: &'a str,
    /// As RFC 5322 section 3.3 writes it.
    pub date: &'a str,
    /// Left and right of the @ of its id.
    pub id: (&'a str, &'a str),
    /// Marked as important.
    pub is_urgent: bool,
}

impl Mail<'_> {
    /// With its headers; the body in base64, so that no letter and no long line is in the way.
    pub fn text(&self) -> String {
        let encoded = BASE64.encode(self.body.as_bytes());
        let lines: Vec<String> = encoded
            .as_bytes()
            .chunks(76)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let importance = if self.is_urgent {
            "Importance: high\n"
        } else {
            ""
        };
        format!(
            "Date: {}\nFrom: <{}>\nTo: <{}>\nSubject: {}\nMessage-ID: <{}@{}>\n{importance}\
             Auto-Submitted: auto-generated\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{}\n",
            self.date,
            self.from,
            self.to,
            header_text(self.subject),
            self.id.0,
            self.id.1,
            lines.join("\n"),
        )
    }
}

/// A text in a header: as it is where it is short ASCII, else in encoded words (RFC 2047) of whole
/// characters, each at most 75 long.
fn header_text(text: &str) -> String {
    const BYTES: usize = 42;
    if text.len() <= 60 && text.bytes().all(|byte| (0x20..0x7F).contains(&byte)) {
        return text.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    let mut part = String::new();
    for c in text.chars() {
        if part.len() + c.len_utf8() > BYTES {
            words.push(std::mem::take(&mut part));
        }
        part.push(c);
    }
    words.push(part);
    let encoded = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", BASE64.encode(word.as_bytes())));
    encoded.collect::<Vec<_>>().join("\n ")
}

/// Whether mail can be addressed so: printable ASCII without what would end a line or an address.
pub fn is_mail_address(text: &str) -> bool {
    let good = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | ',' | ';' | '\\');
    let parts = text.split_once('@');
    text.len() <= 254
        && text.chars().all(good)
        && parts
            .is_some_and(|(who, host)| !who.is_empty() && !host.is_empty() && !host.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk() -> Talk {
        Talk::new(Errand {
            host: "box.lan".to_owned(),
            login: Some(("box".to_owned(), "secret".to_owned())),
            from: "box@plant.lan".to_owned(),
            to: "anna@plant.lan".to_owned(),
            mail: "Subject: x\n\n.dot\nend".to_owned(),
            wants_tls: true,
        })
    }

    fn reply(code: u16, lines: &[&str]) -> Reply {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Reply { code, lines }
    }

    #[test]
    fn the_conversation_goes_step_by_step() {
        let mut talk = talk();
        let say = |next: Result<Next, Failure>| match next.unwrap() {
            Next::Say(words) => words,
            other => format!("{other:?}"),
        };
        assert_eq!(say(talk.heard(&reply(220, &["ready"]))), "EHLO box.lan\r\n");
        let offered = reply(250, &["mail.lan", "SIZE 1000", "STARTTLS"]);
        assert_eq!(say(talk.heard(&offered)), "STARTTLS\r\n");
        assert_eq!(talk.heard(&reply(220, &["go on"])), Ok(Next::Secure));
        assert_eq!(talk.after_tls(), "EHLO box.lan\r\n");
        let login = say(talk.heard(&reply(250, &["mail.lan", "AUTH PLAIN"])));
        assert_eq!(login, "AUTH PLAIN AGJveABzZWNyZXQ=\r\n");
        assert_eq!(
            say(talk.heard(&reply(235, &["ok"]))),
            "MAIL FROM:<box@plant.lan>\r\n"
        );
        assert_eq!(
            say(talk.heard(&reply(250, &["ok"]))),
            "RCPT TO:<anna@plant.lan>\r\n"
        );
        assert_eq!(say(talk.heard(&reply(251, &["forwards"]))), "DATA\r\n");
        let text = say(talk.heard(&reply(354, &["end with ."])));
        assert_eq!(text, "Subject: x\r\n\r\n..dot\r\nend\r\n.\r\n");
        assert_eq!(
            talk.heard(&reply(250, &["queued"])),
            Ok(Next::Done("queued".to_owned()))
        );
    }

    #[test]
    fn a_server_without_tls_and_a_refusal_end_it() {
        let mut one = talk();
        one.heard(&reply(220, &[""])).unwrap();
        let told = one.heard(&reply(250, &["mail.lan"]));
        assert!(matches!(told, Err(Failure::Refused(words)) if words.contains("STARTTLS")));
        let mut two = talk();
        let told = two.heard(&reply(554, &["no"]));
        assert_eq!(
            told,
            Err(Failure::Refused("the server said 554 no".to_owned()))
        );
        let told = two.heard(&reply(421, &["later"]));
        assert_eq!(
            told,
            Err(Failure::Failed("the server said 421 later".to_owned()))
        );
    }

    #[test]
    fn a_reply_comes_line_by_line() {
        let mut reply = Reply::default();
        assert_eq!(reply.line("250-mail.lan\r\n"), Some(false));
        assert_eq!(reply.line("250 OK\r\n"), Some(true));
        assert_eq!((reply.code, reply.lines.len()), (250, 2));
        for wrong in ["", "SSH-2.0", "25", "\u{fc}\u{fc}"] {
            assert_eq!(Reply::default().line(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_subject_of_any_letters_is_one_header() {
        assert_eq!(header_text("High: pump"), "High: pump");
        let long = header_text(&"Überhitzung ".repeat(9));
        assert!(long.lines().all(|line| line.len() <= 76), "{long}");
        assert!(long.starts_with("=?utf-8?B?"));
        assert!(!header_text("a\nBcc: x").contains("\nBcc"));
        assert!(
            is_mail_address("a@b") && !is_mail_address("a@b\r\nDATA") && !is_mail_address("@b")
        );
    }
}
