//! One task per port, watched: a driver that panics is built anew and goes on, the others never
//! notice. Never touches what a driver reads.

use crate::clock;
use crate::config::{Config, DeviceConfig, PortConfig};
use crate::drivers::{self, FromDriver, PortDriver, Sink};
use crate::health::Health;
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
    /// Where ports are shown that can be looked at.
    pub health: Arc<Health>,
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
        );
        base += count;
        let devices = config.devices.clone();
        let watched = Watched {
            port: port.clone(),
            devices,
            health: Arc::clone(&sinks.health),
        };
        tasks.push(tokio::spawn(watch_over(
            driver,
            watched,
            sink,
            stop.clone(),
        )));
    }
    tasks
}

/// What a port is built from anew, and where it is shown.
struct Watched {
    port: PortConfig,
    devices: Vec<DeviceConfig>,
    health: Arc<Health>,
}

async fn watch_over(
    mut driver: Box<dyn PortDriver>,
    watched: Watched,
    sink: Sink,
    mut stop: watch::Receiver<bool>,
) {
    let Watched {
        port,
        devices,
        health,
    } = watched;
    loop {
        if let Some(bus) = driver.bus() {
            health.set_bus(&port.name, bus);
        }
        let run = tokio::spawn(driver.run(sink.clone(), stop.clone()));
        let Err(error) = run.await else { return };
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
