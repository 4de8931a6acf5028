//! People outside the plants are told of alerts: mail, Slack, Teams, any webhook, by site and urgency.
//! What is to be told stands in the store before it is sent, so that a restart forgets nothing; each
//! receiver has a task of its own. Never acknowledges, never tells what is older than the file allows.

mod send;

use crate::clock;
use crate::config::{NotifyConfig, Receiver};
use crate::store::{AlertFilter, AlertRow, Changed, Page, Store, ToTell, ToldHow};
use crate::tenants::TenantScope;
use protocol::alert::AlertState;
use protocol::id::AlertId;
use send::Sender;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};

/// Alerts that one message tells together.
const TOGETHER_MAX: usize = 50;
/// Up to so many that wait are told one by one.
const ONE_BY_ONE: usize = 3;
/// Tries until a receiver is given up for an alert.
const ATTEMPTS_MAX: u32 = 8;
/// Wait after the first failure; doubled with each further one, up to the longest.
const RETRY: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Longest time for one message.
const SEND_MAX: Duration = Duration::from_secs(30);

/// Tells whoever the file names until the stop.
pub async fn run(store: Store, config: NotifyConfig, stop: watch::Receiver<bool>) {
    let config = Arc::new(config);
    let mut bells = Vec::new();
    let mut tasks = Vec::new();
    for receiver in &config.receivers {
        let bell = Arc::new(Notify::new());
        bells.push(Arc::clone(&bell));
        let sender = Sender::new(Arc::clone(&config), receiver.clone());
        let desk = (store.clone(), stop.clone());
        tasks.push(tokio::spawn(serve(
            desk,
            receiver.name.clone(),
            sender,
            bell,
        )));
    }
    if !config.receivers.is_empty() {
        watch_alerts(&store, &config, &bells, stop).await;
    }
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "telling a receiver ended badly");
        }
    }
}

/// Notes each new alert for whom it concerns.
async fn watch_alerts(
    store: &Store,
    config: &NotifyConfig,
    bells: &[Arc<Notify>],
    mut stop: watch::Receiver<bool>,
) {
    let mut changes = store.changes();
    catch_up(store, config, bells).await;
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match change {
            Ok(change) => {
                if let Changed::Alert(alert) = change.what {
                    consider(store, config, bells, (change.scope, alert)).await;
                }
            }
            Err(RecvError::Lagged(_)) => catch_up(store, config, bells).await,
            Err(RecvError::Closed) => return,
        }
    }
}

/// What came while nobody listened: the newest alerts that wait for somebody.
async fn catch_up(store: &Store, config: &NotifyConfig, bells: &[Arc<Notify>]) {
    let scope = store.default_tenant();
    let filter = AlertFilter {
        open: true,
        ..AlertFilter::default()
    };
    let page = Page {
        limit: TOGETHER_MAX,
        cursor: None,
    };
    match store.alerts(scope, filter, page).await {
        Ok(alerts) => {
            for row in alerts.rows {
                note(store, config, bells, (scope, &row)).await;
            }
        }
        Err(error) => tracing::error!(%error, "alerts could not be looked up to tell of them"),
    }
}

async fn consider(
    store: &Store,
    config: &NotifyConfig,
    bells: &[Arc<Notify>],
    (scope, alert): (TenantScope, AlertId),
) {
    match store.alert(scope, alert).await {
        Ok(row) => note(store, config, bells, (scope, &row)).await,
        Err(error) => {
            tracing::error!(%error, %alert, "an alert could not be looked up to tell of it");
        }
    }
}

async fn note(
    store: &Store,
    config: &NotifyConfig,
    bells: &[Arc<Notify>],
    (scope, row): (TenantScope, &AlertRow),
) {
    let now = clock::now();
    let age_us = now.micros_since(row.alert.raised_at);
    let age_max_us = i64::try_from(config.age_max.as_micros()).unwrap_or(i64::MAX);
    if row.alert.state() != AlertState::Active || age_us > age_max_us {
        return;
    }
    for (receiver, bell) in config.receivers.iter().zip(bells) {
        if !concerns(receiver, row) {
            continue;
        }
        match store
            .to_tell(scope, row.alert.id, receiver.name.clone(), now)
            .await
        {
            Ok(true) => bell.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, receiver = receiver.name, "an alert could not be noted to be told");
            }
        }
    }
}

fn concerns(receiver: &Receiver, row: &AlertRow) -> bool {
    let site = row.home.site.as_ref().map(|site| &site.name);
    let is_there = receiver.sites.is_empty()
        || site.is_some_and(|site| receiver.sites.iter().any(|known| known == site));
    row.alert.raised.severity >= receiver.severity && is_there
}

/// Tells one receiver what waits for it, until the stop.
async fn serve(
    (store, mut stop): (Store, watch::Receiver<bool>),
    name: String,
    sender: Sender,
    bell: Arc<Notify>,
) {
    let mut failures = 0_u32;
    loop {
        let wait = match tell_all(&store, &name, &sender).await {
            Told::All => {
                failures = 0;
                None
            }
            Told::Failed => {
                failures = failures.saturating_add(1);
                let factor = 1_u32 << failures.saturating_sub(1).min(6);
                Some((RETRY * factor).min(RETRY_MAX))
            }
        };
        let pause = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => bell.notified().await,
            }
        };
        tokio::select! {
            () = pause => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

enum Told {
    All,
    Failed,
}

async fn tell_all(store: &Store, name: &str, sender: &Sender) -> Told {
    loop {
        let waiting = match store.waiting_for(name.to_owned(), TOGETHER_MAX).await {
            Ok(waiting) if waiting.is_empty() => return Told::All,
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::error!(%error, receiver = name, "what is to be told could not be read");
                return Told::Failed;
            }
        };
        let size = if waiting.len() <= ONE_BY_ONE {
            1
        } else {
            TOGETHER_MAX
        };
        for part in waiting.chunks(size) {
            if !tell(store, name, sender, part).await {
                return Told::Failed;
            }
        }
    }
}

/// Tells of some alerts in one message; `false` when it has to be tried again.
async fn tell(store: &Store, name: &str, sender: &Sender, part: &[ToTell]) -> bool {
    let (mut rows, mut told, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for one in part {
        match store.alert(one.scope, one.alert).await {
            // One that is over is told all the same while nobody took notice.
            Ok(row) if matches!(row.alert.state(), AlertState::Active | AlertState::Cleared) => {
                rows.push(row);
                told.push(*one);
            }
            _ => gone.push(*one),
        }
    }
    let mut good = true;
    if !gone.is_empty() {
        let words = "acknowledged before it was sent".to_owned();
        good &= noted(store, name, gone, (ToldHow::NotNeeded, words)).await;
    }
    if rows.is_empty() {
        return good;
    }
    let sent = tokio::time::timeout(SEND_MAX, sender.send(&rows)).await;
    let sent = sent.unwrap_or_else(|_| Err((false, "no answer within 30 s".to_owned())));
    let ended = match sent {
        Ok(words) => (ToldHow::Delivered, words),
        Err((is_final, words)) => {
            tracing::warn!(receiver = name, "not told: {words}");
            let too_often = told.iter().any(|one| one.attempts + 1 >= ATTEMPTS_MAX);
            let how = if is_final || too_often {
                ToldHow::GivenUp
            } else {
                ToldHow::Failed
            };
            (how, words)
        }
    };
    let failed = ended.0 == ToldHow::Failed;
    noted(store, name, told, ended).await && good && !failed
}

async fn noted(store: &Store, name: &str, told: Vec<ToTell>, ended: (ToldHow, String)) -> bool {
    let noted = store.told(name.to_owned(), told, ended, clock::now()).await;
    if let Err(error) = &noted {
        tracing::error!(%error, receiver = name, "who was told could not be noted");
    }
    noted.is_ok()
}
