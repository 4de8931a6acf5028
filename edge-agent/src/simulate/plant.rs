//! The machines of the demonstration plant and their registers. Pure: time is an argument.

use super::replay::Replay;
use super::signal::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

/// Unit on which a recording is served unless another one is asked for.
pub const REPLAY_UNIT: u8 = 10;

/// First of the scaled registers.
const SCALED: u16 = 100;
/// Two registers: sample of the recording, or hours that the machine has run, times ten.
const COUNTER: u16 = 96;
/// 1: the machine runs (the recording goes on), 0: it has ended.
const STATE: u16 = 98;
/// What the counter of hours shows at the start.
const RUN_TENTHS: u32 = 123_456;
/// Most registers that one request may ask for (specification, functions 3 and 4).
const WORDS_MAX: u16 = 125;
/// Most bits that one request may ask for (specification, functions 1 and 2).
const BITS_MAX: u16 = 2_000;
/// Setpoints that can be written: the first, and how many there are.
const SETPOINTS: std::ops::Range<u16> = 200..210;
/// Coils that can be written.
const SWITCHES: std::ops::Range<u16> = 16..24;

/// Machines by unit number.
#[derive(Clone, Debug, PartialEq)]
pub struct Plant {
    seed: u64,
    units: BTreeMap<u8, Machine>,
    /// What was written, by unit and register.
    setpoints: BTreeMap<(u8, u16), u16>,
    /// What was written, by unit and coil.
    switches: BTreeMap<(u8, u16), bool>,
}

#[derive(Clone, Debug, PartialEq)]
enum Machine {
    Made {
        name: &'static str,
        signals: &'static [Signal],
    },
    Recorded(Replay),
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Function,
    Address,
    Count,
    Unit,
}

/// A machine at one moment.
struct Moment {
    /// Value and factor of its scaled register.
    values: Vec<(f64, f64)>,
    counter: u32,
    running: bool,
}

const fn signal(
    name: &'static str,
    unit: &'static str,
    [base, swing, noise, episode, factor]: [f64; 5],
) -> Signal {
    Signal {
        name,
        unit,
        base,
        swing,
        noise,
        episode,
        factor,
    }
}

const PUMP: &[Signal] = &[
    signal("bearing_temp", "degC", [62.0, 1.5, 0.3, 28.0, 100.0]),
    signal("vibration", "mm/s", [2.1, 0.2, 0.15, 2.6, 100.0]),
    signal("discharge_pressure", "bar", [6.2, 0.15, 0.05, 0.0, 100.0]),
    signal("flow", "m3/h", [85.0, 3.0, 0.6, -6.0, 100.0]),
    signal("motor_current", "A", [41.0, 1.0, 0.4, 4.5, 100.0]),
    signal("speed", "rpm", [1_480.0, 4.0, 1.5, 0.0, 10.0]),
];

const COMPRESSOR: &[Signal] = &[
    signal("outlet_temp", "degC", [78.0, 2.0, 0.2, 0.0, 100.0]),
    signal("outlet_pressure", "bar", [7.5, 0.4, 0.05, 0.0, 100.0]),
    signal("oil_pressure", "bar", [3.4, 0.1, 0.03, 0.0, 100.0]),
    signal("motor_current", "A", [118.0, 6.0, 0.8, 0.0, 100.0]),
];

const FAN: &[Signal] = &[
    signal("bearing_temp", "degC", [48.0, 1.0, 0.2, 0.0, 100.0]),
    signal("vibration", "mm/s", [3.0, 0.3, 0.2, 0.0, 100.0]),
    signal("speed", "rpm", [1_180.0, 4.0, 1.5, 0.0, 10.0]),
    signal("motor_current", "A", [22.0, 0.6, 0.2, 0.0, 100.0]),
];

const METER: &[Signal] = &[
    signal("voltage", "V", [231.0, 1.5, 0.3, 0.0, 100.0]),
    signal("current", "A", [64.0, 6.0, 0.8, 0.0, 100.0]),
    signal("active_power", "kW", [41.0, 4.0, 0.5, 0.0, 100.0]),
    signal("frequency", "Hz", [50.0, 0.02, 0.01, 0.0, 100.0]),
];

impl Plant {
    /// Unit 1 is pump P-247, whose bearing overheats for a while in every four minutes; unit 2 is
    /// compressor K-101, unit 3 is fan F-12. The same seed gives the same plant.
    pub fn demo(seed: u64) -> Self {
        let made = |name, signals| Machine::Made { name, signals };
        let units = BTreeMap::from([
            (1, made("pump P-247", PUMP)),
            (2, made("compressor K-101", COMPRESSOR)),
            (3, made("fan F-12", FAN)),
        ]);
        Self {
            seed,
            units,
            setpoints: BTreeMap::new(),
            switches: BTreeMap::new(),
        }
    }

    /// The same with unit 4, energy meter E-3: what stands in one cabinet.
    pub fn cabinet(seed: u64) -> Self {
        let mut plant = Self::demo(seed);
        let (name, signals) = ("energy meter E-3", METER);
        plant.units.insert(4, Machine::Made { name, signals });
        plant
    }

    /// Whether there is such a unit.
    pub(super) fn has(&self, unit: u8) -> bool {
        self.units.contains_key(&unit)
    }

    /// What a unit says it is.
    pub(super) fn name(&self, unit: u8) -> Option<String> {
        Some(match self.units.get(&unit)? {
            Machine::Made { name, .. } => (*name).to_owned(),
            Machine::Recorded(replay) => format!("recording of {} samples", replay.samples()),
        })
    }

    /// Writes holding registers; all of them or none.
    pub(super) fn write_words(
        &mut self,
        unit: u8,
        start: u16,
        words: &[u16],
    ) -> Result<(), Refusal> {
        let places = writable(start, words.len(), &SETPOINTS)?;
        let written = places.zip(words).map(|(at, word)| ((unit, at), *word));
        self.setpoints.extend(written);
        Ok(())
    }

    /// Writes coils; all of them or none.
    pub(super) fn write_bits(
        &mut self,
        unit: u8,
        start: u16,
        bits: &[bool],
    ) -> Result<(), Refusal> {
        let places = writable(start, bits.len(), &SWITCHES)?;
        let written = places.zip(bits).map(|(at, bit)| ((unit, at), *bit));
        self.switches.extend(written);
        Ok(())
    }

    /// Adds a recording as a machine of its own; one that has this unit number is replaced.
    #[must_use]
    pub fn with_replay(mut self, unit: u8, replay: Replay) -> Self {
        self.units.insert(unit, Machine::Recorded(replay));
        self
    }

    /// Holding or input registers: both tables are the same.
    pub(super) fn words(
        &self,
        unit: u8,
        start: u16,
        count: u16,
        at: Duration,
    ) -> Result<Vec<u16>, Refusal> {
        let moment = self.moment(unit, at).ok_or(Refusal::Unit)?;
        if count == 0 || count > WORDS_MAX {
            return Err(Refusal::Count);
        }
        let end = start.checked_add(count).ok_or(Refusal::Address)?;
        let word = |offset| {
            if SETPOINTS.contains(&offset) {
                return Some(self.setpoints.get(&(unit, offset)).copied().unwrap_or(0));
            }
            moment.word(offset)
        };
        (start..end)
            .map(|offset| word(offset).ok_or(Refusal::Address))
            .collect()
    }

    /// Coils or discrete inputs: bit 0 is whether the machine runs, then come those that are written.
    pub(super) fn bits(
        &self,
        unit: u8,
        start: u16,
        count: u16,
        at: Duration,
    ) -> Result<Vec<bool>, Refusal> {
        let moment = self.moment(unit, at).ok_or(Refusal::Unit)?;
        if count == 0 || count > BITS_MAX {
            return Err(Refusal::Count);
        }
        let end = start.checked_add(count).ok_or(Refusal::Address)?;
        let bit = |offset: u16| match offset {
            0 => Some(moment.running),
            at if SWITCHES.contains(&at) => {
                Some(self.switches.get(&(unit, at)).copied().unwrap_or(false))
            }
            _ => None,
        };
        (start..end)
            .map(|offset| bit(offset).ok_or(Refusal::Address))
            .collect()
    }

    fn moment(&self, unit: u8, at: Duration) -> Option<Moment> {
        Some(match self.units.get(&unit)? {
            Machine::Made { signals, .. } => {
                let channel =
                    |index: usize| u64::from(unit) * 256 + u64::try_from(index).unwrap_or_default();
                let value = |(index, signal): (usize, &Signal)| {
                    (signal.value(self.seed, channel(index), at), signal.factor)
                };
                Moment {
                    values: signals.iter().enumerate().map(value).collect(),
                    counter: u32::try_from(at.as_secs() / 360).map_or(u32::MAX, |tenths| {
                        RUN_TENTHS
                            .saturating_add(u32::from(unit))
                            .saturating_add(tenths)
                    }),
                    running: true,
                }
            }
            Machine::Recorded(replay) => {
                let position = replay.position(at);
                Moment {
                    values: vec![(position.value, 100.0)],
                    counter: position.sample,
                    running: !position.ended,
                }
            }
        })
    }
}

/// The places of something that is written, when all of them can be.
fn writable(
    start: u16,
    count: usize,
    places: &std::ops::Range<u16>,
) -> Result<std::ops::Range<u16>, Refusal> {
    let end = u16::try_from(count)
        .ok()
        .and_then(|count| start.checked_add(count));
    let end = end.ok_or(Refusal::Address)?;
    if start < places.start || end > places.end {
        return Err(Refusal::Address);
    }
    Ok(start..end)
}

impl Moment {
    fn word(&self, offset: u16) -> Option<u16> {
        let half = |bits: u32, low: bool| {
            let [a, b, c, d] = bits.to_be_bytes();
            u16::from_be_bytes(if low { [c, d] } else { [a, b] })
        };
        match offset {
            STATE => Some(self.running.into()),
            COUNTER => Some(half(self.counter, false)),
            at if at == COUNTER + 1 => Some(half(self.counter, true)),
            at if at >= SCALED => {
                let (value, factor) = self.values.get(usize::from(at - SCALED))?;
                Some(scaled(value * factor).cast_unsigned())
            }
            at => {
                let (value, _) = self.values.get(usize::from(at / 2))?;
                Some(half(single(*value).to_bits(), at % 2 == 1))
            }
        }
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the register holds an f32; a float becomes the nearest one"
)]
const fn single(value: f64) -> f32 {
    value as f32
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a value that does not fit stops at the end of the range, as on a real transmitter"
)]
fn scaled(value: f64) -> i16 {
    value.round() as i16
}

/// The registers of the demonstration plant, for people: what `simulate` prints at its start.
pub fn register_map(plant: &Plant) -> String {
    let head = "Holding and input registers alike; f32 in byte order ABCD, i16 times its factor.";
    let mut lines = vec![head.to_owned()];
    for (unit, machine) in &plant.units {
        let (rows, counter) = match machine {
            Machine::Made { signals, .. } => {
                let rows = signals
                    .iter()
                    .map(|signal| (signal.name, signal.unit, signal.factor));
                (rows.collect(), "hours run (x10)")
            }
            Machine::Recorded(_) => (vec![("value", "", 100.0)], "number of the sample, from 0"),
        };
        let name = plant.name(*unit).unwrap_or_default();
        lines.push(format!("unit {unit}: {name}"));
        for (index, (name, unit, factor)) in rows.into_iter().enumerate() {
            let (float, integer) = (40_001 + 2 * index, 40_101 + index);
            let row = format!("  {float}:f32  {integer}:i16 (x{factor})  {name} {unit}");
            lines.push(row.trim_end().to_owned());
        }
        lines.push(format!("  40097:u32  {counter}"));
        lines.push("  40099:u16  10001:bool  1 while it runs, 0 at its end".to_owned());
    }
    lines.push("every unit, to be written: 40201 to 40210 setpoints, coils 17 to 24".to_owned());
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::replay::ReplayOptions;
    use super::*;
    use std::path::Path;

    fn float(words: &[u16]) -> f32 {
        f32::from_bits(u32::from(words[0]) << 16 | u32::from(words[1]))
    }

    #[test]
    fn the_pump_overheats_now_and_then_and_both_registers_say_so() {
        let plant = Plant::demo(1);
        let at = |s| {
            let at = Duration::from_secs(s);
            let temperature = float(&plant.words(1, 0, 2, at).unwrap());
            let hundredths = plant.words(1, SCALED, 1, at).unwrap()[0];
            assert!((temperature - f32::from(hundredths) / 100.0).abs() < 0.01);
            temperature
        };
        assert!(at(10) < 66.0);
        assert!(at(90) > 85.0);
        assert!(at(230) < 66.0);
    }

    #[test]
    fn what_is_not_in_the_map_is_refused() {
        let plant = Plant::demo(1);
        let at = Duration::ZERO;
        assert!(plant.words(1, 0, 12, at).is_ok());
        assert_eq!(plant.words(1, 0, 13, at), Err(Refusal::Address));
        assert_eq!(plant.words(1, 99, 1, at), Err(Refusal::Address));
        assert_eq!(plant.words(1, 65_535, 2, at), Err(Refusal::Address));
        assert_eq!(plant.words(1, 0, 126, at), Err(Refusal::Count));
        assert_eq!(plant.words(9, 0, 1, at), Err(Refusal::Unit));
        assert_eq!(plant.bits(1, 0, 1, at), Ok(vec![true]));
        assert_eq!(plant.bits(1, 1, 1, at), Err(Refusal::Address));
    }

    #[test]
    fn a_recording_has_its_value_its_sample_number_and_its_end() {
        let text = "value\n20.25\n-3.5\n500\n";
        let replay = Replay::parse(Path::new("a.csv"), text, &ReplayOptions::default()).unwrap();
        let plant = Plant::demo(1).with_replay(REPLAY_UNIT, replay);
        let words = |start, count, s| {
            plant
                .words(10, start, count, Duration::from_secs(s))
                .unwrap()
        };
        assert!((float(&words(0, 2, 0)) - 20.25).abs() < 1e-6);
        assert_eq!(words(SCALED, 1, 1)[0].cast_signed(), -350);
        assert_eq!(words(SCALED, 1, 2)[0].cast_signed(), i16::MAX);
        assert_eq!(words(COUNTER, 3, 1), [0, 1, 1]);
        assert_eq!(words(COUNTER, 3, 3), [0, 2, 0]);
    }

    #[test]
    fn the_map_says_what_is_served() {
        let map = register_map(&Plant::demo(1));
        assert!(map.contains("unit 1: pump P-247"), "{map}");
        assert!(
            map.contains("  40001:f32  40101:i16 (x100)  bearing_temp degC\n"),
            "{map}"
        );
        assert!(
            map.contains("  40005:f32  40103:i16 (x10)  speed rpm\n"),
            "{map}"
        );
    }
}
