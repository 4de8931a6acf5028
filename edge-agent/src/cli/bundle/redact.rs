//! Takes what is secret out of texts: by the name of a key, by what it looks like, and by value
//! wherever a secret that was met once turns up again. Never keeps a text that it cannot judge.

use toml::{Table, Value};

/// What stands where a secret was.
pub(super) const REMOVED: &str = "(removed)";
/// A key that has one of these in its name holds a secret, unless it ends as a path does.
const SECRET_WORDS: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "claim",
    "credential",
    "access_code",
    "accesscode",
    "private",
    "psk",
    "api_key",
    "apikey",
    "community",
    "pin_code",
    "auth",
];
/// A key that is one of these holds a secret.
const SECRET_KEYS: [&str; 5] = ["key", "pin", "pass", "pwd", "code_word"];
/// The list of people: names, telephone numbers, mail addresses.
const PERSON: &str = "person";
/// A key that ends so names a file, which is no secret; what is in the file is.
const PATH_ENDS: [&str; 3] = ["_file", "_path", "_dir"];
/// A shorter secret is not searched for by its value: it would be found in everything.
const VALUE_CHARS_MIN: usize = 4;
/// Secrets that are remembered; with more than these, texts are left out.
const SECRETS_MAX: usize = 10_000;
/// How a claim begins.
const CLAIMS: [&str; 2] = ["cfe1-", "cfe1r-"];

/// Remembers secrets and takes them out.
#[derive(Default)]
pub(super) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Remembers a secret: nothing that is put into the file may hold it.
    pub(super) fn learn(&mut self, secret: &str) {
        let secret = secret.trim();
        let long = secret.chars().count() >= VALUE_CHARS_MIN && secret != REMOVED;
        if long && self.secrets.len() < SECRETS_MAX && !self.secrets.iter().any(|one| one == secret)
        {
            self.secrets.push(secret.to_owned());
            // A secret within another must not break that one apart before it is found.
            self.secrets.sort_by_key(|one| std::cmp::Reverse(one.len()));
        }
    }

    /// Remembers every line of key material.
    pub(super) fn learn_pem(&mut self, text: &str) {
        let mut is_private = false;
        for line in text.lines().map(str::trim) {
            match line {
                begin if begin.starts_with("-----BEGIN") => is_private = begin.contains("PRIVATE"),
                end if end.starts_with("-----END") => is_private = false,
                line if is_private => self.learn(line),
                _ => {}
            }
        }
    }

    /// A configuration without its secrets and without its comments, which may hold any.
    /// `None` when it is no TOML.
    pub(super) fn configuration(&mut self, text: &str) -> Option<String> {
        let mut table: Table = toml::from_str(text).ok()?;
        self.table(&mut table);
        self.learn_addresses(text);
        toml::to_string(&table).ok().map(|text| self.text(&text))
    }

    fn table(&mut self, table: &mut Table) {
        for (key, value) in table {
            if is_secret(key) {
                self.learn_all(value);
                *value = Value::String(REMOVED.to_owned());
            } else if key == PERSON {
                // The name stands in shifts and ladders too, and in the log.
                self.learn_all(value);
                *value = Value::Array(Vec::new());
            } else {
                self.inside(value);
            }
        }
    }

    fn inside(&mut self, value: &mut Value) {
        match value {
            Value::Table(table) => self.table(table),
            Value::Array(values) => values.iter_mut().for_each(|value| self.inside(value)),
            _ => {}
        }
    }

    fn learn_all(&mut self, value: &Value) {
        match value {
            Value::Table(table) => table.values().for_each(|value| self.learn_all(value)),
            Value::Array(values) => values.iter().for_each(|value| self.learn_all(value)),
            Value::String(text) => self.learn(text),
            other => self.learn(&other.to_string()),
        }
    }

    /// Remembers the passwords in addresses of a text, as they are and with `%40` undone.
    pub(super) fn learn_addresses(&mut self, text: &str) {
        let mut found = Vec::new();
        map_addresses(text, |user| {
            let password = user.split_once(':').map_or("", |(_, password)| password);
            found.push(password.to_owned());
            found.push(undone(password));
        });
        for password in found {
            self.learn(&password);
        }
    }

    /// The text without user and password in addresses, without claims, private keys and everything
    /// that was learnt.
    pub(super) fn text(&self, text: &str) -> String {
        let text = map_addresses(&without_keys(text), |_| ());
        let mut text = without_claims(&without_named(&text));
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), REMOVED);
        }
        text
    }

    /// Whether a text, as it is, still holds something that was learnt.
    pub(super) fn holds_secret(&self, text: &str) -> bool {
        self.secrets.len() >= SECRETS_MAX || self.secrets.iter().any(|secret| text.contains(secret))
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    if PATH_ENDS.iter().any(|end| key.ends_with(end)) {
        return false;
    }
    let parts = || key.split('_');
    SECRET_WORDS.iter().any(|word| key.contains(word))
        || SECRET_KEYS.iter().any(|word| key == *word)
        || parts()
            .next_back()
            .is_some_and(|last| matches!(last, "key" | "pin" | "password"))
}

/// Replaces what stands between `://` and `@`, which `told` gets.
fn map_addresses(text: &str, mut told: impl FnMut(&str)) -> String {
    let mut parts = text.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("://");
        // The authority ends at a slash or where no address goes on.
        let end = part.find([
            '/', '?', '#', '"', '\'', ' ', '\n', '\t', '<', '>', ',', ')',
        ]);
        let authority = part.get(..end.unwrap_or(part.len())).unwrap_or(part);
        match authority.rsplit_once('@') {
            Some((user, _)) => {
                told(user);
                out.push_str(REMOVED);
                out.push_str(part.get(user.len()..).unwrap_or_default());
            }
            None => out.push_str(part),
        }
    }
    out
}

/// `%40` and the like as the characters they stand for.
fn undone(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii() => {
                out.push(char::from(byte));
                out.push_str(part.get(2..).unwrap_or_default());
            }
            _ => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

/// Without what follows `password=`, `"token": "` and the like.
fn without_named(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let mut line = line.to_owned();
        for word in SECRET_WORDS {
            line = without_value_of(&line, word);
        }
        line
    });
    lines.collect()
}

fn without_value_of(line: &str, word: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut out = String::new();
    let mut from = 0;
    while let Some(at) = lower.get(from..).and_then(|rest| rest.find(word)) {
        let end = from + at + word.len();
        let rest = line.get(end..).unwrap_or_default();
        let is_mark = |c: char| matches!(c, ' ' | '"' | '\'' | '=' | ':');
        let value = rest.trim_start_matches(is_mark);
        let marks = rest.get(..rest.len() - value.len()).unwrap_or_default();
        out.push_str(line.get(from..end).unwrap_or_default());
        from = end;
        if marks.contains(['=', ':']) && !value.starts_with(['{', '[']) {
            let ends = [' ', '"', '\'', ',', '&', ';', '\n', '}'];
            let length = value.find(ends).unwrap_or(value.len());
            out.push_str(marks);
            out.push_str(REMOVED);
            from = end + marks.len() + length;
        }
    }
    out.push_str(line.get(from..).unwrap_or_default());
    out
}

fn without_claims(text: &str) -> String {
    let mut out = text.to_owned();
    for claim in CLAIMS {
        let mut rest = out.as_str();
        let mut cleaned = String::new();
        while let Some(at) = rest.to_ascii_lowercase().find(claim) {
            let (before, after) = rest.split_at(at);
            let body = after.get(claim.len()..).unwrap_or_default();
            let end = body
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(body.len());
            cleaned.push_str(before);
            cleaned.push_str(REMOVED);
            rest = body.get(end..).unwrap_or_default();
        }
        cleaned.push_str(rest);
        out = cleaned;
    }
    out
}

/// Without everything between the marks of a private key.
fn without_keys(text: &str) -> String {
    let mut out = String::new();
    let mut is_private = false;
    for line in text.split_inclusive('\n') {
        if line.contains("-----BEGIN") && line.contains("PRIVATE") {
            is_private = true;
            out.push_str(REMOVED);
            out.push('\n');
        }
        if !is_private {
            out.push_str(line);
        }
        if line.contains("-----END") {
            is_private = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_hold_secrets_are_emptied_and_names_of_files_stay() {
        let mut redactor = Redactor::default();
        let text = "# the PIN is 4711\n[web]\naccess_code_file = \"code\"\n[hub]\naddress = \"h:1\"\n\
                    [[port]]\nname = \"a\"\n[port.tls]\nkey = \"inline-key\"\nkey_file = \"k.pem\"\n\
                    mqtt-password = \"pa$$word\"\ntokens = [\"tok-1\", \"tok-2\"]\n";
        let clean = redactor.configuration(text).unwrap();
        for gone in ["4711", "inline-key", "pa$$word", "tok-1", "tok-2"] {
            assert!(!clean.contains(gone), "{gone} is in\n{clean}");
        }
        for kept in [
            "access_code_file = \"code\"",
            "key_file = \"k.pem\"",
            "address = \"h:1\"",
        ] {
            assert!(clean.contains(kept), "{kept} is not in\n{clean}");
        }
        assert_eq!(redactor.configuration("a = "), None);
        assert!(!is_secret("keep_alive") && !is_secret("code") && !is_secret("bucket"));
    }

    #[test]
    fn people_are_nowhere_in_a_configuration() {
        let mut redactor = Redactor::default();
        let text = "[[person]]\nname = \"Anna Berg\"\nphone = \"+49 151 12345678\"\nemail = \"anna@plant.lan\"\n\
                    [[shift]]\nname = \"on call\"\npeople = [\"Anna Berg\"]\n\
                    [[ladder]]\nname = \"all\"\n[[ladder.step]]\nto = [\"Anna Berg\", \"on call\"]\n";
        let clean = redactor.configuration(text).unwrap();
        for gone in ["Anna", "12345678", "plant.lan"] {
            assert!(!clean.contains(gone), "{gone} is in\n{clean}");
        }
        assert!(clean.contains("\"on call\""), "{clean}");
        assert_eq!(redactor.text("told Anna Berg"), "told (removed)");
    }

    #[test]
    fn a_secret_that_was_met_once_is_found_everywhere() {
        let mut redactor = Redactor::default();
        redactor.learn_addresses("proxy = \"http://eva:p%40ss@proxy:3128\"");
        redactor.learn("654321");
        redactor.learn("12");
        let log = "asked http://eva:p%40ss@proxy:3128/x, got p@ss; code 654321 of 12";
        assert_eq!(
            redactor.text(log),
            "asked http://(removed)@proxy:3128/x, got (removed); code (removed) of 12"
        );
        assert!(redactor.holds_secret("x654321y") && !redactor.holds_secret(&redactor.text(log)));
    }

    #[test]
    fn a_value_with_a_telling_name_is_taken_out_of_any_text() {
        let redactor = Redactor::default();
        assert_eq!(
            redactor
                .text("password=abc&x=1 {\"Token\": \"t-1\", \"n\": 2} access_code_file = \"c\"\n"),
            "password=(removed)&x=1 {\"Token\": \"(removed)\", \"n\": 2} access_code_file = \"c\"\n"
        );
        assert_eq!(redactor.text("the token was taken"), "the token was taken");
    }

    #[test]
    fn claims_and_private_keys_are_known_by_their_looks() {
        let mut redactor = Redactor::default();
        let pem = "a\n-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----\n\
                   -----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        redactor.learn_pem(pem);
        let clean = redactor.text(&format!(
            "{pem}enrol cfe1-abc2DEF and CFE1R-XYZ7 with MIGHAgEA"
        ));
        assert!(!clean.contains("MIGH") && !clean.contains("abc2") && !clean.contains("XYZ7"));
        assert!(clean.contains("MIIB") && clean.contains("enrol (removed) and (removed) with"));
    }
}
