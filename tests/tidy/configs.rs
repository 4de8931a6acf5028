//! Every configuration file that people are given parses the way its program parses it. Never
//! checks whether the values are wise.

use crate::source::{File, Tree};
use edge_agent::config::{Config, SHIPPED};
use edge_agent::drivers;
use std::path::Path;

/// Files of `configs/` and samples of drivers that their program would refuse.
pub(crate) fn complaints(tree: &Tree) -> Vec<String> {
    tree.0.iter().filter_map(complaint).collect()
}

fn complaint(file: &File) -> Option<String> {
    let sample =
        file.path.starts_with("edge-agent/src/drivers/") && file.path.ends_with("/sample.toml");
    let name = file.path.strip_prefix("configs/");
    match name {
        Some(name) if name.starts_with("edge.") => edge(file),
        Some(name) if name.starts_with("hub.") => hub(file),
        Some(name) if name.starts_with("notify.") => notify(file),
        Some(name) if name.starts_with("templates/") => template(file, name),
        Some(_) => Some(format!(
            "{}: no program reads it: name it edge.….toml, hub.….toml, notify.….toml or templates/….toml",
            file.path
        )),
        None if sample => edge(file),
        None => None,
    }
}

/// As `edge-agent check` does: the file, each port's driver, each channel.
fn edge(file: &File) -> Option<String> {
    let config = Config::parse(Path::new(&file.path), &file.text);
    let checked = config.and_then(|config| {
        for port in &config.ports {
            // A driver that refuses its tables has noted why.
            drop(drivers::build(port, &config.devices));
        }
        edge_agent::notify::check(&config);
        config.problems.check()
    });
    checked.err().map(|error| error.to_string())
}

/// It is in the program, and a device that uses it is planned.
fn template(file: &File, name: &str) -> Option<String> {
    let name = name.strip_prefix("templates/")?.strip_suffix(".toml");
    let shipped = SHIPPED.iter().find(|(known, _)| Some(*known) == name);
    let Some((name, text)) = shipped else {
        return Some(format!(
            "{}: it is not in edge-agent/src/config/template/shipped.rs",
            file.path
        ));
    };
    if *text != file.text {
        return Some(format!("{}: the program has another text", file.path));
    }
    let device = format!(
        "[[port]]\nname = \"p\"\nprotocol = \"modbus\"\naddress = \"x:1\"\n\
         [[device]]\nname = \"d\"\nport = \"p\"\ntemplate = \"{name}\"\n"
    );
    edge(&File::new(&file.path, &device))
}

/// Who the hub tells.
fn notify(file: &File) -> Option<String> {
    let read = cloud_hub::config::NotifyConfig::parse(&file.text, Path::new("/etc"));
    let words: Vec<String> = read.err()?.iter().map(ToString::to_string).collect();
    Some(format!("{}: {}", file.path, words.join("; ")))
}

fn hub(file: &File) -> Option<String> {
    let problems = cloud_hub::config::Config::parse(&file.text).err()?;
    let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Some(format!("{}: {}", file.path, words.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_a_wrong_driver_table_and_a_stray_file_are_told() {
        let right = include_str!("../../configs/edge.demo.toml");
        let told = |path: &str, text: &str| complaints(&Tree(vec![File::new(path, text)]));
        assert_eq!(told("configs/edge.demo.toml", right), Vec::<String>::new());
        for (from, to, words) in [
            ("[gateway]", "[gatway]", "gateway"),
            ("address = 40001", "address = 99999999", "99999999"),
        ] {
            let wrong = right.replacen(from, to, 1);
            let told = told("configs/edge.demo.toml", &wrong).join("\n");
            assert!(told.contains(words), "{told}");
        }
        assert_eq!(told("configs/other.toml", right).len(), 1);
        let template = include_str!("../../configs/templates/xy-md02.toml");
        assert_eq!(
            told("configs/templates/xy-md02.toml", template),
            Vec::<String>::new()
        );
        let other = told("configs/templates/xy-md02.toml", "[template]").join("\n");
        assert!(other.contains("another text"), "{other}");
        let stray = told("configs/templates/stray.toml", template).join("\n");
        assert!(stray.contains("shipped.rs"), "{stray}");
        assert_eq!(told("configs/hub.minimal.toml", "").len(), 0);
        assert_eq!(told("configs/hub.minimal.toml", "speed = 1").len(), 1);
        assert_eq!(
            told("edge-agent/src/drivers/modbus/sample.toml", "[[port]]").len(),
            1
        );
    }
}
