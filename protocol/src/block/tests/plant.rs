//! A simulated plant, and the size of its blocks. Never random: the noise is the same everywhere.

use super::*;

/// A plain generator of noise, so that the simulated plant is the same on every machine.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    /// Splitmix64.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to 1.
    fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mean 0, deviation 1.
    fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// 20 sensors of ten kinds at 1 Hz: poll jitter of 2 ms and 0.5 % outliers up to 60 ms, stamped
/// in microseconds; 0.1 % of cells unanswered in runs.
fn simulated_plant(count: i64) -> Vec<Poll> {
    let mut noise = Noise(42);
    let mut state = [0.0_f64; 20];
    let mut unanswered = [0_u32; 20];
    (0..count)
        .map(|second| {
            let late = if noise.uniform() < 0.005 {
                noise.uniform() * 60_000.0
            } else {
                0.0
            };
            let jitter = (noise.bell() * 2_000.0).abs() + late;
            let cells = (0..20)
                .map(|column| {
                    let value = simulated_cell(column, second, &mut state[column], &mut noise);
                    if noise.uniform() < 0.0001 {
                        unanswered[column] = 10;
                    }
                    if unanswered[column] == 0 {
                        return value;
                    }
                    unanswered[column] -= 1;
                    Cell::Missing(Cause::NoAnswer)
                })
                .collect();
            poll_of(
                1_790_000_000_000_000 + second * 1_000_000 + jitter as i64,
                cells,
            )
        })
        .collect()
}

fn simulated_cell(column: usize, second: i64, state: &mut f64, noise: &mut Noise) -> Cell {
    let swing = |period: f64| (second as f64 / period).sin();
    match column % 10 {
        // Temperature, 0.1 degrees a step.
        0 => int((600.0 + 40.0 * swing(300.0) + noise.bell() * 0.4).round() as i64),
        // Pressure, 0.001 bar a step, noisy.
        1 => int((6_000.0 + 150.0 * swing(60.0) + noise.bell() * 12.0).round() as i64),
        // Vibration, a measured f32.
        2 => float(f64::from(
            (2.5 + 0.3 * swing(90.0) + noise.bell() * 0.1) as f32,
        )),
        // On or off.
        3 => int((second / 170) % 2),
        // Energy counter in Wh.
        4 => {
            *state += (40.0 + noise.bell() * 1.5).round();
            int(8_000_000 + *state as i64)
        }
        // Flow, 0.01 a step.
        5 => int((3_500.0 + 200.0 * swing(40.0) + noise.bell() * 25.0).round() as i64),
        // 16 bit ADC.
        6 => int((31_000.0 + 2_000.0 * swing(120.0) + noise.bell() * 8.0).round() as i64),
        // Current, 0.01 A a step.
        7 => int((1_250.0 + noise.bell() * 3.0).round() as i64),
        // Level, 0.1 % a step.
        8 => int((500.0 + 200.0 * swing(500.0) + noise.bell() * 0.6).round() as i64),
        // Status word.
        _ => int(if second % 290 < 5 { 0x0103 } else { 0x0101 }),
    }
}

/// The goal of the size: a sealed block of a usual group. Figures: PROTOCOL.md 3.4.
#[test]
fn a_sealed_block_of_a_usual_group_is_short() {
    let polls = simulated_plant(600);
    let block = encode(STREAM, 1, &polls).unwrap();
    assert_eq!(decode(&block).unwrap().polls, polls);
    assert_eq!(block[1], LAYOUT_COLUMNAR);
    let mut without_vibration = polls.clone();
    for poll in &mut without_vibration {
        poll.cells = (0..20)
            .filter(|column| column % 10 != 2)
            .map(|c| poll.cells[c])
            .collect();
    }
    let without = encode(STREAM, 1, &without_vibration).unwrap();
    let per_reading = |bytes: &[u8], columns: f64| bytes.len() as f64 / (600.0 * columns);
    let (all, fewer) = (per_reading(&block, 20.0), per_reading(&without, 18.0));
    for column in 0..10 {
        let alone: Vec<Poll> = polls
            .iter()
            .map(|p| poll_of(0, vec![p.cells[column]]))
            .collect();
        let bytes = encode(STREAM, 1, &alone).unwrap().len();
        println!("column {column}: {:.3} B per value", bytes as f64 / 600.0);
    }
    println!("all 20 columns {all:.3}, without f32 vibration {fewer:.3} B per reading");
    assert!(fewer <= 0.62, "{fewer:.3} B per reading without vibration");
    assert!(all <= 0.85, "{all:.3} B per reading");
}

/// The goal of the size: what is journalled and sent live.
#[test]
fn a_live_block_is_short() {
    let plant = simulated_plant(600);
    let ints = |poll: &Poll| {
        let cells = poll.cells.iter().copied();
        let ints = cells.map(|cell| {
            if let Cell::Value(Raw::Float(_), _) = cell {
                int(2_512)
            } else {
                cell
            }
        });
        poll_of(poll.time.0, ints.collect())
    };
    let one = encode(STREAM, 100_000, &[ints(&plant[0])]).unwrap();
    let empty = encode(
        STREAM,
        100_000,
        &[poll_of(plant[0].time.0, vec![Cell::Skipped])],
    )
    .unwrap();
    let ten = encode(
        STREAM,
        100_000,
        &plant[..10].iter().map(ints).collect::<Vec<_>>(),
    )
    .unwrap();
    println!(
        "1 poll of 20: {} bytes, of which {} fixed; 10 polls: {}",
        one.len(),
        empty.len(),
        ten.len()
    );
    assert!(one.len() <= 20 * 5 / 2 + 20, "{} bytes", one.len());
    assert!(ten.len() <= 200, "{} bytes", ten.len());
}
