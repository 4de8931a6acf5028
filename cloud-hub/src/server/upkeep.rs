//! Old readings are removed while the hub runs: small steps with pauses, a round over all streams
//! every hour. Never takes more than a small share of the writer's time.

use crate::clock;
use crate::config::RetentionConfig;
use crate::store::{Removed, Retention, Round, Store};
use std::time::Duration;
use tokio::sync::watch;

/// Between two steps: they take about a tenth of the writer's time at the most.
const PAUSE: Duration = Duration::from_millis(150);
/// Between two rounds.
const REST: Duration = Duration::from_secs(3_600);

pub(super) fn retention(config: &RetentionConfig) -> Retention {
    let days = |days: usize| u32::try_from(days).ok().filter(|days| *days > 0);
    Retention {
        readings_days: days(config.readings_days),
        minutes_days: days(config.minutes_days),
        hours_days: days(config.hours_days),
    }
}

/// Works until the stop.
pub(super) async fn run(store: Store, retention: Retention, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = round(&store, retention) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(REST) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn round(store: &Store, retention: Retention) {
    let mut place = Some(Round::default());
    let mut all = Removed::default();
    while let Some(round) = place {
        tokio::time::sleep(PAUSE).await;
        match store.remove_old(retention, round, clock::now()).await {
            Ok((removed, next)) => {
                all.blocks += removed.blocks;
                all.statistics += removed.statistics;
                all.sealed += removed.sealed;
                place = next;
            }
            Err(error) => {
                tracing::error!(%error, "old readings could not be removed; trying again in an hour");
                return;
            }
        }
    }
    if all != Removed::default() {
        let (blocks, statistics) = (all.blocks, all.statistics);
        tracing::info!(
            blocks,
            statistics,
            "what was older than it is to be kept was removed"
        );
    }
}
