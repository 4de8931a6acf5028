//! The readings around an alarm, few enough to go with the order to every page and phone.
//! Never invents a point: each was a reading.

use protocol::event::{AlertRaised, Snapshot};
use protocol::id::SensorId;
use protocol::limits::SNAPSHOT_POINTS_MAX;
use protocol::time::Timestamp;

/// The readings of the alarm's sensor around it. `readings` are in the order of time, bad ones
/// left out. When there are too many, the span is cut into equal parts by count, and of each part
/// the lowest and the highest reading stay, so that no peak is lost.
pub fn snapshot(raised: &AlertRaised, readings: &[(Timestamp, f64)]) -> Snapshot {
    Snapshot {
        sensor: raised.sensor,
        sensor_path: raised.sensor_path.clone(),
        unit: raised.unit.clone(),
        limit: Some(raised.limit),
        points: thin(readings),
    }
}

/// Like `snapshot`, for another sensor of the same machine.
pub fn beside(sensor: SensorId, path: &str, unit: &str, readings: &[(Timestamp, f64)]) -> Snapshot {
    Snapshot {
        sensor,
        sensor_path: path.to_owned(),
        unit: unit.to_owned(),
        limit: None,
        points: thin(readings),
    }
}

fn thin(readings: &[(Timestamp, f64)]) -> Vec<(Timestamp, f64)> {
    if readings.len() <= SNAPSHOT_POINTS_MAX {
        return readings.to_vec();
    }
    let part = readings.len().div_ceil(SNAPSHOT_POINTS_MAX / 2);
    let extremes = readings.chunks(part).flat_map(|part| {
        let by_value = |a: &&(Timestamp, f64), b: &&(Timestamp, f64)| a.1.total_cmp(&b.1);
        let mut pair = [part.iter().min_by(by_value), part.iter().max_by(by_value)];
        pair.sort_by_key(|point| point.map(|point| point.0));
        if pair[0] == pair[1] {
            vec![pair[0]]
        } else {
            pair.to_vec()
        }
    });
    extremes.flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_snapshot_is_short_in_order_and_keeps_the_extremes(
            values in proptest::collection::vec(-1e6_f64..1e6, 0..2_000)
        ) {
            let readings: Vec<_> = (0_i64..).map(Timestamp).zip(values.iter().copied()).collect();
            let kept = thin(&readings);
            prop_assert!(kept.len() <= SNAPSHOT_POINTS_MAX);
            prop_assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(kept.iter().all(|point| readings.contains(point)));
            let highest = |list: &[(Timestamp, f64)]| list.iter().map(|point| point.1).max_by(f64::total_cmp);
            let lowest = |list: &[(Timestamp, f64)]| list.iter().map(|point| point.1).min_by(f64::total_cmp);
            prop_assert_eq!(highest(&kept), highest(&readings));
            prop_assert_eq!(lowest(&kept), lowest(&readings));
        }
    }
}
