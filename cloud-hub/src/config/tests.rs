//! The sample files and what a person is told about a mistake.

use super::*;

const MINIMAL: &str = include_str!("../../../configs/hub.minimal.toml");
const FULL: &str = include_str!("../../../configs/hub.full.toml");

fn problems(text: &str) -> Vec<String> {
    let problems = Config::parse(text).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_samples_are_right_and_the_full_one_shows_every_key_with_its_default() {
    Config::parse(MINIMAL).unwrap();
    let mut defaults = Config::default();
    defaults.tcp.listen = Some("0.0.0.0:443".parse().unwrap());
    defaults.web.public_url = Some("https://hub.example.org".to_owned());
    defaults.notify_file = Some("/etc/cloud-hub/notify.toml".into());
    assert_eq!(Config::parse(FULL).unwrap(), defaults);
    let uncommented: Vec<&str> = FULL
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .collect();
    assert_eq!(Config::parse(&uncommented.join("\n")).unwrap(), defaults);
    let tables = [
        KEYS,
        QUIC_KEYS,
        TCP_KEYS,
        WEB_KEYS,
        RETENTION_KEYS,
        BUNDLE_KEYS,
    ];
    for key in tables.into_iter().flatten() {
        let named = uncommented
            .iter()
            .any(|line| line.starts_with(&format!("{key} = ")) || *line == format!("[{key}]"));
        assert!(named, "hub.full.toml lacks {key}");
    }
}

#[test]
fn every_mistake_is_told_with_its_place_and_a_way_out() {
    let text = r#"data_dir = 7

[quic]
listn = "127.0.0.1:4433"
connections_max = 0

[web]
listen = "localhost"
public_url = "hub"
"#;
    assert_eq!(
        problems(text),
        [
            "1:12: data_dir must be a text between quotation marks",
            "4:1: unknown key \"listn\"; did you mean \"listen\"?",
            "5:19: quic.connections_max must be a whole number from 1 to 100000",
            "8:10: web.listen must be an IP address and a port, like \"0.0.0.0:4433\" or \
             \"[::]:4433\"",
            "9:14: web.public_url must be the whole address that people type, like \
             \"https://hub.example.org\"",
        ]
    );
    assert_eq!(
        problems("colour = 1"),
        [
            "1:1: unknown key \"colour\"; known here: data_dir, quic, tcp, web, retention, bundle, \
          notify"
        ]
    );
    assert_eq!(
        problems("web = 1"),
        ["1:7: \"web\" is a table: write [web]"]
    );
    assert!(problems("[quic]\nlisten = ")[0].starts_with("2:"));
}

#[test]
fn a_relative_folder_counts_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.toml");
    std::fs::write(&path, "data_dir = \"data\"\n").unwrap();
    assert_eq!(
        Config::read(&path).unwrap().data_dir,
        folder.path().join("data")
    );
    std::fs::write(&path, "dta_dir = \"data\"\n").unwrap();
    let error = Config::read(&path).unwrap_err().to_string();
    assert!(
        error.contains("hub.toml:1:1: unknown key \"dta_dir\"; did you mean \"data_dir\"?"),
        "{error}"
    );
    let missing = Config::read(&folder.path().join("none.toml")).unwrap_err();
    assert!(matches!(missing, ConfigError::Read { .. }));
}
