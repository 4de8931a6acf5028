//! Each shipped template as a device of a box would have it, and what a person sees of a wrong one.

use super::*;
use crate::config::{Config, DeviceConfig};

fn plant(device: &str) -> String {
    format!(
        "[[port]]\nname = \"line\"\nprotocol = \"modbus\"\naddress = \"10.0.0.5\"\n[[device]]\n\
         name = \"meter\"\nport = \"line\"\n{device}"
    )
}

/// Reads and lets the driver look, as `check` does.
fn read(file: &Path, text: &str) -> Result<Config, String> {
    let config = Config::parse(file, text).map_err(|error| error.to_string())?;
    #[cfg(feature = "driver-modbus")]
    for port in &config.ports {
        drop(crate::drivers::build(port, &config.devices));
    }
    config.problems.check().map_err(|error| error.to_string())?;
    Ok(config)
}

fn names(device: &DeviceConfig) -> Vec<&str> {
    device
        .sensors
        .iter()
        .map(|sensor| sensor.name.as_str())
        .collect()
}

#[test]
fn every_file_is_in_the_program_and_nothing_else() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/templates"));
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    there.sort();
    let shipped: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    assert_eq!(shipped, there);
    assert!(shipped.len() >= 10);
}

#[cfg(feature = "driver-modbus")]
#[test]
fn every_shipped_template_says_its_source_and_is_planned() {
    let templates = Templates::default();
    for (name, _) in SHIPPED {
        let about = templates.about(name).unwrap().unwrap();
        assert!(!about.maker.is_empty() && !about.model.is_empty(), "{name}");
        assert!(
            !about.description.is_empty() && about.protocol == "modbus",
            "{name}"
        );
        assert!(!about.sources.is_empty(), "{name}");
        let text = plant(&format!("template = \"{name}\"\n"));
        let config = read(Path::new("edge.toml"), &text).unwrap_or_else(|words| panic!("{words}"));
        let device = &config.devices[0];
        assert!(device.sensors.len() >= 2, "{name}");
        let driver = crate::drivers::build(&config.ports[0], &config.devices).unwrap();
        let mut planned: Vec<String> = driver
            .requests()
            .into_iter()
            .flat_map(|request| request.sensors)
            .map(|sensor| sensor.name)
            .collect();
        planned.sort();
        let mut wanted = names(device);
        wanted.sort_unstable();
        assert_eq!(planned, wanted, "{name}");
    }
}

#[cfg(feature = "driver-modbus")]
#[test]
fn what_the_device_says_wins_and_sensors_are_added_and_laid_over() {
    let text = plant(
        "template = \"eastron-sdm120\"\norder = \"CDAB\"\n[[device.sensor]]\nname = \"current\"\n\
         scale = 10\n[[device.sensor]]\nname = \"mine\"\naddress = 40001\n",
    );
    let config = read(Path::new("edge.toml"), &text).unwrap();
    let device = &config.devices[0];
    let (first, last) = (&device.sensors[0], device.sensors.last().unwrap());
    assert_eq!(
        (first.name.as_str(), last.name.as_str()),
        ("voltage", "mine")
    );
    let current = device
        .sensors
        .iter()
        .find(|sensor| sensor.name == "current")
        .unwrap();
    assert!((current.scale - 10.0).abs() < f64::EPSILON);
    let written = |key: &str| current.section.written_at(key).unwrap().into_text();
    assert_eq!(
        (written("address"), written("type")),
        ("ir:6".to_owned(), "f32".to_owned())
    );
    assert_eq!(
        device.section.written_at("order").unwrap().into_text(),
        "CDAB"
    );
    assert_eq!(
        device.section.written_at("max_regs").unwrap().into_text(),
        "80"
    );
    assert_eq!(config.local.templates.len(), 0);
}

#[test]
fn some_of_the_sensors_or_none() {
    let only = |list: &str| {
        let text = plant(&format!(
            "template = \"xy-md02\"\ntemplate_only = {list}\n[[device.sensor]]\nname = \"x\"\naddress = 40001\n"
        ));
        read(Path::new("edge.toml"), &text)
    };
    assert_eq!(
        names(&only("[\"humidity\"]").unwrap().devices[0]),
        ["humidity", "x"]
    );
    assert_eq!(names(&only("[]").unwrap().devices[0]), ["x"]);
    let words = only("[\"humidty\"]").unwrap_err();
    assert!(
        words.starts_with(
            "edge.toml:9:1: device \"meter\", key \"template_only\": the template has no sensor"
        ) && words.ends_with("did you mean \"humidity\"?"),
        "{words}"
    );
}

#[test]
fn an_unknown_name_and_the_wrong_protocol_are_told() {
    let words = read(
        Path::new("edge.toml"),
        &plant("template = \"eastron-sdm12\"\n"),
    )
    .unwrap_err();
    assert_eq!(
        words,
        "edge.toml:8:1: device \"meter\", key \"template\": there is no template \"eastron-sdm12\"; \
         did you mean \"eastron-sdm120\"?"
    );
    for name in ["../edge", "", "a b", "Ä"] {
        let words = read(
            Path::new("edge.toml"),
            &plant(&format!("template = \"{name}\"\n")),
        );
        assert!(
            words.unwrap_err().contains("there is no template"),
            "{name}"
        );
    }
    let other = plant("template = \"xy-md02\"\n").replace("\"modbus\"", "\"mqtt\"");
    let words = Config::parse(Path::new("edge.toml"), &other)
        .unwrap_err()
        .to_string();
    assert!(words.contains("is for protocol \"modbus\""), "{words}");
    let words = read(
        Path::new("edge.toml"),
        &plant("template_only = []\n[[device.sensor]]\nname = \"x\"\naddress = 40001\n"),
    );
    assert!(
        words
            .unwrap_err()
            .contains("is for a device with a template")
    );
}

fn with_own(template: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("templates")).unwrap();
    std::fs::write(folder.path().join("templates/own.toml"), template).unwrap();
    let file = folder.path().join("edge.toml");
    (folder, file)
}

const OWN: &str = "[template]\nmaker = \"We\"\nprotocol = \"modbus\"\n[device]\nmax_gap = 3\n\
    [[device.sensor]]\nname = \"t\"\naddress = 40001\n";

#[test]
fn own_templates_are_added_and_replace_shipped_ones() {
    let (folder, file) = with_own(OWN);
    let config = read(&file, &plant("template = \"own\"\n")).unwrap();
    assert_eq!(names(&config.devices[0]), ["t"]);
    assert_eq!(config.local.templates["own"], OWN);
    std::fs::write(folder.path().join("templates/xy-md02.toml"), OWN).unwrap();
    let config = read(&file, &plant("template = \"xy-md02\"\n")).unwrap();
    assert_eq!(names(&config.devices[0]), ["t"]);
    let found = Templates::beside(&file);
    assert_eq!(
        found
            .names()
            .iter()
            .filter(|name| *name == "xy-md02")
            .count(),
        1
    );
    assert!(found.find("xy-md02").unwrap().unwrap().is_own);
    // A file that was kept stands for the one in the folder.
    std::fs::remove_dir_all(folder.path().join("templates")).unwrap();
    assert!(
        Config::draft_local(&file, &config.local, None)
            .unwrap()
            .problems
            .check()
            .is_ok()
    );
}

#[cfg(feature = "driver-modbus")]
#[test]
fn a_mistake_in_a_template_is_told_with_its_file_line_and_key_and_the_device() {
    let wrong = OWN
        .replace("max_gap = 3", "max_gap = 300\nname = \"x\"")
        .replace("address = 40001", "adress = 1")
        + "scale = \"much\"\n";
    let (_folder, file) = with_own(&wrong);
    let name = file.with_file_name("templates").join("own.toml");
    let text = plant("template = \"own\"\n[[device.sensor]]\nname = \"t\"\nrange = 3\n");
    let words = Config::draft(&file).map(|_| ()).unwrap_err().to_string();
    assert!(words.contains("cannot read"), "{words}");
    let config = Config::draft_local(
        &file,
        &crate::config::LocalFile {
            text: text.into(),
            templates: BTreeMap::new(),
        },
        None,
    )
    .unwrap();
    drop(crate::drivers::build(&config.ports[0], &config.devices));
    let words = config.problems.check().unwrap_err().to_string();
    let lines: Vec<&str> = words.lines().collect();
    let (edge, own) = (file.display(), name.display());
    for (line, start, end) in [
        (
            0,
            format!("{edge}:9:1: device \"meter\", sensor \"t\", key \"address\": is missing"),
            "",
        ),
        (
            1,
            format!("{edge}:11:1: device \"meter\", sensor \"t\", key \"range\": 3 is not a pair"),
            "",
        ),
        (
            2,
            format!("{own}:5:1: device \"meter\", key \"max_gap\": 300 is outside"),
            "",
        ),
        (
            3,
            format!("{own}:6:1: [device], key \"name\": says which device it is"),
            "",
        ),
        (
            4,
            format!("{own}:9:1: device \"meter\", sensor \"t\", key \"adress\""),
            "did you mean \"address\"?",
        ),
        (
            5,
            format!(
                "{own}:10:1: device \"meter\", sensor \"t\", key \"scale\": \"much\" is not a number"
            ),
            "",
        ),
    ] {
        let told = lines.get(line).copied().unwrap_or_default();
        assert!(
            told.starts_with(&start) && told.ends_with(end),
            "{start}… is not line {line} of\n{words}"
        );
    }
    assert_eq!(lines.len(), 6, "{words}");
}

#[test]
fn a_template_that_is_no_toml_or_endless_is_told() {
    let (folder, file) = with_own("[template\n");
    let words = read(&file, &plant("template = \"own\"\n")).unwrap_err();
    assert!(
        words.contains("templates/own.toml:1:") && words.contains("not TOML"),
        "{words}"
    );
    assert!(
        words.contains("is not TOML, so this device has nothing of it"),
        "{words}"
    );
    let endless = "#".repeat(usize::try_from(TEMPLATE_BYTES_MAX).unwrap() + 1);
    std::fs::write(folder.path().join("templates/own.toml"), endless).unwrap();
    let words = read(&file, &plant("template = \"own\"\n")).unwrap_err();
    assert!(words.contains("is larger than 262144 bytes"), "{words}");
}
