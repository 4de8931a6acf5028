//! `status`: how the running box, its link and its devices are, in one screen.
//! Never looks into the store itself: what the agent does not tell is not known.

use super::client::Client;
use super::table::table;
use super::words::{facts, items, text, time, word};
use crate::config::show_bytes;
use serde_json::Value;

/// Most rules that learn that are named.
const LEARNERS_SHOWN: usize = 5;

pub(super) fn status(client: &mut Client) -> anyhow::Result<(Value, String)> {
    let status = client.get("/status")?;
    let words = words(&status);
    Ok((status, words))
}

pub(super) fn words(status: &Value) -> String {
    let row = |device: &Value| {
        vec![
            text(device, "/name"),
            text(device, "/asset"),
            text(device, "/port"),
            word(device, "/state"),
            time(device, "/since"),
            text(device, "/words"),
        ]
    };
    let rows: Vec<_> = items(status, "/devices").iter().map(row).collect();
    let columns = ["DEVICE", "ASSET", "PORT", "STATE", "SINCE", "WHAT IT SAYS"];
    format!("{}\n{}", head(status), table(&columns, &rows))
}

fn head(status: &Value) -> String {
    let t = |pointer: &str| text(status, pointer);
    let bytes = |pointer: &str| {
        let bytes = status.pointer(pointer).and_then(Value::as_u64);
        bytes.map_or_else(|| "-".to_owned(), rounded)
    };
    let link = format!(
        "{} since {}: {}",
        word(status, "/link/state"),
        time(status, "/link/since"),
        t("/link/words")
    );
    let mut waiting = format!(
        "{} events, {} readings for the hub",
        t("/link/waiting_events"),
        t("/link/waiting_readings")
    );
    if let Some(days) = status.pointer("/link/room_days").and_then(Value::as_u64) {
        waiting = format!("{waiting}; room for {days} more days");
    }
    let store = format!(
        "{} of {}; {} commits failed",
        bytes("/store/buffer_bytes"),
        bytes("/store/buffer_bytes_max"),
        t("/store/failures")
    );
    let warnings = items(status, "/store/warnings").iter();
    let store = warnings
        .filter_map(Value::as_str)
        .fold(store, |store, warning| format!("{store}. {warning}"));
    let queue = format!(
        "{} of {} polls; {} dropped since the start",
        t("/queue/depth"),
        t("/queue/max"),
        t("/queue/dropped_polls")
    );
    let agent = format!("{}, since {}", t("/version"), time(status, "/started_at"));
    facts(&[
        (
            "Box",
            format!("{} ({})", t("/gateway/name"), t("/gateway/code")),
        ),
        ("Id", t("/gateway/id")),
        ("Site", t("/site/name")),
        ("Agent", agent),
        ("Clock", word(status, "/clock")),
        ("Configuration", configuration(status)),
        ("People", bundle(status)),
        ("Hub", t("/link/hub")),
        ("Link", link),
        ("Waiting", waiting),
        ("Store", store),
        ("Queue", queue),
        ("Alerts", format!("{} active", t("/alerts_active"))),
        ("Learning", learning(status)),
        ("Work orders", format!("{} open", t("/orders_open"))),
    ])
}

/// Which site bundle counts, and how old it is.
fn bundle(status: &Value) -> String {
    let t = |pointer: &str| text(status, pointer);
    if status.pointer("/bundle/number").is_none_or(Value::is_null) {
        return "no list of people and assets from the hub".to_owned();
    }
    let until = time(status, "/bundle/valid_until");
    let how = match t("/bundle/validity").as_str() {
        "valid" => format!("good until {until}"),
        "grace" => format!(
            "OVERDUE since {until}, counts for {} days",
            t("/bundle/grace_days")
        ),
        _ => format!("ENDED, was good until {until}: nobody is more than a technician"),
    };
    format!(
        "bundle {} of {}, {how}; {} people, {} assets",
        t("/bundle/number"),
        time(status, "/bundle/made"),
        t("/bundle/people"),
        t("/bundle/assets")
    )
}

/// The rules that learn and tell nothing yet; the first of them by name.
fn learning(status: &Value) -> String {
    let learners = items(status, "/learning");
    let one = |learner: &Value| {
        let until = match text(learner, "/until").as_str() {
            "" | "-" => "waits for readings".to_owned(),
            _ => format!("until {}", time(learner, "/until")),
        };
        format!("{} ({until})", text(learner, "/rule"))
    };
    let shown: Vec<String> = learners.iter().take(LEARNERS_SHOWN).map(one).collect();
    match learners.len() {
        0 => "no rule".to_owned(),
        many if many > shown.len() => {
            format!("{many} rules tell nothing yet: {} …", shown.join(", "))
        }
        _ => shown.join(", "),
    }
}

/// Which configuration counts, and what became of the newest document.
fn configuration(status: &Value) -> String {
    let t = |pointer: &str| text(status, pointer);
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64);
    let counts = match number("/configuration/document") {
        Some(version) => format!(
            "document {version} of the hub (edge-agent config rollback: back to the local file)"
        ),
        None => "local file".to_owned(),
    };
    match number("/configuration/newest/version") {
        None | Some(0) => counts,
        Some(version) => {
            let state = word(status, "/configuration/newest/state");
            let newest = format!("{counts}. Document {version} is {state}");
            let words = t("/configuration/newest/words");
            if matches!(words.as_str(), "" | "-") {
                newest
            } else {
                format!("{newest}: {words}")
            }
        }
    }
}

/// Three figures or less before the unit: nobody counts bytes here.
pub(super) fn rounded(bytes: u64) -> String {
    let mut step = 1;
    while bytes / step >= 1_000 {
        step *= 1_000;
    }
    show_bytes(bytes / step * step)
}
