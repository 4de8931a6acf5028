//! Old readings are removed while the hub runs: small steps with pauses, a round over all streams
//! every hour. Never takes more than a small share of the writer's time.

use crate::clock;
use crate::config::{BundleConfig, RetentionConfig};
use crate::service::reference::{self, Terms};
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

pub(super) fn terms(config: &BundleConfig) -> Terms {
    let days = |days: usize| u16::try_from(days).unwrap_or(u16::MAX);
    Terms {
        valid_days: days(config.valid_days),
        grace_days: days(config.grace_days),
    }
}

/// Works until the stop.
pub(super) async fn run(
    store: Store,
    retention: Retention,
    terms: Terms,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = async { renew(&store, terms).await; round(&store, retention).await } => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(REST) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Bundles of sites of which nothing changes must not run out.
async fn renew(store: &Store, terms: Terms) {
    match reference::renew(store, store.default_tenant(), terms).await {
        Ok(0) => {}
        Ok(sites) => tracing::info!(sites, "site bundles were made anew, so that they count on"),
        Err(error) => {
            tracing::error!(%error, "site bundles could not be made anew; trying again in an hour");
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
