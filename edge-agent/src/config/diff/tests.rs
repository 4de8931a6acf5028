//! What differs, and which ports that costs their poll.

use super::*;
use std::path::Path;

const PLANT: &str = r#"
[web]
listen = "127.0.0.1:8080"
[[port]]
name = "a"
protocol = "modbus"
address = "10.0.0.5"
[[port]]
name = "b"
protocol = "modbus"
address = "10.0.0.6"
[[device]]
name = "m"
port = "a"
  [[device.sensor]]
  name = "t"
  address = 40001
  [[device.sensor]]
  name = "p"
  address = 40002
[[device]]
name = "n"
port = "b"
  [[device.sensor]]
  name = "t"
  address = 0x10
  table = "holding"
[[rule]]
name = "hot"
sensor = "m/t"
high = 80.0
"#;

fn between(before: &str, after: &str) -> Difference {
    let read = |text: &str| Config::parse(Path::new("edge.toml"), text).unwrap();
    Difference::between(&read(before), &read(after))
}

fn told(difference: &Difference) -> Vec<String> {
    let change = |change: &KeyChange| {
        let shown = |value: &Option<String>| value.clone().unwrap_or("-".into());
        format!(
            "{}:{}>{}",
            change.key,
            shown(&change.before),
            shown(&change.after)
        )
    };
    let part = |part: &PartChange| {
        let what = match &part.what {
            What::Added => "added".to_owned(),
            What::Removed => "removed".to_owned(),
            What::Changed(keys) => keys.iter().map(change).collect::<Vec<_>>().join(","),
        };
        format!("{} {} {what}", part.kind.word(), part.name)
    };
    let fate = |(name, fate): (&String, &PortFate)| format!("{name} {}", fate.word());
    let fixed = difference.fixed.iter().map(change);
    fixed
        .chain(difference.ports.iter().map(fate))
        .chain(difference.parts.iter().map(part))
        .collect()
}

#[test]
fn the_same_written_in_another_way_is_no_difference() {
    let other = PLANT
        .replace("0x10", "16")
        .replace(
            "name = \"a\"\nprotocol = \"modbus\"",
            "protocol = \"modbus\"\nname = \"a\"",
        )
        .replace("high = 80.0", "# a remark\nhigh = 80.0")
        + "[storage]\n";
    assert!(between(PLANT, &other).is_empty());
}

#[test]
fn one_device_costs_one_port() {
    let after = PLANT
        .replace("address = 40001", "address = 40001\nscale = 0.1")
        .replacen(
            "[[device.sensor]]\n  name = \"p\"",
            "[[device.sensor]]\n  name = \"q\"",
            1,
        );
    assert_eq!(
        told(&between(PLANT, &after)),
        [
            "a starts_anew",
            "sensor m/p removed",
            "sensor m/q added",
            "sensor m/t scale:->0.1"
        ]
    );
}

#[test]
fn ports_and_devices_come_go_and_move() {
    let more = format!("{PLANT}[[port]]\nname = \"c\"\nprotocol = \"modbus\"\naddress = \"x:1\"\n");
    assert_eq!(told(&between(PLANT, &more)), ["c starts", "port c added"]);
    assert_eq!(told(&between(&more, PLANT)), ["c stops", "port c removed"]);
    let moved = PLANT.replace("name = \"n\"\nport = \"b\"", "name = \"n\"\nport = \"a\"");
    assert_eq!(
        told(&between(PLANT, &moved)),
        [
            "a starts_anew",
            "b starts_anew",
            "device n port:\"b\">\"a\""
        ]
    );
    let slower = PLANT.replace(
        "address = \"10.0.0.6\"",
        "address = \"10.0.0.6\"\ntimeout = \"2s\"",
    );
    assert_eq!(
        told(&between(PLANT, &slower)),
        ["b starts_anew", "port b timeout:->\"2s\""]
    );
}

#[test]
fn a_rule_costs_no_port_and_the_order_of_sensors_costs_one() {
    let cooler = PLANT.replace("high = 80.0", "high = 70.0");
    assert_eq!(told(&between(PLANT, &cooler)), ["rule hot high:80.0>70.0"]);
    let (t, p) = (
        "  name = \"t\"\n  address = 40001",
        "  name = \"p\"\n  address = 40002",
    );
    let turned = PLANT.replace(t, "T").replace(p, t).replace('T', p);
    assert_eq!(told(&between(PLANT, &turned)), ["a starts_anew", "port a "]);
}

#[test]
fn what_holds_until_the_next_start_is_told_by_key() {
    let after =
        PLANT.replace("8080", "8081") + "[hub]\naddress = \"h:1\"\n[queue]\npolls_max = 99\n";
    assert_eq!(
        told(&between(PLANT, &after)),
        [
            "hub:->{ address = \"h:1\" }",
            "queue.polls_max:->99",
            "web.listen:\"127.0.0.1:8080\">\"127.0.0.1:8081\""
        ]
    );
}

#[test]
fn from_nothing_all_is_new() {
    let config = Config::parse(Path::new("edge.toml"), PLANT).unwrap();
    let all = Difference::from_nothing(&config);
    assert_eq!(all.parts.len(), 2 + 2 + 3 + 1);
    assert!(all.ports.values().all(|fate| *fate == PortFate::Starts) && all.fixed.is_empty());
    let view = DifferenceView::from(&all);
    let text = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<DifferenceView>(&text).unwrap(), view);
}
