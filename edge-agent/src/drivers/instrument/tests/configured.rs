//! What the tables of instruments mean, what is refused in them, and what `check` shows.

use super::super::config::{PortConfig, read};
use super::*;

fn read_all(text: &str) -> (Option<PortConfig>, Vec<String>) {
    let config = Config::parse(Path::new("edge.toml"), text).unwrap();
    let port = read(&config.ports[0], &config.devices);
    let problems = match config.problems.check() {
        Ok(()) => Vec::new(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    };
    (port, problems)
}

const PORT: &str = "[[port]]\nname = \"p\"\nprotocol = \"instrument\"\npath = \"/dev/ttyUSB0\"\n";
const DEVICE: &str = "[[device]]\nname = \"d\"\nport = \"p\"\n";
const SENSOR: &str = "[[device.sensor]]\nname = \"s\"\n";

#[test]
fn check_shows_what_is_asked_how_often_and_what_is_read_from_the_answer() {
    let text = format!(
        "{PORT}{DEVICE}request = 'S\\r\\n'\npoll = \"2s\"\n{SENSOR}columns = [5, 14]\n\
         [[device.sensor]]\nname = \"unit\"\ncolumns = [16]\ntype = \"str\"\n"
    );
    let config = Config::parse(Path::new("edge.toml"), &text).unwrap();
    let driver = drivers::build(&config.ports[0], &config.devices).unwrap();
    config.problems.check().unwrap();
    let requests = driver.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].words, "\"S\\r\\n\", answer up to \"\\r\\n\"");
    assert_eq!(requests[0].period, Duration::from_secs(2));
    assert_eq!(requests[0].bytes, 3 + 16 + 2, "the shortest answer");
    let places: Vec<&str> = requests[0]
        .sensors
        .iter()
        .map(|sensor| sensor.place.as_str())
        .collect();
    assert_eq!(
        places,
        ["columns 5 to 14 number", "column 16 and what follows str"]
    );
    assert_eq!(driver.address().unwrap().to_string(), "/dev/ttyUSB0");

    let speaks = format!("{PORT}{DEVICE}{SENSOR}");
    let config = Config::parse(Path::new("edge.toml"), &speaks).unwrap();
    let driver = drivers::build(&config.ports[0], &config.devices).unwrap();
    assert!(driver.requests().is_empty(), "it asks nothing");
    assert_eq!(driver.groups().len(), 1);
}

#[test]
fn a_line_is_9600_8n1_when_nothing_is_written() {
    let (port, problems) = read_all(&format!("{PORT}{DEVICE}{SENSOR}"));
    assert_eq!(problems, Vec::<String>::new());
    let port = port.unwrap();
    let crate::transport::Address::Serial(serial) = &port.link.address else {
        panic!("{:?}", port.link);
    };
    assert_eq!(serial.words(), "9600 8N1");
    assert!(port.devices[0].speaks && port.devices[0].silence.is_none());
    assert_eq!(port.devices[0].groups[0].spacing, None);
}

/// Keys of a device, of its sensor, and what is said of them.
const REFUSED: &[(&str, &str, &str)] = &[
    ("prefix = '\\q'", "", "\\q is no escape"),
    ("prefix = ''", "", "write at least one character"),
    ("prefix = '\\nST'", "", "left out before a frame"),
    ("prefix = 'a\\r\\nb'", "", "no frame can begin so"),
    (
        "length = 8\nterminator = 'x'",
        "",
        "one of the two is enough",
    ),
    ("length = 8", "", "needs a prefix where nothing is asked"),
    ("length = 2000", "", "1 to 1024"),
    ("checksum = \"crc\"", "", "did you mean"),
    ("checksum_mark = '*'", "", "without checksum"),
    (
        "checksum = \"xor\"\nlength = 2\nprefix = 'x'\nchecksum_form = \"hex\"",
        "",
        "no room",
    ),
    (
        "checksum = \"xor\"\nlength = 9\nprefix = 'x'\nchecksum_behind = true",
        "",
        "no meaning with length",
    ),
    ("request = ''", "", "leave it out for a device that speaks"),
    ("", "field = 0", "the first is 1"),
    ("", "field = \"x\"", "the first is 1"),
    (
        "",
        "field = 1\ncolumns = [1, 2]",
        "one of the two is enough",
    ),
    (
        "",
        "at = 1\ntype = \"u16\"\nfield = 1",
        "one of the two is enough",
    ),
    ("", "columns = [5, 4]", "counted from 1"),
    ("", "columns = [0, 4]", "counted from 1"),
    ("", "columns = []", "counted from 1"),
    ("", "at = 1", "type = \"u16\""),
    ("", "type = \"u16\"", "add where its first byte stands"),
    ("", "type = \"float\"", "is not known here"),
    ("", "at = 1\ntype = \"str\"", "use columns"),
    (
        "length = 8\nprefix = 'x'",
        "at = 5\ntype = \"f32\"",
        "ends behind the 8 bytes",
    ),
    ("", "type = \"str\"\nscale = 2.0", "no meaning for a text"),
    ("", "type = \"hex\"\nunit_text = \"g\"", "\"number\" only"),
    ("", "match = { text = \"ST\" }", "field = 1"),
    ("", "match = { field = 1 }", "text"),
    (
        "",
        "match = { field = 1, text = \"a\", colums = [1] }",
        "did you mean \"columns\"",
    ),
    ("", "adress = 1", "is not known here"),
    (
        "",
        "request = 'a'\n[[device.sensor]]\nname = \"t\"",
        "not for others",
    ),
];

#[test]
fn what_cannot_be_meant_is_refused_with_words() {
    let told = |device: &str, sensor: &str| {
        let (_, problems) = read_all(&format!("{PORT}{DEVICE}{device}\n{SENSOR}{sensor}\n"));
        problems.join("\n")
    };
    for (device, sensor, words) in REFUSED {
        let told = told(device, sensor);
        assert!(told.contains(words), "{device} {sensor}: {told}");
    }
}

#[test]
fn two_that_speak_on_one_line_are_refused() {
    let other = DEVICE.replace("\"d\"", "\"e\"");
    let (_, problems) = read_all(&format!(
        "{PORT}{DEVICE}request = 'a'\n{SENSOR}{other}{SENSOR}"
    ));
    assert!(
        problems.join("\n").contains("is not alone on its port"),
        "{problems:?}"
    );
}

#[test]
fn a_rule_on_a_text_is_refused() {
    let rule = "[[rule]]\nname = \"r\"\nsensor = \"d/s\"\nhigh = 1.0\n";
    let (_, problems) = read_all(&format!("{PORT}{DEVICE}{SENSOR}type = \"str\"\n{rule}"));
    assert!(
        problems.join("\n").contains("a rule has limits for it"),
        "{problems:?}"
    );
}
