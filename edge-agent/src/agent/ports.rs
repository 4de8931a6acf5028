//! One task per port, watched: a driver that panics is built anew and goes on, the others never
//! notice. Ports come and go one by one while the rest polls on. Never touches what a driver reads.

use crate::clock;
use crate::config::InUse;
use crate::drivers::{self, FromDriver, Holes, PortDriver, PortHandles, Sink};
use crate::health::Health;
use crate::pipeline::GroupSpec;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long a port rests after its driver panicked.
const RESTART_WAIT: Duration = Duration::from_secs(5);

/// The ports at work.
#[derive(Debug)]
pub(super) struct Ports {
    queue: mpsc::Sender<FromDriver>,
    dropped: Arc<AtomicU64>,
    /// Where others find the ports that run.
    handles: PortHandles,
    /// What is known of registers that devices do not have.
    holes: Holes,
    /// What counts now: a driver that failed is built from it.
    config: watch::Sender<Arc<InUse>>,
    running: BTreeMap<String, Running>,
    /// The number of the next group; none is used twice, so that a poll that is still on its way
    /// can never be taken for one of another group.
    next_group: usize,
}

/// A port that was built and does not run yet.
pub(super) struct Built {
    pub name: String,
    pub driver: Box<dyn PortDriver>,
    pub groups: Vec<GroupSpec>,
    /// The number of its first group.
    pub base: usize,
}

#[derive(Debug)]
struct Running {
    base: usize,
    groups: Vec<GroupSpec>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Ports {
    /// None runs yet.
    pub(super) fn new(
        queue: mpsc::Sender<FromDriver>,
        health: &Health,
        holes: Holes,
        config: Arc<InUse>,
    ) -> Self {
        Self {
            queue,
            dropped: health.dropped_counter(),
            handles: health.ports(),
            holes,
            config: watch::Sender::new(config),
            running: BTreeMap::new(),
            next_group: 0,
        }
    }

    /// What counts from now on.
    pub(super) fn set_config(&self, config: Arc<InUse>) {
        self.config.send_replace(config);
    }

    /// Gives the groups of a driver their numbers.
    pub(super) fn number(&mut self, name: &str, driver: Box<dyn PortDriver>) -> Built {
        let groups = driver.groups();
        let base = self.next_group;
        self.next_group += groups.len();
        Built {
            name: name.to_owned(),
            driver,
            groups,
            base,
        }
    }

    /// Starts the task of a port.
    pub(super) fn start(&mut self, built: Built) {
        let sink = Sink::new(
            self.queue.clone(),
            Arc::clone(&self.dropped),
            built.base,
            clock::stamp,
        )
        .with_holes(self.holes.clone());
        let (stop, stopped) = watch::channel(false);
        let watched = watch_over(
            built.driver,
            built.name.clone(),
            self.config.subscribe(),
            (sink, self.handles.clone(), stopped),
        );
        let running = Running {
            base: built.base,
            groups: built.groups,
            stop,
            task: tokio::spawn(watched),
        };
        self.running.insert(built.name, running);
    }

    /// Stops some ports and waits for their ends; answers the numbers of their groups.
    pub(super) async fn stop(&mut self, names: &[&str]) -> Vec<Range<usize>> {
        let ended: Vec<Running> = names
            .iter()
            .filter_map(|name| self.running.remove(*name))
            .collect();
        for port in &ended {
            port.stop.send_replace(true);
        }
        let mut numbers = Vec::new();
        for port in ended {
            numbers.push(port.base..port.base + port.groups.len());
            super::done(port.task).await;
        }
        numbers
    }

    /// Stops all and lets go of the queue.
    pub(super) async fn stop_all(mut self) {
        let names: Vec<String> = self.running.keys().cloned().collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.stop(&names).await;
    }

    /// The groups of a port that runs, with the number of the first.
    pub(super) fn groups(&self, name: &str) -> Option<(usize, &[GroupSpec])> {
        let port = self.running.get(name)?;
        Some((port.base, &port.groups))
    }
}

async fn watch_over(
    mut driver: Box<dyn PortDriver>,
    name: String,
    config: watch::Receiver<Arc<InUse>>,
    (sink, handles, mut stop): (Sink, PortHandles, watch::Receiver<bool>),
) {
    loop {
        // Before it runs, and anew after a panic: the old one's queue is gone.
        if let Some(handle) = driver.handle() {
            handles.set(&name, handle);
        }
        let run = tokio::spawn(driver.run(sink.clone(), stop.clone()));
        let ended = run.await;
        handles.remove(&name);
        let Err(error) = ended else { return };
        tracing::error!(port = name, %error, "the driver of this port failed; it is started again");
        tokio::select! {
            () = tokio::time::sleep(RESTART_WAIT) => {}
            _ = stop.changed() => return,
        }
        // A port whose tables changed was stopped: what is built is what was announced.
        let config = Arc::clone(&config.borrow());
        driver = match config.whole() {
            Ok(config) => {
                let port = config.ports.iter().find(|port| port.name == name);
                let Some(again) = port.and_then(|port| drivers::build(port, &config.devices))
                else {
                    return;
                };
                again
            }
            Err(error) => {
                tracing::error!(port = name, %error, "this port stays stopped: start the agent again");
                return;
            }
        };
    }
}
