//! An instrument that speaks by itself: a third-party NMEA 0183 device over a line at real speed, with a bit
//! turned in each third burst. What is stored is what came whole over the line, nothing else and nothing less.

use super::{DEADLINE, Plan, Scene, column};
use anyhow::{Context as _, Result, ensure};
use harness::paced_pty::{Faults, Pace};
use harness::{NmeaDevice, PacedPty, Scratch, in_scratch, wait_for};
use protocol::reading::Raw;
use std::path::Path;

/// As NMEA 0183 has it.
const PACE: Pace = Pace {
    baud: 4_800,
    bits: 10,
};
/// Good sentences of the first kind that are waited for.
const SENTENCES: usize = 20;

#[test]
fn an_nmea_device_is_read_as_it_speaks() -> Result<()> {
    in_scratch("instruments-nmea", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let line = PacedPty::start(PACE)?;
    line.set_faults(Faults {
        damaged_every: 3,
        ..Faults::default()
    });
    let mut plan = Plan::new();
    plan.add(&config(line.near()));
    let scene = Scene::start(scratch, "box", &plan)?;
    wait_for("the open line", DEADLINE, || {
        let told = scene.here.get("/status")?.to_string();
        Ok(told.contains("is listened to").then_some(()))
    })?;
    let mut device = NmeaDevice::start(scratch, line.far(), PACE.baud)?;
    let north = |sentence: &String| whole(sentence, "$GPGGA", 2);
    wait_for("sentences", DEADLINE, || {
        let good = came(&line).iter().filter_map(north).count();
        Ok((good >= SENTENCES).then_some(()))
    })?;
    wait_for("the state in words", DEADLINE, || {
        let sensors = scene.here.list("/sensors")?;
        let mut states = sensors.iter();
        let state = states.find(|sensor| sensor["path"] == "gnss/state");
        let state = state.context("no sensor gnss/state")?;
        Ok((state["text"] == "A" && state["quality"] == "good").then_some(()))
    })?;
    device.kill9()?;
    // The last one has been taken when the device is said to be silent.
    wait_for("that it is silent", DEADLINE, || {
        let told = scene.here.get("/status")?.to_string();
        Ok(told.contains("nothing came from").then_some(()))
    })?;

    let gateway = scene.gateway;
    let groups = scene.stored()?;
    let sentences = came(&line);
    let mut kept = 0;
    for (sensor, begin, field) in [
        ("north", "$GPGGA", 2),
        ("satellites", "$GPGGA", 7),
        ("altitude", "$GPGGA", 9),
        ("speed", "$GPVTG", 7),
    ] {
        let right: Vec<f64> = sentences
            .iter()
            .filter_map(|sentence| whole(sentence, begin, field))
            .collect();
        let stored = column(&groups, gateway, &format!("gnss/{sensor}"))?;
        let stored: Vec<f64> = stored.into_iter().flatten().map(number).collect();
        ensure!(
            stored == right,
            "{sensor}: stored {stored:?}\ncame {right:?}"
        );
        kept += stored.len();
    }
    let damaged = sentences
        .iter()
        .filter(|sentence| sum_is_wrong(sentence))
        .count();
    ensure!(
        damaged >= 3,
        "only {damaged} damaged ones: the test tests nothing"
    );
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!(
            "measured: {} sentences of nmeasim at {} baud, {damaged} damaged; {kept} values stored, 0 wrong, 0 missing",
            sentences.len(),
            PACE.baud
        );
    }
    Ok(())
}

/// What came over the line so far, by sentences.
fn came(line: &PacedPty) -> Vec<String> {
    let frames = line.frames();
    let bytes = frames.iter().filter(|frame| !frame.request);
    let bytes: Vec<u8> = bytes.flat_map(|frame| frame.bytes.clone()).collect();
    let text = String::from_utf8_lossy(&bytes);
    text.split_terminator("\r\n").map(str::to_owned).collect()
}

fn number(raw: Raw) -> f64 {
    match raw {
        Raw::Float(value) => value,
        Raw::Int(_) => f64::NAN,
    }
}

/// The number in a field of a sentence that is whole, begins so and counts; by code of this test alone.
fn whole(sentence: &str, begin: &str, field: usize) -> Option<f64> {
    let inner = sentence
        .strip_prefix('$')
        .filter(|_| sentence.starts_with(begin))?;
    if sum_is_wrong(sentence) {
        return None;
    }
    let (words, _) = inner.rsplit_once('*')?;
    words.split(',').nth(field)?.parse().ok()
}

fn sum_is_wrong(sentence: &str) -> bool {
    let parts = sentence.get(1..).and_then(|inner| inner.rsplit_once('*'));
    let Some((words, sum)) = parts else {
        return true;
    };
    let right = words.bytes().fold(0, |right, byte| right ^ byte);
    u8::from_str_radix(sum, 16) != Ok(right)
}

fn config(path: &Path) -> String {
    let sensor = |name: &str, begin: &str, field: usize, more: &str| {
        format!(
            "[[device.sensor]]\nname = \"{name}\"\nprefix = '{begin}'\nfield = {field}\n{more}\n"
        )
    };
    [
        format!(
            "\n[[port]]\nname = \"mast\"\nprotocol = \"instrument\"\npath = \"{}\"\nbaud = {}\n",
            path.display(),
            PACE.baud
        ),
        "[[device]]\nname = \"gnss\"\nport = \"mast\"\ntimeout = \"4s\"\nchecksum = \"xor\"\nchecksum_from = 1\n\
         checksum_mark = '*'\n"
            .to_owned(),
        sensor("north", "$GPGGA", 2, ""),
        sensor("satellites", "$GPGGA", 7, ""),
        sensor("altitude", "$GPGGA", 9, ""),
        sensor("speed", "$GPVTG", 7, ""),
        sensor("state", "$GPRMC", 2, "type = \"str\""),
    ]
    .concat()
}
