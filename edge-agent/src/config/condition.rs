//! A condition over sensors and other rules: `pump/running < 1 and not alert 'low level'`.
//! Never evaluates one: `alerts` does.
//!
//! `or` binds weaker than `and`, `and` weaker than `not`; parentheses group. A comparison is a
//! sensor (`device/sensor`), one of `< <= > >= == !=`, and a number in the sensor's unit. `alert` and a
//! rule's name holds while that rule is abnormal. Names with spaces stand in single quotes.

use super::value::quoted;

/// Most comparisons and alerts in one condition.
pub const TERMS_MAX: usize = 16;
/// Deepest nesting of parentheses and `not`.
const DEPTH_MAX: usize = 8;

/// What is to hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// All of these.
    All(Vec<Self>),
    /// At least one of these.
    Any(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// The newest value of a sensor.
    Value {
        /// `device/sensor`.
        sensor: String,
        /// How it compares.
        comparison: Comparison,
        /// With what.
        value: f64,
    },
    /// A rule is abnormal.
    Alert(String),
}

/// How a value compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
}

impl Comparison {
    const SIGNS: [(&'static str, Self); 6] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<", Self::Below),
        (">", Self::Above),
    ];

    /// Whether it holds of `value`. Values count as equal within a millionth of their size.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        let equal = (value - limit).abs() <= 1e-6 * limit.abs().max(1e-6);
        match self {
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
            Self::Equal => equal,
            Self::Unequal => !equal,
        }
    }
}

impl Condition {
    /// Reads a condition; the error says what is wrong and what to write instead.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader {
            tokens: tokens(text)?,
            at: 0,
            terms: 0,
        };
        let condition = reader.any(0)?;
        match reader.next() {
            None => Ok(condition),
            Some(token) => Err(format!(
                "{} is not expected here; join conditions with and, or",
                quoted(token.text())
            )),
        }
    }

    /// Calls `sensor` and `alert` for each of these in it.
    pub fn each<'a>(&'a self, sensor: &mut dyn FnMut(&'a str), alert: &mut dyn FnMut(&'a str)) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.each(sensor, alert);
                }
            }
            Self::Not(part) => part.each(sensor, alert),
            Self::Value { sensor: path, .. } => sensor(path),
            Self::Alert(rule) => alert(rule),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(Comparison, &'static str),
    Open,
    Close,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Quoted(text) => text,
            Self::Sign(_, sign) => sign,
            Self::Open => "(",
            Self::Close => ")",
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let sign = Comparison::SIGNS
            .iter()
            .find_map(|(sign, comparison)| Some((rest.strip_prefix(sign)?, *comparison, *sign)));
        rest = if let Some((after, comparison, sign)) = sign {
            tokens.push(Token::Sign(comparison, sign));
            after
        } else if let Some(after) = rest.strip_prefix('(') {
            tokens.push(Token::Open);
            after
        } else if let Some(after) = rest.strip_prefix(')') {
            tokens.push(Token::Close);
            after
        } else if let Some(after) = rest.strip_prefix('\'') {
            let (name, after) = after
                .split_once('\'')
                .ok_or("a name in single quotes does not end; add a '")?;
            tokens.push(Token::Quoted(name.to_owned()));
            after
        } else if first == '=' || first == '!' {
            return Err(format!(
                "{} is no comparison; write == or !=",
                quoted(&first.to_string())
            ));
        } else {
            let is_end = |c: char| c.is_whitespace() || "()<>=!'".contains(c);
            let end = rest.find(is_end).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            tokens.push(Token::Word(word.to_owned()));
            after
        };
        rest = rest.trim_start();
    }
    Ok(tokens)
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    terms: usize,
}

impl Reader {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, word: &str) -> bool {
        let is = matches!(self.tokens.get(self.at), Some(Token::Word(next)) if next == word);
        self.at += usize::from(is);
        is
    }

    fn any(&mut self, depth: usize) -> Result<Condition, String> {
        let mut parts = vec![self.all(depth)?];
        while self.takes("or") {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Condition::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, String> {
        let mut parts = vec![self.one(depth)?];
        while self.takes("and") {
            parts.push(self.one(depth)?);
        }
        Ok(one_or(parts, Condition::All))
    }

    fn one(&mut self, depth: usize) -> Result<Condition, String> {
        if depth > DEPTH_MAX {
            return Err(format!(
                "is nested deeper than {DEPTH_MAX}; write it simpler"
            ));
        }
        if self.takes("not") {
            return Ok(Condition::Not(Box::new(self.one(depth + 1)?)));
        }
        let example = "write for example pump/running < 1, or alert 'low level'";
        let Some(token) = self.next() else {
            return Err(format!("ends too early; {example}"));
        };
        if token == Token::Open {
            let inner = self.any(depth + 1)?;
            return match self.next() {
                Some(Token::Close) => Ok(inner),
                _ => Err("a parenthesis does not end; add a )".to_owned()),
            };
        }
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(format!(
                "has more than {TERMS_MAX} comparisons; write it simpler"
            ));
        }
        match token {
            Token::Word(word) if word == "alert" => match self.next() {
                Some(Token::Word(rule) | Token::Quoted(rule)) => Ok(Condition::Alert(rule)),
                _ => Err("alert is not followed by the name of a rule; add it".to_owned()),
            },
            Token::Word(sensor) | Token::Quoted(sensor) => self.comparison(sensor),
            other => Err(format!(
                "{} is not expected here; {example}",
                quoted(other.text())
            )),
        }
    }

    fn comparison(&mut self, sensor: String) -> Result<Condition, String> {
        let Some(Token::Sign(comparison, _)) = self.next() else {
            let words = "is not followed by a comparison; write for example";
            return Err(format!("{} {words} {sensor} < 1", quoted(&sensor)));
        };
        let number = self.next();
        let value = number
            .as_ref()
            .and_then(|token| token.text().parse::<f64>().ok());
        match value.filter(|value| value.is_finite()) {
            Some(value) => Ok(Condition::Value {
                sensor,
                comparison,
                value,
            }),
            None => Err(format!(
                "{} is compared with no number; write one",
                quoted(&sensor)
            )),
        }
    }
}

fn one_or(mut parts: Vec<Condition>, several: fn(Vec<Condition>) -> Condition) -> Condition {
    match (parts.len(), parts.pop()) {
        (1, Some(part)) => part,
        (_, last) => {
            parts.extend(last);
            several(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(sensor: &str, comparison: Comparison, value: f64) -> Condition {
        let sensor = sensor.to_owned();
        Condition::Value {
            sensor,
            comparison,
            value,
        }
    }

    #[test]
    fn or_binds_weaker_than_and_weaker_than_not() {
        let parsed = Condition::parse("a/b<1 or not 'c d/e' >= -2.5 and alert 'low level'");
        let expected = Condition::Any(vec![
            value("a/b", Comparison::Below, 1.0),
            Condition::All(vec![
                Condition::Not(Box::new(value("c d/e", Comparison::AtLeast, -2.5))),
                Condition::Alert("low level".into()),
            ]),
        ]);
        assert_eq!(parsed, Ok(expected));
        let grouped = Condition::parse("(a/b == 1 or a/b != 2) and alert x").unwrap();
        assert!(matches!(grouped, Condition::All(parts) if matches!(parts[0], Condition::Any(_))));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("", "ends too early"),
            ("a/b", "not followed by a comparison"),
            ("a/b <", "compared with no number"),
            ("a/b < x", "compared with no number"),
            ("a/b = 1", "is no comparison"),
            ("(a/b < 1", "parenthesis does not end"),
            ("a/b < 1 c/d < 1", "is not expected here"),
            ("alert", "not followed by the name of a rule"),
            ("'a/b < 1", "in single quotes does not end"),
            ("< 1", "is not expected here"),
        ] {
            let error = Condition::parse(text).unwrap_err();
            assert!(error.contains(says), "{text:?}: {error}");
        }
        let many = vec!["a/b < 1"; TERMS_MAX + 1].join(" and ");
        assert!(Condition::parse(&many).unwrap_err().contains("more than"));
        let deep = format!("{}a/b < 1", "not ".repeat(DEPTH_MAX + 2));
        assert!(Condition::parse(&deep).unwrap_err().contains("deeper"));
    }

    #[test]
    fn equality_forgives_rounding() {
        assert!(Comparison::Equal.holds(0.300_000_000_1, 0.3));
        assert!(Comparison::Equal.holds(0.0, 0.0));
        assert!(Comparison::Unequal.holds(0.301, 0.3));
        assert!(!Comparison::Below.holds(1.0, 1.0) && Comparison::AtMost.holds(1.0, 1.0));
        assert!(!Comparison::Above.holds(1.0, 1.0));
    }
}
