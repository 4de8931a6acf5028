//! Rules over recorded data of a file, as a person at the command line sees them.

use super::*;

const PLANT: &str = r#"
[[port]]
name = "line"
protocol = "modbus"
address = "10.0.0.5"
[[device]]
name = "pump-7"
port = "line"
[[device.sensor]]
name = "bearing"
address = 0
[[device.sensor]]
name = "flow"
address = 1
[[rule]]
name = "hot"
sensor = "pump-7/bearing"
high = 80.0
[[rule]]
name = "silent"
sensor = "pump-7/flow"
stale_after = "5m"
[[rule]]
name = "hot again"
of = ["hot"]
times = 2
within = "1h"
[[rule]]
name = "odd"
sensor = "pump-7/bearing"
kind = "deviation"
"#;

/// What a test over this file answers, as JSON and in words.
fn tested(csv: &str, only: Option<&str>) -> anyhow::Result<(Value, String)> {
    let folder = tempfile::tempdir().unwrap();
    let (plant, input) = (
        folder.path().join("edge.toml"),
        folder.path().join("in.csv"),
    );
    std::fs::write(&plant, PLANT).unwrap();
    std::fs::write(&input, csv).unwrap();
    let mut config = load(&plant)?;
    if let Some(name) = only {
        keep_rule(&mut config, name)?;
    }
    let test = Test {
        input: Some(input),
        sensor: None,
        from: None,
        to: None,
        rule: None,
    };
    let outcome = replay::replay(&config.rules, test.readings(&config)?);
    Ok((as_json(&outcome), in_words(&config, &outcome)))
}

#[test]
fn alerts_are_listed_with_begin_end_and_words_and_what_still_learns_is_told() {
    let csv = "time,pump-7/bearing,pump-7/flow\n\
        0,70,1\n60,90,1\n120,70,1\n180,95,\n240,70,\n300,70,\n360,70,\n420,70,\n480,70,2\n";
    let (json, words) = tested(csv, None).unwrap();
    let told: Vec<(&str, &str)> = (json["alerts"].as_array().unwrap().iter())
        .map(|alert| {
            (
                alert["rule"].as_str().unwrap(),
                alert["raised_at"].as_str().unwrap(),
            )
        })
        .collect();
    let minute = |at: &str| format!("1970-01-01T00:{at}Z");
    let expected = [
        ("hot", minute("01:00")),
        ("hot", minute("03:00")),
        ("hot again", minute("03:00")),
        ("silent", minute("07:00")),
    ];
    let told: Vec<(&str, String)> = told
        .into_iter()
        .map(|(rule, at)| (rule, format!("{}Z", &at.get(..19).unwrap())))
        .collect();
    assert_eq!(told, expected, "{words}");
    assert!(
        words.contains("4 rules over 18 readings") && words.contains("4 alerts"),
        "{words}"
    );
    assert!(
        words.contains("90 is above 80") && words.contains("no usable reading for 5m"),
        "{words}"
    );
    assert!(
        words.contains("Nothing can be told of odd yet: learns until 1970-01-08"),
        "{words}"
    );
    let (json, _) = tested(csv, Some("hot")).unwrap();
    assert_eq!(json["alerts"].as_array().unwrap().len(), 3);
}

#[test]
fn an_unknown_sensor_or_rule_is_told_with_the_nearest() {
    let told = |csv: &str, only| format!("{:#}", tested(csv, only).unwrap_err());
    let wide = told("time,pump-7/bering\n0,1\n", None);
    assert!(
        wide.contains("in.csv:1:2:") && wide.contains("did you mean \"pump-7/bearing\""),
        "{wide}"
    );
    let long = told(
        "time,sensor,value\n0,pump-7/flow,1\n1,pump-7/flaw,1\n",
        None,
    );
    assert!(
        long.contains("in.csv:3:") && long.contains("did you mean \"pump-7/flow\""),
        "{long}"
    );
    let one = told("time,value\n0,1\n", None);
    assert!(one.contains("--sensor"), "{one}");
    let rule = told("time,pump-7/flow\n", Some("hott"));
    assert!(rule.contains("did you mean \"hot\""), "{rule}");
}
