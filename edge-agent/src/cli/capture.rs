//! `capture`: what goes over a line, frame by frame, in words: of a port of the running agent, or of a
//! serial line that this program only listens to. Never sends a byte to a device.

use super::bus::escaped;
use super::client::Client;
use super::words::{items, text};
use super::{Output, block_on, told};
use crate::clock;
use crate::config::{Config, parse_duration};
use crate::drivers::modbus;
use crate::drivers::modbus::field::frames::{Decoded, Listener};
use crate::drivers::modbus::frame::Framing;
use crate::drivers::modbus::link::{LinkSettings, Target};
use anyhow::{Context as _, bail};
use clap::Args;
use protocol::view::rfc3339;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Longest line of the agent that is read.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Least silence that parts two frames: a USB adapter hands on what it has 16 ms late.
const SILENCE_MIN: Duration = Duration::from_millis(5);
/// Bytes without a silence that are looked at as one; there is no such frame.
const OVERHEARD_BYTES_MAX: usize = 1_024;

#[derive(Debug, Args)]
#[command(
    after_help = "A name is a port of the running agent, which goes on polling. A path or serial:// is a line on \
    which another master talks: this program only listens there.\n\n\
    Example:\n  edge-agent capture line-a --for 10s\n  \
    edge-agent capture 'serial:///dev/ttyUSB0?baud=9600&parity=N' --frames 20"
)]
pub(super) struct Capture {
    /// Name of a port of the running agent, or a serial line as in `read --help`.
    #[arg(value_name = "PORT")]
    port: String,
    /// How long to listen.
    #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "1m")]
    time: Duration,
    /// End after so many frames.
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
}

fn length(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|time| (Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(time))
        .ok_or_else(|| "write 1s to 1h".to_owned())
}

impl Capture {
    pub(super) fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        if self.port.contains('/') {
            return self.overhear(output);
        }
        let (config, _) = crate::agent::effective(file).map_err(told)?;
        // What bytes say follows from how the port is configured; without that they are only shown.
        let mut listener = framing(&config, &self.port).map(Listener::new);
        let mut client = Client::new(&config);
        let path = format!(
            "/bus/{}/capture?seconds={}",
            escaped(&self.port),
            self.time.as_secs()
        );
        let answer = client
            .get_for_bytes(&path)
            .with_context(|| format!("capturing what goes over port {}", self.port))?;
        let mut lines = BufReader::new(answer);
        let mut left = self.frames;
        while left != Some(0) {
            let mut line = String::new();
            let read = lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line);
            if read.context("reading what the agent captures")? == 0 {
                return Ok(());
            }
            let mut piece: Value =
                serde_json::from_str(&line).context("reading what the agent captures")?;
            match &mut listener {
                Some(listener) => explain(&mut piece, listener),
                None => spell(&mut piece),
            }
            let frames = u64::try_from(items(&piece, "/frames").len()).unwrap_or(0);
            left = left.map(|left| left.saturating_sub(frames));
            output.answer(&piece, &words(&piece))?;
        }
        Ok(())
    }

    /// Listens to a line on which others talk.
    fn overhear(self, output: Output) -> anyhow::Result<()> {
        let settings = Target::parse(&self.port)?.link;
        if !settings.address.is_serial() {
            bail!(
                "only a serial line can be listened to; name a port of the running agent, or a path"
            );
        }
        block_on(async {
            let mut wire = settings.address.open().await?;
            let end = Instant::now() + self.time;
            let mut listener = Listener::new(settings.framing);
            let mut left = self.frames;
            while left != Some(0) {
                let mut bytes = Vec::new();
                match timeout_at(end, wire.receive(&mut bytes)).await {
                    Err(_) => return Ok(()),
                    Ok(received) => received.context("listening to the line")?,
                }
                // Until there is a silence as between two frames.
                while bytes.len() < OVERHEARD_BYTES_MAX {
                    match timeout(silence(&settings), wire.receive(&mut bytes)).await {
                        Err(_) => break,
                        Ok(received) => received.context("listening to the line")?,
                    }
                }
                let frames = listener.overheard(&bytes);
                let frames: Vec<Value> = frames.iter().map(told_frame).collect();
                left =
                    left.map(|left| left.saturating_sub(u64::try_from(frames.len()).unwrap_or(0)));
                let piece = json!({
                    "time": rfc3339(clock::now()),
                    "direction": "overheard",
                    "hex": data_encoding::HEXLOWER.encode(&bytes),
                    "frames": frames,
                });
                output.answer(&piece, &words(&piece))?;
            }
            Ok(())
        })
    }
}

/// How the messages of a configured port look on its line.
fn framing(config: &Config, port: &str) -> Option<Framing> {
    let mut ports = config.ports.iter();
    let port = ports.find(|known| known.name == port && known.protocol == "modbus")?;
    Some(modbus::config::read(port, &config.devices)?.link.framing)
}

/// Adds to a piece what the frames say that ended in it.
fn explain(piece: &mut Value, listener: &mut Listener) {
    let Ok(bytes) = data_encoding::HEXLOWER.decode(text(piece, "/hex").as_bytes()) else {
        return;
    };
    let frames = match text(piece, "/direction").as_str() {
        "sent" => listener.sent(&bytes),
        _ => listener.received(&bytes),
    };
    if let Some(fields) = piece.as_object_mut() {
        let frames = frames.iter().map(told_frame).collect();
        fields.insert("frames".to_owned(), Value::Array(frames));
    }
}

/// Adds to a piece of a port that is not Modbus its bytes as text.
fn spell(piece: &mut Value) {
    #[cfg(feature = "driver-instrument")]
    if let Ok(bytes) = data_encoding::HEXLOWER.decode(text(piece, "/hex").as_bytes())
        && let Some(fields) = piece.as_object_mut()
        && !bytes.is_empty()
    {
        let text = crate::drivers::instrument::escape::all(&bytes);
        fields.insert("text".to_owned(), text.into());
    }
    #[cfg(not(feature = "driver-instrument"))]
    let _: &mut Value = piece;
}

fn told_frame(frame: &Result<Decoded, String>) -> Value {
    match frame {
        Ok(frame) => {
            json!({"unit": frame.unit, "words": frame.words, "request": frame.request})
        }
        Err(words) => json!({"error": words}),
    }
}

fn silence(settings: &LinkSettings) -> Duration {
    match settings.framing {
        // A line of text ends with its end, whatever comes when.
        Framing::Ascii => Duration::from_millis(50),
        _ => settings.silence().max(SILENCE_MIN),
    }
}

/// `18:00:01.123456  <  S S     12.34 g\r\n`, or of Modbus `18:00:01.123456  >  unit 7   read 2 holding registers from 40001 (hr:0)   07 03 …`
fn words(piece: &Value) -> String {
    if let Some(missed) = piece.get("missed") {
        return format!("(missed {missed} pieces: this terminal or network is too slow)");
    }
    let time = text(piece, "/time");
    // Always six digits, so that what follows stands below each other.
    let clock = time.trim_end_matches('Z').get(11..).unwrap_or(&time);
    let (seconds, parts) = clock.split_once('.').unwrap_or((clock, ""));
    let time = format!("{seconds}.{parts:0<6}");
    let hex = text(piece, "/hex");
    let frames = items(piece, "/frames");
    let told: Vec<String> = frames
        .iter()
        .map(|frame| {
            let mark = match (text(piece, "/direction").as_str(), frame.get("request")) {
                ("sent", _) | (_, Some(Value::Bool(true))) => ">",
                _ => "<",
            };
            match frame.get("error").and_then(Value::as_str) {
                Some(error) => format!("{time}  !  {error}  [{hex}]"),
                None => format!(
                    "{time}  {mark}  unit {:4}{}",
                    text(frame, "/unit"),
                    text(frame, "/words")
                ),
            }
        })
        .collect();
    if let Some(spelt) = piece.get("text").and_then(Value::as_str) {
        let mark = if text(piece, "/direction") == "sent" {
            ">"
        } else {
            "<"
        };
        return format!("{time}  {mark}  {spelt}");
    }
    if told.is_empty() {
        return format!("{time}  …  {hex}");
    }
    told.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_told_in_a_line_each() {
        let piece = |direction: &str, frames: Value| json!({"time": "2026-11-30T18:00:01.123456Z", "direction": direction, "hex": "0703", "frames": frames});
        let sent = piece(
            "sent",
            json!([{"unit": 7, "words": "read 1 coil from 00001 (co:0)"}]),
        );
        assert_eq!(
            words(&sent),
            "18:00:01.123456  >  unit 7   read 1 coil from 00001 (co:0)"
        );
        let got = piece("received", json!([{"unit": 7, "words": "1"}]));
        assert_eq!(words(&got), "18:00:01.123456  <  unit 7   1");
        for (time, shown) in [
            ("2026-11-30T18:00:01.1235Z", "18:00:01.123500"),
            ("2026-11-30T18:00:01Z", "18:00:01.000000"),
        ] {
            let mut round = sent.clone();
            round["time"] = json!(time);
            let line = words(&round);
            assert!(line.starts_with(&format!("{shown}  >  unit 7")), "{line}");
        }
        let broken = piece("received", json!([{"error": "the checksum is wrong"}]));
        assert_eq!(
            words(&broken),
            "18:00:01.123456  !  the checksum is wrong  [0703]"
        );
        assert_eq!(
            words(&piece("received", json!([]))),
            "18:00:01.123456  …  0703"
        );
        #[cfg(feature = "driver-instrument")]
        {
            let mut spelt = json!({"time": "2026-11-30T18:00:01.123456Z", "direction": "received", "hex": "53200d0a"});
            spell(&mut spelt);
            assert_eq!(words(&spelt), "18:00:01.123456  <  S \\r\\n");
        }
        assert!(words(&json!({"missed": 5})).contains("missed 5"));
    }
}
