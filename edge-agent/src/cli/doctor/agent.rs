//! How the running agent says that it is: from its `GET /status` alone. Never calls anybody.

use super::finding::Findings;
use crate::cli::status::rounded;
use crate::cli::table::many;
use crate::cli::words::{items, text, time, word};
use serde_json::Value;

/// Room for fewer days than this is told as wrong.
const ROOM_DAYS_MIN: u64 = 3;
/// Share of the queue, in percent, from which on it is told.
const QUEUE_PERCENT_MAX: u64 = 80;

/// Everything that can be told from the status. `enrolled`: the box has an identity.
pub(super) fn examine_status(status: &Value, enrolled: bool, found: &mut Findings) {
    version(status, found);
    link(status, enrolled, found);
    store(status, found);
    queue(status, found);
    document(status, found);
    bundle(status, found);
    devices(status, found);
}

fn bundle(status: &Value, found: &mut Findings) {
    let number = number(status, "/bundle/number");
    if number == 0 {
        return;
    }
    let (made, until) = (
        time(status, "/bundle/made"),
        time(status, "/bundle/valid_until"),
    );
    let remedy = "Connect the box to its hub, or carry a file: edge-agent export";
    match text(status, "/bundle/validity").as_str() {
        "valid" => found.fine(
            "people",
            format!("Bundle {number} of {made} is good until {until}."),
        ),
        "grace" => found.attention(
            "people",
            format!("Bundle {number} was good until {until}; it still counts for some days."),
            remedy,
        ),
        _ => found.wrong(
            "people",
            format!("Bundle {number} was good until {until}: nobody is more than a technician."),
            remedy,
        ),
    }
}

fn number(status: &Value, pointer: &str) -> u64 {
    status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn version(status: &Value, found: &mut Findings) {
    let (running, own) = (text(status, "/version"), env!("CARGO_PKG_VERSION"));
    let since = time(status, "/started_at");
    if running == own {
        found.fine(
            "agent",
            format!("It runs, version {running}, since {since}."),
        );
    } else {
        found.attention(
            "agent",
            format!("It runs version {running}, and this program is version {own}."),
            "Start the agent again so that the installed version runs: systemctl restart edge-agent",
        );
    }
}

fn link(status: &Value, enrolled: bool, found: &mut Findings) {
    let words = text(status, "/link/words");
    let since = time(status, "/link/since");
    let waiting = format!(
        "{} events and {} readings wait",
        number(status, "/link/waiting_events"),
        number(status, "/link/waiting_readings")
    );
    let room = status.pointer("/link/room_days").and_then(Value::as_u64);
    match text(status, "/link/state").as_str() {
        "connected" => found.fine("hub", format!("Connected since {since}; {waiting}.")),
        "not_enrolled" if text(status, "/link/hub") == "-" => {
            found.fine("hub", "None is configured: the box works alone.");
        }
        "not_enrolled" => {
            let remedy = if enrolled {
                "Start the agent again: it has an identity that it did not have at its start."
            } else {
                "Get a claim (`cloud-hub claim new`) and enrol the box: edge-agent enrol"
            };
            found.attention("hub", format!("The box is not enrolled: {words}"), remedy);
        }
        "refused" => found.wrong(
            "hub",
            format!("It does not let this box in since {since}: {words}"),
            "Ask the central team whether this gateway was revoked; a new claim joins it again.",
        ),
        _ if room.is_some_and(|days| days < ROOM_DAYS_MIN) => found.wrong(
            "hub",
            format!(
                "Away since {since} ({words}); {waiting}, and there is room for {}.",
                many(usize::try_from(room.unwrap_or(0)).unwrap_or(0), "more day")
            ),
            "Mend the uplink, or carry the data out with a stick: edge-agent export",
        ),
        _ => found.attention(
            "hub",
            format!("Away since {since} ({words}); {waiting}. Nothing is lost meanwhile."),
            "Check network, firewall (UDP to the hub's port, or TCP 443) and the hub itself.",
        ),
    }
}

fn store(status: &Value, found: &mut Findings) {
    let failures = number(status, "/store/failures");
    if failures > 0 {
        found.wrong(
            "store",
            format!("{} failed; readings wait in memory.", many(usize::try_from(failures).unwrap_or(usize::MAX), "commit")),
            "Make room on the disk; if there is room, the disk or card may be failing: look at `dmesg`.",
        );
        return;
    }
    let warnings = items(status, "/store/warnings");
    for warning in warnings.iter().filter_map(Value::as_str) {
        found.attention("store", warning, "");
    }
    if warnings.is_empty() {
        let bytes = |pointer| rounded(number(status, pointer));
        found.fine(
            "store",
            format!(
                "{} of {} used, no commit failed.",
                bytes("/store/buffer_bytes"),
                bytes("/store/buffer_bytes_max")
            ),
        );
    }
}

fn queue(status: &Value, found: &mut Findings) {
    let (depth, max) = (number(status, "/queue/depth"), number(status, "/queue/max"));
    let dropped = number(status, "/queue/dropped_polls");
    let remedy = "The disk is too slow for what is polled: poll less often, raise commit_tick, or \
                  use a faster disk.";
    if depth.saturating_mul(100) > max.saturating_mul(QUEUE_PERCENT_MAX) {
        found.wrong(
            "queue",
            format!(
                "{depth} of {max} polls wait for the disk, {dropped} were dropped since the start."
            ),
            remedy,
        );
    } else if dropped > 0 {
        found.attention(
            "queue",
            format!("{dropped} polls were dropped since the start; they are shown as gaps."),
            remedy,
        );
    } else {
        found.fine("queue", "No poll was dropped since the start.");
    }
}

fn document(status: &Value, found: &mut Findings) {
    let version = number(status, "/configuration/newest/version");
    let words = text(status, "/configuration/newest/words");
    let told = match word(status, "/configuration/newest/state").as_str() {
        "rejected" => "was refused",
        "rolled back" => "was tried and given up",
        "applied" => {
            found.attention(
                "document",
                format!("Document {version} of the hub is on trial."),
                "",
            );
            return;
        }
        _ => return,
    };
    if version > 0 {
        found.attention(
            "document",
            format!("Document {version} of the hub {told}: {words}"),
            "What counted before counts; correct the document at the hub.",
        );
    }
}

fn devices(status: &Value, found: &mut Findings) {
    let devices = items(status, "/devices");
    let mut fine = 0_usize;
    for device in devices {
        let place = format!("device {}", text(device, "/name"));
        let port = text(device, "/port");
        let since = time(device, "/since");
        let words = match text(device, "/words") {
            none if none == "-" => String::new(),
            words => format!(" {words}"),
        };
        match text(device, "/state").as_str() {
            "ok" => fine += 1,
            "silent" => found.wrong(
                &place,
                format!("On port {port}, silent since {since}.{words}"),
                "Check its power, cable, unit number, baud rate and parity; `edge-agent scan` shows \
                 what answers.",
            ),
            "error" => found.wrong(
                &place,
                format!("On port {port}, answers but something is wrong since {since}.{words}"),
                "Compare its registers with its manual; `edge-agent map` shows which there are.",
            ),
            _ => found.attention(
                &place,
                format!("On port {port}, was not asked yet since the start at {since}."),
                "Wait for a poll; if it stays so, look at the agent's log.",
            ),
        }
    }
    if fine > 0 {
        let count = devices.len();
        found.fine(
            "devices",
            format!("{fine} of {} answer.", many(count, "device")),
        );
    } else if devices.is_empty() {
        found.attention(
            "devices",
            "The running agent has none.",
            "Add a [[port]] and a [[device]] to the configuration; `edge-agent scan` finds devices.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Rank;
    use super::*;
    use serde_json::json;

    fn status() -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"), "started_at": "2026-11-30T08:00:00.000000Z",
            "link": {"state": "connected", "since": "2026-11-30T08:00:01.000000Z", "words": "",
                "hub": "hub:7443", "waiting_events": 0, "waiting_readings": 12, "room_days": null},
            "store": {"buffer_bytes": 5_000_000, "buffer_bytes_max": 2_000_000_000_u64,
                "failures": 0, "warnings": []},
            "queue": {"depth": 0, "max": 4096, "dropped_polls": 0},
            "configuration": {"document": null, "newest": {"version": 0, "state": "received", "words": ""}},
            "devices": [{"name": "pump-7", "port": "line-a", "state": "ok", "since": "x", "words": "It answers."}],
        })
    }

    fn examined(change: impl FnOnce(&mut Value)) -> Findings {
        let mut status = status();
        change(&mut status);
        let mut found = Findings::default();
        examine_status(&status, false, &mut found);
        found
    }

    #[test]
    fn a_good_box_has_nothing_wrong() {
        let found = examined(|_| ());
        assert_eq!(found.count(Rank::Fine), 5, "{}", found.words());
        assert_eq!(found.count(Rank::Wrong) + found.count(Rank::Attention), 0);
        assert!(
            found.words().contains("1 of 1 device answer"),
            "{}",
            found.words()
        );
    }

    #[test]
    fn a_silent_device_is_wrong_with_its_port_and_its_words() {
        let found = examined(|status| {
            status["devices"][0]["state"] = json!("silent");
            status["devices"][0]["words"] = json!("No answer within 1 s.");
        });
        let told = found.about("device pump-7");
        assert_eq!(told.rank, Rank::Wrong);
        assert!(told.what.contains("port line-a") && told.what.contains("No answer within 1 s."));
        assert!(told.remedy.contains("edge-agent scan"));
    }

    #[test]
    fn an_uplink_that_is_away_is_wrong_only_when_the_room_runs_out() {
        let away = |days: Value| {
            examined(|status| {
                status["link"]["state"] = json!("offline");
                status["link"]["room_days"] = days;
            })
        };
        assert_eq!(away(json!(40)).about("hub").rank, Rank::Attention);
        let told = away(json!(1));
        assert_eq!(told.about("hub").rank, Rank::Wrong);
        assert!(
            told.about("hub").what.contains("1 more day."),
            "{}",
            told.words()
        );
        assert!(told.about("hub").remedy.contains("edge-agent export"));
        let refused = examined(|status| status["link"]["state"] = json!("refused"));
        assert_eq!(refused.about("hub").rank, Rank::Wrong);
        let alone = examined(|status| {
            status["link"] = json!({"state": "not_enrolled", "hub": null});
        });
        assert_eq!(alone.about("hub").rank, Rank::Fine);
    }

    #[test]
    fn lost_polls_failed_commits_and_refused_documents_are_told() {
        let found = examined(|status| {
            status["store"]["failures"] = json!(2);
            status["queue"] = json!({"depth": 4000, "max": 4096, "dropped_polls": 7});
            status["configuration"]["newest"] =
                json!({"version": 3, "state": "rolled_back", "words": "pump-7 was silent"});
            status["version"] = json!("9.9.9");
            status["devices"] = json!([]);
        });
        assert_eq!(found.about("store").rank, Rank::Wrong);
        assert_eq!(found.about("queue").rank, Rank::Wrong);
        assert!(
            found
                .about("document")
                .what
                .contains("given up: pump-7 was silent")
        );
        assert_eq!(found.about("agent").rank, Rank::Attention);
        assert_eq!(found.about("devices").rank, Rank::Attention);
    }
}
