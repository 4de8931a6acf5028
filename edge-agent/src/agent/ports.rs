//! One task per port, watched: a driver that panics is built anew and goes on, the others never
//! notice. Never touches what a driver reads.

use crate::clock;
use crate::config::{Config, DeviceConfig, PortConfig};
use crate::drivers::{self, FromDriver, Holes, PortDriver, PortHandles, Sink};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long a port rests after its driver panicked.
const RESTART_WAIT: Duration = Duration::from_secs(5);

/// Where the drivers put what they have.
pub(super) struct Sinks {
    pub queue: mpsc::Sender<FromDriver>,
    pub dropped: Arc<AtomicU64>,
    /// How many groups each port has, in order.
    pub counts: Vec<usize>,
    /// Where others find the ports that run.
    pub handles: PortHandles,
    /// What is known of registers that devices do not have.
    pub holes: Holes,
}

/// Starts one task per port.
pub(super) fn start(
    config: &Config,
    built: Vec<Box<dyn PortDriver>>,
    sinks: Sinks,
    stop: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let mut base = 0;
    let mut tasks = Vec::new();
    for ((driver, port), count) in built.into_iter().zip(&config.ports).zip(sinks.counts) {
        let sink = Sink::new(
            sinks.queue.clone(),
            Arc::clone(&sinks.dropped),
            base,
            clock::stamp,
        )
        .with_holes(sinks.holes.clone());
        base += count;
        let devices = config.devices.clone();
        tasks.push(tokio::spawn(watch_over(
            driver,
            port.clone(),
            devices,
            (sink, sinks.handles.clone()),
            stop.clone(),
        )));
    }
    tasks
}

async fn watch_over(
    mut driver: Box<dyn PortDriver>,
    port: PortConfig,
    devices: Vec<DeviceConfig>,
    (sink, handles): (Sink, PortHandles),
    mut stop: watch::Receiver<bool>,
) {
    loop {
        // Before it runs, and anew after a panic: the old one's queue is gone.
        if let Some(handle) = driver.handle() {
            handles.set(&port.name, handle);
        }
        let run = tokio::spawn(driver.run(sink.clone(), stop.clone()));
        let ended = run.await;
        handles.remove(&port.name);
        let Err(error) = ended else { return };
        tracing::error!(port = port.name, %error, "the driver of this port failed; it is started again");
        tokio::select! {
            () = tokio::time::sleep(RESTART_WAIT) => {}
            _ = stop.changed() => return,
        }
        let Some(again) = drivers::build(&port, &devices) else {
            return;
        };
        driver = again;
    }
}
