//! Answers of the interface as people read them. Never changes what an answer says.

use super::table::table;
use serde_json::Value;

/// A value of an answer; `-` where there is none.
pub(super) fn text(answer: &Value, pointer: &str) -> String {
    match answer.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A word of the interface: `in_progress` is read as `in progress`.
pub(super) fn word(answer: &Value, pointer: &str) -> String {
    text(answer, pointer).replace('_', " ")
}

/// A time to the second, in UTC as everything on the wire.
pub(super) fn time(answer: &Value, pointer: &str) -> String {
    let text = text(answer, pointer);
    match (text.get(..10), text.get(11..19)) {
        (Some(date), Some(time)) if text.ends_with('Z') => format!("{date} {time}Z"),
        _ => text,
    }
}

/// When something was done, and by whom.
pub(super) fn who(answer: &Value, at: &str, by: &str) -> String {
    match time(answer, at) {
        none if none == "-" => none,
        time => format!("{time} by {}", text(answer, by)),
    }
}

/// The items of a list in an answer.
pub(super) fn items<'a>(answer: &'a Value, pointer: &str) -> &'a [Value] {
    answer
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Lines of a name and a value; those without a value are left out.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let there = facts.iter().filter(|(_, value)| value != "-");
    there
        .map(|(name, value)| format!("{name:12} {value}\n"))
        .collect::<Vec<_>>()
        .concat()
}

/// What happened to a record, oldest first.
pub(super) fn history(record: &Value) -> String {
    let row = |line: &Value| {
        let mut what = match (word(line, "/what"), text(line, "/text")) {
            (what, none) if none == "-" => what,
            (what, text) => format!("{what}: {text}"),
        };
        if line.pointer("/applied") == Some(&Value::Bool(false)) {
            what = format!("{what} (not applied: {})", text(line, "/note"));
        }
        vec![
            time(line, "/at"),
            text(line, "/by"),
            word(line, "/origin"),
            what,
        ]
    };
    let rows: Vec<_> = items(record, "/history").iter().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(&["WHEN", "WHO", "WHERE", "WHAT"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_there_is_a_dash_and_times_are_short() {
        let answer = json!({"a": null, "b": "", "n": 3, "t": "2026-11-21T14:03:22.120000Z",
            "s": "on_hold", "history": [{"at": "x", "what": "closed", "applied": false, "note": "late"}]});
        assert_eq!(text(&answer, "/a"), "-");
        assert_eq!(text(&answer, "/b"), "-");
        assert_eq!(text(&answer, "/n"), "3");
        assert_eq!(word(&answer, "/s"), "on hold");
        assert_eq!(time(&answer, "/t"), "2026-11-21 14:03:22Z");
        assert_eq!(time(&answer, "/none"), "-");
        assert!(history(&answer).contains("closed (not applied: late)"));
        assert_eq!(
            facts(&[("A", "1".into()), ("B", "-".into())]),
            "A            1\n"
        );
    }
}
