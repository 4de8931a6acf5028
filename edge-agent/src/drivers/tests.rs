//! The files in `configs/`, read as far as the drivers read them.

use super::build;
use crate::config::{Config, tests::with_defaults_written};
use std::path::Path;

const FULL: &str = include_str!("../../../configs/edge.full.toml");

#[test]
fn the_drivers_take_the_files_in_configs() {
    for name in ["edge.demo.toml", "edge.full.toml", "edge.minimal.toml"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        let config = Config::load(&folder.join(name)).unwrap();
        let groups: usize = config
            .ports
            .iter()
            .filter_map(|port| Some(build(port, &config.devices)?.groups().len()))
            .sum();
        config.problems.check().unwrap();
        assert!(groups > 0, "{name}");
    }
}

#[cfg(feature = "driver-modbus")]
#[test]
fn the_full_file_has_every_key_of_the_drivers_and_tells_their_true_defaults() {
    let read = |text: &str| {
        let config = Config::parse(Path::new("edge.full.toml"), text).unwrap();
        let [port] = config.ports.as_slice() else {
            panic!("one port")
        };
        let port = super::modbus::config::read(port, &config.devices);
        config.problems.check().unwrap();
        (port, config.problems.absent())
    };
    let ((left_out, _), (written, absent)) = (read(FULL), read(&with_defaults_written(FULL)));
    assert_eq!(absent, Vec::<String>::new());
    assert_eq!(left_out, written);
}

#[cfg(feature = "driver-modbus")]
#[test]
fn the_modbus_sample_has_every_key_and_tells_the_true_defaults() {
    /// Keys of all protocols; they stand in `edge.full.toml`.
    const SHARED: &[&str] = &[
        "asset",
        "poll",
        "scale",
        "offset",
        "unit_name",
        "range",
        "clamp",
        "enum",
        "deadband",
        "max_silence",
        "template",
        "template_only",
        "description",
    ];
    let read = |text: &str| {
        let config = Config::parse(Path::new("sample.toml"), text).unwrap();
        let read = |port| super::modbus::config::read(port, &config.devices).unwrap();
        let ports: Vec<_> = config.ports.iter().map(read).collect();
        config.problems.check().unwrap();
        (ports, config.problems.absent())
    };
    let sample = include_str!("modbus/sample.toml");
    let ((left_out, _), (written, absent)) = (read(sample), read(&with_defaults_written(sample)));
    assert_eq!(left_out, written);
    // Each key stands at one of the ports; the others have it too where it can be.
    let own = |words: &&String| words.starts_with("port") || words.starts_with("device");
    let keys = absent
        .iter()
        .filter(own)
        .filter_map(|words| words.split_whitespace().last());
    let elsewhere = |key: &str| {
        sample.lines().any(|line| {
            let line = line.trim_start_matches("# ");
            let named = line.split_once(" = ").map(|(name, _)| name);
            named == Some(key) || line == format!("[port.{key}]")
        })
    };
    let left: Vec<&str> = keys
        .filter(|key| !SHARED.contains(key) && !elsewhere(key))
        .collect();
    assert_eq!(
        left,
        Vec::<&str>::new(),
        "keys that the sample does not have"
    );
}

#[cfg(feature = "driver-instrument")]
#[test]
fn the_sample_of_instruments_tells_the_true_defaults_and_the_readme_shows_what_is_read() {
    let read = |text: &str| {
        let config = Config::parse(Path::new("sample.toml"), text).unwrap();
        let read = |port| super::instrument::config::read(port, &config.devices).unwrap();
        let ports: Vec<_> = config.ports.iter().map(read).collect();
        config.problems.check().unwrap();
        ports
    };
    let sample = include_str!("instrument/sample.toml");
    assert_eq!(read(sample), read(&with_defaults_written(sample)));
    let readme = include_str!("instrument/README.md");
    let blocks: Vec<&str> = readme.split("```toml").skip(1).collect();
    assert_eq!(blocks.len(), 3, "a scale, a wind sensor, a barcode reader");
    for block in blocks {
        let ports = read(block.split("```").next().unwrap());
        assert_eq!(ports.len(), 1);
        assert!(!ports[0].devices[0].groups.is_empty());
    }
}

/// A whole file with parts of lines lost, doubled or exchanged, as an editor or a bad disk leaves it:
/// the file, and the drivers that read their own tables of it, end with words too.
mod damaged {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_damaged_file_ends_with_words(
            changes in prop::collection::vec((0_u8..4, any::<Index>(), any::<Index>(), any::<char>()), 1..6),
        ) {
            let mut text: Vec<char> = with_defaults_written(FULL).chars().collect();
            for (what, at, other, letter) in changes {
                let (at, other) = (at.index(text.len()), other.index(text.len()));
                match what {
                    0 => text[at] = letter,
                    1 => drop(text.drain(at..(at + other % 40).min(text.len()))),
                    2 => text.insert(at, letter),
                    _ => text.swap(at, other),
                }
            }
            let text: String = text.into_iter().collect();
            match Config::parse(Path::new("f"), &text) {
                Ok(config) => {
                    for port in &config.ports {
                        drop(build(port, &config.devices));
                    }
                    drop(config.problems.check());
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
