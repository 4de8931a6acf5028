//! Random pushes, seals, acknowledgements and power cuts: every committed poll stays, once, in
//! order. The seed of a failure is in its message.

use super::*;
use protocol::ranges::RangeSet;
use std::collections::BTreeMap;

/// A small generator, so that a run can be repeated by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[tokio::test]
async fn committed_polls_survive_anything_once_and_in_order() {
    for seed in 1..=12 {
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let mut dice = Dice(seed * 0x9E37_79B9);
    let mut folder = TempDir::new().unwrap();
    let mut store = Store::open(folder.path());
    let mut made = [0; 3];
    let mut expected: BTreeMap<StreamId, Vec<Poll>> = BTreeMap::new();
    let mut acked: BTreeMap<StreamId, RangeSet> = BTreeMap::new();
    let schemas: Vec<GroupSchema> = (1..=3_u32)
        .map(|n| group(&format!("g{n}"), u128::from(n) * 10, u128::from(n)))
        .collect();
    let mut streams = register(&store, &schemas).await;
    for _ in 0..40 {
        let which = usize::try_from(dice.roll(3)).unwrap();
        match dice.roll(10) {
            0..=6 => {
                let count = i64::try_from(1 + dice.roll(4) * dice.roll(80)).unwrap();
                let columns = i64::try_from(which).unwrap() + 1;
                let new = polls(made[which], count, columns);
                made[which] += count;
                let stored = store.store(streams[which], &new).await;
                let known = expected.entry(streams[which]).or_default();
                let first = u64::try_from(known.len()).unwrap() + 1;
                assert_eq!(stored[0].0, first, "seed {seed}");
                known.extend(new);
            }
            7 => {
                let known = expected.entry(streams[which]).or_default();
                let length = u64::try_from(known.len()).unwrap();
                let first = 1 + dice.roll(length + 1);
                let last = (first + dice.roll(50)).min(length);
                acked.entry(streams[which]).or_default().insert(first, last);
                let mark = store.storage.mark_acked(streams[which], first, last);
                mark.await.unwrap();
            }
            8 => {
                store.storage.flush().await.unwrap();
                let copy = crash_copy(folder.path());
                store = Store::open(copy.path());
                folder = copy;
                streams = register(&store, &schemas).await;
                acked = known_acks(&store).await;
            }
            _ => {
                store = store.reopen(folder.path()).await;
                streams = register(&store, &schemas).await;
                acked.retain(|_, ranges| ranges.last().is_some());
                assert_eq!(known_acks(&store).await, acked, "seed {seed}");
            }
        }
        // A number that was given to a stream without polls may be given again.
        expected.retain(|stream, polls| !polls.is_empty() || streams.contains(stream));
        let known = expected.entry(streams[which]).or_default();
        let read = store.read_all(streams[which], 1 << 14).await;
        assert_eq!(read, numbered(known), "seed {seed}");
    }
    for (stream, polls) in &expected {
        let read = store.read_all(*stream, 500).await;
        assert_eq!(read, numbered(polls), "seed {seed}");
    }
}

async fn register(store: &Store, schemas: &[GroupSchema]) -> Vec<StreamId> {
    let mut streams = Vec::new();
    for schema in schemas {
        let stream = store.storage.register_group(schema.clone()).await;
        streams.push(stream.unwrap());
    }
    streams
}

/// What a crash left of the acknowledgements.
async fn known_acks(store: &Store) -> BTreeMap<StreamId, RangeSet> {
    let state = store.storage.sync_state().await.unwrap();
    let acked = state.streams.into_iter().map(|s| (s.stream, s.acked));
    acked
        .filter(|(_, ranges)| ranges.last().is_some())
        .collect()
}
