//! `check`: every mistake in a configuration with its place, or what the configuration will do.
//! Never opens a port or the store.

use super::config::{counts as counting, documents};
use super::table::{many, table};
use super::{Output, told};
use crate::config::{Config, ConfigError, RuleKind, show_duration};
use crate::drivers::{self, PlannedRequest, PlannedSensor};
use crate::notify;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// One port as it will be used.
struct PortPlan {
    name: String,
    protocol: String,
    requests: Vec<PlannedRequest>,
}

pub(super) fn check(file: &Path, output: Output) -> anyhow::Result<()> {
    match plan(file) {
        Ok((config, ports)) => output.answer(
            &json!({
                "file": file,
                "problems": [],
                "document": documents(&config).counts().map(|name| name.version),
                "ports": ports.iter().map(PortPlan::json).collect::<Vec<_>>(),
                "learning": learning(&config).iter().map(|(rule, time)| {
                    json!({"rule": rule, "learn_s": time.as_secs()})
                }).collect::<Vec<_>>(),
            }),
            &words(file, &config, &ports),
        ),
        Err(ConfigError::Invalid(problems)) => {
            if output.json {
                let list: Vec<Value> = problems
                    .iter()
                    .map(|problem| {
                        json!({
                            "file": &*problem.file,
                            "line": problem.line,
                            "column": problem.column,
                            "place": problem.place,
                            "key": problem.key,
                            "words": problem.words,
                        })
                    })
                    .collect();
                output.answer(&json!({"file": file, "problems": list}), "")?;
            }
            Err(told(ConfigError::Invalid(problems)))
        }
        Err(other) => Err(other.into()),
    }
}

/// Lets every driver look at its tables, as the agent does before it starts.
fn plan(file: &Path) -> Result<(Config, Vec<PortPlan>), ConfigError> {
    let config = Config::draft(file)?;
    let mut ports = Vec::new();
    for port in &config.ports {
        if let Some(driver) = drivers::build(port, &config.devices) {
            ports.push(PortPlan {
                name: port.name.clone(),
                protocol: port.protocol.clone(),
                requests: driver.requests(),
            });
        }
    }
    notify::check(&config);
    config.problems.check()?;
    Ok((config, ports))
}

fn words(file: &Path, config: &Config, ports: &[PortPlan]) -> String {
    let sensors = config.devices.iter().map(|device| device.sensors.len());
    let head = format!(
        "{}: nothing is wrong. {}, {}, {}, {}.\n",
        file.display(),
        many(config.ports.len(), "port"),
        many(config.devices.len(), "device"),
        many(sensors.sum(), "sensor"),
        many(config.rules.len(), "rule"),
    );
    let counts = documents(config).counts().is_some();
    let counts = if counts {
        counting(&documents(config)) + "\n"
    } else {
        String::new()
    };
    let plans = ports.iter().map(PortPlan::words).collect::<String>();
    head + &counts + &plans + &learners(config)
}

/// The rules that learn before they tell anything, and for how long.
fn learning(config: &Config) -> Vec<(&str, Duration)> {
    let rules = config.rules.iter();
    let learning = rules.filter_map(|rule| match &rule.kind {
        RuleKind::Deviation(deviation) => Some((rule.name.as_str(), deviation.learn)),
        RuleKind::Trend(trend) => Some((rule.name.as_str(), trend.window * 4 / 5)),
        _ => None,
    });
    learning.collect()
}

fn learners(config: &Config) -> String {
    let row = |(rule, time): (&str, Duration)| vec![rule.to_owned(), show_duration(time)];
    let rows: Vec<_> = learning(config).into_iter().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let table = table(&["RULE", "LEARNS FOR"], &rows);
    format!("\nThese rules learn first, and tell nothing so long:\n{table}")
}

impl PortPlan {
    fn words(&self) -> String {
        let (requests, bytes) = self.per_second();
        let sensor = |sensor: &PlannedSensor| format!("{} ({})", sensor.name, sensor.place);
        let row = |request: &PlannedRequest| {
            let sensors: Vec<String> = request.sensors.iter().map(sensor).collect();
            vec![
                request.device.clone(),
                show_duration(request.period),
                request.words.clone(),
                request.bytes.to_string(),
                sensors.join(", "),
            ]
        };
        let rows: Vec<_> = self.requests.iter().map(row).collect();
        format!(
            "\nPort {} ({}): {}, {requests:.1} a second, {bytes:.0} bytes a second\n{}",
            self.name,
            self.protocol,
            many(self.requests.len(), "request"),
            table(&["DEVICE", "EVERY", "REQUEST", "BYTES", "SENSORS"], &rows),
        )
    }

    /// Requests and bytes, on average.
    fn per_second(&self) -> (f64, f64) {
        let rate = |request: &PlannedRequest| 1.0 / request.period.as_secs_f64();
        let bytes = |request: &PlannedRequest| u32::try_from(request.bytes).unwrap_or(u32::MAX);
        let requests = self.requests.iter();
        (
            requests.clone().map(rate).sum(),
            requests
                .map(|request| rate(request) * f64::from(bytes(request)))
                .sum(),
        )
    }

    fn json(&self) -> Value {
        let sensor = |sensor: &PlannedSensor| json!({"name": sensor.name, "place": sensor.place});
        let requests = self.requests.iter().map(|request| {
            json!({
                "device": request.device,
                "period_ms": u64::try_from(request.period.as_millis()).unwrap_or(u64::MAX),
                "words": request.words,
                "bytes": request.bytes,
                "sensors": request.sensors.iter().map(sensor).collect::<Vec<_>>(),
            })
        });
        let (requests_per_s, bytes_per_s) = self.per_second();
        json!({
            "name": self.name,
            "protocol": self.protocol,
            "requests_per_s": requests_per_s,
            "bytes_per_s": bytes_per_s,
            "requests": requests.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
#[cfg(feature = "driver-modbus")]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const PLANT: &str = r#"
[[port]]
name = "line-a"
protocol = "modbus"
address = "10.0.0.5"

[[device]]
name = "pump-7"
port = "line-a"
poll = "2s"
[[device.sensor]]
name = "temperature"
address = 40001
type = "f32"
order = "CDAB"
[[device.sensor]]
name = "pressure"
address = 40003
[[device.sensor]]
name = "running"
address = 10001
"#;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("edge.toml");
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }

    #[test]
    fn a_good_file_shows_what_goes_over_the_wire() {
        let (_folder, file) = written(PLANT);
        let (config, ports) = plan(&file).unwrap();
        let text = words(&file, &config, &ports);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].ends_with("nothing is wrong. 1 port, 1 device, 3 sensors, 0 rules."),
            "{text}"
        );
        assert_eq!(
            lines[2..],
            [
                "Port line-a (modbus): 2 requests, 1.0 a second, 24 bytes a second",
                "DEVICE  EVERY  REQUEST                                        BYTES  SENSORS",
                "pump-7  2s     unit 1: 1 discrete input from 10001 (di:0)     22     running (di:0 bool)",
                "pump-7  2s     unit 1: 3 holding registers from 40001 (hr:0)  27     temperature (hr:0 f32 CDAB), pressure (hr:2 u16)",
            ],
            "{text}"
        );
        let json = ports[0].json();
        assert_eq!(json["requests"][1]["bytes"], 27);
        assert_eq!(json["requests"][1]["period_ms"], 2_000);
        let sensor = &json["requests"][1]["sensors"][0];
        assert_eq!(sensor["name"], "temperature");
        assert_eq!(sensor["place"], "hr:0 f32 CDAB");
    }

    #[test]
    fn mistakes_of_the_file_and_of_the_protocol_are_told_together_in_its_order() {
        let text = PLANT
            .replace("type = \"f32\"", "typ = \"f32\"")
            .replace("poll = \"2s\"", "poll = \"2 hours\"")
            .replace("address = 10001", "address = 10001\ntype = \"u16\"");
        let (_folder, file) = written(&text);
        let error = format!("{:#}", check(&file, Output { json: false }).unwrap_err());
        let lines: Vec<&str> = error.lines().collect();
        let name = file.display().to_string();
        assert_eq!(
            lines[0],
            format!("{name} has 3 problems, so the agent does not run with it:")
        );
        assert!(lines[1].starts_with(&format!("{name}:10:1: device \"pump-7\", key \"poll\"")));
        assert!(lines[2].contains(":14:1:") && lines[2].contains("did you mean \"type\""));
        assert!(lines[3].contains(":22:1:") && lines[3].contains("leave type out or write bool"));
        assert_eq!(lines.len(), 4, "{error}");
    }

    #[test]
    fn a_file_that_is_no_toml_or_not_there_is_told_with_its_name() {
        let (_folder, file) = written("[gateway\n");
        let error = check(&file, Output { json: false })
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("edge.toml has 1 problem,") && error.contains("not TOML"),
            "{error}"
        );
        let gone = file.with_file_name("gone.toml");
        let error = format!("{:#}", check(&gone, Output { json: false }).unwrap_err());
        assert!(
            error.contains("gone.toml; check that the file is there")
                && error.contains("No such file"),
            "{error}"
        );
    }

    #[test]
    fn a_protocol_that_this_build_does_not_have_is_told_with_those_it_has() {
        let (_folder, file) = written(&PLANT.replace("\"modbus\"", "\"modbus-tcp\""));
        let error = check(&file, Output { json: false })
            .unwrap_err()
            .to_string();
        assert!(error.contains("did you mean \"modbus\""), "{error}");
    }
}
