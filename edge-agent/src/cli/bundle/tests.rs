//! Secrets are planted everywhere; none of them may be in the file.

use super::*;
use crate::cli::Cli;
use crate::cli::tests::idle_desk;
use clap::Parser as _;
use flate2::read::GzDecoder;
use std::collections::BTreeMap;

/// The texts of a file by name, without the folder they are in.
fn unpacked(path: &Path) -> BTreeMap<String, String> {
    let file = std::fs::File::open(path).unwrap();
    let mut tar = tar::Archive::new(GzDecoder::new(file));
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let path = entry.path().unwrap().display().to_string();
        (path.split_once('/').unwrap().1.to_owned(), text)
    });
    entries.collect()
}

const SECRETS: [&str; 11] = [
    "735192", // the access code
    "pr0xy-p@ss",
    "pr0xy-p%40ss",
    "mqtt-s3cret",
    "PIN-9182",
    "MC4CAQAwBQYDK2VwBCIEIPlantedKeyMaterial",
    "cfe1-plantedclaimtext",
    "Eva Meier",
    "Anna Berg",
    "12345678",
    "it smelled of 23 roses",
];

const CONFIG: &str = "[gateway]\ndata_dir = \"data\"\nname = \"Hall B\"\ncode = \"HB\"\n\
    # the PIN of the door is PIN-9182\n\
    [web]\nlisten = \"127.0.0.1:0\"\naccess_code_file = \"code\"\n\
    [[person]]\nname = \"Anna Berg\"\nphone = \"+4915112345678\"\n\
    [hub]\naddress = \"127.0.0.1:7443\"\nproxy = \"http://box:pr0xy-p%40ss@127.0.0.1:3128\"\n";

/// A folder with a configuration, an access code, a key and a log, all with secrets in them.
fn planted() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("edge.toml"), CONFIG).unwrap();
    std::fs::write(at("code"), "735192\n").unwrap();
    std::fs::create_dir_all(at("data/identity")).unwrap();
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIPlantedKeyMaterial\n-----END PRIVATE KEY-----\n";
    std::fs::write(at("data/identity/pending.key"), pem).unwrap();
    let log = format!(
        "INFO proxy http://box:pr0xy-p%40ss@127.0.0.1:3128\nWARN pr0xy-p@ss password=mqtt-s3cret 735192\n\
         INFO Anna Berg was told\n\
         ERROR enrol CFE1-PLANTEDCLAIMTEXT cfe1-plantedclaimtext\n{pem}an ordinary line\n"
    );
    std::fs::write(at("agent.log"), log).unwrap();
    let file = at("edge.toml");
    (folder, file)
}

fn bundle(folder: &Path, file: &Path) -> BTreeMap<String, String> {
    let out = folder.join("support.tar.gz");
    let line = ["edge-agent", "bundle", "--out"];
    let cli = Cli::try_parse_from(line.into_iter().chain([
        out.to_str().unwrap(),
        "--log",
        folder.join("agent.log").to_str().unwrap(),
    ]))
    .unwrap();
    let crate::cli::Command::Bundle(command) = cli.command else {
        panic!("another command");
    };
    command.run(file, Output { json: true }).unwrap();
    unpacked(&out)
}

fn holds_no_secret(texts: &BTreeMap<String, String>) {
    for (name, text) in texts {
        let lower = text.to_lowercase();
        for secret in SECRETS {
            assert!(
                !lower.contains(&secret.to_lowercase()),
                "{secret} is in {name}:\n{text}"
            );
        }
    }
}

#[test]
fn none_of_the_planted_secrets_is_inside_and_what_helps_is() {
    let (folder, file) = planted();
    // A key that this version does not know is a problem, and its words must not tell its value.
    let text = format!("{CONFIG}[mqtt]\npassword = \"mqtt-s3cret\"\n");
    std::fs::write(&file, text).unwrap();
    let texts = bundle(folder.path(), &file);
    holds_no_secret(&texts);
    assert!(texts["configuration/edge.toml"].contains("http://(removed)@127.0.0.1:3128"));
    assert!(texts["configuration/edge.toml"].contains("password = \"(removed)\""));
    assert!(texts["log.txt"].contains("an ordinary line"));
    assert!(texts["doctor.txt"].contains("WRONG"));
    assert!(texts["versions.txt"].contains(env!("CARGO_PKG_VERSION")));
    assert!(texts["databases.json"].contains("core.db"));
    assert!(texts["README.txt"].contains("(removed)"));
}

#[test]
fn a_file_that_is_no_toml_is_left_out_and_told() {
    let (folder, file) = planted();
    std::fs::write(&file, format!("{CONFIG}\npassword = mqtt-s3cret\n")).unwrap();
    let texts = bundle(folder.path(), &file);
    assert!(!texts.contains_key("configuration/edge.toml"));
    assert!(texts["README.txt"].contains("configuration/edge.toml is no TOML"));
    let words = "everything with the proxy's password that a broken file names";
    assert!(!texts["log.txt"].contains("pr0xy-p@ss"), "{words}");
}

#[test]
fn long_texts_are_cut_and_a_file_that_is_there_is_not_touched() {
    let redactor = Redactor::default();
    let mut archive = Archive::new();
    archive.add(
        "long",
        &redactor,
        &format!("begin{}end", "ä".repeat(TEXT_BYTES_MAX)),
    );
    for at in 0..5 {
        archive.add(
            &format!("more-{at}"),
            &redactor,
            &"x".repeat(TEXT_BYTES_MAX),
        );
    }
    let kept: usize = archive.list().map(|(_, bytes)| bytes).sum();
    assert!(kept <= ALL_BYTES_MAX);
    assert!(archive.notes()[0].contains("only its end is here"));
    assert!(archive.notes().last().unwrap().contains("no room"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar.gz");
    std::fs::write(&path, "mine").unwrap();
    let error = archive
        .write(&path, "a", Timestamp(0))
        .unwrap_err()
        .to_string();
    assert!(error.contains("--out"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(stamp(Timestamp(0)), "19700101-000000");
}

#[tokio::test]
async fn people_and_what_they_wrote_stay_on_the_box() {
    let (folder, file) = planted();
    let config = Config::load(&file).unwrap();
    let desk = idle_desk(&config);
    let agent = crate::agent::Agent::start(config, desk).await.unwrap();
    let text = CONFIG.replace("127.0.0.1:0", &agent.web.to_string());
    std::fs::write(&file, text).unwrap();
    let path = folder.path().to_owned();
    let texts = tokio::task::spawn_blocking(move || {
        let config = Config::load(&file).unwrap();
        let mut client = Client::new(&config);
        let body = json!({"by": "Eva Meier", "title": "it smelled of 23 roses"});
        client.post("/work-orders", &body).unwrap();
        bundle(&path, &file)
    })
    .await
    .unwrap();
    agent.stop().await.unwrap();
    holds_no_secret(&texts);
    assert!(
        texts["work-orders.json"].contains("HB-0001"),
        "{}",
        texts["work-orders.json"]
    );
    assert!(texts["status.json"].contains("link"));
    assert!(texts["buses.json"].starts_with("{\"data\":["));
}
