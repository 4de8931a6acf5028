//! The screen drawn into memory, and the keys as a person presses them.

use super::model::{Action, Key, Model, News, Snapshot, View};
use super::view::{Look, draw};
use protocol::time::Timestamp;
use protocol::view::parse_rfc3339;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};
use serde_json::{Value, json};

const PLAIN: Look = Look {
    colours: false,
    blocks: false,
};
const COLOURS: Look = Look {
    colours: true,
    blocks: true,
};

fn now() -> Timestamp {
    parse_rfc3339("2026-11-30T18:00:00.000000Z").unwrap()
}

fn sensor(at: usize, value: Option<f64>, quality: &str) -> Value {
    json!({
        "id": format!("id-{at}"), "path": format!("pump-{at}/bearing_temp"), "value": value,
        "unit": {"code": "Cel", "symbol": "°C"}, "quality": quality, "period_s": 1,
        "quality_words": (quality == "bad").then_some("device silent"),
        "time": "2026-11-30T17:59:56.000000Z",
    })
}

fn snapshot(sensors: usize) -> Snapshot {
    let sensors = (0..sensors).map(|at| match at {
        3 => sensor(at, None, "bad"),
        at => sensor(
            at,
            Some(f64::from(u32::try_from(at).unwrap()) + 60.5),
            "good",
        ),
    });
    Snapshot {
        status: json!({
            "gateway": {"name": "Hall B", "code": "HB"}, "version": "0.0.0", "clock": "synchronised",
            "now": "2026-11-30T18:00:00.000000Z",
            "link": {"state": "offline", "since": "2026-11-30T15:46:00.000000Z", "words": "the hub does not answer",
                "hub": "hub.example.com:7443", "waiting_events": 3, "waiting_readings": 80_400,
                "waiting_attachments": 1, "waiting_attachment_bytes": 120_000, "room_days": 41},
            "store": {"buffer_bytes": 150_000_000, "buffer_bytes_max": 2_000_000_000_u64,
                "disk_percent": 40, "warnings": ["Disk 91 % full."]},
            "queue": {"depth": 0, "max": 4096, "dropped_polls": 0},
            "devices": [
                {"name": "pump-0", "port": "line-a", "state": "ok", "since": "2026-11-30T08:00:00.000000Z", "words": "It answers."},
                {"name": "pump-3", "port": "line-a", "state": "silent", "since": "2026-11-30T17:50:00.000000Z", "words": "No answer within 1 s."}],
            "alerts_active": 1, "orders_open": 2,
        }),
        sensors: sensors.collect(),
        alerts: vec![
            json!({"id": "a-1", "severity": "high", "state": "active", "title": "Bearing of pump P-247 is hot",
                "raised_at": "2026-11-30T17:30:00.000000Z", "value": 81.5, "unit": {"symbol": "°C"},
                "acknowledged_at": null}),
            json!({"id": "a-2", "severity": "low", "state": "acknowledged", "title": "Fan vibrates",
                "raised_at": "2026-11-29T17:30:00.000000Z", "value": 8.0, "unit": {"symbol": "mm/s"},
                "acknowledged_at": "2026-11-30T17:40:00.000000Z", "acknowledged_by": "Jo"}),
        ],
        bus: json!({"data": [{"port": "line-a", "units": [
            {"unit": 7, "requests_per_s": 2.04, "requests": 2_400, "garbled": 0, "lost": 0, "timeouts": 12,
             "turnaround_ms": {"mean": 14.2}, "utilisation_percent": 8.4}]}]}),
    }
}

fn model(sensors: usize) -> Model {
    let mut model = Model::new("Eva".to_owned(), now());
    model.apply(News::Box(Box::new(snapshot(sensors))));
    model
}

/// The screen as lines, and the sensors that it shows.
fn drawn(model: &Model, (width, height): (u16, u16), look: Look) -> (Vec<String>, Vec<String>) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut shown = Vec::new();
    terminal
        .draw(|frame| shown = draw(frame, model, look))
        .unwrap();
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(width)).map(|row| {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    });
    (lines.collect(), shown)
}

const SMALL: (u16, u16) = (80, 24);

#[test]
fn tags_show_value_unit_quality_age_and_trend_at_80_by_24() {
    let mut model = model(50);
    model.apply(News::Trend(
        "id-0".to_owned(),
        (0..24).map(f64::from).collect(),
    ));
    let (lines, shown) = drawn(&model, SMALL, PLAIN);
    let all = lines.join("\n");
    assert_eq!(
        lines[0],
        "Hall B (HB)  version 0.0.0  2026-11-30 18:00:00Z  clock synchronised"
    );
    assert_eq!(
        lines[1],
        "NO UPLINK for 2h14m  80400 readings, 3 events wait  1 of 2 devices in trouble"
    );
    assert_eq!(lines[2], " 1 Tags 50   2 Buses   3 Alerts 2   4 Uplink");
    assert_eq!(
        lines[3],
        "TAG                       VALUE UNIT    QUALITY   AGE    TREND"
    );
    assert_eq!(
        lines[4], "pump-0/bearing_temp       60.50 °C      good      4s     ____....----''''",
        "{all}"
    );
    assert!(
        lines[7].contains("bad") && lines[7].contains("device silent"),
        "{all}"
    );
    assert_eq!(lines[22], "1 of 50 tags are not good.");
    assert!(
        lines[23].starts_with(" q quit  ? help") && lines[23].ends_with("s worst first"),
        "{all}"
    );
    assert_eq!(shown.len(), 18);
    assert_eq!(shown[0], "id-0");
}

#[test]
fn the_chosen_row_stays_on_the_screen_and_the_filter_narrows() {
    let mut model = model(50);
    for _ in 0..49 {
        assert_eq!(model.key(Key::Down), None);
    }
    let (lines, shown) = drawn(&model, SMALL, PLAIN);
    assert!(lines[21].contains("pump-49/bearing_temp"), "{lines:#?}");
    assert_eq!(shown.last().unwrap(), "id-49");
    model.key(Key::Home);
    for letter in "/pump-3/".chars() {
        model.key(Key::Letter(letter));
    }
    let (lines, shown) = drawn(&model, SMALL, PLAIN);
    assert_eq!(shown, ["id-3"]);
    assert_eq!(lines[22], "Show paths with: pump-3/_");
    model.key(Key::Enter);
    let note = &drawn(&model, SMALL, PLAIN).0[22];
    assert!(note.contains("Esc shows all"), "{note}");
    assert_eq!(model.key(Key::Escape), None);
    assert_eq!(model.tags().len(), 50);
    for _ in 0..3 {
        model.key(Key::Down);
    }
    let note = &drawn(&model, SMALL, PLAIN).0[22];
    assert_eq!(
        note,
        "pump-3/bearing_temp is bad: device silent. 1 of 50 tags are not good."
    );
    model.key(Key::Letter('s'));
    assert_eq!(model.tags()[0].id, "id-3", "what is bad comes first");
    assert_eq!(model.key(Key::Escape), Some(Action::Quit));
}

#[test]
fn an_alert_is_acknowledged_with_a_name() {
    let mut model = model(2);
    assert_eq!(model.key(Key::Letter('a')), None);
    assert!(model.note.contains("(3)"));
    model.key(Key::Letter('3'));
    let lines = drawn(&model, SMALL, PLAIN).0;
    assert_eq!(
        lines[4],
        "high      active        30m         81.50 °C     Bearing of pump P-247 is hot"
    );
    model.key(Key::Letter('a'));
    let lines = drawn(&model, SMALL, PLAIN).0.join("\n");
    assert!(
        lines.contains("Acknowledge \"Bearing of pump P-247 is hot\""),
        "{lines}"
    );
    assert!(lines.contains("Your name: Eva_"), "{lines}");
    for letter in " M".chars() {
        model.key(Key::Letter(letter));
    }
    model.key(Key::Delete);
    let done = model.key(Key::Enter);
    let expected = Action::Acknowledge {
        id: "a-1".to_owned(),
        by: "Eva".to_owned(),
    };
    assert_eq!(done, Some(expected));
    model.key(Key::Down);
    model.key(Key::Letter('a'));
    assert_eq!(model.note, "Jo acknowledged it already.");
    model.key(Key::Up);
    model.key(Key::Letter('a'));
    assert_eq!(model.key(Key::Escape), None);
    assert!(model.asking.is_none());
}

#[test]
fn buses_devices_and_the_outage_clock_are_told() {
    let mut model = model(2);
    model.key(Key::Tab);
    assert_eq!(model.view, View::Buses);
    let lines = drawn(&model, SMALL, PLAIN).0.join("\n");
    assert!(
        lines.contains("line-a           7     2.0     0.5       12        14.2       8.4"),
        "{lines}"
    );
    assert!(
        lines.contains("pump-3           line-a       silent   10m     No answer within 1 s."),
        "{lines}"
    );
    model.key(Key::Letter('4'));
    let lines = drawn(&model, SMALL, PLAIN).0.join("\n");
    assert!(
        !lines.contains("choose"),
        "there is nothing to choose: {lines}"
    );
    for expected in [
        "No uplink for 2h14m. The box goes on",
        "Waiting      80400 readings, 3 events",
        "Room         41 more days at this rate",
        "Store        150MB of 2GB",
        "Disk 91 % full.",
    ] {
        assert!(lines.contains(expected), "{expected} is not in\n{lines}");
    }
}

#[test]
fn what_a_row_has_no_room_for_is_told_of_the_chosen_one() {
    let words = "unit 3 at 127.0.0.1:15020 does not answer within 500 ms; check its address switch and \
                 wiring. Neighbours on the same port are still polled.";
    let title = "Bearing of the cooling water pump in hall 3 runs hotter than it did all the year";
    let mut news = snapshot(5);
    news.status["devices"][1]["words"] = json!(words);
    news.alerts[0]["title"] = json!(title);
    news.sensors[3]["quality_words"] = json!("the device does not answer");
    let mut model = Model::new("Eva".to_owned(), now());
    model.apply(News::Box(Box::new(news)));
    let note = |model: &Model| {
        let lines = drawn(model, SMALL, PLAIN).0;
        let at = lines.iter().rposition(String::is_empty);
        lines[at.map_or(0, |at| at + 1)..23].join(" ")
    };
    model.key(Key::Letter('s'));
    let expected =
        "pump-3/bearing_temp is bad: the device does not answer. 1 of 5 tags are not good.";
    assert_eq!(note(&model), expected);
    let wide = drawn(&model, (200, 50), PLAIN).0;
    assert!(wide[4].ends_with("the device does not answer"), "{wide:#?}");
    model.key(Key::Letter('2'));
    assert_eq!(note(&model), "", "it answers");
    model.key(Key::Down);
    assert_eq!(note(&model), words);
    model.key(Key::Letter('3'));
    assert_eq!(note(&model), title);
}

#[test]
fn every_size_can_be_drawn_and_a_tiny_one_says_so() {
    let mut model = model(50);
    for view in ['1', '2', '3', '4', '?'] {
        model.key(Key::Letter(view));
        for size in [(40, 10), (60, 12), SMALL, (132, 43), (240, 67), (1, 1)] {
            drawn(&model, size, COLOURS);
        }
    }
    model.key(Key::Enter);
    let lines = drawn(&model, (39, 9), PLAIN).0.join(" ");
    assert!(lines.contains("Make the window larger"), "{lines}");
    let empty = Model::new(String::new(), now());
    assert!(
        drawn(&empty, SMALL, PLAIN)
            .0
            .join("\n")
            .contains("Asking the agent")
    );
}

#[test]
fn without_colours_every_state_is_still_a_word() {
    let model = model(5);
    let colours = |look| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal
            .draw(|frame| drop(draw(frame, &model, look)))
            .unwrap();
        let cells = terminal.backend().buffer().content().to_vec();
        let has = |cell: &ratatui::buffer::Cell| cell.fg != Color::Reset || cell.bg != Color::Reset;
        let bold = cells
            .iter()
            .filter(|cell| cell.modifier.contains(Modifier::BOLD));
        (cells.iter().filter(|cell| has(cell)).count(), bold.count())
    };
    assert_eq!(colours(PLAIN).0, 0);
    assert!(colours(COLOURS).0 > 0 && colours(PLAIN).1 > colours(COLOURS).1);
    assert_eq!(
        drawn(&model, SMALL, PLAIN).0,
        drawn(
            &model,
            SMALL,
            Look {
                blocks: false,
                ..COLOURS
            }
        )
        .0
    );
}

#[test]
fn an_agent_that_went_away_leaves_old_data_that_are_marked() {
    let mut model = model(2);
    model.apply(News::Away(
        "the agent does not answer at http://127.0.0.1:8080".to_owned(),
    ));
    model.now = now().plus_micros(600_000_000);
    let (lines, _) = drawn(&model, SMALL, PLAIN);
    assert!(
        lines[22].starts_with("OLD DATA: the agent does not answer"),
        "{lines:#?}"
    );
    assert!(
        lines[4].contains("stale") && lines[4].contains("10m"),
        "{lines:#?}"
    );
    model.apply(News::Box(Box::new(snapshot(2))));
    assert!(model.away.is_none());
}

#[test]
fn a_trend_grows_by_what_is_new_and_stays_short() {
    let mut model = model(1);
    model.apply(News::Trend("id-0".to_owned(), vec![1.0; 30]));
    let mut next = snapshot(1);
    next.sensors[0]["time"] = json!("2026-11-30T17:59:57.000000Z");
    next.sensors[0]["value"] = json!(99.0);
    model.apply(News::Box(Box::new(next.clone())));
    model.apply(News::Box(Box::new(next)));
    let trend = model.trend("id-0").unwrap();
    assert_eq!((trend.len(), trend.back()), (24, Some(&99.0)));
    assert_eq!(trend.iter().filter(|value| **value > 1.0).count(), 1);
}
