//! What a person sees for each mistake, and that the files in `configs/` say what is true.

use super::*;
use std::fmt::Write as _;

const MINIMAL: &str = r#"
[[port]]
name = "line-a"
protocol = "modbus"
address = "10.0.0.5:502"

[[device]]
name = "pump-7"
port = "line-a"
  [[device.sensor]]
  name = "bearing_temp"
  address = 40001
"#;

fn problems(text: &str) -> String {
    match Config::parse(Path::new("edge.toml"), text) {
        Ok(config) => panic!("taken: {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// What `text` adds to a plant that is right.
fn with(text: &str) -> String {
    problems(&format!("{MINIMAL}{text}"))
}

#[test]
fn the_least_is_enough_and_the_rest_has_defaults() {
    let config = Config::parse(Path::new("/etc/edge/edge.toml"), MINIMAL).unwrap();
    assert_eq!(config.gateway.data_dir, Path::new("/var/lib/edge-agent"));
    assert!(config.hub.is_none());
    assert_eq!(config.web.listen, "127.0.0.1:8080".parse().unwrap());
    let [device] = config.devices.as_slice() else {
        panic!("one device")
    };
    let [sensor] = device.sensors.as_slice() else {
        panic!("one sensor")
    };
    assert_eq!(device.path(sensor), "pump-7/bearing_temp");
    assert_eq!(sensor.poll, Duration::from_secs(1));
    assert!(
        config
            .problems
            .absent()
            .contains(&"[storage] commit_tick".to_owned())
    );
}

#[test]
fn a_relative_path_counts_from_the_files_folder() {
    let text = format!("[gateway]\ndata_dir = \"data\"\n{MINIMAL}");
    let config = Config::parse(Path::new("/etc/edge/edge.toml"), &text).unwrap();
    assert_eq!(config.gateway.data_dir, Path::new("/etc/edge/data"));
}

#[test]
fn a_wrong_duration_is_told_with_its_place() {
    let text = MINIMAL.replace(
        "port = \"line-a\"\n",
        "port = \"line-a\"\n  poll = \"1 sec\"\n",
    );
    assert_eq!(
        problems(&text),
        "edge.toml:10:3: device \"pump-7\", key \"poll\": \"1 sec\" is not a duration; \
         write for example \"1s\", \"500ms\" or \"5m\""
    );
}

#[test]
fn all_problems_are_told_in_the_order_of_the_file() {
    let text = r#"
[storage]
commit_tik = "1s"
buffer_max = "2 tonnes"
[queue]
polls_max = 3
[web]
listen = "0.0.0.0:8080"
[[port]]
name = "line-a"
[[port]]
name = "line-a"
protocol = "modbus"
[[device]]
port = "line-b"
"#;
    let expected = [
        "edge.toml:3:1: [storage], key \"commit_tik\": is not known here; did you mean \"commit_tick\"?",
        "edge.toml:4:1: [storage], key \"buffer_max\": \"2 tonnes\" is not a size; write for example \"200MB\" or \"2GB\"",
        "edge.toml:6:1: [queue], key \"polls_max\": 3 is outside the allowed range; write 16 to 1000000",
        "edge.toml:8:1: [web], key \"listen\": 0.0.0.0:8080 can be reached from the network and there is no access code; add access_code_file = \"…\" (a file with the code that people enter), or listen on 127.0.0.1",
        "edge.toml:9:1: port \"line-a\", key \"protocol\": is missing; add for example protocol = \"…\"",
        "edge.toml:12:1: port \"line-a\", key \"name\": \"line-a\" is used twice; give each its own name",
        "edge.toml:14:1: device number 1, key \"name\": is missing; add for example name = \"…\"",
        "edge.toml:14:1: device number 1, key \"sensor\": is missing; add a [[device.sensor]] below this device",
        "edge.toml:15:1: device number 1, key \"port\": there is no [[port]] with the name \"line-b\"; there is none",
    ];
    assert_eq!(problems(text).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_file_that_is_not_toml_is_told_with_its_place() {
    let text = "[gateway]\nname = \"a\nport = 1\n";
    let told = problems(text);
    assert!(told.starts_with("edge.toml:2:"), "{told}");
    assert!(told.contains("not TOML: "), "{told}");
    let told = problems("[gateway]\nname = \"a\"\nname = \"b\"\n");
    assert!(
        told.starts_with("edge.toml:3:1: not TOML: duplicate key"),
        "{told}"
    );
}

#[test]
fn a_rule_for_an_unknown_sensor_names_the_nearest() {
    let told = with("[[rule]]\nname = \"hot\"\nsensor = \"pump-7/bearing_tmp\"\nhigh = 80.0\n");
    assert_eq!(
        told,
        "edge.toml:15:1: rule \"hot\", key \"sensor\": there is no sensor \"pump-7/bearing_tmp\"; \
         did you mean \"pump-7/bearing_temp\"?"
    );
}

#[test]
fn a_rule_for_an_unknown_device_names_the_nearest() {
    let told = with("[[rule]]\nname = \"hot\"\nsensor = \"pump-6/bearing_temp\"\nhigh = 80.0\n");
    let words = ", nor a device \"pump-6\"; did you mean \"pump-7\"?";
    assert!(told.ends_with(words), "{told}");
    let told = with("[[rule]]\nname = \"hot\"\nsensor = \"bearing_temp\"\nhigh = 80.0\n");
    assert!(told.contains("write device/sensor, for example"), "{told}");
}

#[test]
fn a_rule_needs_a_limit_and_room_between_two() {
    let told = with("[[rule]]\nname = \"hot\"\nsensor = \"pump-7/bearing_temp\"\n");
    assert!(told.contains("there is no limit; add high ="), "{told}");
    let rule = "[[rule]]\nname = \"hot\"\nsensor = \"pump-7/bearing_temp\"\n";
    let told = with(&format!("{rule}high = 10\nlow = 9\ndeadband = 0.5\n"));
    assert!(told.contains("there is nothing left"), "{told}");
    let told = with(&format!("{rule}high = 10\nunit_name = \"degC\"\n"));
    assert!(told.contains("the limits are in Cel, but pump-7/bearing_temp is measured in 1"));
    let told = with(&format!("{rule}high = 10\nseverity = \"hihg\"\n"));
    assert!(
        told.ends_with("\"hihg\" is not known here; did you mean \"high\"?"),
        "{told}"
    );
    let told = with(&format!("{rule}high = 10\nseverity = \"bad\"\n"));
    assert!(
        told.ends_with("there is: critical, high, medium, low"),
        "{told}"
    );
}

#[test]
fn a_sensor_is_watched_from_its_nearest_limits() {
    let rule = |name: &str, limits: &str| {
        format!("[[rule]]\nname = \"{name}\"\nsensor = \"pump-7/bearing_temp\"\n{limits}\n")
    };
    let rules = rule("a", "high = 90")
        + &rule("b", "high = 80\nlow = 5\ndeadband = 2\noff_delay = \"5s\"")
        + &rule("c", "low = 1");
    let config = Config::parse(Path::new("e"), &format!("{MINIMAL}{rules}")).unwrap();
    let watch = Watch {
        above: 78.0,
        below: 7.0,
        after: Duration::from_secs(5),
    };
    assert_eq!(config.devices[0].sensors[0].watch, watch);
    assert_eq!(config.rules[1].title, "b");
    assert!(config.rules[1].work_order.is_none());
}

#[test]
fn a_rule_is_not_blamed_for_a_wrong_device() {
    let rule = "[[rule]]\nname = \"hot\"\nsensor = \"pump-7/bearing_temp\"\nhigh = 1\n";
    let told = problems(&format!(
        "{}{rule}",
        MINIMAL.replace("port = \"line-a\"", "port = \"b\"")
    ));
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn a_driver_adds_its_problems_to_the_same_list() {
    let text = MINIMAL.replace("address = 40001", "adress = 40001");
    let config = Config::draft_text(Path::new("edge.toml"), text).unwrap();
    assert!(config.problems.check().is_ok());
    let mut sensor = config.devices[0].sensors[0].section.clone();
    assert_eq!(sensor.text_or_integer("address"), None);
    sensor.finish();
    assert_eq!(
        config.problems.check().unwrap_err().to_string(),
        "edge.toml:12:3: device \"pump-7\", sensor \"bearing_temp\", key \"adress\": is not known \
         here; did you mean \"address\"?"
    );
}

#[test]
fn a_hub_address_needs_a_port() {
    for good in ["hub.example.com:7443", "10.0.0.1:1", "[::1]:7443"] {
        let config = Config::parse(Path::new("e"), &format!("[hub]\naddress = \"{good}\"\n"));
        assert_eq!(config.unwrap().hub.unwrap().to_string(), good);
    }
    for wrong in [
        "hub.example.com",
        ":7443",
        "hub:0",
        "::1:7443",
        "https://hub:7443",
        "[hub]:1",
    ] {
        let told = problems(&format!("[hub]\naddress = \"{wrong}\"\n"));
        assert!(told.contains("is not a host and a port"), "{wrong}: {told}");
    }
}

#[test]
fn a_proxy_is_taken_apart_and_its_password_is_shown_nowhere() {
    let read = |proxy: &str| format!("[hub]\naddress = \"hub:7443\"\nproxy = \"{proxy}\"\n");
    let good = read("http://anna:s%40cret%3A1@[fd00::1]:3128/");
    let hub = Config::parse(Path::new("e"), &good).unwrap().hub.unwrap();
    assert_eq!(hub.tcp_port, 443);
    let proxy = hub.proxy.as_ref().unwrap();
    assert_eq!((proxy.host.as_str(), proxy.port), ("fd00::1", 3128));
    assert_eq!(
        proxy.credentials(),
        Some(("anna".as_bytes(), "s@cret:1".as_bytes()))
    );
    let shown = format!("{hub:?} {hub} {proxy}");
    assert!(!shown.contains("cret"), "{shown}");
    let plain = Config::parse(Path::new("e"), &read("http://proxy.example.com:8080"));
    assert_eq!(
        plain.unwrap().hub.unwrap().proxy.unwrap().credentials(),
        None
    );
    for wrong in [
        "anna:secret@proxy:3128",
        "https://anna:secret@proxy:3128",
        "http://anna:secret@proxy",
        "http://anna:secret%4@proxy:3128",
        "http://anna:secret@proxy:0",
    ] {
        let told = problems(&read(wrong));
        assert!(told.contains("http://user:password@host:port"), "{told}");
        assert!(!told.contains("sec"), "{told}");
    }
}

#[test]
fn names_that_would_break_a_path_are_refused() {
    for wrong in ["a/b", "a|b", "", " a", "a\\tb"] {
        let told = problems(&MINIMAL.replace("\"pump-7\"", &format!("\"{wrong}\"")));
        assert!(told.contains("key \"name\": \""), "{wrong}: {told}");
    }
    let told = problems(&MINIMAL.replace("pump-7", &"x".repeat(121)));
    assert!(told.contains("is longer than 120 bytes"), "{told}");
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    let told = Config::load(&path).unwrap_err().to_string();
    assert!(told.contains("check that the file is there"), "{told}");
    std::fs::write(&path, b"# caf\xe9\n").unwrap();
    let told = Config::load(&path).unwrap_err().to_string();
    assert!(told.contains("edge.toml:1:6: this is not UTF-8"), "{told}");
    std::fs::write(&path, vec![b'#'; 4 << 20]).unwrap();
    assert!(Config::load(&path).is_ok());
    std::fs::write(&path, vec![b'#'; (4 << 20) + 1]).unwrap();
    assert!(matches!(
        Config::load(&path),
        Err(ConfigError::TooLarge { .. })
    ));
}

#[test]
fn there_are_never_more_problems_than_a_person_reads() {
    let mut text = "[gateway]\n".to_owned();
    for index in 0..300 {
        writeln!(text, "key_{index} = 1").unwrap();
    }
    assert_eq!(problems(&text).lines().count(), PROBLEMS_MAX);
}

proptest::proptest! {
    /// Whatever is in the file, reading it ends with a configuration or with words.
    #[test]
    fn no_text_breaks_the_reader(
        lines in proptest::collection::vec("(\\[\\[?[a-z.]{1,9}\\]\\]?|[a-z_]{1,9} = (\"[^\"]{0,9}\"|[0-9.x_-]{1,6}|\\{\\}|\\[\\]|true)|.{0,12})", 0..12)
    ) {
        match Config::parse(Path::new("f"), &lines.join("\n")) {
            Ok(_) => {}
            Err(error) => proptest::prop_assert!(!error.to_string().is_empty()),
        }
    }
}

const FULL: &str = include_str!("../../../configs/edge.full.toml");

/// The file with every commented default written out.
pub(crate) fn with_defaults_written(text: &str) -> String {
    let line = |line: &str| line.strip_prefix("# ").unwrap_or(line).to_owned() + "\n";
    text.lines().map(line).collect()
}

#[test]
fn the_full_file_has_every_key_and_tells_the_true_defaults() {
    let read = |text: &str| Config::parse(Path::new("/etc/edge.full.toml"), text).unwrap();
    let (left_out, written) = (read(FULL), read(&with_defaults_written(FULL)));
    assert_eq!(left_out.gateway, written.gateway);
    assert_eq!(left_out.hub, written.hub);
    assert_eq!(left_out.storage, written.storage);
    assert_eq!(left_out.queue, written.queue);
    assert_eq!(left_out.web, written.web);
    assert_eq!(left_out.rules, written.rules);
    assert_eq!(left_out.alarms, written.alarms);
    assert_eq!(left_out.assets, written.assets);
    assert_eq!(written.problems.absent(), Vec::<String>::new());
    assert!(!left_out.problems.absent().is_empty());
}

#[test]
fn a_document_of_the_hub_says_what_the_plant_is_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.toml");
    // The file's own plant may be wrong: it does not count.
    let own = "[gateway]\nname = \"Hall\"\n[[device]]\nname = \"old\"\nport = \"none\"\n";
    std::fs::write(&file, own).unwrap();
    let plant = "[[port]]\nname = \"line\"\nprotocol = \"x\"\n[[device]]\nname = \"m\"\n\
        port = \"line\"\n[[device.sensor]]\nname = \"t\"\n";
    let draft = |text: &str| Config::draft_with(&file, "document 4", text);
    let config = draft(plant).unwrap();
    config.problems.check().unwrap();
    assert_eq!(config.gateway.name.as_deref(), Some("Hall"));
    assert_eq!(config.devices.len(), 1);
    assert_eq!(config.devices[0].name, "m");
    let told = |text: &str| {
        draft(text)
            .unwrap()
            .problems
            .check()
            .unwrap_err()
            .to_string()
    };
    let words = told(&format!("{plant}[web]\nlisten = \"0.0.0.0:80\"\n[queu]\n"));
    assert!(
        words.starts_with("document 4:9:2: key \"web\": says how this box"),
        "{words}"
    );
    assert!(words.contains("document 4:11:2: key \"queu\""), "{words}");
    let words = told(&plant.replace("[[device.sensor]]", "[[device.sensor]]\nscale = 0"));
    assert!(words.starts_with("document 4:8:1: "), "{words}");
    assert!(told("").contains("no device"));
    assert!(
        draft("[[")
            .unwrap_err()
            .to_string()
            .starts_with("document 4:1:")
    );
    std::fs::write(&file, own.replace("name = \"Hall\"", "nam = 1")).unwrap();
    let words = draft(plant).unwrap_err().to_string();
    assert!(words.contains("edge.toml:2:1"), "{words}");
}

#[test]
fn the_files_in_configs_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("edge.") {
            Config::load(&path).unwrap();
            names.push(name);
        }
    }
    names.sort_unstable();
    assert_eq!(
        names,
        ["edge.demo.toml", "edge.full.toml", "edge.minimal.toml"]
    );
}

#[test]
fn a_file_nested_without_end_is_told_and_breaks_nothing() {
    for nest in ["[", "{a = "] {
        let told = problems(&format!("a = {}", nest.repeat(100_000)));
        assert!(told.starts_with("edge.toml:1:"), "{told}");
    }
    let told = problems(&format!("{}x = 1", "a.".repeat(10_000)));
    assert!(!told.is_empty());
}

#[test]
fn the_flash_saver_is_one_word_and_excludes_a_tick_of_its_own() {
    let parse = |text: &str| Config::parse(Path::new("edge.toml"), text);
    let saver = parse("[storage]\nflash_saver = true\nkeep_raw = \"30d\"\n").unwrap();
    assert_eq!(saver.storage.commit_tick, Duration::from_secs(10));
    assert_eq!(
        saver.storage.keep_raw,
        Some(Duration::from_secs(30 * 86_400))
    );
    let both = "[storage]\nflash_saver = true\ncommit_tick = \"1s\"\nkeep_minutes = \"1m\"\n";
    let words = parse(both).unwrap_err().to_string();
    assert!(words.contains("leave one out"), "{words}");
    assert!(
        words.contains("keep_minutes") && words.contains("\"1h\""),
        "{words}"
    );
}

#[test]
fn a_problem_shows_only_the_start_of_a_long_text() {
    let long = "x".repeat(100_000);
    let told = problems(&format!(
        "{long} = 1\n[web]\nlisten = \"{long}\"\n[queue]\npolls_max = \"{long}\"\n"
    ));
    assert_eq!(told.lines().count(), 3);
    assert!(told.len() < 1_000, "{told}");
}

#[test]
fn clamp_and_words_are_those_of_the_file_and_mistakes_in_them_are_told() {
    let text = format!(
        "{MINIMAL}clamp = [-5, 60.5]\nenum = {{ 0 = \"stopped\", -1 = \" fault \", 2 = \"läuft\" }}\n"
    );
    let config = Config::parse(Path::new("edge.toml"), &text).unwrap();
    let sensor = &config.devices[0].sensors[0];
    assert_eq!(sensor.clamp, Some((-5.0, 60.5)));
    let words: Vec<(i64, &str)> = sensor
        .words
        .iter()
        .map(|(value, word)| (*value, word.as_str()))
        .collect();
    assert_eq!(words, [(-1, "fault"), (0, "stopped"), (2, "läuft")]);
    for (text, told) in [
        ("clamp = [5, 1]\n", "a pair of numbers, the lower first"),
        ("enum = 5\n", "is not a table of words"),
        (
            "enum = { on = \"x\" }\n",
            "the entry \"on\" is not a whole number",
        ),
        (
            "enum = { 1 = 2 }\n",
            "the entry \"1\" is not a whole number and its word",
        ),
        ("enum = { 1 = \"\" }\n", "(1 to 64 bytes)"),
    ] {
        let problems = with(text);
        assert!(problems.contains(told), "{text}: {problems}");
    }
    let long = format!("enum = {{ 1 = \"{}\" }}\n", "x".repeat(65));
    assert!(with(&long).contains("(1 to 64 bytes)"));
    let many: Vec<String> = (0..257).map(|at| format!("{at} = \"w\"")).collect();
    let many = with(&format!("enum = {{ {} }}\n", many.join(", ")));
    assert!(many.contains("there are 257 words; at most 256"), "{many}");
    let all: Vec<String> = (0..256).map(|at| format!("{at} = \"w\"")).collect();
    let all = all.join(", ");
    let sensor = |at| format!("[[device.sensor]]\nname = \"s{at}\"\nenum = {{ {all} }}\n");
    let sensors: String = (0..65).map(sensor).collect();
    let problems = with(&sensors);
    assert!(
        problems.contains("sensor \"s64\", key \"enum\": all sensors together have at most 16384"),
        "{problems}"
    );
}

#[test]
fn what_is_in_use_gives_the_whole_configuration_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.toml");
    let text = |name: &str, sensor: &str, title: &str| {
        format!(
            "[gateway]\nname = \"{name}\"\n[[port]]\nname = \"line\"\nprotocol = \"x\"\n[[device]]\n\
             name = \"m\"\nport = \"line\"\nasset = \"P-1\"\n[[device.sensor]]\nname = \"{sensor}\"\n\
             [[rule]]\nname = \"hot\"\ntitle = \"{title}\"\nsensor = \"m/{sensor}\"\nhigh = 80\n"
        )
    };
    let draft = |name: &str, sensor: &str, title: &str| {
        std::fs::write(&file, text(name, sensor, title)).unwrap();
        let config = Config::draft(&file).unwrap();
        config.problems.check().unwrap();
        config
    };
    let first = draft("Hall", "t", "Too hot");
    let in_use = InUse::new(&first);
    let device = &in_use.devices[0];
    assert_eq!((&*device.name, &*device.port), ("m", "line"));
    assert_eq!(device.assets, ["P-1"]);
    // Another file without a restart: its plant counts, and the box is called what it was.
    let second = draft("Other", "u", "Much too hot");
    let whole = in_use.whole().unwrap();
    assert!(
        Difference::between(&first, &whole).is_empty(),
        "the kept text counts"
    );
    let next = first.with_plant_of(second.clone());
    let replaced = in_use.replaced_by(&next);
    let whole = replaced.whole().unwrap();
    assert!(Difference::between(&next, &whole).is_empty());
    assert_eq!(whole.gateway.name.as_deref(), Some("Hall"));
    assert_eq!(whole.devices[0].sensors[0].name, "u");
    // And back.
    let back = replaced.replaced_by(&whole.with_plant_of(draft("Hall", "t", "Too hot")));
    let whole = back.whole().unwrap();
    assert!(Difference::between(&first, &whole).is_empty());
    // The plant of a document.
    std::fs::write(&file, "[gateway]\nname = \"Hall\"\n").unwrap();
    let plant = text("", "v", "Hot");
    let (_, plant) = plant.split_once("[[port]]").unwrap();
    let config = Config::draft_with(&file, "document 4", &format!("[[port]]{plant}")).unwrap();
    let whole = InUse::new(&config).whole().unwrap();
    assert!(Difference::between(&config, &whole).is_empty());
    assert_eq!(whole.devices[0].sensors[0].name, "v");
}
