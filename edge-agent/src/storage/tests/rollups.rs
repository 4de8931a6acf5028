//! Charts from readings, minutes, hours and days: the same figures wherever they come from.

use super::*;
use protocol::reading::{Cause, to_f64};
use protocol::rollup::Level;
use protocol::series::Point;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const HUNDRED_YEARS: Duration = Duration::from_secs(100 * 366 * 86_400);
/// 2026-09-13T12:00Z and a bit, so that neither a minute nor a day begins with the first poll.
const START: i64 = 1_789_300_800 * SECOND + 17_400_000;

/// A poll every 20 s: a wave with noise, now and then uncertain, missing or skipped.
fn wave(count: i64) -> Vec<Poll> {
    let poll = |at: i64| {
        let noise = (at * 7_919) % 101 - 50;
        let cell = match (at * 31) % 97 {
            0 => Cell::Missing(Cause::NoAnswer),
            1 => Cell::Skipped,
            2 => Cell::Value(
                Raw::Int(9_000 + noise),
                Quality::Uncertain(Cause::OutOfRange),
            ),
            3 => Cell::Value(Raw::Float(0.25), Quality::Good),
            _ => Cell::Value(Raw::Int(at / 7 + noise), Quality::Good),
        };
        Poll {
            time: Timestamp(START + at * 20 * SECOND + noise * 1_000),
            clock: ClockState::Synchronised,
            cells: vec![Cell::Value(Raw::Int(at), Quality::Good), cell],
        }
    };
    (0..count).map(poll).collect()
}

async fn filled(store: &mut Store, polls: &[Poll]) -> StreamId {
    let stream = store
        .storage
        .register_group(group("a", 1, 2))
        .await
        .unwrap();
    for portion in polls.chunks(300) {
        store.store(stream, portion).await;
    }
    stream
}

async fn read(
    storage: &Storage,
    (from, to): (i64, i64),
    points: usize,
    entries_max: u64,
) -> Series {
    let places = series::places(&storage.shared, sensor(2));
    let span = (Timestamp(from), Timestamp(to));
    let read = move |db: &_| series::series(db, &places, span, points, entries_max);
    storage.read_buffer(read).await.unwrap()
}

/// What a chart must show of the readings of one bucket; `polls` ascend by time.
fn expected(polls: &[Poll], (from, to): (i64, i64)) -> Option<(f64, f64, f64)> {
    let at = |time: i64| polls.partition_point(|poll| poll.time.0 < time);
    let values: Vec<f64> = polls[at(from)..at(to).max(at(from))]
        .iter()
        .filter_map(|poll| match poll.cells[1] {
            Cell::Value(raw, _) => Some(to_f64(raw, RawKind::Int) * 0.1),
            Cell::Missing(_) | Cell::Skipped => None,
        })
        .collect();
    let count = f64::from(u32::try_from(values.len()).unwrap());
    let min = values.iter().copied().min_by(f64::total_cmp)?;
    let max = values.iter().copied().max_by(f64::total_cmp)?;
    Some((values.iter().sum::<f64>() / count, min, max))
}

/// Each point agrees with the readings from its beginning to that of the next one.
fn agrees(series: &Series, polls: &[Poll], (from, to): (i64, i64)) {
    let starts = series.points.iter().map(|point| point.time.0);
    let ends = starts.clone().skip(1).chain([to]);
    let first = starts.clone().next().unwrap_or(to);
    assert_eq!(
        expected(polls, (from, first)),
        None,
        "nothing before the first point"
    );
    for (point, (start, end)) in series.points.iter().zip(starts.zip(ends)) {
        match expected(polls, (start, end)) {
            Some((mean, min, max)) => close(point, (mean, min, max)),
            None => assert!(matches!(point.quality, Quality::Bad(_)), "{point:?}"),
        }
    }
}

fn close(point: &Point, (mean, min, max): (f64, f64, f64)) {
    let near = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-6 * b.abs().max(1.0);
    assert!(
        near(point.mean, mean) && near(point.min, min) && near(point.max, max),
        "{point:?} where {mean} {min} {max} was expected"
    );
}

#[tokio::test]
async fn every_level_shows_what_the_readings_say() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path());
    let polls = wave(5_000);
    filled(&mut store, &polls).await;
    let all = (START - HOUR, START + 3 * 24 * HOUR);
    let spans = [
        all,
        (START + 5 * HOUR + 123, START + 5 * HOUR + 40 * MINUTE),
        (START + 777_777, START + 30 * HOUR + 3),
        (START + 13 * HOUR, START + 13 * HOUR + 1),
        (START + 50 * SECOND, START + 40 * HOUR + 999),
    ];
    // Raw, minutes, hours, days: by how many entries are allowed.
    for entries_max in [100_000, 3_000, 80, 4] {
        for span in spans {
            for points in [3, 1_000] {
                let series = read(&store.storage, span, points, entries_max).await;
                assert!(series.points.len() <= points);
                agrees(&series, &polls, span);
            }
        }
    }
}

#[tokio::test]
async fn what_was_given_up_is_shown_from_rollups_and_the_seam_counts_nothing_twice() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path());
    let polls = wave(2 * 4_320);
    filled(&mut store, &polls).await;
    // The oldest and one in the middle are gone, as after an eviction.
    let db = rusqlite::Connection::open(folder.path().join("buffer.db")).unwrap();
    let gone = "DELETE FROM block WHERE id < 5 OR id = 8";
    assert_eq!(db.execute(gone, []).unwrap(), 5);
    let floor = |time: i64| time - time.rem_euclid(MINUTE);
    let spans = [
        (floor(START) - 24 * HOUR, START + 3 * 24 * HOUR),
        (floor(START) + 3 * HOUR, START + 40 * HOUR + 1_234_567),
    ];
    for span in spans {
        for points in [5, 1_000] {
            for entries_max in [100_000, 3_000, 60] {
                let series = read(&store.storage, span, points, entries_max).await;
                assert!(!series.raw);
                agrees(&series, &polls, span);
            }
        }
    }
    // Where all readings are there, they are shown one by one.
    let late = (START + 40 * HOUR + 5, START + 41 * HOUR);
    assert!(read(&store.storage, late, 1_000, 100_000).await.raw);

    // Without the minutes the hours speak, without these the days.
    for (level, unit) in [(Level::Minute, HOUR), (Level::Hour, 24 * HOUR)] {
        let (first, last) = crate::storage::rollups::numbers_before(level, Timestamp(i64::MAX));
        db.execute(
            "DELETE FROM rollup WHERE id BETWEEN ?1 AND ?2",
            (first, last),
        )
        .unwrap();
        let end = START + 3 * 24 * HOUR;
        let span = (START - START.rem_euclid(unit), end - end.rem_euclid(unit));
        let series = read(&store.storage, span, 3, 3_000).await;
        let count = |low: f64| {
            series
                .points
                .iter()
                .filter(|p| p.min.unwrap() <= low)
                .count()
        };
        assert!(count(f64::MAX) > 0);
        let (_, min, max) = expected(&polls, span).unwrap();
        let lowest = series
            .points
            .iter()
            .filter_map(|p| p.min)
            .min_by(f64::total_cmp);
        let highest = series
            .points
            .iter()
            .filter_map(|p| p.max)
            .max_by(f64::total_cmp);
        assert_eq!((lowest, highest), (Some(min), Some(max)));
    }
}

#[tokio::test]
async fn a_crash_around_a_seal_counts_nothing_twice_and_a_stepping_clock_is_no_harm() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path());
    let mut polls = wave(1_500);
    for poll in &mut polls[400..900] {
        poll.time = poll.time.plus_micros(-10 * 366 * 24 * HOUR);
    }
    for poll in &mut polls[900..] {
        poll.time = poll.time.plus_micros(10 * 366 * 24 * HOUR);
    }
    let stream = filled(&mut store, &polls[..1_000]).await;
    let copy = crash_copy(folder.path());
    drop(store);
    let mut store = Store::open_with(StorageOptions {
        keep: Keep {
            minutes: HUNDRED_YEARS,
            hours: HUNDRED_YEARS,
            days: HUNDRED_YEARS,
            ..Keep::default()
        },
        ..options(copy.path())
    });
    for portion in polls[1_000..].chunks(300) {
        store.store(stream, portion).await;
    }
    let sorted = {
        let mut sorted = polls.clone();
        sorted.sort_by_key(|poll| poll.time);
        sorted
    };
    let all = (START - 30 * 366 * 24 * HOUR, START + 30 * 366 * 24 * HOUR);
    for (points, entries_max) in [(1, 100_000), (10_000, 100_000), (3, 10)] {
        let series = read(&store.storage, all, points, entries_max).await;
        agrees(&series, &sorted, all);
    }
}
