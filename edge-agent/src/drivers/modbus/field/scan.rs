//! Who answers on a port: each way to set it, each unit, one question each. A line that is set
//! wrongly brings silence or rubbish; what follows from which is said in words. Never writes, never
//! asks two at the same time on one port.

use super::identify::{Identity, identify};
use super::{Said, read};
use crate::drivers::modbus::address::Table;
use crate::drivers::modbus::link::{Link, LinkSettings, RequestError};
use crate::drivers::modbus::pdu::{ExceptionCode, Span};
use serde::Serialize;
use std::time::Instant;

/// One way to set a port.
#[derive(Clone, Debug)]
pub struct Setting {
    /// As people say it: `9600 8N1`, `10.0.0.5:502`.
    pub words: String,
    /// The same for the port.
    pub link: LinkSettings,
}

/// A unit that answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// With which setting.
    pub setting: String,
    /// Its number.
    pub unit: u8,
    /// From question to answer.
    pub milliseconds: f64,
    /// What it says that it is.
    #[serde(flatten)]
    pub identity: Identity,
}

/// A unit from which something else came than an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rubbish {
    /// With which setting.
    pub setting: String,
    /// Which unit was asked.
    pub unit: u8,
    /// What was wrong with what came.
    pub reason: String,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scanned {
    /// Questions asked: settings times units.
    pub asked: usize,
    /// Units that answered.
    pub found: Vec<Found>,
    /// Units from which rubbish came.
    pub rubbish: Vec<Rubbish>,
    /// Settings with which nothing could be asked, with the reason.
    pub unusable: Vec<String>,
    /// Settings behind which a gateway said that a unit does not answer.
    pub gateways: Vec<String>,
}

/// How far a scan is.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// The setting that is tried.
    pub setting: &'a str,
    /// The unit that is asked.
    pub unit: u8,
    /// Questions asked, and in all.
    pub done: (usize, usize),
    /// Units that have answered.
    pub found: usize,
}

/// Asks every unit with every setting.
pub async fn scan(
    settings: &[Setting],
    units: &[u8],
    progress: &mut dyn FnMut(Step<'_>),
) -> Scanned {
    let all = settings.len() * units.len();
    let mut scanned = Scanned::default();
    // Settings by what was wrong with them: a port that is not there is told once.
    let mut unusable: Vec<(Vec<&str>, String)> = Vec::new();
    for setting in settings {
        let mut link = Link::new(setting.link.clone());
        for unit in units {
            progress(Step {
                setting: &setting.words,
                unit: *unit,
                done: (scanned.asked, all),
                found: scanned.found.len(),
            });
            scanned.asked += 1;
            if let Err(error) = ask(&mut link, setting, *unit, &mut scanned).await {
                let words = error.words();
                match unusable.iter_mut().find(|(_, known)| *known == words) {
                    Some((others, _)) => others.push(&setting.words),
                    None => unusable.push((vec![&setting.words], words)),
                }
                break;
            }
        }
    }
    let told = |(settings, words): (Vec<&str>, String)| format!("{}: {words}", settings.join(", "));
    scanned.unusable = unusable.into_iter().map(told).collect();
    scanned
}

async fn ask(
    link: &mut Link,
    setting: &Setting,
    unit: u8,
    scanned: &mut Scanned,
) -> Result<(), RequestError> {
    // Every device knows this one, if only to refuse it.
    let place = (Table::Holding, Span { start: 0, count: 1 });
    let begin = Instant::now();
    let mut said = read(link, unit, place, 0).await?;
    if let Said::Garbled(_) = said {
        // Once may be what was left over from the one before.
        said = read(link, unit, place, 0).await?;
    }
    let milliseconds = begin.elapsed().as_secs_f64() * 1_000.0;
    match said {
        Said::Garbled(reason) => scanned.rubbish.push(Rubbish {
            setting: setting.words.clone(),
            unit,
            reason,
        }),
        Said::Refused(
            ExceptionCode::GatewayTargetDevice | ExceptionCode::GatewayPathUnavailable,
        ) => {
            if scanned.gateways.last() != Some(&setting.words) {
                scanned.gateways.push(setting.words.clone());
            }
        }
        Said::Words(_) | Said::Refused(_) => {
            let identity = identify(link, unit).await?;
            scanned.found.push(Found {
                setting: setting.words.clone(),
                unit,
                milliseconds,
                identity,
            });
        }
        Said::Silent => {}
    }
    Ok(())
}

impl Scanned {
    /// What follows from what came, for who stands there.
    pub fn hints(&self, serial: bool) -> Vec<String> {
        let mut hints = Vec::new();
        let mut lost: Vec<u8> = self
            .rubbish
            .iter()
            .map(|rubbish| rubbish.unit)
            .filter(|unit| !self.found.iter().any(|found| found.unit == *unit))
            .collect();
        lost.sort_unstable();
        lost.dedup();
        if !lost.is_empty() {
            let units: Vec<String> = lost.iter().map(ToString::to_string).collect();
            let settings: Vec<&str> = self.settings_of_rubbish(&lost);
            let units = units.join(", ");
            hints.push(if serial {
                format!(
                    "Unit {units}: something came with {}, but it cannot be read: parity, stop bits or baud \
                     rate are others there. Try more of them: --baud, --parity, --stop.",
                    settings.join(", ")
                )
            } else {
                format!("Unit {units}: something came from {}, but it is no Modbus TCP. A serial server \
                         wants rtu+tcp://.", settings.join(", "))
            });
        }
        for unit in 1..=u8::MAX {
            let mut settings = self.found.iter().filter(|found| found.unit == unit);
            if let (Some(one), Some(other), true) = (settings.next(), settings.next(), serial) {
                hints.push(format!(
                    "Unit {unit} answered with {} and with {}: two devices, or one that does not mind.",
                    one.setting, other.setting
                ));
            }
        }
        hints.extend(self.mixed().filter(|_| serial));
        if self.found.is_empty() && self.rubbish.is_empty() && self.unusable.is_empty() {
            hints.push(if serial {
                "Nobody answered. Check power, A and B (swap them), termination, and that no other master \
                 is on the line; then try more --baud, --parity and --units.".to_owned()
            } else {
                "Nobody answered. Check the network, the port number and the units.".to_owned()
            });
        }
        hints
    }

    /// One line has one setting: units that are set otherwise are never heard.
    fn mixed(&self) -> Option<String> {
        let mut settings: Vec<&str> = Vec::new();
        for found in &self.found {
            if !settings.contains(&found.setting.as_str()) {
                settings.push(&found.setting);
            }
        }
        let units = |setting: &str| {
            let units = self.found.iter().filter(|found| found.setting == setting);
            units
                .map(|found| found.unit.to_string())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let parts: Vec<String> = settings
            .iter()
            .map(|setting| format!("{setting} (unit {})", units(setting)))
            .collect();
        (settings.len() > 1).then(|| {
            format!(
                "The units of this line are set differently: {}. A line has one setting: set the others like \
                 most of them, at the devices, or give them a line of their own.",
                parts.join(", ")
            )
        })
    }

    fn settings_of_rubbish(&self, units: &[u8]) -> Vec<&str> {
        let of = self
            .rubbish
            .iter()
            .filter(|rubbish| units.contains(&rubbish.unit));
        let mut settings: Vec<&str> = of.map(|rubbish| rubbish.setting.as_str()).collect();
        settings.dedup();
        settings
    }
}
