//! Registers that move like a plant, the same in every run: slow temperatures, noisy pressures,
//! counters, states. Never random in any other way than by its seed.

/// The moving registers.
#[derive(Debug)]
pub(crate) struct Signals {
    registers: Vec<i64>,
    seed: u64,
}

impl Signals {
    /// That many registers.
    pub(crate) fn new(count: usize) -> Self {
        let start = |at: usize| {
            if at.is_multiple_of(4) {
                650
            } else {
                i64::try_from(at).unwrap_or(0)
            }
        };
        Self {
            registers: (0..count).map(start).collect(),
            seed: 42,
        }
    }

    /// One step of all; by position modulo four: temperature, pressure, counter, state.
    pub(crate) fn step(&mut self) -> &[i64] {
        for at in 0..self.registers.len() {
            let (one, two) = (self.chance(10), self.chance(21));
            let rare = self.chance(1_000) == 0;
            let Some(value) = self.registers.get_mut(at) else {
                continue;
            };
            match at % 4 {
                0 if one < 3 => *value += if two % 2 == 0 { 1 } else { -1 },
                1 => *value = 10_000 + two,
                2 => *value += one % 4,
                3 if rare => *value ^= 1,
                _ => {}
            }
        }
        &self.registers
    }

    fn chance(&mut self, below: i64) -> i64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.seed >> 33).unwrap_or(0) % below
    }
}
