//! A loudspeaker: espeak-ng makes speech of a message, a player puts it out, both as child processes.
//! Ends at once when somebody acknowledges. Never runs a program that the box's own file does not name.

use super::matter::{Message, Outcome, Sort};
use super::seat::{Seat, Sends, Task};
use super::words::Language;
use crate::config::Section;
use std::process::Stdio;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// Longest announcement, in bytes of sound: six minutes of espeak-ng's 22,050 samples a second.
const SOUND_BYTES_MAX: u64 = 16 << 20;
/// Longest text that is spoken, in characters; the rest is left out.
const SPOKEN_MAX: usize = 600;
/// The program that speaks; of the distribution.
const VOICE: &str = "espeak-ng";

/// `kind = "speaker"`
#[derive(Clone, Debug)]
pub(super) struct Speaker {
    language: Option<String>,
    voice: Option<String>,
    words_per_minute: u16,
    volume_percent: u8,
    times: u8,
    /// Gets the sound on its standard input, as WAV.
    player: Vec<String>,
}

/// Reads its keys.
pub(super) fn read(section: &mut Section) -> Option<Speaker> {
    let language = section.text("language");
    let voice = section.text("voice");
    let words_per_minute = section.integer("words_per_minute", 80..=300).unwrap_or(150);
    let volume_percent = section.integer("volume", 0..=200).unwrap_or(100);
    let times = section.integer("times", 1..=5).unwrap_or(2);
    let device = section.text("device");
    let player = section.text_list("player");
    if section.has("device") && section.has("player") {
        section.problem("player", "stands beside device; one of the two is enough");
    }
    let player = player.unwrap_or_else(|| {
        let device = device.unwrap_or_else(|| "default".to_owned());
        ["aplay", "-q", "-D", &device, "-"]
            .map(str::to_owned)
            .to_vec()
    });
    if player.is_empty() {
        section.problem("player", "is empty; write for example [\"paplay\"]");
        return None;
    }
    Some(Speaker {
        language,
        voice,
        words_per_minute,
        volume_percent,
        times,
        player,
    })
}

impl Sends for Speaker {
    const STOPS_WHEN_WITHDRAWN: bool = true;

    fn send<'a>(&'a mut self, message: &'a Message, seat: &'a Seat) -> Task<'a, Outcome> {
        Box::pin(async move {
            let text = spoken(message, seat.language, self.times);
            match self.speak(&text, seat.language).await {
                Ok(()) => {
                    seat.set_words("speaks", false);
                    Outcome::Delivered("spoken".to_owned())
                }
                Err(words) => {
                    seat.set_words(&words, true);
                    Outcome::Failed(words)
                }
            }
        })
    }
}

/// What is said: attention, how urgent, what; as often as wanted.
fn spoken(message: &Message, language: Language, times: u8) -> String {
    let subject = match message.head() {
        Some(head) if head.sort == Sort::Test => language.test().to_owned(),
        _ => message.subject(language),
    };
    // Signs that a voice would read out as words.
    let once: String = subject
        .chars()
        .map(|c| {
            if matches!(c, '_' | '|' | '/' | '\\' | '<' | '>' | '#' | '*') {
                ' '
            } else {
                c
            }
        })
        .take(SPOKEN_MAX)
        .collect();
    let once = format!("{}. {once}.", language.attention());
    vec![once; usize::from(times)].join("\n")
}

impl Speaker {
    async fn speak(&self, text: &str, language: Language) -> Result<(), String> {
        let sound = self.sound(text, language).await?;
        let (program, arguments) = self.player.split_first().ok_or("no player is configured")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| not_there(program, "alsa-utils", &error))?;
        if let Some(mut input) = child.stdin.take() {
            // A player that ends early says why itself.
            drop(input.write_all(&sound).await);
        }
        let ended = child.wait_with_output().await;
        let ended = ended.map_err(|error| format!("{program}: {error}"))?;
        if ended.status.success() {
            return Ok(());
        }
        Err(format!(
            "{program} ended with {}: {}",
            ended.status,
            said(&ended.stderr)
        ))
    }

    /// The sound of a text, as WAV with its true length.
    async fn sound(&self, text: &str, language: Language) -> Result<Vec<u8>, String> {
        let voice = self.voice.as_deref().or(self.language.as_deref());
        let mut child = Command::new(VOICE)
            .args(["-v", voice.unwrap_or_else(|| language.code())])
            .args(["-s", &self.words_per_minute.to_string()])
            .args(["-a", &self.volume_percent.to_string()])
            .args(["--stdin", "--stdout"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| not_there(VOICE, VOICE, &error))?;
        if let Some(mut input) = child.stdin.take() {
            drop(input.write_all(text.as_bytes()).await);
        }
        let mut sound = Vec::new();
        let output = child.stdout.take().ok_or("no sound came")?;
        let read = output.take(SOUND_BYTES_MAX).read_to_end(&mut sound).await;
        read.map_err(|error| format!("{VOICE}: {error}"))?;
        let ended = child
            .wait_with_output()
            .await
            .map_err(|error| format!("{VOICE}: {error}"))?;
        if !ended.status.success() || sound.is_empty() {
            return Err(format!("{VOICE} made no sound: {}", said(&ended.stderr)));
        }
        set_lengths(&mut sound);
        Ok(sound)
    }
}

/// espeak-ng does not know the length when it begins: the fields of the two heads (RIFF at 4, data at
/// 40) are filled in, for players that believe them.
fn set_lengths(sound: &mut [u8]) {
    const HEAD: usize = 44;
    let length = |less: usize| u32::try_from(sound.len().saturating_sub(less)).unwrap_or(u32::MAX);
    let (whole, data) = (length(8).to_le_bytes(), length(HEAD).to_le_bytes());
    for (at, bytes) in [(4, whole), (40, data)] {
        if let Some(field) = sound.get_mut(at..at + 4) {
            field.copy_from_slice(&bytes);
        }
    }
}

fn not_there(program: &str, package: &str, error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::NotFound {
        return format!("{program} is not installed; apt install {package}");
    }
    format!("{program} cannot be started: {error}")
}

/// The last line of what a program complained of.
fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or("it does not say why")
        .chars()
        .take(200)
        .collect()
}
