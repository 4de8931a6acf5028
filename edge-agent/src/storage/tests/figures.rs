//! Measurements, run by hand: bytes written and memory at 1,000 sensors once a second.

use super::*;

fn written_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = text.lines().find(|line| line.starts_with("wchar")).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A plant-like value: slow movement and a last digit of noise.
fn plant_poll(second: i64, columns: i64) -> Poll {
    let value = |column: i64| {
        let noise = (second * 7_919 + column * 104_729) % 5;
        Raw::Int(2_000 + column * 13 + (second / 20) % 50 + noise)
    };
    Poll {
        time: Timestamp(second * 1_000_000 + (second * 48_271) % 4_000),
        clock: ClockState::Synchronised,
        cells: (0..columns)
            .map(|c| Cell::Value(value(c), Quality::Good))
            .collect(),
    }
}

#[tokio::test]
#[ignore = "a measurement: cargo test --release -p edge-agent storage::tests::figures -- --ignored --nocapture"]
async fn bytes_written_per_reading_at_a_thousand_sensors() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::open_with(StorageOptions {
        commit_tick: Duration::from_secs(3_600),
        ..options(folder.path())
    });
    let mut streams = Vec::new();
    for number in 0..50_u128 {
        let schema = group(&format!("g{number}"), number * 20, 20);
        streams.push(store.storage.register_group(schema).await.unwrap());
    }
    let (before, start) = (written_bytes(), std::time::Instant::now());
    let seconds = 3_000;
    for second in 0..seconds {
        for stream in &streams {
            store.storage.push(*stream, plant_poll(second, 20)).unwrap();
        }
        let (flushed, committed) = tokio::join!(store.storage.flush(), store.committed.recv());
        flushed.unwrap();
        assert_eq!(committed.unwrap().batches.len(), 50);
    }
    let elapsed = start.elapsed();
    let rss = resident_kib();
    let stats = store.storage.stats().await.unwrap();
    store.storage.close().await.unwrap();
    let readings = u32::try_from(seconds * 1_000).unwrap();
    let bytes = u32::try_from(written_bytes() - before).unwrap();
    let size = std::fs::metadata(folder.path().join("buffer.db"))
        .unwrap()
        .len();
    println!(
        "{:.2} bytes written per reading, {:.2} bytes of file, {:.2} us per reading, RSS {rss} KiB, {stats:?}",
        f64::from(bytes) / f64::from(readings),
        f64::from(u32::try_from(size).unwrap()) / f64::from(readings),
        elapsed.as_secs_f64() * 1e6 / f64::from(readings),
    );
}
