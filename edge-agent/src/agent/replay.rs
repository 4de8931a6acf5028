//! At start: readings that were stored and not yet judged when the agent ended are judged now, so
//! that a crash between the two hides no alarm. Never writes a reading.

use super::judge::Judge;
use crate::storage::{Storage, StorageError};
use protocol::block;
use protocol::wire;
use std::sync::Arc;

/// Bytes of blocks read at once.
const READ_BYTES_MAX: usize = 256 << 10;
/// Polls of a stream that are judged when nothing is known of what was judged before.
const FIRST_POLLS_MAX: u64 = 600;

/// Judges what was left.
pub(super) async fn run(storage: &Storage, judge: &mut Judge) -> Result<(), StorageError> {
    let state = storage.sync_state().await?;
    // Those of earlier openings of the store: in this one nothing was read yet.
    for stream in state.streams {
        if stream.incarnation == state.incarnation {
            continue;
        }
        if let Ok(schema) = wire::decode_schema(&stream.schema) {
            judge.know(stream.stream, Arc::new(schema));
        }
        let mut next = judge.mark(stream.stream) + 1;
        // Before the first save nothing is known of earlier readings: only what follows counts.
        if next == 1 {
            next = stream.last_seq.saturating_sub(FIRST_POLLS_MAX) + 1;
        }
        while next <= stream.last_seq {
            let blocks = storage
                .blocks(stream.stream, next, stream.last_seq, READ_BYTES_MAX)
                .await?;
            let mut read_to = None;
            for bytes in blocks {
                let Ok(block) = block::decode(&bytes) else {
                    continue;
                };
                read_to = Some(block.header.last_seq());
                judge
                    .judge(stream.stream, block.header.first_seq, &block.polls)
                    .await;
            }
            let Some(last) = read_to else { break };
            next = last + 1;
        }
    }
    Ok(())
}
